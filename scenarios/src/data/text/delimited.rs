//! Records of a table whose values stand between commas, tabs or the like.

use super::super::table::{Column, Header};
use super::super::{DataError, Place};
use super::faults::{at, wrong};
use super::fields::{Field, Layout, Record};
use super::format::Format;
use ::csv::{Error, ErrorKind, Reader, ReaderBuilder, StringRecord};
use std::path::Path;

/// What is wrong where a quote is never closed.
const UNCLOSED: &str = "a quote (\") opens here and is never closed: close it, or say `quotes = false` if quotes are characters as any other";

/// The records of a table's text.
pub(super) fn parse(
    path: &Path,
    text: &str,
    (layout, format): (&Layout, Format),
    fields: &[Field<'_>],
) -> Result<Vec<Record>, DataError> {
    let mut table = Table {
        path,
        bytes: text.as_bytes(),
        lines: Lines::default(),
        quotes: layout.quotes,
        names: None,
        columns: Vec::new(),
    };
    let mut reader = open(text, layout, format)?;
    let mut row = StringRecord::new();
    let mut records = Vec::new();
    let mut first = true;
    while reader
        .read_record(&mut row)
        .map_err(|error| table.broken(error))?
    {
        let line = table.line(&row)?;
        if std::mem::take(&mut first) {
            table.begin(layout.header, &row, fields)?;
            if table.names.is_some() {
                continue;
            }
        }
        records.push(table.record(line, &row, fields)?);
    }
    Ok(records)
}

fn open<'t>(text: &'t str, layout: &Layout, format: Format) -> Result<Reader<&'t [u8]>, DataError> {
    let separator = layout.separator.unwrap_or(match format {
        Format::Tsv => '\t',
        _ => ',',
    });
    if !separator.is_ascii() {
        let problem = format!("is `{separator}`: expected an ASCII character");
        return wrong("separator", problem);
    }
    let mut builder = ReaderBuilder::new();
    builder
        .has_headers(false)
        .delimiter(separator as u8)
        .quoting(layout.quotes);
    Ok(builder.from_reader(text.as_bytes()))
}

struct Table<'a> {
    path: &'a Path,
    bytes: &'a [u8],
    lines: Lines,
    quotes: bool,
    names: Option<StringRecord>,
    /// Column of each field.
    columns: Vec<Option<usize>>,
}

impl Table<'_> {
    /// Learns the columns from the first row.
    fn begin(
        &mut self,
        header: Header,
        row: &StringRecord,
        fields: &[Field<'_>],
    ) -> Result<(), DataError> {
        let named = |field: &Field<'_>| matches!(field.column, Column::Name(_));
        if header == Header::Yes || (header == Header::Auto && fields.iter().any(named)) {
            self.names = Some(row.clone());
        }
        let find = |field: &Field<'_>| match (field.column, &self.names) {
            (Column::Number(number), _) => Some(*number as usize).filter(|&at| at < row.len()),
            (Column::Name(name), Some(names)) => {
                names.iter().position(|other| other.trim() == name)
            }
            (Column::Name(_), None) => None,
        };
        for field in fields {
            let column = find(field);
            if column.is_none() && (field.needed || self.names.is_none()) {
                return Err(at(self.path, 1, self.no_column(field, row.len())));
            }
            self.columns.push(column);
        }
        Ok(())
    }

    fn no_column(&self, field: &Field<'_>, columns: usize) -> String {
        match (field.column, &self.names) {
            (Column::Number(number), _) => format!(
                "there is no column {number}: the numbers go from 0 to {}",
                columns.saturating_sub(1)
            ),
            (name, Some(names)) => {
                let names: Vec<&str> = names.iter().map(str::trim).collect();
                let key = field.key;
                format!(
                    "there is no column {name}, where `{key}` is looked for: the names are {}",
                    names.join(", ")
                )
            }
            (name, None) => {
                format!(
                    "the column {name} is given by name, but `header = \"no\"`: give its number"
                )
            }
        }
    }

    /// The line where a row begins. Refuses a row that swallows the rest of the file after a quote which nothing closes.
    fn line(&mut self, row: &StringRecord) -> Result<u64, DataError> {
        let byte = row.position().map_or(0, |place| place.byte());
        let line = self.lines.at(self.bytes, byte);
        let broken = row.iter().any(|cell| cell.contains('\n'));
        match broken && self.opens_quote(byte) {
            false => Ok(line),
            true => Err(at(self.path, line, UNCLOSED)),
        }
    }

    fn opens_quote(&self, byte: u64) -> bool {
        let rest = self.bytes.get(byte as usize..).unwrap_or_default();
        self.quotes && rest.iter().filter(|&&byte| byte == b'"').count() % 2 == 1
    }

    fn record(
        &self,
        line: u64,
        row: &StringRecord,
        fields: &[Field<'_>],
    ) -> Result<Record, DataError> {
        let value = |(field, column): (&Field<'_>, &Option<usize>)| {
            let Some(column) = *column else {
                return Ok(None);
            };
            let cell = match field.is_name {
                true => row[column].trim(),
                false => &row[column],
            };
            match field.is_name && cell.is_empty() {
                false => Ok(Some(cell.to_owned())),
                true => Err(DataError::Cell {
                    path: self.path.to_path_buf(),
                    place: Place {
                        line,
                        column: Some(self.name(column)),
                    },
                    problem: "is empty: expected a name or a number".to_owned(),
                }),
            }
        };
        let values = fields.iter().zip(&self.columns).map(value);
        Ok(Record {
            line,
            values: values.collect::<Result<_, _>>()?,
        })
    }

    fn name(&self, column: usize) -> String {
        match self.names.as_ref().and_then(|names| names.get(column)) {
            Some(name) => format!("`{}`", name.trim()),
            None => column.to_string(),
        }
    }

    fn broken(&mut self, error: Error) -> DataError {
        let byte = error.position().map_or(0, |place| place.byte());
        let line = self.lines.at(self.bytes, byte);
        let problem = match error.into_kind() {
            ErrorKind::UnequalLengths { .. } if self.opens_quote(byte) => UNCLOSED.to_owned(),
            ErrorKind::UnequalLengths {
                expected_len, len, ..
            } => format!("has {len} values: expected {expected_len}, as in the first line"),
            _ => "is not a table".to_owned(),
        };
        at(self.path, line, problem)
    }
}

/// Lines of a text, as an editor counts them, asked for from its beginning on.
#[derive(Default)]
struct Lines {
    byte: usize,
    ends: u64,
    before: u8,
}

impl Lines {
    /// The line of the record that the reader began at this byte. The reader leaves the second half of a line end, and
    /// empty lines, to the record that follows; they are stepped over.
    fn at(&mut self, bytes: &[u8], byte: u64) -> u64 {
        while let Some(&next) = bytes.get(self.byte) {
            let ends = matches!(next, b'\n' | b'\r');
            if self.byte as u64 >= byte && !ends {
                break;
            }
            self.ends += u64::from(ends && !(next == b'\n' && self.before == b'\r'));
            self.before = next;
            self.byte += 1;
        }
        1 + self.ends
    }
}
