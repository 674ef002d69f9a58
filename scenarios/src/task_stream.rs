//! `[scenario]`: a stream of tasks, how clients hold on to them, and when they come.

use crate::{
    diagnostic::Fault,
    document::Node,
    registry::{Chosen, Registry, resolved},
    streams::{Arrival, CompetenceGate, HeadChoice, Labels, ScenarioPlugin, TaskOrder},
};
use lyceum_core::{AnyMethod, Network, units::Misfit};
use serde::de::DeserializeOwned;

/// Keys that go with every kind of stream.
pub(crate) const BESIDE: [&str; 6] = ["method", "arrival", "order", "labels", "head", "gate"];

/// `[scenario]`, read.
#[derive(Clone)]
pub struct StreamChoice {
    /// The kind of stream.
    pub kind: Chosen<dyn ScenarioPlugin>,
    /// How clients hold on to what they learned, in the order in which the methods act.
    pub methods: Vec<Chosen<dyn AnyMethod>>,
    /// When tasks come to clients.
    pub arrival: Arrival,
    /// In which order they come.
    pub order: TaskOrder,
    /// Which output stands for which class.
    pub labels: Labels,
    /// Which logits count, where it is not what the kind of stream says.
    pub head: Option<HeadChoice>,
    /// What brings the next task, where that is not the arrival.
    pub gate: Option<CompetenceGate>,
}

impl StreamChoice {
    /// Reads the table. Faults are collected; with one there is no choice.
    pub(crate) fn read(
        node: Node<'_>,
        registry: &Registry,
        faults: &mut Vec<Fault>,
    ) -> Option<Self> {
        let (kind, beside) = match registry.streams.choose_beside(node, &BESIDE) {
            Ok(read) => read,
            Err(fault) => {
                faults.push(fault);
                return None;
            }
        };
        let [method, arrival, order, labels, head, gate] = <[_; 6]>::try_from(beside).ok()?;
        let methods = match method.map(|node| registry.methods.choose_all(node)) {
            None => Some(Vec::new()),
            Some(Ok(methods)) => Some(methods),
            Some(Err(fault)) => {
                faults.push(fault);
                None
            }
        };
        let arrival = or_default(arrival, faults);
        let order = or_default(order, faults);
        let labels = or_default(labels, faults);
        let head = or_none(head, faults);
        let gate = or_none(gate, faults);
        Some(Self {
            kind,
            methods: methods?,
            arrival: arrival?,
            order: order?,
            labels: labels?,
            head: head?,
            gate: gate?,
        })
    }

    /// All keys with their values, defaults included.
    pub(crate) fn resolved(&self) -> toml::Value {
        let plain = |value: Result<toml::Value, toml::de::Error>| {
            value.expect("every key was read from TOML, so TOML can hold it")
        };
        let mut body = self.kind.resolved.clone();
        if let Some(body) = body.as_table_mut() {
            let methods = self.methods.iter();
            let methods = methods.map(|m| (m.name.to_string(), m.resolved.clone()));
            body.insert("method".into(), toml::Value::Table(methods.collect()));
            body.insert("arrival".into(), plain(resolved(&self.arrival)));
            body.insert("order".into(), plain(resolved(&self.order)));
            body.insert("labels".into(), plain(resolved(&self.labels)));
            if let Some(head) = &self.head {
                body.insert("head".into(), plain(resolved(head)));
            }
            if let Some(gate) = &self.gate {
                body.insert("gate".into(), plain(resolved(gate)));
            }
        }
        toml::Value::Table(toml::Table::from_iter([(self.kind.name.into(), body)]))
    }

    /// The first thing about a model, or samples of so many bytes, that does not go with a method; the key is relative to
    /// `[scenario]`.
    pub(crate) fn unfit(&self, network: &Network, sample: usize) -> Option<Misfit> {
        let kind = self.kind.name;
        self.methods.iter().find_map(|method| {
            let key = format!("{kind}.method.{}", method.name);
            if method.plugin.needs().features && network.features().is_none() {
                return Some(Misfit {
                    key,
                    message: format!("`{}` needs a model that ends in a dense layer", method.name),
                    expected: "a dense layer at the end of the model".into(),
                });
            }
            let plugin = &method.plugin;
            let cramped = || plugin.cramped(sample, network.classes());
            let misfit = plugin.unfit(network).or_else(cramped)?;
            let key = format!("{key}.{}", misfit.key);
            let key = key.trim_end_matches('.').into();
            Some(Misfit { key, ..misfit })
        })
    }

    /// Buffers with fewer places than there are classes, in sentences.
    pub(crate) fn thin_buffers(&self, classes: usize, sample: usize) -> Vec<String> {
        let kind = self.kind.name;
        let thin = |method: &Chosen<dyn AnyMethod>| {
            let places = method.plugin.places(sample, classes)?;
            (places < classes).then(|| {
                let samples = if places == 1 { "sample" } else { "samples" };
                format!(
                    "the buffer of scenario.{kind}.method.{} holds {places} {samples} a client, fewer than the {classes} classes: \
                     most classes are not replayed",
                    method.name
                )
            })
        };
        self.methods.iter().filter_map(thin).collect()
    }
}

fn keep<T>(result: Result<T, Fault>, faults: &mut Vec<Fault>) -> Option<T> {
    result.map_err(|fault| faults.push(fault)).ok()
}

fn or_none<T: DeserializeOwned>(
    node: Option<Node<'_>>,
    faults: &mut Vec<Fault>,
) -> Option<Option<T>> {
    match node {
        None => Some(None),
        Some(node) => keep(node.read(), faults).map(Some),
    }
}

fn or_default<T: DeserializeOwned + Default>(
    node: Option<Node<'_>>,
    faults: &mut Vec<Fault>,
) -> Option<T> {
    match node {
        None => Some(T::default()),
        Some(node) => keep(node.read(), faults),
    }
}
