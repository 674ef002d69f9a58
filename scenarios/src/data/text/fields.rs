//! What is wanted of the records of a file, and what the file is.

use super::super::DataError;
use super::super::table::{Column, Header};
use super::faults::wrong;
use super::format::Format;
use std::path::Path;

/// A field that is wanted of every record.
pub(super) struct Field<'a> {
    /// The key that names it.
    pub(super) key: &'static str,
    pub(super) column: &'a Column,
    /// Whether it is a name or a number rather than a text.
    pub(super) is_name: bool,
    /// Whether every record must have it.
    pub(super) needed: bool,
}

/// What is wanted of one record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Record {
    /// The line where it begins, counted from 1.
    pub(super) line: u64,
    /// A value for each field; none where a record lacks one that is not needed.
    pub(super) values: Vec<Option<String>>,
}

/// What a file is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Layout {
    pub(super) format: Format,
    pub(super) separator: Option<char>,
    pub(super) quotes: bool,
    pub(super) header: Header,
}

impl Layout {
    /// What the file at a path is.
    pub(super) fn format_of(&self, path: &Path) -> Result<Format, DataError> {
        if self.format != Format::Auto {
            return Ok(self.format);
        }
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let name = name.to_ascii_lowercase();
        let ending = name.trim_end_matches(".gz").rsplit_once('.');
        match ending.map_or("", |(_, ending)| ending) {
            "jsonl" | "ndjson" => Ok(Format::Jsonl),
            "csv" => Ok(Format::Csv),
            "tsv" => Ok(Format::Tsv),
            "txt" => Ok(Format::Plain),
            _ => wrong(
                "format",
                format!(
                    "is told by the ending, and that of {} says nothing: expected \"jsonl\", \"csv\", \"tsv\", \"plain\" or \"lines\"",
                    path.display()
                ),
            ),
        }
    }
}
