//! Layers that this crate does not know: each is a type of its own, from any crate.

use super::initial::Tensor;
use crate::{Mode, Sparse};
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;
use std::{
    any::Any,
    cell::RefCell,
    fmt,
    sync::{Arc, OnceLock},
};

/// A layer: what it makes of a shape, its tensors and how they start, and what it does.
///
/// The type is its own configuration: its fields are the keys in a scenario file. Shapes have no batch dimension. Values are
/// row-major: of sample 0, then of sample 1, and so on.
pub trait LayerKind: Any + fmt::Debug + Send + Sync {
    /// The shape that comes out for a shape that goes in, or why the layer cannot take it. No product of sizes may overflow.
    fn output(&self, input: &[usize]) -> Result<Vec<usize>, String>;

    /// Its tensors in the order of the layout, for an input that fits.
    fn tensors(&self, _input: &[usize]) -> Vec<Tensor> {
        Vec::new()
    }

    /// Multiplications of one sample on its way forward.
    fn multiplications(&self, _input: &[usize], _output: &[usize]) -> u64 {
        0
    }

    /// Whether training needs random numbers.
    fn is_noisy(&self) -> bool {
        false
    }

    /// Whether it is a normalisation, whose tensors `norms` means.
    fn is_norm(&self) -> bool {
        false
    }

    /// If what goes in must be whole numbers from 0, such as tokens: how many of them there are.
    fn vocabulary(&self) -> Option<usize> {
        None
    }

    /// What it does, as layer `place` of a network, for an input that fits.
    fn operation(&self, place: usize, input: &[usize]) -> Box<dyn Operation>;
}

/// What a layer does on the processor. Owns its buffers, which only ever grow: a steady step allocates nothing.
pub trait Operation: fmt::Debug + Send {
    /// Says what of the next input, of so many values, is not zero, row by row. It may save time, and changes nothing else.
    fn expect_few(&mut self, _rows: &Sparse, _values: usize) {}

    /// Writes what comes out.
    fn forward(&mut self, pass: Forward<'_>);

    /// Takes the slope of the loss from what came out to the tensors and to what went in. Follows a
    /// [`forward`](Self::forward) with the same values.
    fn backward(&mut self, pass: Backward<'_>);
}

/// A pass forward. Every slice but `params` holds `rows` samples.
#[derive(Debug)]
pub struct Forward<'a> {
    /// The layer's tensors, one behind the other.
    pub params: &'a [f32],
    /// What goes in.
    pub input: &'a [f32],
    /// Samples in the batch; at least one.
    pub rows: usize,
    /// Training or tests.
    pub mode: Mode<'a>,
    /// What comes out; to be written as a whole.
    pub output: &'a mut [f32],
}

/// A pass back.
#[derive(Debug)]
pub struct Backward<'a> {
    /// As they were on the way forward.
    pub params: &'a [f32],
    /// What went in.
    pub input: &'a [f32],
    /// What came out.
    pub output: &'a [f32],
    /// Slope of the loss at what came out; may be used up.
    pub slope: &'a mut [f32],
    /// Samples in the batch.
    pub rows: usize,
    /// Takes the gradient of the tensors; to be written as a whole.
    pub gradient: &'a mut [f32],
    /// Takes the slope at what went in, if somebody asks for it; to be written as a whole.
    pub wanted: Option<&'a mut [f32]>,
}

/// A layer of a kind that stands in a list of kinds.
#[derive(Clone, Debug)]
pub struct OpenLayer {
    name: Arc<str>,
    settings: Value,
    kind: Arc<dyn LayerKind>,
}

impl OpenLayer {
    /// A layer under the name of its kind.
    ///
    /// # Panics
    ///
    /// If the settings cannot be written down.
    pub fn new<K: LayerKind + Serialize>(name: &str, kind: K) -> Self {
        let settings = serde_json::to_value(&kind).expect("settings are plain values");
        Self {
            name: name.into(),
            settings,
            kind: Arc::new(kind),
        }
    }

