//! JSON Schema of the scenario file, for completion in editors and for other tools. It takes what the reader of a file
//! takes, and refuses what that refuses, as far as a key can be judged by itself.

mod tidy;

use crate::{
    deadline::Deadline,
    label,
    personal::Personal,
    registry::Registry,
    streams::{Arrival, CompetenceGate, HeadChoice, Labels, TaskOrder},
    sweep,
    tables::{Availability, Data, Evaluation, Run},
    task_stream::BESIDE,
    timeline::Moment,
    training::{Expert, Training},
    transforms,
    variational::VariationalWeights,
};
use lyceum_strategies::ordering::Ordering;
use schemars::{JsonSchema, SchemaGenerator, generate::SchemaSettings};
use serde_json::{Value, json};

/// The schema of every file that `registry` can read (JSON Schema, draft 2020-12).
pub fn schema(registry: &Registry) -> Value {
    let mut generator = SchemaSettings::draft2020_12()
        .with(|s| s.inline_subschemas = true)
        .into_generator();
    let g = &mut generator;
    let mut run = plain::<Run>(g);
    run["properties"]["name"]["pattern"] = label::PATTERN.into();
    let mut data = plain::<Data>(g);
    data["properties"]["set"] = registry.data_sets.schema(g).into();
    data["properties"]["partition"] = registry.partitions.schema(g).into();
    if let Some(required) = data["required"].as_array_mut() {
        required.push("set".into());
    }
    let mut training = plain::<Training>(g);
    let engines: Vec<_> = registry.engines.iter().map(|e| e.name).collect();
    training["properties"]["engine"]["enum"] = json!(engines);
    let mut root = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Lyceum scenario",
        "type": "object",
        "additionalProperties": false,
        "required": ["run", "data", "model", "training", "selection", "strategy"],
        "properties": {
            "run": run,
            "sweep": sweep::schema(),
            "data": data,
            "model": registry.layers.within(|| registry.models.schema(g)),
            "variational": plain::<VariationalWeights>(g),
            "personal": plain::<Personal>(g),
            "training": training,
            "ordering": plain::<Ordering>(g),
            "expert": plain::<Expert>(g),
            "selection": registry.selectors.schema(g),
            "availability": plain::<Availability>(g),
            "deadline": plain::<Deadline>(g),
            "strategy": registry.strategies.schema(g),
            "transform": transforms::schema(&registry.transforms, registry.transforms.schema(g).into()),
            "steering": registry.steering.schema(g),
            "timeline": { "type": "array", "items": plain::<Moment>(g) },
            "scenario": streams(registry, g),
            "evaluation": plain::<Evaluation>(g),
        },
    });
    tidy::tidy(&mut root);
    tidy::complete_unless_swept(root)
}

/// A stream, with the keys that go with every kind.
fn streams(registry: &Registry, g: &mut SchemaGenerator) -> Value {
    let mut choice: Value = registry.streams.schema(g).into();
    let beside = [
        tidy::several(registry.methods.schema(g).into()),
        plain::<Arrival>(g),
        plain::<TaskOrder>(g),
        plain::<Labels>(g),
        plain::<HeadChoice>(g),
        plain::<CompetenceGate>(g),
    ];
    let variants = choice["oneOf"].as_array_mut().into_iter().flatten();
    for variant in variants {
        let bodies = variant.get_mut("properties").and_then(Value::as_object_mut);
        let bodies = bodies.into_iter().flatten();
        for (_, body) in bodies {
            for (key, schema) in BESIDE.into_iter().zip(&beside) {
                body["properties"][key] = schema.clone();
            }
        }
    }
    choice
}

fn plain<T: JsonSchema>(generator: &mut SchemaGenerator) -> Value {
    T::json_schema(generator).into()
}

/// Names and first sentences of the variants of a closed choice, from its schema.
pub fn variants<T: JsonSchema>() -> Vec<(String, String)> {
    let mut generator = SchemaSettings::draft2020_12()
        .with(|s| s.inline_subschemas = true)
        .into_generator();
    let schema = plain::<T>(&mut generator);
    let variants = schema["oneOf"].as_array().cloned().unwrap_or_default();
    let name = |v: &Value| match (&v["const"], v["properties"].as_object()) {
        (Value::String(name), _) => Some(name.clone()),
        (_, Some(properties)) => properties.keys().next().cloned(),
        _ => None,
    };
    let summary = |v: &Value| {
        let text = v["description"]
            .as_str()
            .unwrap_or_default()
            .replace('\n', " ");
        text.split_inclusive(". ")
            .next()
            .unwrap_or_default()
            .trim()
            .trim_end_matches('.')
            .to_string()
    };
    variants
        .iter()
        .filter_map(|v| Some((name(v)?, summary(v))))
        .collect()
}
