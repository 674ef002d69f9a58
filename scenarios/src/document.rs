//! The scenario file as a tree that still knows where everything stands.

use crate::{
    diagnostic::{Diagnostic, Fault, Sources},
    reader::{Reader, noun},
};
use std::{collections::BTreeMap, ops::Range};
use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

/// Tables that choose one of several variants: overriding one with another variant replaces it.
const CHOICES: [&str; 13] = [
    "data.features",
    "training.step_schedule",
    "data.set",
    "data.set.sms-spam.tokens",
    "data.set.text.tokens",
    "data.partition",
    "model",
    "ordering.pace",
    "scenario",
    "selection",
    "strategy",
    "training.optimizer",
    "training.schedule",
];

/// A parsed file with its overrides applied.
pub(crate) struct Document<'t> {
    root: DeTable<'t>,
}

/// Where each dotted key stands; the entries of a list of tables count as keys from 0.
#[derive(Clone, Debug, Default)]
pub(crate) struct Places {
    keys: BTreeMap<String, Range<usize>>,
    /// What a sweep lays over the file, where it stands in the file.
    over: Vec<Range<usize>>,
}

impl Places {
    /// The place of a key, or of the nearest table around it.
    pub(crate) fn find(&self, path: &str) -> Option<Range<usize>> {
        let mut path = path;
        loop {
            if let Some(span) = self.keys.get(path) {
                return Some(span.clone());
            }
            path = &path[..path.rfind('.')?];
        }
    }

    /// Whether a key was given.
    pub(crate) fn has(&self, path: &str) -> bool {
        self.keys.contains_key(path)
    }

    /// Says what a sweep lays over the file.
    pub(crate) fn lay(&mut self, over: Vec<Range<usize>>) {
        self.over = over;
    }

    /// Whether a sweep put something there.
    pub(crate) fn is_swept(&self, span: &Range<usize>) -> bool {
        let around = |over: &Range<usize>| over.start <= span.start && span.end <= over.end;
        self.over.iter().any(around)
    }

    /// Of a key or those in it, the one that was laid over the file last, and when: in the order of `laid`, which is none for what
    /// stands in the file itself. Of those of one time the outermost, and of several the last.
    pub(crate) fn last_within(
        &self,
        path: &str,
        laid: &dyn Fn(&Range<usize>) -> Option<usize>,
    ) -> Option<(usize, Range<usize>)> {
        let inside = |key: &str| {
            key.strip_prefix(path)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        };
        let late = self.keys.iter().filter(|(key, _)| inside(key));
        let late = late.filter_map(|(key, span)| Some((laid(span)?, key, span)));
        let last = late.max_by_key(|(time, key, span)| {
            let depth = key.matches('.').count();
            (*time, std::cmp::Reverse(depth), span.start, span.end)
        });
        last.map(|(time, _, span)| (time, span.clone()))
    }

    /// The key whose value stands at a place.
    pub(crate) fn key_at(&self, place: &Range<usize>) -> Option<&str> {
        let here = |(_, span): &(&String, &Range<usize>)| {
            span.start <= place.start && place.end <= span.end
        };
        let all = self.keys.iter().filter(here);
        let closest = all.min_by_key(|(key, span)| (span.len(), std::cmp::Reverse(key.len())));
        closest.map(|(key, _)| key.as_str())
    }

    /// The first place at or behind an offset of a key or of one in it.
    pub(crate) fn behind(&self, path: &str, offset: usize) -> Option<Range<usize>> {
        let inside = |key: &str| {
            key.strip_prefix(path)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        };
        let keys = self.keys.range(path.to_owned()..);
        keys.take_while(|(key, _)| key.starts_with(path))
            .filter(|(key, span)| inside(key) && span.start >= offset)
            .map(|(_, span)| span.clone())
            .next()
    }
}

/// Texts of a scenario, padded so that spans count through all of them.
pub(crate) struct Texts {
    /// For showing faults.
    pub(crate) sources: Sources,
    file: String,
    overrides: Vec<[String; 2]>,
}

impl Texts {
    /// A file's text, and overrides in the form `path.to.key=value`.
    pub(crate) fn new(name: &str, text: &str, overrides: &[String]) -> Self {
        let named = |item: &String| (format!("--set {item}"), item.clone());
        Self::of(name, text, overrides.iter().map(named))
    }

    /// A file's text, and named overrides.
    pub(crate) fn of(
        name: &str,
        text: &str,
        overrides: impl Iterator<Item = (String, String)>,
    ) -> Self {
        let mut sources = Sources::default();
        sources.push(name, text);
        let pad = |start: usize, line: String| " ".repeat(start) + &line;
        let overrides = overrides
            .map(|(name, item)| {
                let (key, value) = item.split_once('=').unwrap_or((&item, ""));
                let start = sources.push(name, item.clone());
                let quoted = format!("{key}={}", toml::Value::String(value.trim().into()));
                [pad(start, item.clone()), pad(start, quoted)]
            })
            .collect();
        Self {
            sources,
            file: text.into(),
            overrides,
        }
    }

