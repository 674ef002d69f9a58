//! Everything that can be named in a scenario file. A value that `main` builds, so that a user's own
//! crate adds its plugins and gets the whole command with them.

mod built_in;

use crate::{
    data::DataSet,
    diagnostic::Fault,
    document::Node,
    models::Model,
    partition::Partition,
    reader::{
        Reader,
        layers::{LayerReaders, within},
    },
    streams::ScenarioPlugin,
};
use lyceum_core::{
    AnyMethod, AnySelector, AnySteering, AnyStrategy, AnyTransform, ClientSelector,
    ContinualMethod, Engine, LayerKind, LayerKinds, OpenLayer, Steering, Strategy, Transform,
};
use lyceum_layers as layers;
use lyceum_task_store::{MergeRule, Rules, Solver, Solvers};
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Serialize, de::DeserializeOwned};
use std::sync::Arc;
use toml::de::DeTable;

/// What every configuration type of a plugin must be able to do.
pub trait Config: DeserializeOwned + Serialize + JsonSchema + Send + Sync + 'static {}
impl<T: DeserializeOwned + Serialize + JsonSchema + Send + Sync + 'static> Config for T {}

/// A plugin that was read from a file.
pub struct Chosen<T: ?Sized> {
    /// Its name.
    pub name: &'static str,
    /// The plugin with its configuration.
    pub plugin: Arc<T>,
    /// All keys with their values, defaults included.
    pub resolved: toml::Value,
}

impl<T: ?Sized> Clone for Chosen<T> {
    fn clone(&self) -> Self {
        Self {
            name: self.name,
            plugin: self.plugin.clone(),
            resolved: self.resolved.clone(),
        }
    }
}

type Read<T> = dyn Fn(Reader<'_>) -> Result<(Arc<T>, toml::Value), Fault> + Send + Sync;

/// One line of a registry.
pub struct Plugin<T: ?Sized + 'static> {
    /// Name in scenario files.
    pub name: &'static str,
    /// One line for lists.
    pub summary: &'static str,
    read: Box<Read<T>>,
    schema: fn(&mut SchemaGenerator) -> Schema,
}

/// All plugins of one kind.
pub struct Plugins<T: ?Sized + 'static> {
    kind: &'static str,
    entries: Vec<Plugin<T>>,
}

impl<T: ?Sized + 'static> Plugins<T> {
    fn new(kind: &'static str) -> Self {
        Self {
            kind,
            entries: Vec::new(),
        }
    }

    fn add<C: Config>(
        &mut self,
        name: &'static str,
        summary: &'static str,
        erase: fn(Arc<C>) -> Arc<T>,
    ) {
        let read = move |reader: Reader<'_>| {
            let config: C = reader.read()?;
            let resolved = resolved(&config).map_err(|e| Fault::new(e.message(), "", None))?;
            Ok((erase(Arc::new(config)), resolved))
        };
        let schema = |generator: &mut SchemaGenerator| C::json_schema(generator);
        self.entries.retain(|e| e.name != name);
        self.entries.push(Plugin {
            name,
            summary,
            read: Box::new(read),
            schema,
        });
    }

    /// The plugins in the order they were added.
    pub fn entries(&self) -> &[Plugin<T>] {
        &self.entries
    }

    /// What a plugin of this kind is called in messages.
    pub fn kind(&self) -> &'static str {
        self.kind
    }

    /// Reads the choice that stands at `node`.
    pub(crate) fn choose(&self, node: Node<'_>) -> Result<Chosen<T>, Fault> {
        let names: Vec<_> = self.entries.iter().map(|e| e.name).collect();
        let (name, span, body) = node.choose(self.kind, &names)?;
        self.chosen(name, span, body)
    }

    /// As [`choose`](Self::choose), with keys of the table taken out that are not the plugin's.
    pub(crate) fn choose_beside<'t>(
        &self,
        node: Node<'t>,
        beside: &[&str],
    ) -> Result<(Chosen<T>, Vec<Option<Node<'t>>>), Fault> {
        let names: Vec<_> = self.entries.iter().map(|e| e.name).collect();
        let (name, span, mut body) = node.choose(self.kind, &names)?;
        let taken = beside.iter().map(|key| body.take(key)).collect();
        let keys = body.key_spans();
        let chosen = self.chosen(name, span, body);
        Ok((
            chosen.map_err(|fault| fault.with_keys(beside, &keys))?,
            taken,
        ))
    }

    /// Reads all choices that stand at `node`, in the order of the registry.
    pub(crate) fn choose_all(&self, node: Node<'_>) -> Result<Vec<Chosen<T>>, Fault> {
        let mut all = Vec::new();
        for part in node.entries() {
            all.push(self.choose(part)?);
        }
        let place = |c: &Chosen<T>| self.entries.iter().position(|e| e.name == c.name);
        all.sort_by_key(place);
        Ok(all)
    }

    fn chosen(
        &self,
        name: String,
        span: std::ops::Range<usize>,
        body: Node<'_>,
    ) -> Result<Chosen<T>, Fault> {
        let names: Vec<_> = self.entries.iter().map(|e| e.name).collect();
        let Some(entry) = self.entries.iter().find(|e| e.name == name) else {
            let meant = self.meant(&name, &body.path);
            let label = format!("expected one of {}{meant}", names.join(", "));
            return Err(Fault::new(
                format!("unknown {} `{name}`", self.kind),
                label,
                Some(span),
            ));
        };
        let body = Reader::of_choice(&name, &span, body.into_value());
        let (plugin, resolved) = (entry.read)(body).map_err(|mut fault| {
            fault.span = fault.span.or(Some(span));
            fault
        })?;
        Ok(Chosen {
            name: entry.name,
            plugin,
            resolved,
        })
    }

    /// What was meant where a key of a choice stands in the choice's place.
    fn meant(&self, key: &str, path: &str) -> String {
        let has = |entry: &&Plugin<T>| {
            let schema = (entry.schema)(&mut SchemaGenerator::default());
            let keys = schema.get("properties").and_then(|keys| keys.as_object());
            keys.is_some_and(|keys| keys.contains_key(key))
        };
        let table = path.rsplit_once('.').map_or("", |(table, _)| table);
        let first = self.entries.iter().find(has);
        first.map_or_else(String::new, |entry| {
            let name = entry.name;
            format!("; `{key}` is a key within them, such as `{table}.{name}.{key}`")
        })
    }

    /// JSON Schema of the choice as a table: one with exactly one of the names. The words are added with those of all
    /// other choices.
    pub fn schema(&self, generator: &mut SchemaGenerator) -> Schema {
        let variants: Vec<serde_json::Value> = self
            .entries
            .iter()
            .map(|e| {
                let body = (e.schema)(generator);
                serde_json::json!({
                    "type": "object",
                    "description": e.summary,
                    "properties": { e.name: body },
                    "required": [e.name],
                    "additionalProperties": false,
                })
            })
            .collect();
        schemars::json_schema!({ "oneOf": variants })
    }
}

