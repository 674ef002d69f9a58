//! Documents made from a schema.

use super::{dice::Dice, document::Step};
use serde_json::{Map, Value, json};

fn parts(schema: &Value) -> Option<&Vec<Value>> {
    schema["oneOf"].as_array().or(schema["anyOf"].as_array())
}

fn required(schema: &Value, key: &str) -> bool {
    let all = schema["required"].as_array().into_iter().flatten();
    all.into_iter().any(|name| name == key)
}

fn kind(schema: &Value) -> &str {
    match &schema["type"] {
        Value::Array(several) => several[0].as_str().unwrap_or_default(),
        one => one.as_str().unwrap_or_default(),
    }
}

/// The paths to every key of a schema and to the values of its lists, in all of its choices.
pub(crate) fn paths(schema: &Value) -> Vec<Vec<Step>> {
    let mut all = Vec::new();
    gather(schema, &mut Vec::new(), &mut all);
    all
}

fn gather(schema: &Value, path: &mut Vec<Step>, all: &mut Vec<Vec<Step>>) {
    let mut enter = |step: Step, inner: &Value, named: bool| {
        path.push(step);
        if named {
            all.push(path.clone());
        }
        gather(inner, path, all);
        path.pop();
    };
    for (key, inner) in schema["properties"].as_object().into_iter().flatten() {
        enter(Step::Key(key.clone()), inner, true);
    }
    if schema["items"].is_object() {
        enter(Step::Item(0), &schema["items"], true);
    }
    for (index, inner) in parts(schema).into_iter().flatten().enumerate() {
        enter(Step::Branch(index), inner, false);
    }
}

/// The smallest document that has a value at a path.
pub(crate) fn with(schema: &Value, path: &[Step], value: &Value) -> Value {
    let Some((step, rest)) = path.split_first() else {
        return value.clone();
    };
    match step {
        Step::Branch(index) => with(&parts(schema).unwrap()[*index], rest, value),
        Step::Item(_) => {
            let mut list = vec![with(&schema["items"], rest, value)];
            let least_len = schema["minItems"].as_u64().unwrap_or(0) as usize;
            while list.len() < least_len {
                list.push(least(&schema["items"]));
            }
            Value::Array(list)
        }
        Step::Key(key) => {
            let mut table = match least(schema) {
                Value::Object(table) => table,
                _ => Map::new(),
            };
            let inner = with(&schema["properties"][key], rest, value);
            table.insert(key.clone(), inner);
            Value::Object(table)
        }
    }
}

/// The smallest value that a schema takes.
pub(crate) fn least(schema: &Value) -> Value {
    made(schema, &mut Dice::least())
}

/// A value that a schema takes.
pub(crate) fn made(schema: &Value, dice: &mut Dice) -> Value {
    if let Some(parts) = parts(schema) {
        return made(&parts[dice.below(parts.len())], dice);
    }
    if let Some(value) = schema.get("const") {
        return value.clone();
    }
    if let Some(values) = schema["enum"].as_array() {
        return values[dice.below(values.len())].clone();
    }
    match kind(schema) {
        "object" => Value::Object(table(schema, dice)),
        "array" => {
            let least = schema["minItems"].as_u64().unwrap_or(0) as usize;
            let more = dice.below(3);
            (0..least + more)
                .map(|_| made(&schema["items"], dice))
                .collect()
        }
        "string" => match schema["maxLength"].as_u64() {
            Some(1) => ";".into(),
            _ => ["a", "b-1", "word"][dice.below(3)].into(),
        },
        "boolean" => (dice.below(2) == 1).into(),
        "integer" => whole(schema, dice),
        "number" => number(schema, dice),
        other => panic!("{other:?} in {schema}"),
    }
}

fn table(schema: &Value, dice: &mut Dice) -> Map<String, Value> {
    let properties = schema["properties"].as_object().into_iter().flatten();
    let mut table = Map::new();
    for (key, inner) in properties {
        // Sweeps are many documents in one.
        if required(schema, key) || key != "sweep" && dice.below(4) == 1 {
            table.insert(key.clone(), made(inner, dice));
        }
    }
    table
}

fn limits(schema: &Value) -> (f64, f64) {
    let limit = |keys: [&str; 2], other: f64| {
        let found = keys.iter().find_map(|key| schema[key].as_f64());
        found.unwrap_or(other)
    };
    (
        limit(["minimum", "exclusiveMinimum"], -10.0),
        limit(["maximum", "exclusiveMaximum"], 1e6),
    )
}

fn whole(schema: &Value, dice: &mut Dice) -> Value {
    let (least, most) = limits(schema);
    let steps = (most - least).min(9.0) as usize + 1;
    let value = least as i64 + dice.below(steps) as i64;
    match dice.below(5) {
        // A whole number may be written as 1.0.
        4 => json!(value as f64),
        _ => value.into(),
    }
}

fn number(schema: &Value, dice: &mut Dice) -> Value {
    let (least, most) = limits(schema);
    let share = [0.5, 0.25, 0.9][dice.below(3)];
    let value = least + share * (most.min(least + 4.0) - least);
    json!((value * 1024.0).round() / 1024.0)
}

/// The paths to all values of a document.
fn places(document: &Value, path: &mut Vec<Step>, all: &mut Vec<Vec<Step>>) {
    let inner: Vec<(Step, &Value)> = match document {
        Value::Object(table) => {
            let step = |(key, value): (&String, _)| (Step::Key(key.clone()), value);
            table.iter().map(|(k, v)| step((k, v))).collect()
        }
        Value::Array(values) => values
            .iter()
            .enumerate()
            .map(|(index, value)| (Step::Item(index), value))
            .collect(),
        _ => Vec::new(),
    };
    for (step, value) in inner {
        path.push(step);
        all.push(path.clone());
        places(value, path, all);
        path.pop();
    }
}

fn at<'a>(document: &'a mut Value, path: &[Step]) -> &'a mut Value {
    path.iter().fold(document, |value, step| match step {
        Step::Key(key) => &mut value[key.as_str()],
        Step::Item(index) => &mut value[*index],
        Step::Branch(_) => value,
    })
}

/// A document with something done to it.
pub(crate) fn spoiled(mut document: Value, dice: &mut Dice) -> Value {
    let mut all = Vec::new();
    places(&document, &mut Vec::new(), &mut all);
    let path = &all[dice.below(all.len())];
    let (last, parent) = path.split_last().expect("paths lead somewhere");
    match (dice.below(4), last) {
        (0, Step::Key(key)) => {
            let table = at(&mut document, parent).as_object_mut().unwrap();
            table.remove(key);
        }
        (1, Step::Key(_)) => {
            let table = at(&mut document, parent).as_object_mut().unwrap();
            table.insert("unknown".into(), 1.into());
        }
        _ => {
            let wrong = wrong_values();
            *at(&mut document, path) = wrong[dice.below(wrong.len())].clone();
        }
    }
    document
}

/// Values of every kind; few keys take more than one of them.
pub(crate) fn wrong_values() -> Vec<Value> {
    vec![
        json!("nonsense"),
        json!(""),
        json!(7),
        json!(0),
        json!(-3),
        json!(0.5),
        json!(-2.25),
        json!(1e300),
        json!(9_007_199_254_740_993_i64),
        json!(true),
        json!([]),
        json!([0.1]),
        json!(["nonsense", 3]),
        json!([[1], { "a": 2 }]),
        json!({}),
        json!({ "nonsense": 3 }),
        json!({ "adam": {}, "sgd": {} }),
        json!({ "deep": { "deeper": [1, "x"] } }),
    ]
}