    /// Bytes of the file; what stands behind them is an override.
    pub(crate) fn file_len(&self) -> usize {
        self.file.len()
    }

    /// Reads all texts.
    pub(crate) fn parse(&self) -> Result<Document<'_>, Diagnostic> {
        let refuse = |e: toml::de::Error, text: &str| {
            Diagnostic::new(vec![Fault::from_toml(&e, text)], &self.sources)
        };
        let file = DeTable::parse(&self.file).map_err(|e| refuse(e, &self.file))?;
        let mut root = file.into_inner();
        for [plain, quoted] in &self.overrides {
            // A value that is no TOML by itself is a string, so that shells need no second quotes.
            if !plain.contains('=') {
                let start = plain.len() - plain.trim_start().len();
                let fault = Fault::new(
                    "an override without a value",
                    "expected PATH=VALUE",
                    Some(start..plain.len()),
                );
                return Err(Diagnostic::new(vec![fault], &self.sources));
            }
            let table = DeTable::parse(plain).or_else(|error| match meant_as_toml(plain) {
                true => Err(error),
                false => DeTable::parse(quoted),
            });
            let table = table.map_err(|e| refuse(e, plain))?;
            merge(&mut root, table.into_inner(), "");
        }
        Ok(Document { root })
    }
}

/// Whether the value of an override begins as a list, a table or a text in quotes does.
fn meant_as_toml(text: &str) -> bool {
    let value = text.split_once('=').map_or("", |(_, value)| value);
    value.trim_start().starts_with(['[', '{', '"', '\''])
}

/// Whether a table chooses one of several variants. What goes with a stream stands within its table.
pub(crate) fn is_choice(path: &str) -> bool {
    let beside = |key: &str| ["method", "order", "shift", "gate"].contains(&key);
    match path
        .strip_prefix("scenario.")
        .and_then(|p| p.split_once('.'))
    {
        Some((_, key)) => beside(key),
        None => CHOICES.contains(&path),
    }
}

fn merge<'t>(into: &mut DeTable<'t>, from: DeTable<'t>, path: &str) {
    for (key, value) in from {
        let path = if path.is_empty() {
            key.get_ref().to_string()
        } else {
            format!("{path}.{}", key.get_ref())
        };
        match (
            into.get_mut(&**key.get_ref()).map(Spanned::get_mut),
            value.get_ref(),
        ) {
            (Some(DeValue::Table(mine)), DeValue::Table(theirs))
                if !is_choice(&path)
                    || theirs.keys().all(|k| mine.contains_key(&**k.get_ref())) =>
            {
                if let DeValue::Table(theirs) = value.into_inner() {
                    merge(mine, theirs, &path);
                }
            }
            _ => {
                into.remove(&**key.get_ref());
                into.insert(key, value);
            }
        }
    }
}

impl<'t> Document<'t> {
    /// The document with more tables laid over it, one after another, as overrides are.
    pub(crate) fn with(&self, layers: impl Iterator<Item = DeTable<'t>>) -> Self {
        let mut root = self.root.clone();
        layers.for_each(|layer| merge(&mut root, layer, ""));
        Self { root }
    }

    /// The whole table.
    pub(crate) fn into_root(self) -> DeTable<'t> {
        self.root
    }

    /// A text in a table of the root.
    pub(crate) fn text(&self, table: &str, key: &str) -> Option<String> {
        let value = self.root.get(table)?.get_ref().get(key)?;
        value.get_ref().as_str().map(String::from)
    }

    /// The places of all keys.
    pub(crate) fn places(&self) -> Places {
        let mut places = BTreeMap::new();
        note(&self.root, "", &mut places);
        Places {
            keys: places,
            over: Vec::new(),
        }
    }

    /// Takes a table or value out of the root.
    pub(crate) fn take(&mut self, key: &str) -> Option<Node<'t>> {
        self.root.remove(key).map(|value| Node {
            path: key.into(),
            value,
        })
    }

    /// Faults for everything that nobody took.
    pub(crate) fn leftovers(&self, known: &[&str]) -> Vec<Fault> {
        let label = format!("expected one of the tables {}", known.join(", "));
        let fault = |(key, value): (&Spanned<_>, &Spanned<DeValue<'_>>)| {
            let (name, what) = match value.get_ref() {
                DeValue::Table(_) => (key.get_ref(), "table"),
                _ => (key.get_ref(), "key"),
            };
            Fault::new(format!("unknown {what} `{name}`"), &label, Some(key.span()))
        };
        self.root.iter().map(fault).collect()
    }
}

