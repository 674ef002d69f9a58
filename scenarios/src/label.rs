//! What points are called, and which of them are compared.

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
};
use toml::{Spanned, de::DeValue};

/// Bytes of a label at most: it names a folder.
pub(crate) const LONGEST_LABEL: usize = 200;
/// What a label, and any run's name, may hold.
pub(crate) const LABEL: &str = "letters, digits and `-_.=,+`, not starting with a dot";

/// The same as a pattern of JSON Schema.
pub(crate) const PATTERN: &str = "^[A-Za-z0-9_=,+-][A-Za-z0-9._=,+-]*$";

/// Whether a character may stand in a label.
pub(crate) fn is_plain(c: char) -> bool {
    c.is_ascii_alphanumeric() || "-_.=,+".contains(c)
}

/// Whether text can name a run and its folder.
pub(crate) fn is_label(text: &str) -> bool {
    !text.is_empty() && !text.starts_with('.') && text.chars().all(is_plain)
}

/// A value in a few characters: `{ fed_prox = { mu = 0.1 } }` is `fed_prox+mu=0.1`.
pub(crate) fn short(value: &DeValue<'_>) -> String {
    let join = |parts: Vec<String>| parts.join("+");
    match value {
        DeValue::String(text) => text.to_string(),
        DeValue::Integer(number) => number.to_string(),
        DeValue::Float(number) => number.to_string(),
        DeValue::Boolean(truth) => truth.to_string(),
        DeValue::Datetime(time) => time.to_string(),
        DeValue::Array(values) => join(values.iter().map(|v| short(v.get_ref())).collect()),
        DeValue::Table(table) => {
            let mut entries: Vec<_> = table.iter().collect();
            entries.sort_by_key(|(key, _)| key.span().start);
            let entry = |(key, value): (&Spanned<Cow<'_, str>>, &Spanned<DeValue<'_>>)| {
                let (key, inner) = (key.get_ref(), short(value.get_ref()));
                match value.get_ref() {
                    DeValue::Table(table) if table.is_empty() => key.to_string(),
                    DeValue::Table(_) => format!("{key}+{inner}"),
                    _ => format!("{key}={inner}"),
                }
            };
            join(entries.into_iter().map(entry).collect())
        }
    }
}

/// What each label is compared with: `baseline`, or the first label. Where `baseline` is no label, it names parts of
/// labels, and a label is compared with the one that has these parts and is otherwise the same: with
/// `strategy=fed_avg`, the label `rate=0.1,strategy=fed_prox` goes against `rate=0.1,strategy=fed_avg`. Empty if there is
/// nothing to compare with.
pub fn baselines(labels: &[&str], baseline: Option<&str>) -> BTreeMap<String, String> {
    let known: BTreeSet<&str> = labels.iter().copied().collect();
    let Some(wanted) = baseline.or(labels.first().copied()) else {
        return BTreeMap::new();
    };
    let other = |label: &str| match known.contains(wanted) {
        true => Some(wanted.to_owned()),
        false => with_parts(label, wanted).filter(|other| known.contains(other.as_str())),
    };
    labels
        .iter()
        .filter_map(|label| Some(((*label).to_owned(), other(label)?)))
        .collect()
}

/// A label with some of its parts replaced; `None` if it has no part of such a key.
fn with_parts(label: &str, parts: &str) -> Option<String> {
    let key = |part: &str| part.split('=').next().unwrap_or_default().to_owned();
    let mut new: BTreeMap<String, &str> = parts.split(',').map(|p| (key(p), p)).collect();
    let replaced: Vec<&str> = label
        .split(',')
        .map(|part| new.remove(&key(part)).unwrap_or(part))
        .collect();
    new.is_empty().then(|| replaced.join(","))
}
