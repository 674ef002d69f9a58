//! One experiment, read from a TOML file and checked.

use crate::{
    data::{DataSet, LEARNED, Normalisation},
    deadline::Deadline,
    diagnostic::{Diagnostic, Fault, Sources},
    document::{Document, Node, Places, Texts},
    models::Model,
    partition::Partition,
    registry::{Chosen, Registry, resolved},
    sweep,
    task_stream::StreamChoice,
    timeline::{Moment, Phase},
    training::{Expert, OptimizerChoice, Training},
    transforms::{self, TransformChoice},
};
use lyceum_core::{
    AnyMethod, AnySelector, AnyStrategy, ClientId, Fingerprint, Needs, Roster, Seed,
    units::{Count, Decay, Fraction},
};
use lyceum_strategies::ordering::Ordering;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

/// The tables of a scenario file.
pub const TABLES: [&str; 15] = [
    "run",
    "sweep",
    "data",
    "model",
    "training",
    "ordering",
    "expert",
    "selection",
    "availability",
    "deadline",
    "strategy",
    "transform",
    "scenario",
    "timeline",
    "evaluation",
];

/// `[run]`: what is run, and from which seed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Run {
    /// Name of the run and of its folder: letters, digits and `-_.=,+`.
    pub name: String,
    /// Root of all randomness; 0 by default.
    #[serde(default)]
    pub seed: u64,
    /// Rounds of federated training.
    pub rounds: Count,
    /// Start from the parameters in this safetensors file instead of drawing them; a relative path is looked for here
    /// and in the data folders, of which the scenario's own is one.
    #[serde(default)]
    pub start_from: Option<PathBuf>,
    /// BLAKE3 of that file, 64 hexadecimal digits: another file is refused. The `scenario.toml` of a run names it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_from_blake3: Option<String>,
}

/// `[data]` without its two choices, `set` and `partition`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Data {
    /// Number of clients.
    pub clients: Count,
    /// Parts that the samples are cut into, of which the first `clients` are used; as many as clients by default.
    #[serde(default)]
    pub parts: Option<Count>,
    /// What is done to the inputs: "unit" (bytes to 0..1, the default), "none", or "standard" (mean 0 and
    /// variance 1 per channel, over the training samples).
    #[serde(default)]
    pub normalise: Normalisation,
    /// Share of the training samples that is held back as validation set; 0 by default.
    #[serde(default = "no_share")]
    pub validation: Decay,
    /// Folders in which the data set is looked for before those that every scenario has; relative ones stand beside this
    /// file. They say where samples lie, not what they are, and change no result.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub folders: Vec<PathBuf>,
    /// Real clients that join with data of their own, behind the `clients` that are simulated.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub real: Vec<RealClient>,
}

/// `[[data.real]]`: a client whose samples stay with it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RealClient {
    /// Its name, as in its certificate.
    pub name: String,
    /// Number of its training samples.
    pub samples: Count,
}

fn no_share() -> Decay {
    Decay::new(0.0).expect("0 is in range")
}

/// `[availability]`: which selected clients answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Availability {
    /// Share of the selected clients that never answer; drawn per round and client, 0 by default.
    #[serde(default = "nobody")]
    pub dropout: Fraction,
}

fn nobody() -> Fraction {
    Fraction::new(0.0).expect("0 is in range")
}

impl Default for Availability {
    fn default() -> Self {
        Self { dropout: nobody() }
    }
}

/// `[evaluation]`: when the global model is judged.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Evaluation {
    /// Rounds between evaluations of the global model; 1 by default. The last round is always evaluated.
    #[serde(default = "each_round")]
    pub every: Count,
    /// Rounds between reports of each client's test accuracy (all test samples of the client's classes); never by default.
    #[serde(default)]
    pub clients_every: Option<Count>,
    /// In a stream, judge tasks also before any client has begun them; true by default.
    #[serde(default = "yes", skip_serializing_if = "is_yes")]
    pub ahead: bool,
    /// Judge the initial model as well; false by default. Forward transfer needs it.
    #[serde(default, skip_serializing_if = "is_no")]
    pub before: bool,
    /// In a stream, judge each client's own model on the task that it is at; false by default. Spatial knowledge
    /// retention needs it.
    #[serde(default, skip_serializing_if = "is_no")]
    pub local: bool,
}

fn is_no(value: &bool) -> bool {
    !value
}

fn yes() -> bool {
    true
}

fn is_yes(value: &bool) -> bool {
    *value
}

fn each_round() -> Count {
    Count::new(1).expect("1 is in range")
}