fn note(table: &DeTable<'_>, path: &str, places: &mut BTreeMap<String, Range<usize>>) {
    for (key, value) in table {
        let path = if path.is_empty() {
            key.get_ref().to_string()
        } else {
            format!("{path}.{}", key.get_ref())
        };
        match value.get_ref() {
            DeValue::Table(inner) => {
                places.insert(path.clone(), key.span());
                note(inner, &path, places);
            }
            DeValue::Array(values) => {
                places.insert(path.clone(), value.span());
                for (index, value) in values.iter().enumerate() {
                    if let DeValue::Table(inner) = value.get_ref() {
                        let path = format!("{path}.{index}");
                        places.insert(path.clone(), value.span());
                        note(inner, &path, places);
                    }
                }
            }
            _ => {
                places.insert(path, value.span());
            }
        }
    }
}

/// A part of the document with its dotted path.
pub(crate) struct Node<'t> {
    /// Dotted path from the root.
    pub(crate) path: String,
    value: Spanned<DeValue<'t>>,
}

impl<'t> Node<'t> {
    /// A value at a path.
    pub(crate) fn new(path: String, value: Spanned<DeValue<'t>>) -> Self {
        Self { path, value }
    }

    /// Takes a key out of a table.
    pub(crate) fn take(&mut self, key: &str) -> Option<Node<'t>> {
        match self.value.get_mut() {
            DeValue::Table(table) => table.remove(key).map(|value| Node {
                path: format!("{}.{key}", self.path),
                value,
            }),
            _ => None,
        }
    }

    /// A choice of any number of variants as one choice of each.
    pub(crate) fn entries(self) -> Vec<Node<'t>> {
        let path = self.path;
        let span = self.value.span();
        match self.value.into_inner() {
            DeValue::Table(table) => table
                .into_iter()
                .map(|(key, value)| Node {
                    path: path.clone(),
                    value: Spanned::new(
                        key.span(),
                        DeValue::Table(DeTable::from_iter([(key, value)])),
                    ),
                })
                .collect(),
            other => vec![Node {
                path,
                value: Spanned::new(span, other),
            }],
        }
    }

    /// Where it stands.
    pub(crate) fn span(&self) -> Range<usize> {
        self.value.span()
    }

    /// What it holds.
    pub(crate) fn value(&self) -> &DeValue<'t> {
        self.value.get_ref()
    }

    /// What it holds, with its place.
    pub(crate) fn into_value(self) -> Spanned<DeValue<'t>> {
        self.value
    }

    /// The places of the keys of a table.
    pub(crate) fn key_spans(&self) -> Vec<Range<usize>> {
        let table = self.value.get_ref().as_table();
        table
            .into_iter()
            .flatten()
            .map(|(key, _)| key.span())
            .collect()
    }

    /// Reads a typed value.
    pub(crate) fn read<T: serde::de::DeserializeOwned>(self) -> Result<T, Fault> {
        Reader::new(&self.path, self.value).read()
    }

    /// Splits a choice into the name of its variant and the variant's table. A bare string chooses a
    /// variant with its defaults.
    pub(crate) fn choose(
        self,
        kind: &str,
        names: &[&str],
    ) -> Result<(String, Range<usize>, Node<'t>), Fault> {
        let span = self.span();
        let expected = || format!("expected one of {}", names.join(", "));
        match self.value.into_inner() {
            DeValue::String(name) => {
                let node = Node {
                    path: format!("{}.{name}", self.path),
                    value: Spanned::new(span.clone(), DeValue::Table(DeTable::new())),
                };
                Ok((name.into_owned(), span, node))
            }
            DeValue::Table(table) => {
                let mut entries = table.into_iter();
                let Some((key, value)) = entries.next() else {
                    return Err(Fault::new(
                        format!("no {kind} is chosen"),
                        expected(),
                        Some(span),
                    ));
                };
                if let Some((second, _)) = entries.next() {
                    let (first, last) = if key.span().start <= second.span().start {
                        (&key, &second)
                    } else {
                        (&second, &key)
                    };
                    let message = format!(
                        "more than one {kind}: `{}` and `{}`",
                        first.get_ref(),
                        last.get_ref()
                    );
                    return Err(Fault::new(
                        message,
                        "keep only one of them",
                        Some(last.span()),
                    ));
                }
                let name = key.get_ref().to_string();
                Ok((
                    name.clone(),
                    key.span(),
                    Node {
                        path: format!("{}.{name}", self.path),
                        value,
                    },
                ))
            }
            other => {
                let message = format!(
                    "a {kind} is chosen by a table or a word, not by {}",
                    noun(&other)
                );
                Err(Fault::new(message, expected(), Some(span)))
            }
        }
    }
}
