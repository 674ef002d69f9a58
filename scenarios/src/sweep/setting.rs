//! Keys of the table with their values.

use crate::{
    diagnostic::Fault,
    label::{is_plain, short},
    reader::noun,
};
use std::{borrow::Cow, ops::Range};
use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

/// A key with one value.
#[derive(Clone)]
pub(super) struct Setting<'t> {
    pub(super) path: String,
    pub(super) at: Range<usize>,
    pub(super) value: Spanned<DeValue<'t>>,
}

/// A key with the values that it takes in turn.
pub(super) struct Axis<'t> {
    pub(super) path: String,
    pub(super) at: Range<usize>,
    pub(super) values: Vec<Spanned<DeValue<'t>>>,
}

impl<'t> Setting<'t> {
    /// A key that may be swept, with its value.
    pub(super) fn new(
        path: &str,
        at: Range<usize>,
        value: Spanned<DeValue<'t>>,
    ) -> Result<Self, Fault> {
        if path
            .split('.')
            .any(|word| word.trim() != word || word.is_empty())
        {
            let message = format!("`{path}` is no key");
            return Err(Fault::new(
                message,
                "expected such as training.rate",
                Some(at),
            ));
        }
        let whose = match path {
            "run.seed" => "sweep.seeds lists the seeds",
            "run.name" => "a run is named by its label",
            "run" | "sweep" => "name keys inside it",
            _ => {
                let path = path.to_owned();
                return Ok(Self { path, at, value });
            }
        };
        Err(Fault::new(
            format!("`{path}` cannot be swept"),
            whose,
            Some(at),
        ))
    }

    /// The same as a list of values.
    pub(super) fn axis(self) -> Result<Axis<'t>, Fault> {
        let span = self.value.span();
        let expected = "expected a list of values, such as [0.1, 0.01]";
        let refuse = |message: String| Fault::new(message, expected, Some(span.clone()));
        let values = match self.value.get_ref() {
            DeValue::Array(values) if values.is_empty() => {
                return Err(refuse(format!("`{}` has no values", self.path)));
            }
            DeValue::Array(values) => values.to_vec(),
            other => {
                return Err(refuse(format!("`{}` is {}", self.path, noun(other))));
            }
        };
        Ok(Axis {
            path: self.path,
            at: self.at,
            values,
        })
    }

    /// As the tree that `--set` would make of it.
    pub(super) fn tree(&self) -> DeTable<'t> {
        let mut value = self.value.clone();
        for word in self.path.rsplit('.') {
            let key = Spanned::new(self.at.clone(), Cow::Owned(word.to_owned()));
            let table = DeTable::from_iter([(key, value)]);
            value = Spanned::new(self.at.clone(), DeValue::Table(table));
        }
        match value.into_inner() {
            DeValue::Table(table) => table,
            _ => DeTable::new(),
        }
    }

    /// Its part of a label.
    pub(super) fn part(&self, key: &str) -> String {
        let safe = |c: char| if is_plain(c) && c != ',' { c } else { '_' };
        let value: String = short(self.value.get_ref()).chars().map(safe).collect();
        format!("{key}={value}")
    }

    /// The key with its value as a short text.
    pub(super) fn shown(&self) -> (String, String) {
        (self.path.clone(), short(self.value.get_ref()))
    }
}

/// The keys of a table with dotted paths. Tables in it are entered unless they are empty or `whole`.
pub(super) fn settings<'t>(
    table: DeTable<'t>,
    span: &Range<usize>,
    path: &str,
    whole: fn(&str) -> bool,
) -> Result<Vec<Setting<'t>>, Fault> {
    let mut found = Vec::new();
    for (key, value) in table {
        let at = key_span(&key, span);
        let path = match path {
            "" => key.get_ref().to_string(),
            path => format!("{path}.{}", key.get_ref()),
        };
        match value.get_ref().as_table() {
            Some(inner) if !inner.is_empty() && !whole(&path) => {
                let (inner, span) = expect_table(value, "", "")?;
                found.extend(settings(inner, &span, &path, whole)?);
            }
            _ => found.push(Setting::new(&path, at, value)?),
        }
    }
    Ok(found)
}

/// Where a key stands; one that was made of a dotted one stands where its table does.
pub(super) fn key_span(key: &Spanned<Cow<'_, str>>, table: &Range<usize>) -> Range<usize> {
    if key.span().is_empty() {
        table.clone()
    } else {
        key.span()
    }
}

/// The table that a value has to be; `what` it is and what it `holds` are for the fault.
pub(super) fn expect_table<'t>(
    value: Spanned<DeValue<'t>>,
    what: &str,
    holds: &str,
) -> Result<(DeTable<'t>, Range<usize>), Fault> {
    let span = value.span();
    match value.into_inner() {
        DeValue::Table(table) => Ok((table, span)),
        other => {
            let message = format!("{what} is {}", noun(&other));
            let label = format!("expected a table of {holds}");
            Err(Fault::new(message, label, Some(span)))
        }
    }
}
