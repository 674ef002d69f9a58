//! One experiment, checked.

use crate::{
    data::{DataSet, FixedFeatures},
    deadline::Deadline,
    diagnostic::{Diagnostic, Fault, Sources},
    document::Places,
    models::Model,
    partition::Partition,
    personal::Personal,
    registry::{Chosen, resolved},
    tables::{Availability, Data, Evaluation, RealClient, Run},
    task_stream::StreamChoice,
    timeline::{Moment, Phase},
    training::{Expert, Training},
    transforms::{self, TransformChoice},
    variational::VariationalWeights,
};
use lyceum_core::{
    AnyMethod, AnySelector, AnySteering, AnyStrategy, ClientId, Engine, Fingerprint, LargestLogit,
    Needs, Predict, Roster, Seed,
};
use lyceum_strategies::ordering::Ordering;
use std::{
    ops::Range,
    path::{Path, PathBuf},
    sync::Arc,
};

/// A key, what is wrong there, and what would be right.
pub(crate) type Wrong = (String, String, String);

/// A checked experiment.
#[derive(Clone)]
pub struct Scenario {
    /// `[run]`.
    pub run: Run,
    /// `[data]`.
    pub data: Data,
    /// `data.set`.
    pub data_set: Chosen<dyn DataSet>,
    /// `[data.partition]`; absent for sets that come divided.
    pub partition: Option<Chosen<dyn Partition>>,
    /// `[model]`.
    pub model: Chosen<dyn Model>,
    /// `[variational]`; absent where weights are numbers.
    pub variational: Option<VariationalWeights>,
    /// `[personal]`; absent where clients keep nothing of the model for themselves.
    pub personal: Option<Personal>,
    /// `[training]`.
    pub training: Training,
    /// `[ordering]`; absent for plain epochs.
    pub ordering: Option<Ordering>,
    /// `[expert]`.
    pub expert: Expert,
    /// `[selection]`.
    pub selection: Chosen<dyn AnySelector>,
    /// `[availability]`.
    pub availability: Availability,
    /// `[deadline]`; absent to wait for everybody.
    pub deadline: Option<Deadline>,
    /// `[strategy]`.
    pub strategy: Chosen<dyn AnyStrategy>,
    /// `[[transform.NAME]]`, in the order of the file; empty for updates as they are.
    pub transforms: Vec<TransformChoice>,
    /// `[steering]`; absent where every round trains the one model.
    pub steering: Option<Chosen<dyn AnySteering>>,
    /// `[scenario]`; absent for plain federated learning.
    pub stream: Option<StreamChoice>,
    /// `[[timeline]]`.
    pub timeline: Vec<Moment>,
    /// `[evaluation]`.
    pub evaluation: Evaluation,
    /// The engine of `training.engine`, where the build has one of that name.
    pub(crate) engine: Option<Engine>,
    /// What entries of the timeline, by position, change.
    pub(crate) phases: Vec<(usize, Phase)>,
    pub(crate) places: Places,
    pub(crate) sources: Sources,
}

impl Scenario {
    /// Faults at keys of this scenario: key, what is wrong, what would be right.
    pub(crate) fn faults(&self, wrong: Vec<Wrong>) -> Diagnostic {
        let fault =
            |(path, message, label): Wrong| Fault::new(message, label, self.places.find(&path));
        Diagnostic::beyond_schema(wrong.into_iter().map(fault).collect(), &self.sources)
    }

    /// A fault at a key of this scenario, for what turns out only when data are read.
    pub fn fault(
        &self,
        path: &str,
        message: impl Into<String>,
        label: impl Into<String>,
    ) -> Diagnostic {
        self.faults(vec![(path.into(), message.into(), label.into())])
    }

    /// A fault of several keys together, or of a table as a whole. It stands where an override changed one of them: what was
    /// said last is what somebody can take back. Else at the first key.
    pub fn fault_among(
        &self,
        paths: &[&str],
        message: impl Into<String>,
        label: impl Into<String>,
    ) -> Diagnostic {
        // What a sweep sets is not set by an override as well.
        let time = |span: &Range<usize>| {
            let swept = || self.places.is_swept(span).then_some(0);
            self.sources.override_at(span.start).or_else(swept)
        };
        let over = paths
            .iter()
            .filter_map(|path| self.places.last_within(path, &time));
        let last = over.max_by_key(|(time, span)| (*time, span.start));
        let first = || paths.first().and_then(|path| self.places.find(path));
        let place = last.map(|(_, span)| span).or_else(first);
        let fault = Fault::new(message, label, place);
        Diagnostic::beyond_schema(vec![fault], &self.sources)
    }

    /// Root of all randomness.
    pub fn seed(&self) -> Seed {
        Seed(self.run.seed)
    }

