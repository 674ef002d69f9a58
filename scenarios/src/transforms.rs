//! `[[transform.NAME]]`: what happens to updates before they go into the sums, in the order of the file.

use crate::{
    diagnostic::Fault,
    document::Node,
    reader::noun,
    registry::{Chosen, Plugins, Registry},
};
use lyceum_core::AnyTransform;
use serde_json::{Map, Value, json};
use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

/// A transform with the path of its table.
#[derive(Clone)]
pub struct TransformChoice {
    /// The transform.
    pub chosen: Chosen<dyn AnyTransform>,
    pub(crate) path: String,
}

/// Reads `transform`: lists by name, whose entries act in the order in which they stand in the file, or one list of choices.
pub(crate) fn read(
    node: Node<'_>,
    registry: &Registry,
    faults: &mut Vec<Fault>,
) -> Option<Vec<TransformChoice>> {
    let path = node.path.clone();
    let span = node.span();
    let entries = match node.into_value().into_inner() {
        DeValue::Array(list) => Ok(of_list(&path, list)),
        DeValue::Table(table) => of_table(&path, table),
        other => Err(Fault::new(
            format!("transforms are lists, not {}", noun(&other)),
            "such as `[[transform.clip]]` with `norm = 1.0`",
            Some(span),
        )),
    };
    let entries = entries.map_err(|fault| faults.push(fault)).ok()?;
    let mut all = Vec::new();
    let mut complete = true;
    for (path, node) in entries {
        match registry.transforms.choose(node) {
            Ok(chosen) => all.push(TransformChoice { chosen, path }),
            Err(fault) => {
                complete = false;
                faults.push(fault);
            }
        }
    }
    complete.then_some(all)
}

type Entry<'t> = (String, Node<'t>);

/// The entries of a list of choices, with the paths of what they choose.
fn of_list<'t>(path: &str, list: toml::de::DeArray<'t>) -> Vec<Entry<'t>> {
    let entry = |(place, value): (usize, Spanned<DeValue<'t>>)| {
        let own = format!("{path}.{place}");
        let name = match value.get_ref() {
            DeValue::Table(table) => table.keys().next().map(|key| key.get_ref().to_string()),
            _ => None,
        };
        let chosen = name.map_or(own.clone(), |name| format!("{own}.{name}"));
        (chosen, Node::new(own, value))
    };
    list.into_iter().enumerate().map(entry).collect()
}

/// The entries of lists by name, in the order of the file.
fn of_table<'t>(path: &str, table: DeTable<'t>) -> Result<Vec<Entry<'t>>, Fault> {
    let mut all = Vec::new();
    for (key, value) in table {
        let name = key.get_ref().to_string();
        let span = value.span();
        let DeValue::Array(list) = value.into_inner() else {
            let label = format!("expected a list: write `[[{path}.{name}]]`");
            let message = format!("`{path}.{name}` is no list");
            return Err(Fault::new(message, label, Some(span)));
        };
        for (place, value) in list.into_iter().enumerate() {
            let (begin, own) = (value.span(), format!("{path}.{name}.{place}"));
            let key = Spanned::new(begin.clone(), key.get_ref().clone());
            let choice = DeValue::Table(DeTable::from_iter([(key, value)]));
            let node = Node::new(path.to_string(), Spanned::new(begin.clone(), choice));
            all.push((begin.start, (own, node)));
        }
    }
    all.sort_by_key(|(begin, _)| *begin);
    Ok(all.into_iter().map(|(_, entry)| entry).collect())
}

/// The schema of both forms.
pub(crate) fn schema(plugins: &Plugins<dyn AnyTransform>, choice: Value) -> Value {
    let variants = choice["oneOf"].as_array().into_iter().flatten();
    let names = plugins.entries().iter().map(|entry| entry.name);
    let lists = names.zip(variants).map(|(name, variant)| {
        let body = variant["properties"][name].clone();
        (name.to_string(), json!({ "type": "array", "items": body }))
    });
    let lists: Map<_, _> = lists.collect();
    json!({ "anyOf": [
        { "type": "object", "properties": lists, "additionalProperties": false },
        { "type": "array", "items": choice },
    ] })
}

/// One list of choices, which keeps their order.
pub(crate) fn resolved(all: &[TransformChoice]) -> toml::Value {
    let choice = |transform: &TransformChoice| {
        let Chosen { name, resolved, .. } = &transform.chosen;
        toml::Value::Table(toml::Table::from_iter([(
            name.to_string(),
            resolved.clone(),
        )]))
    };
    toml::Value::Array(all.iter().map(choice).collect())
}
