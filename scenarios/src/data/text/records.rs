//! Fields of the records of a file, whatever they are for.

use super::super::DataError;
use super::super::contents::Contents;
use super::super::table::Column;
use super::delimited;
use super::faults::{at, wrong};
use super::fields::{Field, Layout, Record};
use super::format::Format;
use serde_json::{Map, Value};
use std::path::Path;

/// The text of a file, plain or gzip.
pub(super) fn text_of(mut contents: Contents) -> Result<String, DataError> {
    let bytes = contents.rest()?;
    as_text(contents.path(), bytes)
}

/// Bytes as text, without the mark that some editors put before it.
pub(super) fn as_text(path: &Path, bytes: Vec<u8>) -> Result<String, DataError> {
    let text = String::from_utf8(bytes).map_err(|error| {
        let before = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let line = 1 + before.iter().filter(|&&byte| byte == b'\n').count();
        at(path, line as u64, "is not UTF-8 text")
    })?;
    Ok(match text.strip_prefix('\u{feff}') {
        Some(rest) => rest.to_owned(),
        None => text,
    })
}

/// The records of a file's text.
pub(super) fn parse(
    path: &Path,
    text: &str,
    layout: &Layout,
    fields: &[Field<'_>],
) -> Result<Vec<Record>, DataError> {
    let format = layout.format_of(path)?;
    let lines = || {
        let lines = (1..).zip(text.lines());
        lines.filter(|(_, line)| !line.trim().is_empty())
    };
    let whole = |(line, text): (u64, &str)| Record {
        line,
        values: vec![Some(text.to_owned())],
    };
    let records: Vec<Record> = match format {
        Format::Plain | Format::Lines => {
            if let Some(field) = fields.get(1) {
                let problem = "names a field, but the file holds nothing but texts: expected the format jsonl, csv or tsv";
                return wrong(field.key, problem);
            }
            match format {
                Format::Lines => lines().map(whole).collect(),
                _ if text.trim().is_empty() => Vec::new(),
                _ => vec![whole((1, text))],
            }
        }
        Format::Csv | Format::Tsv => delimited::parse(path, text, (layout, format), fields)?,
        Format::Jsonl | Format::Auto => lines()
            .map(|(line, text)| object(path, line, text, fields))
            .collect::<Result<_, _>>()?,
    };
    match records.is_empty() {
        false => Ok(records),
        true => Err(DataError::Format {
            path: path.to_path_buf(),
            problem: "has no text: expected at least one".to_owned(),
        }),
    }
}

/// The fields of a JSON object on a line.
fn object(path: &Path, line: u64, text: &str, fields: &[Field<'_>]) -> Result<Record, DataError> {
    let value: Value = serde_json::from_str(text).map_err(|error| {
        let problem = match error.is_eof() {
            true => "ends before its JSON does: expected one whole object a line".to_owned(),
            false => format!(
                "is not JSON from its byte {} on: expected one object a line, such as {{\"text\": \"...\"}}",
                error.column()
            ),
        };
        at(path, line, problem)
    })?;
    let Value::Object(object) = value else {
        let problem = format!("is {}: expected an object", kind(&value));
        return Err(at(path, line, problem));
    };
    let values = fields
        .iter()
        .map(|field| member(&object, field, |problem| at(path, line, problem)));
    Ok(Record {
        line,
        values: values.collect::<Result<_, _>>()?,
    })
}

/// The value of a field of an object.
fn member(
    object: &Map<String, Value>,
    field: &Field<'_>,
    wrong_here: impl Fn(String) -> DataError,
) -> Result<Option<String>, DataError> {
    let Column::Name(name) = field.column else {
        let problem = format!(
            "is {}: the fields of JSON objects have names, expected one",
            field.column
        );
        return wrong(field.key, problem);
    };
    let value = match object.get(name) {
        None | Some(Value::Null) if !field.needed => return Ok(None),
        None => {
            let names: Vec<String> = object.keys().map(|name| format!("`{name}`")).collect();
            let names = names.join(", ");
            let problem = format!("there is no field `{name}`: the fields are {names}");
            return Err(wrong_here(problem));
        }
        Some(value) => value,
    };
    let found = match (value, field.is_name) {
        (Value::String(text), false) => text.clone(),
        (Value::String(text), true) if text.trim().is_empty() => {
            let problem = format!("the field `{name}` is empty: expected a name or a number");
            return Err(wrong_here(problem));
        }
        (Value::String(text), true) => text.trim().to_owned(),
        (Value::Number(number), true) => number.to_string(),
        _ => {
            let expected = match field.is_name {
                true => "a string or a number",
                false => "a string",
            };
            let found = kind(value);
            let problem = format!("the field `{name}` is {found}: expected {expected}");
            return Err(wrong_here(problem));
        }
    };
    Ok(Some(found))
}

/// What a JSON value is, in words.
fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}