/// All keys of a configuration with their values.
pub(crate) fn resolved(config: &impl Serialize) -> Result<toml::Value, toml::de::Error> {
    toml::Value::try_from(config).map_err(serde::de::Error::custom)
}

/// Refuses numbers that are none, which settings hold as nothing.
fn finite(settings: &serde_json::Value) -> Result<(), Fault> {
    let keys = settings.as_object().into_iter().flatten();
    let mut nothing = keys.filter(|(_, value)| value.is_null());
    match nothing.next() {
        Some((key, _)) => {
            let message = format!("`{key}` is no finite number");
            Err(Fault::new(message, "expected a number", None))
        }
        None => Ok(()),
    }
}

/// A layer's settings, or what is wrong with them in an author's words.
fn read_layer<C: Config>(name: &str, settings: &serde_json::Value) -> Result<C, String> {
    let wrapped = serde_json::Map::from_iter([(name.to_owned(), settings.clone())]);
    let text = toml::to_string(&wrapped).map_err(|fault| fault.to_string())?;
    let table = DeTable::parse(&text).map_err(|fault| fault.message().to_string())?;
    let entries = table.into_inner().into_iter();
    let Some((_, value)) = entries.into_iter().next() else {
        return Err("has no settings".to_owned());
    };
    Reader::new(name, value).read().map_err(|fault: Fault| {
        let Fault { message, label, .. } = fault;
        match label.is_empty() {
            true => message,
            false => format!("{message}, {label}"),
        }
    })
}

/// Everything that can be named in a scenario file.
pub struct Registry {
    /// Aggregation strategies.
    pub strategies: Plugins<dyn AnyStrategy>,
    /// Client selectors.
    pub selectors: Plugins<dyn AnySelector>,
    /// Data sets.
    pub data_sets: Plugins<dyn DataSet>,
    /// Partitions of a pool among clients.
    pub partitions: Plugins<dyn Partition>,
    /// Models.
    pub models: Plugins<dyn Model>,
    /// Kinds of layers, besides those that the core knows.
    pub layers: Arc<LayerKinds>,
    layer_readers: Arc<LayerReaders>,
    /// Streams of tasks.
    pub streams: Plugins<dyn ScenarioPlugin>,
    /// Continual-learning methods.
    pub methods: Plugins<dyn AnyMethod>,
    /// Transforms of updates.
    pub transforms: Plugins<dyn AnyTransform>,
    /// Rules that steer runs.
    pub steering: Plugins<dyn AnySteering>,
    /// Rules by which tasks of a store are merged.
    pub merge_rules: Rules,
    /// Whoever solves samples of a store.
    pub solvers: Solvers,
    /// Engines.
    pub engines: Vec<Engine>,
}

