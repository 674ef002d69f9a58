//! `[scenario]`: a stream of tasks, how clients hold on to them, and when they come.

use crate::{
    diagnostic::{Diagnostic, Fault},
    document::Node,
    registry::{Chosen, Registry, resolved},
    scenario::Scenario,
    streams::{
        Arrival, ByClasses, CompetenceGate, Ground, HeadChoice, Labels, ScenarioPlugin, Span,
        StreamError, TaskOrder,
    },
    timeline::Turn,
};
use lyceum_core::{
    AnyMethod, Calendar, Gate, Head, Lens, Loss, Network, Optimizer, Purpose, Reach, Round,
    Samples, TaskId, TaskStream, Visit, shuffle, units::Misfit,
};
use serde::de::DeserializeOwned;
use std::{collections::BTreeSet, sync::Arc};

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

    /// What does not go together; keys are relative to `[scenario]`.
    pub(crate) fn misfits(&self, scenario: &Scenario) -> Vec<Misfit> {
        let mut misfits = Vec::new();
        let kind = self.kind.name;
        let signals = self.kind.plugin.rules().signals;
        for method in &self.methods {
            let key = format!("{kind}.method.{}", method.name);
            let mut refuse = |message: &str, expected: &str| {
                misfits.push(Misfit {
                    key: key.clone(),
                    message: format!("`{}` {message}", method.name),
                    expected: expected.into(),
                });
            };
            let needs = method.plugin.needs();
            if needs.boundaries && !signals {
                refuse(
                    "must be told when a task begins",
                    "this stream hides it: take a method that needs no boundaries",
                );
            }
            let rule = scenario.training.optimizer.rule();
            if needs.plain_sgd && rule != (Optimizer::Sgd { momentum: 0.0 }) {
                refuse("goes with plain SGD only", "`sgd` without momentum with it");
            }
            if needs.sigmoid && scenario.training.loss != Loss::Sigmoid {
                refuse(
                    "goes with the sigmoid loss only",
                    "`loss = \"sigmoid\"` in `[training]`",
                );
            }
            if let Some(misfit) = method.plugin.misfit() {
                misfits.push(Misfit {
                    key: format!("{key}.{}", misfit.key),
                    ..misfit
                });
            }
        }
        misfits.extend(self.own_misfits(scenario));
        let gate = self.gate.iter();
        misfits.extend(gate.flat_map(|gate| gate.misfits(self, scenario)));
        if !scenario.data.real.is_empty() {
            misfits.push(Misfit {
                key: kind.into(),
                message: "real clients have no streams of tasks".into(),
                expected: "leave out `[scenario]` or `[[data.real]]`".into(),
            });
        }
        misfits
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

    /// What does not go together, whatever the methods.
    fn own_misfits(&self, scenario: &Scenario) -> Vec<Misfit> {
        let kind = self.kind.name;
        let rules = self.kind.plugin.rules();
        let renames = self.kind.plugin.outputs().is_some();
        let shuffled = self.labels == Labels::Shuffled;
        let head = self.head.map(HeadChoice::head);
        let refuse = |at: &str, wrong: bool, message: &str, expected: &str| {
            wrong.then(|| Misfit {
                key: format!("{kind}{at}"),
                message: message.into(),
                expected: expected.into(),
            })
        };
        let at = |key: &str, misfit: Misfit| Misfit {
            key: format!("{kind}.{key}.{}", misfit.key),
            ..misfit
        };
        let all = [
            self.order.misfit().map(|misfit| at("order", misfit)),
            self.arrival.misfit().map(|misfit| at("arrival", misfit)),
            refuse(
                "",
                rules.once && scenario.training.epochs.get() != 1,
                "each sample is shown once, but `training.epochs` is not 1",
                "`epochs = 1` with it",
            ),
            refuse(
                "",
                rules.once && scenario.training.steps.is_some(),
                "each sample is shown once, but `training.steps` may go through it again",
                "leave out `training.steps`",
            ),
            refuse(
                ".head",
                !rules.signals && matches!(head, Some(Head::Seen | Head::Multi)),
                "this stream does not tell of which task a sample is",
                "`shared`, or `masked` for tests alone",
            ),
            refuse(
                ".head",
                rules.head == Head::Multi && matches!(head, Some(Head::Shared | Head::Seen)),
                "in this stream a test says of which task a sample is",
                "`multi-head` or `masked`",
            ),
            refuse(
                ".labels",
                renames && shuffled,
                "this stream has labels of its own",
                "leave it out",
            ),
            refuse(
                "",
                (renames || shuffled) && scenario.data.validation.get() > 0.0,
                "validation samples keep the labels that this stream renames",
                "leave out `data.validation`",
            ),
            refuse(
                "",
                renames && scenario.needs_expert(),
                "an expert learns the labels that this stream renames",
                "leave out what needs an expert",
            ),
        ];
        all.into_iter().flatten().collect()
    }

    /// The stream over these samples.
    pub(crate) fn resolve(
        &self,
        scenario: &Scenario,
        material: Material<'_>,
    ) -> Result<TaskStream, Diagnostic> {
        let Material {
            train,
            test,
            kept,
            held,
            losses,
            called,
        } = material;
        let seed = scenario.seed();
        let kind = self.kind.name;
        let mut rng = seed.once(Purpose::STREAM);
        let mut names: Vec<u32> = (0..test.classes as u32).collect();
        if self.labels == Labels::Shuffled {
            shuffle(&mut names, &mut rng);
        }
        let rounds = scenario.rounds();
        let ground = Ground {
            train,
            test,
            kept,
            losses,
            names: &names,
            called,
            rounds,
        };
        let refuse = |error: StreamError| {
            let StreamError {
                key,
                message,
                expected,
            } = error;
            let path = format!("scenario.{kind}.{key}");
            scenario.fault(path.trim_end_matches('.'), message, expected)
        };
        let mut tasks = self.kind.plugin.tasks(&ground, &mut rng).map_err(refuse)?;
        let order = self.order.of(&tasks, &ground, &mut rng).map_err(refuse)?;
        if self.labels == Labels::Shuffled {
            let names: Arc<[u32]> = names.as_slice().into();
            for task in &mut tasks {
                let Lens { labels, .. } = &mut task.lens;
                labels.get_or_insert_with(|| names.clone());
            }
        }
        let span = Span {
            clients: scenario.data.clients.get() as u64,
            rounds,
            seed,
        };
        let (calendar, reference) = self.arrival.calendar(&order, span).map_err(refuse)?;
        let mut rules = self.kind.plugin.rules();
        rules.outputs = self.kind.plugin.outputs();
        let reach = |method: &Chosen<dyn AnyMethod>| method.plugin.needs().reach;
        rules.at_once = self.methods.iter().any(|m| reach(m) == Reach::Everything);
        if let Some(head) = self.head {
            rules.head = head.head();
        }
        if let Some(gate) = &self.gate {
            let gate = gate.over(&tasks, &reference, &ground, held, scenario);
            let gate = gate.map_err(refuse)?;
            opens_to_the_end(&gate).map_err(refuse)?;
            return Ok(TaskStream::new(tasks, calendar, reference, rules, seed).gated(gate));
        }
        let turns = scenario.turns(&reference)?;
        let mut stream = TaskStream::new(tasks, calendar, reference, rules, seed);
        if rules.outputs.is_none() {
            let labels = (self.labels == Labels::Shuffled).then(|| names.as_slice().into());
            let lens = Lens {
                labels,
                ..Lens::default()
            };
            stream = stream.made_by(Arc::new(ByClasses::new(test, &names, lens)));
        }
        let turn = |stream: TaskStream, turn: &Turn| stream.retimed(|visits| turn.applied(visits));
        let stream = turns.iter().fold(stream, turn);
        // Where all tasks are there from the start, none comes late.
        match late_task(&stream, rounds).filter(|_| !rules.at_once) {
            Some((place, begins)) => Err(self.never_comes(scenario, &turns, place, begins)),
            None => Ok(stream),
        }
    }

    /// The refusal of a task that would come when the run is over, at the key that says when it comes.
    fn never_comes(
        &self,
        scenario: &Scenario,
        turns: &[Turn],
        place: u32,
        begins: u64,
    ) -> Diagnostic {
        let kind = self.kind.name;
        let held = turns.iter().any(|turn| matches!(turn, Turn::Hold(..)));
        let path = match self.arrival.rounds_per_task {
            _ if held => "timeline".into(),
            Some(_) => format!("scenario.{kind}.arrival.rounds_per_task"),
            None => "run.rounds".into(),
        };
        let rounds = scenario.rounds();
        let message = format!("task {place} of the stream never comes: the run ends before");
        let label = format!(
            "it would come in round {begins}, the last one is round {}",
            rounds - 1
        );
        scenario.fault(&path, message, label)
    }
}

