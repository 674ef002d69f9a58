//! Which column of a CSV file is what, and what is wrong with its cells.

use super::table::{Column, Csv, Header};
use super::{DataError, Place};
use ::csv::StringRecord;
use std::path::Path;

/// Which column is what.
pub(super) struct Layout<'a> {
    path: &'a Path,
    names: Option<StringRecord>,
    pub(super) label: usize,
    pub(super) owner: Option<usize>,
}

impl<'a> Layout<'a> {
    /// Nothing is known of a file's columns before its first line.
    pub(super) fn new(path: &'a Path) -> Self {
        Self {
            path,
            names: None,
            label: 0,
            owner: None,
        }
    }

    /// Learns the columns from the first line; says whether that line held names.
    pub(super) fn begin(&mut self, set: &Csv, row: &StringRecord) -> Result<bool, DataError> {
        let by_name = |column: &Column| matches!(column, Column::Name(_));
        let named = by_name(&set.label) || set.client.as_ref().is_some_and(by_name);
        if set.header == Header::Yes || (set.header == Header::Auto && named) {
            self.names = Some(row.clone());
        }
        self.label = self.find(&set.label, row)?;
        self.owner = set
            .client
            .as_ref()
            .map(|column| self.find(column, row))
            .transpose()?;
        if self.owner == Some(self.label) {
            return Err(DataError::Key {
                key: "client",
                problem: format!(
                    "is the column of the labels, {}: expected another",
                    set.label
                ),
            });
        }
        if !(0..row.len()).any(|at| self.is_feature(at)) {
            let problem = "there is no feature: expected a column besides label and client";
            return Err(self.wrong(row, None, problem.to_owned()));
        }
        let number = |at: usize| row[at].parse::<f32>().is_ok();
        let words = (0..row.len()).all(|at| !self.is_feature(at) || !number(at));
        if set.header == Header::Auto && words {
            self.names = Some(row.clone());
        }
        Ok(self.names.is_some())
    }

    /// Names of the features, if the first line holds names.
    pub(super) fn features(&self) -> Option<Vec<String>> {
        let names = self.names.as_ref()?.iter().enumerate();
        let features = names.filter(|&(at, _)| self.is_feature(at));
        Some(features.map(|(_, name)| name.to_owned()).collect())
    }

    fn is_feature(&self, at: usize) -> bool {
        at != self.label && Some(at) != self.owner
    }

    fn find(&self, column: &Column, row: &StringRecord) -> Result<usize, DataError> {
        let at = match (column, &self.names) {
            (Column::Number(number), _) => Some(*number as usize).filter(|&at| at < row.len()),
            (Column::Name(name), Some(names)) => names.iter().position(|other| other == name),
            (Column::Name(_), None) => None,
        };
        at.ok_or_else(|| self.wrong(row, None, self.no_column(column, row.len())))
    }

    fn no_column(&self, column: &Column, columns: usize) -> String {
        match (column, &self.names) {
            (Column::Number(number), _) => {
                format!(
                    "there is no column {number}: the numbers go from 0 to {}",
                    columns.saturating_sub(1)
                )
            }
            (Column::Name(name), Some(names)) => {
                let names: Vec<&str> = names.iter().collect();
                format!(
                    "there is no column `{name}`: the names are {}",
                    names.join(", ")
                )
            }
            (Column::Name(name), None) => {
                format!(
                    "the column `{name}` is given by name, but `header = \"no\"`: give its number"
                )
            }
        }
    }

    /// Appends the features of a row, and checks its other cells.
    pub(super) fn append(
        &self,
        row: &StringRecord,
        features: &mut Vec<f32>,
    ) -> Result<(), DataError> {
        for (at, cell) in row.iter().enumerate() {
            let feature = self.is_feature(at);
            match cell.parse::<f32>() {
                Ok(value) if feature && value.is_finite() => features.push(value),
                _ if feature => return Err(self.wrong(row, Some(at), self.no_number(row, cell))),
                _ if cell.is_empty() => {
                    let problem = "is empty: expected a name or a number".to_owned();
                    return Err(self.wrong(row, Some(at), problem));
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn no_number(&self, row: &StringRecord, cell: &str) -> String {
        let first = row
            .position()
            .is_some_and(|position| position.record() == 0);
        let hint = if first {
            "; if the first line holds names, say `header = \"yes\"`"
        } else {
            ""
        };
        format!("`{cell}` is not a finite number{hint}")
    }

    fn wrong(&self, row: &StringRecord, at: Option<usize>, problem: String) -> DataError {
        let name = |at| match self.names.as_ref().and_then(|names| names.get(at)) {
            Some(name) => format!("`{name}`"),
            None => at.to_string(),
        };
        DataError::Cell {
            path: self.path.to_path_buf(),
            place: Place {
                line: row.position().map_or(1, ::csv::Position::line),
                column: at.map(name),
            },
            problem,
        }
    }

    /// What the CSV reader found wrong.
    pub(super) fn broken(&self, error: ::csv::Error) -> DataError {
        let line = error.position().map_or(1, ::csv::Position::line);
        let problem = match error.into_kind() {
            ::csv::ErrorKind::Io(source) => {
                return DataError::Read {
                    path: self.path.to_path_buf(),
                    source,
                };
            }
            ::csv::ErrorKind::UnequalLengths {
                expected_len, len, ..
            } => {
                format!("has {len} values: expected {expected_len}, as in the first line")
            }
            ::csv::ErrorKind::Utf8 { .. } => "is not UTF-8 text".to_owned(),
            _ => "is not CSV".to_owned(),
        };
        DataError::Cell {
            path: self.path.to_path_buf(),
            place: Place { line, column: None },
            problem,
        }
    }
}