impl Default for Registry {
    /// Everything that is built in, without engines: those bring their tensor libraries.
    fn default() -> Self {
        let mut r = Self {
            strategies: Plugins::new("strategy"),
            selectors: Plugins::new("selection"),
            data_sets: Plugins::new("data set"),
            partitions: Plugins::new("partition"),
            models: Plugins::new("model"),
            layers: Arc::default(),
            layer_readers: Arc::default(),
            streams: Plugins::new("stream"),
            methods: Plugins::new("method"),
            transforms: Plugins::new("transform"),
            steering: Plugins::new("steering"),
            merge_rules: Rules::default(),
            solvers: Solvers::default(),
            engines: Vec::new(),
        };
        r.add_built_in();
        layers::give(&mut r);
        r
    }
}

impl layers::Takes for Registry {
    fn take<K>(&mut self, name: &'static str, summary: &'static str)
    where
        K: LayerKind + DeserializeOwned + Serialize + JsonSchema,
    {
        self.layer::<K>(name, summary);
    }
}

impl Registry {
    /// Adds a strategy under a name, replacing one of that name.
    pub fn strategy<C: Strategy + Config>(&mut self, name: &'static str, summary: &'static str) {
        self.strategies.add::<C>(name, summary, |c| c);
    }

    /// Adds a stream of tasks.
    pub fn stream<C: ScenarioPlugin + Config>(
        &mut self,
        name: &'static str,
        summary: &'static str,
    ) {
        self.streams.add::<C>(name, summary, |c| c);
    }

    /// Adds a continual-learning method.
    pub fn method<C: ContinualMethod + Config>(
        &mut self,
        name: &'static str,
        summary: &'static str,
    ) {
        self.methods.add::<C>(name, summary, |c| c);
    }

    /// Adds a rule that steers runs.
    pub fn steering<C: Steering + Config>(&mut self, name: &'static str, summary: &'static str) {
        self.steering.add::<C>(name, summary, |c| c);
    }

    /// Adds a rule by which tasks of a store are merged.
    pub fn merge_rule(&mut self, name: &str, summary: &str, rule: impl MergeRule + 'static) {
        self.merge_rules.add(name, summary, rule);
    }

    /// Adds somebody who solves samples of a store.
    pub fn solver(&mut self, name: &str, solver: impl Solver + 'static) {
        self.solvers.add(name, solver);
    }

    /// Adds a transform of updates.
    pub fn transform<C: Transform + Config>(&mut self, name: &'static str, summary: &'static str) {
        self.transforms.add::<C>(name, summary, |c| c);
    }

    /// Adds a client selector.
    pub fn selector<C: ClientSelector + Config>(
        &mut self,
        name: &'static str,
        summary: &'static str,
    ) {
        self.selectors.add::<C>(name, summary, |c| c);
    }

    /// Adds a data set.
    pub fn data_set<C: DataSet + Config>(&mut self, name: &'static str, summary: &'static str) {
        self.data_sets.add::<C>(name, summary, |c| c);
    }

    /// Adds a partition.
    pub fn partition<C: Partition + Config>(&mut self, name: &'static str, summary: &'static str) {
        self.partitions.add::<C>(name, summary, |c| c);
    }

    /// Adds a model.
    pub fn model<C: Model + Config>(&mut self, name: &'static str, summary: &'static str) {
        self.models.add::<C>(name, summary, |c| c);
    }

    /// Adds a kind of layer.
    pub fn layer<C: LayerKind + Config>(&mut self, name: &'static str, summary: &'static str) {
        let kinds = Arc::make_mut(&mut self.layers);
        kinds.add_with::<C>(name, summary, move |settings| read_layer(name, settings));
        let readers = Arc::make_mut(&mut self.layer_readers);
        readers.insert(name, |name, reader| {
            let layer = OpenLayer::new(name, reader.read::<C>()?);
            finite(layer.settings())?;
            Ok(layer)
        });
    }

    /// Runs `work`, in which layers of these kinds can be read and have a schema.
    pub(crate) fn with_layers<R>(&self, work: impl FnOnce() -> R) -> R {
        within(&self.layer_readers, || self.layers.within(work))
    }

    /// The engine of this name.
    pub fn engine(&self, name: &str) -> Option<&Engine> {
        self.engines.iter().find(|e| e.name == name)
    }
}
