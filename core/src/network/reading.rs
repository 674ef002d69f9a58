//! Layers in files: those that are known, and those of the kinds that are at hand.

use super::{Layer, LayerEntry, LayerKinds, OpenLayer};
use schemars::{JsonSchema, Schema, SchemaGenerator, generate::SchemaSettings};
use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{
        self, DeserializeSeed, EnumAccess, VariantAccess, Visitor,
        value::{EnumAccessDeserializer, StringDeserializer},
    },
    ser::SerializeMap,
};
use serde_json::Value;
use std::{
    cell::{Cell, RefCell},
    fmt,
    sync::Arc,
};

impl Serialize for Layer {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self::Open(open) = self else {
            return Layer::serialize(self, serializer);
        };
        let mut table = serializer.serialize_map(Some(1))?;
        table.serialize_entry(open.name(), open.settings())?;
        table.end()
    }
}

impl<'de> Deserialize<'de> for Layer {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let kinds = LayerKinds::now();
        let names = kinds.names(&Layer::NAMES);
        deserializer.deserialize_enum("Layer", names, Choice { kinds, names })
    }
}

struct Choice {
    kinds: Arc<LayerKinds>,
    names: &'static [&'static str],
}

impl<'de> Visitor<'de> for Choice {
    type Value = Layer;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a layer")
    }

    fn visit_enum<A: EnumAccess<'de>>(self, data: A) -> Result<Layer, A::Error> {
        let (name, body): (String, A::Variant) = data.variant()?;
        let mut entries = self.kinds.entries().iter();
        let Some(entry) = entries.find(|entry| entry.name == name) else {
            if !self.names.contains(&&*name) {
                return Err(de::Error::unknown_variant(&name, self.names));
            }
            return Layer::deserialize(EnumAccessDeserializer::new(Known { name, body }));
        };
        body.newtype_variant_seed(Settings(entry)).map(Layer::Open)
    }
}

/// The choice of a layer that this crate knows.
struct Known<V> {
    name: String,
    body: V,
}

impl<'de, V: VariantAccess<'de>> EnumAccess<'de> for Known<V> {
    type Error = V::Error;
    type Variant = V;

    fn variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<(S::Value, V), V::Error> {
        let name = StringDeserializer::new(self.name);
        Ok((seed.deserialize(name)?, self.body))
    }
}

/// Settings of a kind.
struct Settings<'a>(&'a LayerEntry);

thread_local! {
    /// The kind whose settings are asked for, and the layer that a deserializer made of them by itself.
    static ASKED: Cell<Option<&'static str>> = const { Cell::new(None) };
    static MADE: RefCell<Option<OpenLayer>> = const { RefCell::new(None) };
}

impl OpenLayer {
    /// For deserializers that say more of a fault than that it is there: whether a newtype of this name stands for the settings of a
    /// kind of layer. Then they may [make](Self::made) it themselves, and visit a unit.
    pub fn is_asked(name: &str) -> bool {
        ASKED.get() == Some(name)
    }

    /// Hands over a layer that was [asked](Self::is_asked) for.
    pub fn made(self) {
        MADE.set(Some(self));
    }
}

impl<'de> DeserializeSeed<'de> for Settings<'_> {
    type Value = OpenLayer;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<OpenLayer, D::Error> {
        let name = self.0.name;
        ASKED.set(Some(name));
        let read = deserializer.deserialize_newtype_struct(name, self);
        ASKED.set(None);
        read
    }
}

impl<'de> Visitor<'de> for Settings<'_> {
    type Value = OpenLayer;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a table")
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, inner: D) -> Result<OpenLayer, D::Error> {
        let settings = Value::deserialize(inner)?;
        self.0.read(&settings).map_err(de::Error::custom)
    }

    fn visit_unit<E: de::Error>(self) -> Result<OpenLayer, E> {
        let made = MADE.take();
        made.ok_or_else(|| E::custom("there are no settings"))
    }
}

/// Adds the kinds that are at hand to the schema of those that are known.
pub(super) fn with_open_kinds(schema: &mut Schema) {
    let mut generator = SchemaSettings::draft2020_12()
        .with(|settings| settings.inline_subschemas = true)
        .into_generator();
    let kinds = LayerKinds::now();
    let open = kinds.entries().iter().map(|entry| {
        let body = entry.schema(&mut generator);
        serde_json::json!({
            "type": "object",
            "description": entry.summary,
            "properties": { entry.name: body },
            "required": [entry.name],
            "additionalProperties": false,
        })
    });
    if let Some(Value::Array(all)) = schema.get_mut("oneOf") {
        all.extend(open);
    }
}

/// How deep the schema looks into blocks: layers of a block, but no block within it. Files may hold more.
const NESTED: u32 = 1;

thread_local! {
    static DEPTH: Cell<u32> = const { Cell::new(0) };
}

/// A list of layers inside of a layer. A schema that held itself would have no end, so the innermost blocks of this one hold none.
pub(super) fn list_of_layers(generator: &mut SchemaGenerator) -> Schema {
    let depth = DEPTH.get();
    if depth == NESTED {
        return schemars::json_schema!({ "type": "array", "maxItems": 0 });
    }
    DEPTH.set(depth + 1);
    let mut layer = Layer::json_schema(generator);
    DEPTH.set(depth);
    if depth + 1 == NESTED
        && let Some(Value::Array(all)) = layer.get_mut("oneOf")
    {
        all.retain(|layer| layer["properties"]["residual"].is_null());
    }
    schemars::json_schema!({ "type": "array", "items": layer })
}