    /// All clients, simulated ones first.
    pub fn clients(&self) -> u64 {
        self.data.clients.get() as u64 + self.data.real.len() as u64
    }

    /// Rounds of the whole run: `run.rounds`, or as many as a budget of client updates takes.
    pub fn rounds(&self) -> u64 {
        self.rounds_of_budget(&self.selection)
            .unwrap_or(self.run.rounds.get() as u64)
    }

    /// Rounds that a selection takes whose budget is not rounds.
    pub(crate) fn rounds_of_budget(&self, selection: &Chosen<dyn AnySelector>) -> Option<u64> {
        let clients = self.clients();
        let rounds = self.run.rounds.get() as u64;
        selection.plugin.rounds(&Sized { clients }, rounds)
    }

    /// Real clients with their ids.
    pub fn real_clients(&self) -> impl Iterator<Item = (ClientId, &RealClient)> {
        let first = self.data.clients.get() as u64;
        (first..).map(ClientId).zip(&self.data.real)
    }

    /// Refuses a scenario with real clients where none can connect, rather than let them be missing in every round.
    pub fn without_real_clients(&self) -> Result<(), Diagnostic> {
        if self.data.real.is_empty() {
            return Ok(());
        }
        let message = "real clients cannot connect here";
        let label = "run it with `lyceum coordinator`, or leave them out";
        Err(self.fault("data.real", message, label))
    }

    /// The rule that steers the run: the scenario's, or the one that its stream brings.
    pub fn rule(&self) -> Option<Arc<dyn AnySteering>> {
        let own = self
            .steering
            .as_ref()
            .map(|steering| steering.plugin.clone());
        let strategy = &*self.strategy.plugin;
        own.or_else(|| self.stream.as_ref()?.kind.plugin.steering(strategy))
    }

    /// The continual methods with their names, in the order in which they act.
    pub fn methods(&self) -> impl Iterator<Item = (&'static str, Arc<dyn AnyMethod>)> {
        let methods = self.stream.iter().flat_map(|stream| &stream.methods);
        methods.map(|method| (method.name, method.plugin.clone()))
    }

    /// What the methods, and a gate, ask for together.
    pub fn needs(&self) -> Needs {
        let gate = self.stream.iter().filter_map(|stream| stream.gate.as_ref());
        let shown = gate.map(|gate| Needs {
            reach: gate.shows(),
            ..Needs::default()
        });
        let own = self.stream.iter().map(|stream| Needs {
            reach: stream.kind.plugin.reach(),
            ..Needs::default()
        });
        let all = self.methods().map(|(_, method)| method.needs());
        all.chain(shown)
            .chain(own)
            .fold(Needs::default(), Needs::and)
    }

    /// How answers are found: as a method says, or by the largest logit.
    pub fn predict(&self) -> Arc<dyn Predict> {
        let mut chosen = self.methods().filter_map(|(_, method)| method.predict());
        chosen.next().unwrap_or_else(|| Arc::new(LargestLogit))
    }

    /// Whether an expert must be trained before the first round.
    pub fn needs_expert(&self) -> bool {
        self.partition
            .as_ref()
            .is_some_and(|p| p.plugin.needs_difficulty())
            || self.ordering.as_ref().is_some_and(Ordering::needs_expert)
            || self.stream.as_ref().is_some_and(|s| s.order.needs_expert())
    }

    /// All keys with their values, defaults included, as a scenario file; but for `data.folders`.
    pub fn resolved(&self) -> toml::Table {
        let mut table = toml::Table::new();
        let mut put = |key: &str, value: toml::Value| table.insert(key.into(), value);
        let plain = |value: Result<toml::Value, toml::de::Error>| -> toml::Value {
            value.expect("every key was read from TOML, so TOML can hold it")
        };
        put("run", plain(resolved(&self.run)));
        let mut data = plain(resolved(&self.data));
        if let Some(data) = data.as_table_mut() {
            data.remove("folders");
            data.insert("set".into(), chosen(&self.data_set));
            if let Some(partition) = &self.partition {
                data.insert("partition".into(), chosen(partition));
            }
        }
        put("data", data);
        put("model", chosen(&self.model));
        if let Some(variational) = &self.variational {
            put("variational", plain(resolved(variational)));
        }
        if let Some(personal) = &self.personal {
            put("personal", plain(resolved(personal)));
        }
        put("training", plain(resolved(&self.training)));
        if let Some(ordering) = &self.ordering {
            put("ordering", plain(resolved(ordering)));
        }
        if self.needs_expert() {
            put("expert", plain(resolved(&self.expert)));
        }
        put("selection", chosen(&self.selection));
        put("availability", plain(resolved(&self.availability)));
        if let Some(deadline) = &self.deadline {
            put("deadline", plain(resolved(deadline)));
        }
        put("strategy", chosen(&self.strategy));
        if !self.transforms.is_empty() {
            put("transform", transforms::resolved(&self.transforms));
        }
        if let Some(steering) = &self.steering {
            put("steering", chosen(steering));
        }
        if let Some(stream) = &self.stream {
            put("scenario", stream.resolved());
        }
        if !self.timeline.is_empty() {
            let entries = self.timeline.iter().map(|entry| plain(resolved(entry)));
            put("timeline", toml::Value::Array(entries.collect()));
        }
        put("evaluation", plain(resolved(&self.evaluation)));
        table
    }

