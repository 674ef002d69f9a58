//! `lyceum keys`: all keys of scenario files as a page, made from the schema that files are read by.

use crate::{failure::Failure, output::line};
use lyceum_scenarios::{Registry, schema};
use serde_json::{Map, Value};

const HEAD: &str = "# Keys of scenario files

Every key, what it takes, and what it is without being given; printed by `lyceum keys`, which knows the plugins of a build as well.
A name in capitals stands for any of those that are listed. Where a choice needs no key, its name is enough: `strategy = \"fed_avg\"`.
A key without a default is either optional or must be given; its sentence says which, and `lyceum check` does.";

/// Prints the page.
pub(crate) fn keys(registry: &Registry) -> Result<(), Failure> {
    let schema = schema(registry);
    line(format_args!("{HEAD}"));
    for (name, table) in properties(&schema).into_iter().flatten() {
        let what = match sentence(table) {
            what if what.is_empty() => "A choice: one of these.".to_owned(),
            what => what,
        };
        line(format_args!("\n## `{name}`\n\n{what}\n"));
        line(format_args!(
            "| key | takes | default | what it is |\n|---|---|---|---|"
        ));
        let mut rows = Vec::new();
        within(name, table, &mut rows);
        rows.iter().for_each(|row| line(format_args!("{row}")));
    }
    Ok(())
}

fn properties(schema: &Value) -> Option<&Map<String, Value>> {
    schema["properties"].as_object()
}

/// The forms that a value may have; itself if there is one.
fn forms(schema: &Value) -> Vec<&Value> {
    let several = schema["oneOf"].as_array().or(schema["anyOf"].as_array());
    several.map_or_else(|| vec![schema], |forms| forms.iter().collect())
}

/// Rows for what lies within a value.
fn within(path: &str, schema: &Value, rows: &mut Vec<String>) {
    let forms = forms(schema);
    let tables: Vec<&Value> = forms
        .iter()
        .copied()
        .filter(|form| properties(form).is_some())
        .collect();
    match tables[..] {
        [] => {
            // What may stand in a block is said where layers are listed.
            let block = path.contains(".residual.");
            let lists = forms
                .iter()
                .filter(|form| form["items"].is_object() && !block);
            lists.for_each(|list| within(&format!("{path}[]"), &list["items"], rows));
        }
        [table] if !is_choice(table) => keys_of(path, table, &[], rows),
        _ => {
            let bodies: Vec<(&String, &Value, &Value)> =
                tables.iter().filter_map(|table| chosen(table)).collect();
            let shared = shared(&bodies);
            for (name, body, table) in &bodies {
                let path = format!("{path}.{name}");
                rows.push(row(&path, "table", "", &told(table, body)));
                keys_of(&path, body, &shared, rows);
            }
            if let Some((_, body, _)) = bodies.first().filter(|_| !shared.is_empty()) {
                let others: Vec<&str> = properties(body)
                    .into_iter()
                    .flatten()
                    .map(|(key, _)| key.as_str())
                    .collect();
                let own: Vec<&str> = others
                    .into_iter()
                    .filter(|key| !shared.contains(key))
                    .collect();
                keys_of(&format!("{path}.NAME"), body, &own, rows);
            }
        }
    }
}

/// Whether a table chooses by the one key that it must have.
fn is_choice(table: &Value) -> bool {
    let required = table["required"].as_array().map_or(0, Vec::len);
    required == 1 && chosen(table).is_some()
}

/// The one key of a table, what it holds, and the table.
fn chosen(table: &Value) -> Option<(&String, &Value, &Value)> {
    let mut keys = properties(table)?.iter();
    let (name, body) = keys.next()?;
    keys.next().is_none().then_some((name, body, table))
}

/// Keys that all of several choices take in the same way.
fn shared<'a>(bodies: &[(&'a String, &'a Value, &'a Value)]) -> Vec<&'a str> {
    let [(_, first, _), others @ ..] = bodies else {
        return Vec::new();
    };
    if others.is_empty() {
        return Vec::new();
    }
    let all = properties(first).into_iter().flatten();
    let everywhere = all.filter(|(key, value)| {
        others
            .iter()
            .all(|(_, other, _)| other["properties"].get(key.as_str()) == Some(*value))
    });
    everywhere.map(|(key, _)| key.as_str()).collect()
}

