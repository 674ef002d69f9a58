//! Documents as JSON values, written as TOML with every root key on a line of its own, so that the place of each value
//! is known.

use serde_json::{Map, Value};
use std::ops::Range;

/// A step into a document, or into its schema.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Step {
    /// A key of a table.
    Key(String),
    /// A value of a list.
    Item(usize),
    /// One of the schema's choices; no step in the document.
    Branch(usize),
}

/// What stands for a date, which JSON lacks.
pub(crate) const DATE: &str = "\u{1}date";

/// A document as TOML, and where the value at a path stands.
pub(crate) fn toml_of(document: &Value, path: &[Step]) -> (String, Range<usize>) {
    let mut out = Writer {
        text: String::new(),
        at: 0..0,
    };
    let path: Vec<&Step> = path
        .iter()
        .filter(|step| !matches!(step, Step::Branch(_)))
        .collect();
    for (key, value) in document.as_object().expect("a document is a table") {
        out.text += &format!("{} = ", quoted(key));
        out.value(value, inside(Some(&path), &Step::Key(key.clone())));
        out.text.push('\n');
    }
    (out.text, out.at)
}

struct Writer {
    text: String,
    at: Range<usize>,
}

/// What is left of a path behind a step that it takes.
fn inside<'a, 'b>(path: Option<&'a [&'b Step]>, step: &Step) -> Option<&'a [&'b Step]> {
    let (first, rest) = path?.split_first()?;
    (*first == step).then_some(rest)
}

impl Writer {
    fn value(&mut self, value: &Value, path: Option<&[&Step]>) {
        let start = self.text.len();
        match value {
            Value::Object(table) => self.table(table, path),
            Value::Array(values) => self.list(values, path),
            Value::String(text) if text == DATE => self.text += "2024-05-06",
            Value::String(text) => self.text += &quoted(text),
            other => self.text += &other.to_string(),
        }
        if path.is_some_and(<[_]>::is_empty) {
            self.at = start..self.text.len();
        }
    }

    fn table(&mut self, table: &Map<String, Value>, path: Option<&[&Step]>) {
        self.text.push('{');
        for (index, (key, value)) in table.iter().enumerate() {
            let comma = if index > 0 { ", " } else { " " };
            self.text += &format!("{comma}{} = ", quoted(key));
            self.value(value, inside(path, &Step::Key(key.clone())));
        }
        self.text += " }";
    }

    fn list(&mut self, values: &[Value], path: Option<&[&Step]>) {
        self.text.push('[');
        for (index, value) in values.iter().enumerate() {
            if index > 0 {
                self.text += ", ";
            }
            self.value(value, inside(path, &Step::Item(index)));
        }
        self.text.push(']');
    }
}

fn quoted(text: &str) -> String {
    let plain = |c: char| c.is_ascii_graphic() && c != '"' && c != '\\' || c == ' ';
    assert!(text.chars().all(plain), "{text:?} needs escapes");
    format!("\"{text}\"")
}