    /// As [`resolved`](Self::resolved), with where its files lie, so that it can be run again from anywhere. `folders` are
    /// those in which they are looked for.
    pub fn placed(&self, folders: &[PathBuf]) -> toml::Table {
        let mut table = self.resolved();
        let text = |path: &Path| toml::Value::String(absolute(path).to_string_lossy().into());
        if let Some(start) = self.start_from(folders) {
            put_in(&mut table, "run", "start_from", text(&start));
        }
        self.place_encoder(&mut table, folders);
        let there = || folders.iter().filter(|folder| folder.is_dir());
        if !self.data_set.plugin.is_generated() && there().next().is_some() {
            let all = there().map(|folder| text(folder)).collect();
            put_in(&mut table, "data", "folders", toml::Value::Array(all));
        }
        table
    }

    /// Writes where the run lies whose model is the encoder.
    fn place_encoder(&self, table: &mut toml::Table, folders: &[PathBuf]) {
        let Some(FixedFeatures::Encoder { run }) = &self.data.features else {
            return;
        };
        let here = [PathBuf::new()];
        let mut places = here.iter().chain(folders).map(|folder| folder.join(run));
        let found = places.find(|place| place.is_dir());
        let text = absolute(&found.unwrap_or_else(|| run.clone()));
        let features = table
            .get_mut("data")
            .and_then(|data| data.get_mut("features"));
        let encoder = features.and_then(|features| features.get_mut("encoder"));
        if let Some(encoder) = encoder.and_then(toml::Value::as_table_mut) {
            encoder.insert("run".into(), text.to_string_lossy().into_owned().into());
        }
    }

    /// Where `run.start_from` lies, if it is set.
    pub fn start_from(&self, folders: &[PathBuf]) -> Option<PathBuf> {
        let path = self.run.start_from.as_ref()?;
        let here = [PathBuf::new()];
        let mut places = here.iter().chain(folders).map(|folder| folder.join(path));
        let found = places.find(|place| place.is_file());
        Some(found.unwrap_or_else(|| path.clone()))
    }

    /// Hash of everything in the file that can change a result. The name is left out, and where files lie and what a run
    /// learned of its data: what is in them is in the chain by itself.
    pub fn digest(&self) -> Fingerprint {
        self.digest_without(&["name", "start_from_blake3"])
    }

    pub(crate) fn digest_without(&self, of_run: &[&str]) -> Fingerprint {
        let mut table = self.resolved();
        if let Some(run) = table.get_mut("run").and_then(toml::Value::as_table_mut) {
            of_run.iter().for_each(|key| drop(run.remove(*key)));
            run.remove("start_from");
        }
        let features = table
            .get_mut("data")
            .and_then(|data| data.get_mut("features"));
        let encoder = features.and_then(|features| features.get_mut("encoder"));
        if let Some(encoder) = encoder.and_then(toml::Value::as_table_mut) {
            encoder.remove("run");
        }
        let set = table.get_mut("data").and_then(|data| data.get_mut("set"));
        let set = set.and_then(|set| set.get_mut(self.data_set.name));
        if let Some(set) = set.and_then(toml::Value::as_table_mut) {
            let plugin = &self.data_set.plugin;
            for key in plugin.paths().iter().chain(plugin.learned()) {
                set.remove(*key);
            }
        }
        Fingerprint::of(table.to_string().as_bytes())
    }
}

/// A roster with nothing known but its size.
pub(crate) struct Sized {
    pub(crate) clients: u64,
}

impl Roster for Sized {
    fn clients(&self) -> u64 {
        self.clients
    }
    fn samples(&self, _: ClientId) -> usize {
        0
    }
}

/// As seen from the root of the file system.
fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf())
}

fn put_in(table: &mut toml::Table, name: &str, key: &str, value: toml::Value) {
    if let Some(inner) = table.get_mut(name).and_then(toml::Value::as_table_mut) {
        inner.insert(key.into(), value);
    }
}

fn chosen<T: ?std::marker::Sized>(choice: &Chosen<T>) -> toml::Value {
    toml::Value::Table(toml::Table::from_iter([(
        choice.name.to_string(),
        choice.resolved.clone(),
    )]))
}
