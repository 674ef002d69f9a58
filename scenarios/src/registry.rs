//! Everything that can be named in a scenario file. A value that `main` builds, so that a user's own
//! crate adds its plugins and gets the whole command with them.

use crate::{
    data::{self, DataSet},
    diagnostic::Fault,
    document::Node,
    models::{self, Model},
    partition::{self, Partition},
    reader::{
        Reader,
        layers::{LayerReaders, within},
    },
    streams::{self, ScenarioPlugin},
};
use lyceum_core::{
    AnyMethod, AnySelector, AnySteering, AnyStrategy, AnyTransform, ClientSelector,
    ContinualMethod, Engine, LayerKind, LayerKinds, OpenLayer, Steering, Strategy, Transform,
};
use lyceum_layers as layers;
use lyceum_strategies::{aggregation, continual, robust, selection, steering, transforms};
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
        Ok((self.chosen(name, span, body)?, taken))
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
            engines: Vec::new(),
        };
        r.add_strategies();
        r.add_selectors();
        r.add_data();
        r.add_partitions();
        r.add_models();
        layers::give(&mut r);
        r.add_streams();
        r.add_methods();
        r.add_transforms();
        r.add_steering();
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

    fn add_strategies(&mut self) {
        use aggregation::*;
        use robust::*;
        self.strategy::<FedAvg>(
            "fed_avg",
            "weighted mean of the updates (McMahan et al. 2017)",
        );
        self.strategy::<FedProx>(
            "fed_prox",
            "FedAvg with a pull towards the global model (Li et al. 2020)",
        );
        self.strategy::<FedAvgM>("fed_avg_m", "server momentum (Hsu et al. 2019)");
        self.strategy::<FedAdam>("fed_adam", "Adam on the server (Reddi et al. 2021)");
        self.strategy::<FedYogi>("fed_yogi", "Yogi on the server (Reddi et al. 2021)");
        self.strategy::<FedAdagrad>("fed_adagrad", "Adagrad on the server (Reddi et al. 2021)");
        self.strategy::<Scaffold>(
            "scaffold",
            "control variates against client drift (Karimireddy et al. 2020)",
        );
        self.strategy::<FedNova>(
            "fed_nova",
            "updates normalised by local work (Wang et al. 2020)",
        );
        self.strategy::<FedDyn>("fed_dyn", "dynamic regularisation (Acar et al. 2021)");
        self.strategy::<PosteriorProduct>(
            "posterior_product",
            "product of the clients' posteriors, the prior divided out (Bui et al. 2018)",
        );
        self.strategy::<PosteriorHull>(
            "posterior_hull",
            "middle of the clients' posteriors: mean of means and of deviations (Lu et al. 2023)",
        );
        self.strategy::<Median>("median", "median of each coordinate (Yin et al. 2018)");
        self.strategy::<TrimmedMean>(
            "trimmed_mean",
            "mean of each coordinate without its extremes (Yin et al. 2018)",
        );
        self.strategy::<Krum>(
            "krum",
            "the update that most others are close to (Blanchard et al. 2017)",
        );
        self.strategy::<GeometricMedian>(
            "geometric_median",
            "the point with the least sum of distances (Pillutla et al. 2022)",
        );
    }

    fn add_selectors(&mut self) {
        use selection::*;
        self.selector::<Uniform>("uniform", "a fresh uniform draw each round");
        self.selector::<Passes>("passes", "everybody once, in random order, then again");
        self.selector::<All>("all", "every client in every round");
        self.selector::<Difficulty>(
            "difficulty",
            "pool of clients paced by the loss of their samples (Vahidian et al. 2023)",
        );
        self.selector::<PowerOfChoice>(
            "power_of_choice",
            "the highest losses among random candidates (Cho et al. 2020)",
        );
        self.selector::<Oort>(
            "oort",
            "high statistical utility with exploration (Lai et al. 2021)",
        );
    }

    fn add_data(&mut self) {
        use data::*;
        self.data_set::<Digits>("digits", "built in: 1,797 handwritten digits of 8x8 pixels");
        self.data_set::<Mixture>(
            "mixture",
            "generated: Gaussian mixture with label noise, easy and hard samples",
        );
        self.data_set::<NParity>(
            "n_parity",
            "generated: questions about the last N bits of sequences, for each N of a range",
        );
        self.data_set::<Synthetic>(
            "synthetic",
            "generated on demand: Synthetic(alpha, beta) of the FedProx paper",
        );
        self.data_set::<Mnist>("mnist", "by folder: 70,000 digits of 28x28 pixels");
        self.data_set::<FashionMnist>(
            "fashion-mnist",
            "by folder: 70,000 articles of clothing of 28x28 pixels",
        );
        self.data_set::<Cifar10Subset>(
            "cifar10-subset",
            "by folder: 12,000 colour images of CIFAR-10",
        );
        self.data_set::<Cifar100Subset>(
            "cifar100-subset",
            "by folder: 12,000 colour images of CIFAR-100",
        );
        self.data_set::<LeanPremises>(
            "lean-premises",
            "by folder: theorems of 26 Lean repositories and the premises of their proofs, as pairs of texts",
        );
        self.data_set::<Idx>("idx", "by path: IDX files of any rank, plain or gzipped");
        self.data_set::<CifarBinary>(
            "cifar-binary",
            "by path: the binary format of CIFAR-10 and CIFAR-100",
        );
        self.data_set::<Csv>(
            "csv",
            "by path: numbers with a label column and, if wanted, a client column",
        );
        self.data_set::<Text>(
            "text",
            "by path: texts with labels, or to be gone on with token by token",
        );
        self.data_set::<TinyShakespeare>(
            "tiny-shakespeare",
            "by folder: 1,115,394 characters of Shakespeare's plays by 309 speakers",
        );
        self.data_set::<SmsSpam>(
            "sms-spam",
            "by folder: 5,574 text messages, 747 of them spam",
        );
    }

    fn add_partitions(&mut self) {
        use partition::*;
        self.partition::<Iid>("iid", "equal shares of a shuffled pool");
        self.partition::<Dirichlet>(
            "dirichlet",
            "each class cut in Dirichlet proportions (Vahidian et al. 2023)",
        );
        self.partition::<DirichletEqual>(
            "dirichlet_equal",
            "equal sizes, class mix of each client from a Dirichlet",
        );
        self.partition::<LabelsPerClient>(
            "labels_per_client",
            "a fixed number of classes per client",
        );
        self.partition::<QuantitySkew>("quantity_skew", "sizes from a Dirichlet, classes mixed");
        self.partition::<ByClient>("by_client", "the owners that the data set names");
        self.partition::<ByDifficulty>(
            "by_difficulty",
            "sorted by an expert's loss, then cut: easy clients and hard ones",
        );
    }

    fn add_streams(&mut self) {
        use streams::*;
        self.stream::<ClassIncremental>(
            "class_incremental",
            "every task brings new classes, one head for all",
        );
        self.stream::<TaskIncremental>(
            "task_incremental",
            "every task brings new classes, a head for each task",
        );
        self.stream::<DomainIncremental>(
            "domain_incremental",
            "every task shows the same classes in its own way",
        );
        self.stream::<Ibcl>(
            "ibcl",
            "a knowledge base of posteriors that answers any preference over tasks (Lu et al. 2023)",
        );
        self.stream::<Online>("online", "new classes with every task, in one pass");
        self.stream::<Blurry>(
            "blurry",
            "new classes with every task, a share of them mixed into the others",
        );
        self.stream::<TaskFree>(
            "task_free",
            "classes in groups, without a word when one ends",
        );
        self.stream::<GradualDrift>("gradual_drift", "tasks that fade into each other");
    }

    fn add_methods(&mut self) {
        use continual::*;
        self.method::<Naive>("naive", "fine-tuning: holds on to nothing");
        self.method::<Joint>("joint", "the samples of all tasks from the start");
        self.method::<Cumulative>("cumulative", "the samples of all tasks so far");
        self.method::<Freeze>("freeze", "layers stay as the first tasks left them");
        self.method::<Lora>(
            "lora",
            "low-rank adaptation of a frozen model (Hu et al. 2022), with EWC (Xiang et al. 2023)",
        );
        self.method::<Ewc>(
            "ewc",
            "elastic weight consolidation (Kirkpatrick et al. 2017; Schwarz et al. 2018)",
        );
        self.method::<AveragedEwc>(
            "averaged_ewc",
            "EWC whose importances the server averages (after Shoham et al. 2019)",
        );
        self.method::<Vcl>(
            "vcl",
            "variational continual learning: the posterior is the next prior (Nguyen et al. 2018)",
        );
        self.method::<VclCoreset>(
            "vcl_coreset",
            "variational continual learning with samples held out for a last fit (Nguyen et al. 2018)",
        );
        self.method::<L2>("l2", "a pull to the parameters at the end of the last task");
        self.method::<Si>("si", "synaptic intelligence (Zenke et al. 2017)");
        self.method::<Mas>("mas", "memory aware synapses (Aljundi et al. 2018)");
        self.method::<Er>(
            "er",
            "experience replay from a buffer (Chaudhry et al. 2019)",
        );
        self.method::<Der>(
            "der",
            "replay matched to the logits of old (Buzzega et al. 2020)",
        );
        self.method::<DerPp>("der_pp", "DER with labels besides (Buzzega et al. 2020)");
        self.method::<Gem>(
            "gem",
            "gradients that no earlier task loses by (Lopez-Paz and Ranzato 2017)",
        );
        self.method::<AGem>(
            "a_gem",
            "gradients turned from a reference (Chaudhry et al. 2019)",
        );
        self.method::<GDumb>(
            "gdumb",
            "trains anew on a class-balanced buffer (Prabhu et al. 2020)",
        );
        self.method::<Icarl>(
            "icarl",
            "exemplars, old answers and nearest means (Rebuffi et al. 2017)",
        );
        // Behind those that add rows, whose number it weighs its own against.
        self.method::<Lwf>("lwf", "learning without forgetting (Li and Hoiem 2016)");
    }

    fn add_steering(&mut self) {
        use steering::*;
        self.steering::<Average>(
            "average",
            "keeps and judges the mean of the models of rounds (stochastic weight averaging)",
        );
    }

    fn add_transforms(&mut self) {
        use transforms::*;
        self.transform::<Clip>(
            "clip",
            "shortens an update to a largest length (McMahan et al. 2018)",
        );
    }

    fn add_models(&mut self) {
        self.model::<models::Softmax>("softmax", "softmax regression: one dense layer");
        self.model::<models::Logistic>(
            "logistic",
            "logistic regression: one output for two classes",
        );
        self.model::<models::Mlp>("mlp", "dense layers with ReLU or tanh between them");
        self.model::<models::Cnn>(
            "cnn",
            "a list of convolution, pooling, normalisation and dense layers",
        );
        self.model::<models::DualEncoder>(
            "dual_encoder",
            "one tower of layers over both texts of a pair, which gives an embedding of each",
        );
        self.model::<models::Stack>("stack", "a list of layers of any kind");
        self.model::<models::CharLstm>(
            "char_lstm",
            "the next character by LSTM, as LEAF on Shakespeare (Caldas et al. 2018)",
        );
        self.model::<models::Gpt>(
            "gpt",
            "a transformer that answers at every place (Radford et al. 2019)",
        );
        self.model::<models::TextClassifier>(
            "text_classifier",
            "the class of a text by the mean of its words' vectors (Joulin et al. 2017)",
        );
        self.model::<models::Lenet5>("lenet5", "LeNet-5 for images (LeCun et al. 1998)");
        self.model::<models::FedavgCnn>(
            "fedavg_cnn",
            "the CNN for MNIST of FedAvg's paper (McMahan et al. 2017)",
        );
        self.model::<models::LeafCnn>(
            "leaf_cnn",
            "the CNN for FEMNIST of LEAF (Caldas et al. 2018)",
        );
        self.model::<models::PflCnn>(
            "pfl_cnn",
            "the CNN for CIFAR-10 of pfl-research (Granqvist et al. 2024)",
        );
        self.model::<models::Resnet9>("resnet9", "a residual network of nine layers (Page 2018)");
        self.model::<models::Resnet20>(
            "resnet20",
            "a residual network of twenty layers (He et al. 2016)",
        );
    }

    /// The engine of this name.
    pub fn engine(&self, name: &str) -> Option<&Engine> {
        self.engines.iter().find(|e| e.name == name)
    }
}
