//! JSON Schema, as much of it as the scenario's schema uses.

use serde_json::{Map, Value};
use std::cmp::Ordering;

/// Whether a schema takes a value. A keyword that this does not know ends the test.
pub(crate) fn takes(schema: &Value, value: &Value) -> bool {
    match schema {
        Value::Bool(all) => *all,
        Value::Object(keywords) => keywords
            .iter()
            .all(|(keyword, rule)| holds(keywords, keyword, rule, value)),
        other => panic!("{other} is no schema"),
    }
}

fn holds(schema: &Map<String, Value>, keyword: &str, rule: &Value, value: &Value) -> bool {
    let parts = || rule.as_array().into_iter().flatten();
    let order = |of: fn(Ordering) -> bool| compared(value, rule).is_none_or(of);
    let items = |of: &dyn Fn(&[Value]) -> bool| value.as_array().is_none_or(|v| of(v));
    let size = rule.as_u64().unwrap_or_default() as usize;
    let text = |of: &dyn Fn(&str) -> bool| value.as_str().is_none_or(of);
    match keyword {
        "$schema" | "title" | "description" | "default" => true,
        "type" => match rule {
            Value::Array(all) => all.iter().any(|one| is_of(one, value)),
            one => is_of(one, value),
        },
        "const" => rule == value,
        "enum" => parts().any(|one| one == value),
        "oneOf" => parts().filter(|part| takes(part, value)).count() == 1,
        "anyOf" => parts().any(|part| takes(part, value)),
        "minimum" => order(Ordering::is_ge),
        "maximum" => order(Ordering::is_le),
        "exclusiveMinimum" => order(Ordering::is_gt),
        "exclusiveMaximum" => order(Ordering::is_lt),
        "minItems" => items(&|v| v.len() >= size),
        "maxItems" => items(&|v| v.len() <= size),
        "uniqueItems" => items(&|v| (1..v.len()).all(|i| !v[..i].contains(&v[i]))),
        "items" => items(&|v| v.iter().all(|item| takes(rule, item))),
        "minLength" => text(&|v| v.chars().count() >= size),
        "maxLength" => text(&|v| v.chars().count() <= size),
        "pattern" => text(&|v| matches(rule.as_str().unwrap_or_default(), v)),
        "required" => value
            .as_object()
            .is_none_or(|v| parts().all(|key| v.contains_key(key.as_str().unwrap()))),
        "properties" => value.as_object().is_none_or(|v| {
            v.iter()
                .all(|(key, v)| rule.get(key).is_none_or(|s| takes(s, v)))
        }),
        "additionalProperties" => value.as_object().is_none_or(|v| {
            let named = |key: &String| {
                schema
                    .get("properties")
                    .is_some_and(|p| p.get(key).is_some())
            };
            v.iter()
                .filter(|(key, _)| !named(key))
                .all(|(_, v)| takes(rule, v))
        }),
        other => panic!("the test's checker does not know `{other}`"),
    }
}

/// A number beside a limit; whole numbers are compared as such.
fn compared(value: &Value, limit: &Value) -> Option<Ordering> {
    match (value.as_i64(), limit.as_i64()) {
        (Some(value), Some(limit)) => Some(value.cmp(&limit)),
        _ => value.as_f64()?.partial_cmp(&limit.as_f64()?),
    }
}

fn is_of(kind: &Value, value: &Value) -> bool {
    match kind.as_str().expect("types are strings") {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "number" => value.is_number(),
        "integer" => value.as_f64().is_some_and(|v| v.fract() == 0.0),
        other => panic!("the test's checker does not know the type `{other}`"),
    }
}

/// The two patterns of the schema: labels, and seeds as a string.
fn matches(pattern: &str, text: &str) -> bool {
    let label = |c: char| c.is_ascii_alphanumeric() || "-_.=,+".contains(c);
    match pattern.contains("A-Z") {
        true => !text.is_empty() && !text.starts_with('.') && text.chars().all(label),
        false => {
            let number = |part: &str| part.trim().parse::<u64>().is_ok();
            match text.split_once("..") {
                Some((from, to)) => number(from) && number(to),
                None => text.split(',').all(number),
            }
        }
    }
}