/// Rows for the keys of a table but some.
fn keys_of(path: &str, table: &Value, without: &[&str], rows: &mut Vec<String>) {
    for (key, value) in properties(table).into_iter().flatten() {
        if without.contains(&key.as_str()) {
            continue;
        }
        let path = format!("{path}.{key}");
        let default = match &value["default"] {
            Value::Null => String::new(),
            default => format!("`{}`", short(default)),
        };
        rows.push(row(&path, &takes(value), &default, &sentence(value)));
        within(&path, value, rows);
    }
}

fn row(key: &str, takes: &str, default: &str, what: &str) -> String {
    let cells = [&format!("`{key}`"), takes, default, what];
    let cells = cells.map(|cell| cell.replace('|', "\\|"));
    format!("| {} |", cells.join(" | "))
}

/// The first paragraph of what is said of a value, in one line.
fn sentence(schema: &Value) -> String {
    let text = schema["description"].as_str().unwrap_or_default();
    let first = text.split("\n\n").next().unwrap_or_default();
    first.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// What is said of a choice: of its entry or, where nothing is, of what it holds.
fn told(table: &Value, body: &Value) -> String {
    let told = sentence(table);
    if told.is_empty() {
        sentence(body)
    } else {
        told
    }
}

/// A default as a scenario would have it.
fn short(value: &Value) -> String {
    match value {
        Value::Object(table) if table.len() == 1 => {
            let (name, body) = table.iter().next().expect("it has one entry");
            match body.as_object().is_some_and(|body| body.is_empty()) {
                true => format!("\"{name}\""),
                false => format!("{{ {name} = {} }}", short(body)),
            }
        }
        Value::Object(table) => {
            let entries = table.iter().filter(|(_, value)| !value.is_null());
            let entries: Vec<String> = entries
                .map(|(key, value)| format!("{key} = {}", short(value)))
                .collect();
            format!("{{ {} }}", entries.join(", "))
        }
        other => other.to_string(),
    }
}

/// What a value may be, in words.
fn takes(schema: &Value) -> String {
    let tables = forms(schema).into_iter().filter(|form| is_choice(form));
    if tables.count() > 1 {
        return "a choice".into();
    }
    let mut all: Vec<String> = Vec::new();
    for form in forms(schema) {
        let words = match form["type"].as_str() {
            _ if form["const"].is_string() => format!("`{}`", form["const"]),
            _ if form["enum"].is_array() => "a name".into(),
            Some("integer") => format!("whole number{}", range(form)),
            Some("number") => format!("number{}", range(form)),
            Some("string") => "text".into(),
            Some("boolean") => "true or false".into(),
            Some("array") => match takes(&form["items"]) {
                of if of.is_empty() => "list".into(),
                of => format!("list: {of}"),
            },
            Some("object") => "table".into(),
            _ => String::new(),
        };
        if !words.is_empty() && !all.contains(&words) {
            all.push(words);
        }
    }
    all.join(", ")
}

fn range(form: &Value) -> String {
    const ENDLESS: f64 = 1e9;
    let number = |key: &str| form[key].as_f64();
    let (least, above) = (number("minimum"), number("exclusiveMinimum"));
    let most = number("maximum").filter(|most| *most < ENDLESS);
    let least = match (least, above) {
        (Some(least), _) if least > 0.0 && least < 1e-30 => " above 0".into(),
        (Some(least), _) => format!(" from {least}"),
        (None, Some(above)) => format!(" above {above}"),
        (None, None) => String::new(),
    };
    let most = match (most, number("exclusiveMaximum")) {
        (Some(most), _) => format!(" to {most}"),
        (None, Some(below)) => format!(" below {below}"),
        (None, None) => String::new(),
    };
    least + &most
}
