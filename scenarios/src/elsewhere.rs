//! Where a key belongs that stands in a table without it.

use crate::{
    diagnostic::{Diagnostic, Fault},
    registry::Registry,
    schema::schema,
};
use serde_json::Value;
use std::collections::BTreeSet;

/// Tables that an error names, at most.
const SHOWN: usize = 3;
/// Tables within each other that are looked at: no key lies deeper.
const DEEPEST: usize = 8;

impl Diagnostic {
    /// The same faults, with the tables that know the keys which nobody knows where they stand.
    pub(crate) fn advised(mut self, registry: &Registry) -> Self {
        advise(registry, self.faults_mut());
        self
    }
}

fn advise(registry: &Registry, faults: &mut [Fault]) {
    let unknown = |fault: &Fault| Some(unknown(&fault.message)?.to_owned());
    if !faults.iter().any(|fault| unknown(fault).is_some()) {
        return;
    }
    let schema = schema(registry);
    for fault in faults {
        let Some(key) = unknown(fault) else { continue };
        let mut tables = BTreeSet::new();
        find(&schema, &key, &mut Vec::new(), &mut tables);
        if let Some(advice) = advice(&key, &tables) {
            fault.label = match fault.label.is_empty() {
                true => advice,
                false => format!("{}; {advice}", fault.label),
            };
        }
    }
}

/// The key of which a message says that nobody knows it.
fn unknown(message: &str) -> Option<&str> {
    let named = ["unknown key `", "unknown table `"];
    let rest = named.iter().find_map(|begin| message.strip_prefix(begin))?;
    rest.strip_suffix('`')
}

/// Notes the tables below a value that have a key, each as the path to it.
fn find(schema: &Value, key: &str, path: &mut Vec<String>, found: &mut BTreeSet<Vec<String>>) {
    if path.len() > DEEPEST {
        return;
    }
    for (name, value) in schema["properties"].as_object().into_iter().flatten() {
        if name == key && !path.is_empty() {
            found.insert(path.clone());
        }
        path.push(name.clone());
        find(value, key, path, found);
        path.pop();
    }
    for forms in ["oneOf", "anyOf"] {
        let forms = schema[forms].as_array().into_iter().flatten();
        forms.for_each(|form| find(form, key, path, found));
    }
}

fn advice(key: &str, tables: &BTreeSet<Vec<String>>) -> Option<String> {
    let mut names: BTreeSet<String> = tables.iter().map(|path| path.join(".")).collect();
    if names.len() > SHOWN {
        // Many choices of one table have the key: the table is enough.
        names = tables.iter().map(|path| any_of(path, tables)).collect();
    }
    let shown: Vec<String> = names.iter().take(SHOWN).map(|n| format!("[{n}]")).collect();
    let more = if names.len() > SHOWN {
        " and others"
    } else {
        ""
    };
    match shown.is_empty() {
        true => None,
        false => Some(format!("`{key}` belongs to {}{more}", shown.join(", "))),
    }
}

/// A table's path, with a word for its choices where several of them have the key.
fn any_of(path: &[String], tables: &BTreeSet<Vec<String>>) -> String {
    let Some((_, table)) = path.split_last().filter(|(_, table)| !table.is_empty()) else {
        return path.join(".");
    };
    let beside = |other: &&Vec<String>| other.len() == path.len() && other.starts_with(table);
    match tables.iter().filter(beside).count() {
        1 => path.join("."),
        _ => format!("{}.NAME", table.join(".")),
    }
}