impl Default for Evaluation {
    fn default() -> Self {
        Self {
            every: each_round(),
            clients_every: None,
            ahead: true,
            before: false,
            local: false,
        }
    }
}

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
    /// `[scenario]`; absent for plain federated learning.
    pub stream: Option<StreamChoice>,
    /// `[[timeline]]`.
    pub timeline: Vec<Moment>,
    /// `[evaluation]`.
    pub evaluation: Evaluation,
    /// What entries of the timeline, by position, change.
    pub(crate) phases: Vec<(usize, Phase)>,
    places: Places,
    sources: Sources,
}

/// Collects faults while a file is read, so that all are reported at once.
struct Reader<'t, 'r> {
    document: Document<'t>,
    registry: &'r Registry,
    faults: Vec<Fault>,
    missing: Vec<(&'static str, &'static str)>,
}

impl<'t> Reader<'t, '_> {
    fn keep<T>(&mut self, result: Result<T, Fault>) -> Option<T> {
        result.map_err(|fault| self.faults.push(fault)).ok()
    }

    fn required(&mut self, table: &'static str, example: &'static str) -> Option<Node<'t>> {
        let node = self.document.take(table);
        if node.is_none() {
            self.missing.push((table, example));
        }
        node
    }

    /// One fault for all missing tables.
    fn missing_fault(&self) -> Option<Fault> {
        match self.missing.as_slice() {
            [] => None,
            [(table, example)] => Some(Fault::new(
                format!("the table `[{table}]` is missing"),
                *example,
                None,
            )),
            several => {
                let names: Vec<_> = several
                    .iter()
                    .map(|(table, _)| format!("`[{table}]`"))
                    .collect();
                let message = format!("the tables {} are missing", names.join(", "));
                Some(Fault::new(
                    message,
                    "a scenario needs them all; scenarios/catalogue/quickstart.toml is one",
                    None,
                ))
            }
        }
    }

    fn optional<T: serde::de::DeserializeOwned + Default>(&mut self, table: &str) -> Option<T> {
        match self.document.take(table) {
            Some(node) => {
                let result = node.read();
                self.keep(result)
            }
            None => Some(T::default()),
        }
    }
}

impl Scenario {
    /// Reads and checks a scenario. `overrides` have the form `path.to.key=value`.
    pub fn read(
        registry: &Registry,
        name: &str,
        text: &str,
        overrides: &[String],
    ) -> Result<Self, Diagnostic> {
        let texts = Texts::new(name, text, overrides);
        let mut document = texts.parse()?;
        if let Some(sweep) = document.take("sweep") {
            let label = "`lyceum run` and `lyceum check` take it; here it has to be left out";
            let fault = Fault::new(
                "a sweep is many scenarios, not one",
                label,
                Some(sweep.span()),
            );
            return Err(Diagnostic::new(vec![fault], &texts.sources));
        }
        Self::of(registry, document, &texts.sources)
    }

    /// Reads and checks a document without a sweep.
    pub(crate) fn of(
        registry: &Registry,
        document: Document<'_>,
        sources: &Sources,
    ) -> Result<Self, Diagnostic> {
        let places = document.places();
        let mut reader = Reader {
            document,
            registry,
            faults: Vec::new(),
            missing: Vec::new(),
        };
        let scenario = parse(&mut reader, places, sources);
        let leftovers = reader.document.leftovers(&TABLES);
        reader.faults.extend(leftovers);
        let missing = reader.missing_fault();
        reader.faults.extend(missing);
        match scenario {
            Some(scenario) if reader.faults.is_empty() => {
                let faults = scenario.cross_faults(registry);
                if faults.is_empty() {
                    let mut scenario = scenario;
                    scenario.resolve_phases(registry)?;
                    match scenario.prospects() {
                        wrong if wrong.is_empty() => Ok(scenario),
                        wrong => Err(scenario.faults(wrong)),
                    }
                } else {
                    Err(Diagnostic::beyond_schema(faults, sources))
                }
            }
            _ => Err(Diagnostic::new(reader.faults, sources)),
        }
    }