/// The first visit, by its place, that would begin when the run is over, and when that is. Where clients have calendars
/// of their own, a task that comes to one of them has come.
fn late_task(stream: &TaskStream, rounds: u64) -> Option<(u32, u64)> {
    let visits: Vec<&Visit> = match stream.calendar() {
        Calendar::Same(visits) => visits.iter().collect(),
        Calendar::Each(all) => all.iter().flat_map(|visits| visits.iter()).collect(),
    };
    let together = matches!(stream.calendar(), Calendar::Same(_));
    let in_time = visits.iter().filter(|visit| visit.begins < rounds);
    let come: BTreeSet<TaskId> = in_time.map(|visit| visit.task).collect();
    let late = visits
        .iter()
        .filter(|visit| visit.begins >= rounds && (together || !come.contains(&visit.task)));
    let first = late.min_by_key(|visit| visit.begins)?;
    Some((first.place, first.begins))
}

/// Refuses a gate that even a model without a mistake cannot open often enough.
fn opens_to_the_end(gate: &Gate) -> Result<(), StreamError> {
    let mut begins = vec![Round(0)];
    for round in (0..gate.rounds).map(Round) {
        if let Some(opening) = gate.opens(&begins, round, |_| 1.0) {
            begins.push(opening.round);
        }
    }
    let (come, all) = (begins.len(), gate.sequence.len());
    if come >= all {
        return Ok(());
    }
    let message = format!(
        "only {come} of {all} tasks can come in {} rounds, however good the model is",
        gate.rounds
    );
    let label = "more rounds, a threshold below 1, or smaller `min_rounds`, `patience` and `every`";
    Err(StreamError::new("gate", message, label))
}

/// What a stream is resolved from.
pub(crate) struct Material<'a> {
    /// All training samples, where they lie in one place.
    pub(crate) train: Option<&'a Samples>,
    /// Test samples.
    pub(crate) test: &'a Samples,
    /// Places of the training samples that are not validation samples.
    pub(crate) kept: &'a [u32],
    /// Places of those that are.
    pub(crate) held: &'a [u32],
    /// An expert's loss on each of them.
    pub(crate) losses: Option<&'a [f32]>,
    /// What the classes are called; empty where they are numbers.
    pub(crate) called: &'a [String],
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
