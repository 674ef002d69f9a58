//! What the derived schemas say too much or too little of.

use serde_json::{Map, Value, json};

/// Makes a schema say what the reader takes: no null, which TOML lacks; the range of each kind of whole number; and the
/// word for each choice that needs no key.
pub(super) fn tidy(schema: &mut Value) {
    match schema {
        Value::Array(items) => items.iter_mut().for_each(tidy),
        Value::Object(object) => {
            without_null(object);
            with_range(object);
            object.values_mut().for_each(tidy);
            with_words(object);
        }
        _ => {}
    }
}

fn without_null(object: &mut Map<String, Value>) {
    let is_null = |v: &Value| v.is_null() || v["type"] == "null";
    if let Some(types) = object.get_mut("type").and_then(Value::as_array_mut) {
        types.retain(|t| t != "null");
        if let [only] = types.as_slice() {
            let only = only.clone();
            object.insert("type".into(), only);
        }
    }
    if let Some(values) = object.get_mut("enum").and_then(Value::as_array_mut) {
        values.retain(|value| !value.is_null());
    }
    if object.get("default").is_some_and(Value::is_null) {
        object.remove("default");
    }
    for several in ["anyOf", "oneOf"] {
        let Some(parts) = object.get_mut(several).and_then(Value::as_array_mut) else {
            continue;
        };
        parts.retain(|part| !is_null(part));
        if let [Value::Object(only)] = parts.as_slice() {
            let only = only.clone();
            object.remove(several);
            for (key, value) in only {
                object.entry(key).or_insert(value);
            }
        }
    }
}

/// A whole number's own range, where the schema says no narrower one, in the place of a format. A TOML file holds 64 bits with a sign.
fn with_range(object: &mut Map<String, Value>) {
    let Some(Value::String(format)) = object.get("format").cloned() else {
        return;
    };
    object.remove("format");
    let most = match format.as_str() {
        "uint8" => u8::MAX.into(),
        "uint16" => u16::MAX.into(),
        "uint32" => u32::MAX.into(),
        "uint64" | "uint" => i64::MAX,
        _ => return,
    };
    object.entry("maximum").or_insert(most.into());
}

/// The name and the table of one choice of several.
fn choice(part: &Value) -> Option<(&String, &Value)> {
    let properties = part["properties"].as_object()?;
    let only = properties.iter().next().filter(|_| properties.len() == 1)?;
    (part["required"] == json!([only.0])).then_some(only)
}

fn needs_no_key(body: &Value) -> bool {
    let required = body["required"].as_array();
    body["type"] == "object" && required.is_none_or(Vec::is_empty)
}

/// Adds the words that stand for a table of defaults.
fn with_words(object: &mut Map<String, Value>) {
    let Some(parts) = object.get_mut("oneOf").and_then(Value::as_array_mut) else {
        return;
    };
    let choices = parts.iter().filter_map(choice);
    let words = choices.filter(|(_, body)| needs_no_key(body));
    let words: Vec<Value> = words.map(|(name, _)| name.as_str().into()).collect();
    if !words.is_empty() {
        parts.push(json!({ "type": "string", "enum": words }));
    }
}

/// Any number of the names of a choice, instead of one.
pub(super) fn several(choices: Value) -> Value {
    let parts = choices["oneOf"].as_array().into_iter().flatten();
    let all: Map<_, _> = parts
        .clone()
        .filter_map(choice)
        .map(|(name, body)| (name.clone(), body.clone()))
        .collect();
    let words: Vec<&String> = all
        .iter()
        .filter(|(_, body)| needs_no_key(body))
        .map(|(name, _)| name)
        .collect();
    json!({ "oneOf": [
        { "type": "object", "properties": all, "additionalProperties": false },
        { "type": "string", "enum": words },
    ] })
}

/// A file with a sweep may lack what each of its points gives; one without may not.
pub(super) fn complete_unless_swept(complete: Value) -> Value {
    let mut schema = complete.clone();
    let mut complete = complete;
    for key in ["$schema", "title"] {
        if let Some(complete) = complete.as_object_mut() {
            complete.remove(key);
        }
    }
    forget(&mut complete, &["description", "default"]);
    require_nothing(&mut schema);
    schema["anyOf"] = json!([{ "required": ["sweep"] }, complete]);
    schema
}

/// Takes words for readers out; a key of such a name stays.
fn forget(schema: &mut Value, keys: &[&str]) {
    each_schema(schema, false, &mut |object, _| {
        keys.iter().for_each(|key| {
            object.remove(*key);
        });
    });
}

/// Takes out which keys a table must have, but not which one makes a choice.
fn require_nothing(schema: &mut Value) {
    each_schema(schema, false, &mut |object, is_choice| {
        if !is_choice {
            object.remove("required");
        }
    });
}

/// Calls `change` for a schema and all schemas in it, and says whether it is one choice of several.
fn each_schema(
    schema: &mut Value,
    is_choice: bool,
    change: &mut impl FnMut(&mut Map<String, Value>, bool),
) {
    let Some(object) = schema.as_object_mut() else {
        return;
    };
    change(object, is_choice);
    for (key, value) in object {
        match (key.as_str(), value) {
            ("properties", Value::Object(named)) => {
                named
                    .values_mut()
                    .for_each(|v| each_schema(v, false, change));
            }
            ("oneOf" | "anyOf" | "allOf", Value::Array(parts)) => {
                parts.iter_mut().for_each(|v| {
                    let is_choice = key == "oneOf" && choice(v).is_some();
                    each_schema(v, is_choice, change);
                });
            }
            ("items" | "additionalProperties", value) => each_schema(value, false, change),
            _ => {}
        }
    }
}