    /// The name of the kind.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// All keys with their values.
    pub fn settings(&self) -> &Value {
        &self.settings
    }

    /// What it is.
    pub fn kind(&self) -> &dyn LayerKind {
        &*self.kind
    }
}

impl PartialEq for OpenLayer {
    fn eq(&self, other: &Self) -> bool {
        (&self.name, &self.settings) == (&other.name, &other.settings)
    }
}

/// Reads the settings of a layer, or says what is wrong with them and what would be right.
pub type ReadLayer = dyn Fn(&Value) -> Result<OpenLayer, String> + Send + Sync;

/// A kind of layer, by name.
#[derive(Clone)]
pub struct LayerEntry {
    /// Name in scenario files.
    pub name: &'static str,
    /// One line for lists.
    pub summary: &'static str,
    read: Arc<ReadLayer>,
    schema: fn(&mut SchemaGenerator) -> Schema,
}

/// All kinds of layers that can be named, besides those that this crate knows.
#[derive(Clone, Default)]
pub struct LayerKinds {
    entries: Vec<LayerEntry>,
    /// Names of all layers that can be read, once they were asked for.
    names: OnceLock<&'static [&'static str]>,
}

thread_local! {
    /// The kinds that layers are read with.
    static READING: RefCell<Option<Arc<LayerKinds>>> = const { RefCell::new(None) };
}

impl LayerKinds {
    /// Adds a kind under a name, replacing one of that name.
    pub fn add<K>(&mut self, name: &'static str, summary: &'static str)
    where
        K: LayerKind + DeserializeOwned + Serialize + JsonSchema,
    {
        self.add_with::<K>(name, summary, |value| {
            serde_json::from_value(value.clone()).map_err(|fault| fault.to_string())
        });
    }

    /// As [`add`](Self::add), with a reader that says in its own words what is wrong.
    pub fn add_with<K: LayerKind + Serialize + JsonSchema>(
        &mut self,
        name: &'static str,
        summary: &'static str,
        read: impl Fn(&Value) -> Result<K, String> + Send + Sync + 'static,
    ) {
        self.names = OnceLock::new();
        self.entries.retain(|entry| entry.name != name);
        self.entries.push(LayerEntry {
            name,
            summary,
            read: Arc::new(move |value| read(value).map(|kind| OpenLayer::new(name, kind))),
            schema: |generator| K::json_schema(generator),
        });
    }

    /// The kinds in the order they were added.
    pub fn entries(&self) -> &[LayerEntry] {
        &self.entries
    }

    /// Runs `work`, in which layers of these kinds can be read and have a schema.
    pub fn within<R>(self: &Arc<Self>, work: impl FnOnce() -> R) -> R {
        let before = READING.replace(Some(self.clone()));
        let result = work();
        READING.set(before);
        result
    }

    /// Names of the layers that the core knows, and of these. They live for ever, as readers want them to: once for a list of kinds.
    pub(super) fn names(&self, known: &[&'static str]) -> &'static [&'static str] {
        self.names.get_or_init(|| {
            let open = self.entries.iter().map(|entry| entry.name);
            let names: Vec<&'static str> = known.iter().copied().chain(open).collect();
            names.leak()
        })
    }

    /// The kinds that layers are read with now.
    pub(super) fn now() -> Arc<Self> {
        READING.with_borrow(|kinds| kinds.clone().unwrap_or_default())
    }
}

impl LayerEntry {
    /// A layer with these settings.
    pub fn read(&self, settings: &Value) -> Result<OpenLayer, String> {
        (self.read)(settings)
    }

    /// What its settings may be.
    pub fn schema(&self, generator: &mut SchemaGenerator) -> Schema {
        (self.schema)(generator)
    }
}

impl fmt::Debug for LayerEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

impl fmt::Debug for LayerKinds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(&self.entries).finish()
    }
}
