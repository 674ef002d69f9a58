//! Reading of tables that others wrote, with a sentence for everything that can be wrong with them.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

/// What is wrong with a file that was given to be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InputError {
    /// It could not be read or written.
    #[error("{path}: {source}")]
    File {
        /// Of the file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A line or a value in it cannot be what it should be.
    #[error("{path}:{line}: {what}; {expected}")]
    Line {
        /// Of the file.
        path: PathBuf,
        /// Counted from 1.
        line: u64,
        /// What is wrong, with the column and the value if it is one.
        what: String,
        /// What would be right.
        expected: String,
    },
    /// A folder or file lacks something or has it twice.
    #[error("{path}: {what}; {expected}")]
    Content {
        /// Of the folder or file.
        path: PathBuf,
        /// What is wrong.
        what: String,
        /// What would be right.
        expected: String,
    },
}

impl InputError {
    pub(crate) fn file(path: &Path, source: io::Error) -> Self {
        let path = path.to_path_buf();
        Self::File { path, source }
    }

    pub(crate) fn content(
        path: &Path,
        what: impl Into<String>,
        expected: impl Into<String>,
    ) -> Self {
        Self::Content {
            path: path.to_path_buf(),
            what: what.into(),
            expected: expected.into(),
        }
    }
}

/// A table of text with a line of column names.
pub(crate) struct TextTable {
    path: PathBuf,
    columns: Vec<String>,
    reader: csv::Reader<File>,
}

/// A row of a table.
pub(crate) struct Row<'a> {
    path: &'a Path,
    columns: &'a [String],
    record: &'a csv::StringRecord,
    pub(crate) line: u64,
}

impl TextTable {
    /// Opens a table and reads its column names.
    pub(crate) fn open(path: &Path, delimiter: u8) -> Result<Self, InputError> {
        let file = File::open(path).map_err(|source| InputError::file(path, source))?;
        let mut reader = csv::ReaderBuilder::new()
            .delimiter(delimiter)
            .trim(csv::Trim::All)
            .from_reader(file);
        let columns = reader.headers().map_err(|error| shape(path, &error))?;
        let columns: Vec<String> = columns.iter().map(str::to_owned).collect();
        Ok(Self {
            path: path.to_path_buf(),
            columns,
            reader,
        })
    }

    /// The place of a column that may be missing.
    pub(crate) fn optional(&self, column: &str) -> Option<usize> {
        self.columns.iter().position(|name| name == column)
    }

    /// The place of a column that has to be there.
    pub(crate) fn required(&self, column: &str) -> Result<usize, InputError> {
        self.optional(column).ok_or_else(|| InputError::Line {
            path: self.path.clone(),
            line: 1,
            what: format!("there is no column `{column}`"),
            expected: match self.columns.is_empty() {
                true => "the file is empty, and the names of its columns are expected first".into(),
                false => format!("the columns are {}", self.columns.join(", ")),
            },
        })
    }

    /// Refuses columns that mean nothing here, and columns that are there twice.
    pub(crate) fn only(&self, known: &[&str]) -> Result<(), InputError> {
        for (at, column) in self.columns.iter().enumerate() {
            let fault = if self.columns[..at].contains(column) {
                "is there twice"
            } else if !known.contains(&column.as_str()) {
                "means nothing"
            } else {
                continue;
            };
            return Err(InputError::Line {
                path: self.path.clone(),
                line: 1,
                what: format!("column `{column}` {fault}"),
                expected: format!("known columns are {}", known.join(", ")),
            });
        }
        Ok(())
    }

    /// Hands every row to a function, in order.
    pub(crate) fn each(
        mut self,
        mut take: impl FnMut(Row<'_>) -> Result<(), InputError>,
    ) -> Result<(), InputError> {
        let mut record = csv::StringRecord::new();
        loop {
            let more = self.reader.read_record(&mut record);
            if !more.map_err(|error| shape(&self.path, &error))? {
                return Ok(());
            }
            take(Row {
                path: &self.path,
                columns: &self.columns,
                record: &record,
                line: record.position().map_or(0, csv::Position::line),
            })?;
        }
    }
}

impl Row<'_> {
    /// The text of a cell.
    pub(crate) fn text(&self, column: usize) -> &str {
        self.record.get(column).unwrap_or_default()
    }

    /// A whole number that is not negative.
    pub(crate) fn count(&self, column: usize) -> Result<u64, InputError> {
        let expected = "a whole number such as 12 is right";
        let value = self.text(column).parse();
        value.map_err(|_| self.fault(column, "is not a whole number", expected))
    }

    /// A finite number, or nothing in an empty cell.
    pub(crate) fn number(&self, column: usize) -> Result<Option<f64>, InputError> {
        let text = self.text(column);
        if text.is_empty() {
            return Ok(None);
        }
        let expected =
            "a finite number such as 0.93 is right, or an empty cell if it was not measured";
        match text.parse::<f64>() {
            Ok(value) if value.is_finite() => Ok(Some(value)),
            Ok(_) => Err(self.fault(column, "is not finite", expected)),
            Err(_) => Err(self.fault(column, "is not a number", expected)),
        }
    }

    /// A complaint about a cell.
    pub(crate) fn fault(&self, column: usize, fault: &str, expected: &str) -> InputError {
        let (column, value) = (&self.columns[column], self.text(column));
        InputError::Line {
            path: self.path.to_path_buf(),
            line: self.line,
            what: format!("column `{column}`: `{value}` {fault}"),
            expected: expected.to_owned(),
        }
    }
}

fn shape(path: &Path, error: &csv::Error) -> InputError {
    let line = error.position().map_or(1, csv::Position::line);
    let path = path.to_path_buf();
    let (what, expected) = match error.kind() {
        csv::ErrorKind::UnequalLengths {
            expected_len, len, ..
        } => (
            format!("the row has {len} cells"),
            format!("the line of names has {expected_len}"),
        ),
        csv::ErrorKind::Utf8 { .. } => (
            "this is not text".to_owned(),
            "a table in UTF-8 is right".to_owned(),
        ),
        _ => (error.to_string(), "a readable table is right".to_owned()),
    };
    InputError::Line {
        path,
        line,
        what,
        expected,
    }
}