    /// Faults at keys of this scenario: key, what is wrong, what would be right.
    pub(crate) fn faults(&self, wrong: Vec<(String, String, String)>) -> Diagnostic {
        let fault = |(path, message, label): (String, String, String)| {
            Fault::new(message, label, self.places.find(&path))
        };
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

    /// The continual methods, in the order in which they act.
    pub fn methods(&self) -> impl Iterator<Item = Arc<dyn AnyMethod>> {
        let methods = self.stream.iter().flat_map(|stream| &stream.methods);
        methods.map(|method| method.plugin.clone())
    }

    /// What the methods, and a gate, ask for together.
    pub fn needs(&self) -> Needs {
        let gate = self.stream.iter().filter_map(|stream| stream.gate.as_ref());
        let shown = gate.map(|gate| Needs {
            reach: gate.shows(),
            ..Needs::default()
        });
        let all = self.methods().map(|m| m.needs());
        all.chain(shown).fold(Needs::default(), Needs::and)
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
            put("transform", self.resolved_transforms());
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
        let there = || folders.iter().filter(|folder| folder.is_dir());
        if !self.data_set.plugin.is_generated() && there().next().is_some() {
            let all = there().map(|folder| text(folder)).collect();
            put_in(&mut table, "data", "folders", toml::Value::Array(all));
        }
        table
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
    /// learned of a table: what is in them is in the chain by itself.
    pub fn digest(&self) -> Fingerprint {
        self.digest_without(&["name", "start_from_blake3"])
    }

    pub(crate) fn digest_without(&self, of_run: &[&str]) -> Fingerprint {
        let mut table = self.resolved();
        if let Some(run) = table.get_mut("run").and_then(toml::Value::as_table_mut) {
            of_run.iter().for_each(|key| drop(run.remove(*key)));
            run.remove("start_from");
        }
        let set = table.get_mut("data").and_then(|data| data.get_mut("set"));
        let set = set.and_then(|set| set.get_mut(self.data_set.name));
        if let Some(set) = set.and_then(toml::Value::as_table_mut) {
            let plugin = &self.data_set.plugin;
            let learned: &[&str] = match plugin.table() {
                Some(_) => &LEARNED,
                None => &[],
            };
            for key in plugin.paths().iter().chain(learned) {
                set.remove(*key);
            }
        }
        Fingerprint::of(table.to_string().as_bytes())
    }

    fn cross_faults(&self, registry: &Registry) -> Vec<Fault> {
        let mut faults = Vec::new();
        let mut refuse = |path: &str, message: String, label: String| {
            faults.push(Fault::new(message, label, self.places.find(path)));
        };
        let name = &self.run.name;
        if !sweep::is_label(name) {
            refuse(
                "run.name",
                format!("`{name}` cannot name a run's folder"),
                sweep::LABEL.into(),
            );
        }
        if self.run.start_from_blake3.is_some() && self.run.start_from.is_none() {
            refuse(
                "run.start_from_blake3",
                "the hash of no file".into(),
                "give `start_from`, too, or leave it out".into(),
            );
        }
        let names: std::collections::BTreeSet<_> =
            self.data.real.iter().map(|c| c.name.as_str()).collect();
        if names.len() < self.data.real.len() {
            refuse(
                "data.real",
                "two real clients have one name".into(),
                "each needs a name of its own".into(),
            );
        }
        let table = self.data_set.plugin.table().is_some();
        if !names.is_empty() && self.data.normalise == Normalisation::Standard && !table {
            refuse(
                "data.normalise",
                "real clients cannot be normalised by samples that they do not see".into(),
                "`unit` or `none` with `[[data.real]]`, or a data set from a CSV file".into(),
            );
        }
        let clients = self.clients() as usize;
        let cohort = self.selection.plugin.cohort(&Sized {
            clients: u64::MAX >> 1,
        });
        if cohort > clients && cohort < usize::MAX >> 2 {
            let path = format!("selection.{}.per_round", self.selection.name);
            refuse(
                &path,
                "more clients per round than clients".into(),
                format!("at most data.clients = {clients}"),
            );
        }
        if let Some(misfit) = self.selection.plugin.misfit() {
            refuse(
                &format!("selection.{}.{}", self.selection.name, misfit.key),
                misfit.message,
                misfit.expected,
            );
        }
        if let Some(misfit) = self.ordering.as_ref().and_then(Ordering::misfit) {
            refuse(
                &format!("ordering.{}", misfit.key),
                misfit.message,
                misfit.expected,
            );
        }
        let clients = self.data.clients.get();
        if let Some(parts) = self.data.parts.filter(|p| p.get() < clients) {
            let message = format!("fewer parts than clients: {}", parts.get());
            refuse(
                "data.parts",
                message,
                format!("at least data.clients = {clients}"),
            );
        }
        let adaptive = matches!(self.training.optimizer, OptimizerChoice::Adam(_));
        if adaptive && self.strategy.plugin.client_half().needs_travel() {
            let message = format!(
                "`{}` recovers gradients from the distance travelled, which Adam hides",
                self.strategy.name
            );
            refuse("training.optimizer", message, "use `sgd` with it".into());
        }
        if registry.engine(&self.training.engine).is_none() {
            let names: Vec<_> = registry.engines.iter().map(|e| e.name).collect();
            let message = format!("unknown engine `{}`", self.training.engine);
            refuse(
                "training.engine",
                message,
                format!("expected one of {}", names.join(", ")),
            );
        }
        for (path, message, label) in self.transform_faults() {
            refuse(&path, message, label);
        }
        for (path, message, label) in self.timeline_faults() {
            refuse(&path, message, label);
        }
        if self.training.carry && self.stream.is_none() {
            refuse(
                "training.carry",
                "only clients in a stream of tasks keep their optimizers".into(),
                "leave it out, or add a table `[scenario.*]`".into(),
            );
        }
        if let Some(stream) = &self.stream {
            for misfit in stream.misfits(self) {
                refuse(
                    &format!("scenario.{}", misfit.key),
                    misfit.message,
                    misfit.expected,
                );
            }
        }
        if let Some(every) = self.evaluation.clients_every
            && every.get() % self.evaluation.every.get() != 0
        {
            let label = format!(
                "a multiple of evaluation.every = {}",
                self.evaluation.every.get()
            );
            refuse(
                "evaluation.clients_every",
                "client accuracies need an evaluation in the same round".into(),
                label,
            );
        }
        faults
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

fn parse(reader: &mut Reader<'_, '_>, places: Places, sources: &Sources) -> Option<Scenario> {
    let registry = reader.registry;
    let run = reader
        .required("run", "it needs `name` and `rounds`")
        .map(|n| n.read());
    let run = run.and_then(|r| reader.keep(r));
    let data = reader
        .required("data", "it needs `set` and `clients`")
        .map(|n| read_data(reader, n));
    let model = reader.required("model", "such as `[model.mlp]` with `hidden = [200]`");
    let model = model.and_then(|n| reader.keep(registry.models.choose(n)));
    let training = reader
        .required("training", "it needs `rate`")
        .map(|n| n.read());
    let training = training.and_then(|r| reader.keep(r));
    let ordering = reader.document.take("ordering").map(|n| n.read());
    let ordering = match ordering {
        Some(result) => reader.keep(result).map(Some),
        None => Some(None),
    };
    let expert = reader.optional("expert");
    let selection = reader.required(
        "selection",
        "such as `[selection.uniform]` with `per_round = 10`",
    );
    let selection = selection.and_then(|n| reader.keep(registry.selectors.choose(n)));
    let availability = reader.optional("availability");
    let deadline = match reader.document.take("deadline").map(|n| n.read()) {
        Some(result) => reader.keep(result).map(Some),
        None => Some(None),
    };
    let strategy = reader.required("strategy", "such as `[strategy.fed_avg]`");
    let strategy = strategy.and_then(|n| reader.keep(registry.strategies.choose(n)));
    let transforms = match reader.document.take("transform") {
        Some(node) => transforms::read(node, registry, &mut reader.faults),
        None => Some(Vec::new()),
    };
    let stream = match reader.document.take("scenario") {
        Some(node) => StreamChoice::read(node, registry, &mut reader.faults).map(Some),
        None => Some(None),
    };
    let timeline = reader.optional("timeline");
    let evaluation = reader.optional("evaluation");
    let (data, data_set, partition) = data.flatten()?;
    Some(Scenario {
        run: run?,
        data,
        data_set,
        partition,
        model: model?,
        training: training?,
        ordering: ordering?,
        expert: expert?,
        selection: selection?,
        availability: availability?,
        deadline: deadline?,
        strategy: strategy?,
        transforms: transforms?,
        stream: stream?,
        timeline: timeline?,
        phases: Vec::new(),
        evaluation: evaluation?,
        places,
        sources: sources.clone(),
    })
}

type DataParts = (Data, Chosen<dyn DataSet>, Option<Chosen<dyn Partition>>);

fn read_data(reader: &mut Reader<'_, '_>, mut node: Node<'_>) -> Option<DataParts> {
    let registry = reader.registry;
    let span = node.span();
    let set = match node.take("set") {
        Some(set) => reader.keep(registry.data_sets.choose(set)),
        None => {
            let names: Vec<_> = registry
                .data_sets
                .entries()
                .iter()
                .map(|e| e.name)
                .collect();
            let label = format!("`set = \"...\"`, one of {}", names.join(", "));
            reader
                .faults
                .push(Fault::new("no data set is chosen", label, Some(span)));
            None
        }
    };
    let partition = match node.take("partition") {
        Some(partition) => reader.keep(registry.partitions.choose(partition)).map(Some),
        None => Some(None),
    };
    let data = reader.keep(node.read());
    Some((data?, set?, partition?))
}
