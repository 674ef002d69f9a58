//! Which column of a CSV file is what, and what is wrong with its cells.

use super::labels::is_missing;
use super::table::{Column, Csv, Header};
use super::table_lines::{is_packed, line_of, opens_quote};
use super::{DataError, Place};
use ::csv::StringRecord;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// What is wrong where a quote is never closed.
const UNCLOSED: &str = "a quote (\") opens here and is never closed: close it, or leave it out";

/// Where the features that are wanted are those of a key.
pub(super) const BY_SCENARIO: &str = "the scenario names";

/// What a file is read for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// Training samples; they say which features there are, and whose they are.
    Train,
    /// Other samples of the same columns: test samples, or a real client's.
    Other,
}

/// The features that a file must have, and who says so.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wanted<'a> {
    /// Their names, where they have any.
    pub(super) names: Option<&'a [String]>,
    /// Their number.
    pub(super) width: usize,
    /// Such as "the training file has".
    pub(super) by: &'static str,
}

/// Which column is what.
pub(super) struct Layout<'a> {
    path: &'a Path,
    names: Option<StringRecord>,
    pub(super) label: usize,
    pub(super) owner: Option<usize>,
    /// Columns of the features, in the order of a sample.
    pub(super) features: Vec<usize>,
}

impl<'a> Layout<'a> {
    /// Nothing is known of a file's columns before its first line.
    pub(super) fn new(path: &'a Path) -> Self {
        Self {
            path,
            names: None,
            label: 0,
            owner: None,
            features: Vec::new(),
        }
    }

    /// Learns the columns from the first line; says whether that line held names.
    pub(super) fn begin(
        &mut self,
        set: &Csv,
        row: &StringRecord,
        part: Part,
        wanted: Option<Wanted<'_>>,
    ) -> Result<bool, DataError> {
        let by_name = |column: &Column| matches!(column, Column::Name(_));
        let named = by_name(&set.label) || set.client.as_ref().is_some_and(by_name);
        if set.header == Header::Yes || (set.header == Header::Auto && named) {
            self.names = Some(row.clone());
        }
        self.label = self.find(&set.label, row).map_err(|e| match part {
            Part::Train => e.at("label"),
            Part::Other => e,
        })?;
        self.owner = self.find_owner(set, row, part)?;
        if self.owner == Some(self.label) {
            return Err(DataError::Key {
                key: "client",
                problem: format!(
                    "is the column of the labels, {}: expected another",
                    set.label
                ),
            });
        }
        let others = || (0..row.len()).filter(|&at| at != self.label && Some(at) != self.owner);
        let mut others: Vec<usize> = others().collect();
        if others.is_empty() {
            let problem = "there is no feature: expected a column besides label and client";
            return Err(self.wrong(row, None, problem.to_owned()));
        }
        let words = others
            .iter()
            .all(|&at| row[at].trim().parse::<f64>().is_err());
        if set.header == Header::Auto && words {
            self.names = Some(row.clone());
        }
        self.check_names(row)?;
        if let Some(wanted) = wanted {
            others = self.wanted(wanted, others, row)?;
        }
        self.features = others;
        Ok(self.names.is_some())
    }

    /// The column of the owners. Only training samples need owners.
    fn find_owner(
        &self,
        set: &Csv,
        row: &StringRecord,
        part: Part,
    ) -> Result<Option<usize>, DataError> {
        let Some(column) = &set.client else {
            return Ok(None);
        };
        match (self.find(column, row), part, column) {
            (Err(_), Part::Other, Column::Name(_)) => Ok(None),
            (found, ..) => found.map(Some).map_err(|e| e.at("client")),
        }
    }

    /// Refuses names that stand for two columns.
    fn check_names(&self, row: &StringRecord) -> Result<(), DataError> {
        let Some(names) = &self.names else {
            return Ok(());
        };
        let mut seen = BTreeSet::new();
        let mut names = names.iter().map(str::trim);
        let Some(twice) = names.find(|name| !seen.insert(*name)) else {
            return Ok(());
        };
        let problem = match twice {
            "" => "two columns have no name: expected one for each".to_owned(),
            name => format!("two columns are called `{name}`: expected a name of its own for each"),
        };
        Err(self.wrong(row, None, problem))
    }

    /// The wanted features: by name where both sides have names, else all others by position.
    fn wanted(
        &self,
        wanted: Wanted<'_>,
        others: Vec<usize>,
        row: &StringRecord,
    ) -> Result<Vec<usize>, DataError> {
        let Wanted { names, width, by } = wanted;
        let at = |error: DataError| match by {
            BY_SCENARIO => error.at("features"),
            _ => error,
        };
        if let (Some(names), Some(own)) = (names, &self.names) {
            let there: BTreeMap<&str, usize> =
                others.iter().map(|&at| (own[at].trim(), at)).collect();
            if let Some(why) = self.no_feature(names) {
                let key = "features";
                return Err(DataError::Key { key, problem: why });
            }
            let place = |name: &String| {
                there.get(name.as_str()).copied().ok_or_else(|| {
                    let here: Vec<_> = others.iter().map(|&at| own[at].trim()).collect();
                    let problem = format!(
                        "there is no column `{name}`, which {by}: the features here are {}",
                        here.join(", ")
                    );
                    at(self.wrong(row, None, problem))
                })
            };
            return names.iter().map(place).collect();
        }
        if others.len() != width {
            let found = others.len();
            let plural = if found == 1 { "column" } else { "columns" };
            let problem = format!("has {found} {plural} of features: expected {width}, which {by}");
            return Err(at(self.wrong(row, None, problem)));
        }
        Ok(others)
    }

    /// Why these names cannot be those of features, if they cannot.
    fn no_feature(&self, wanted: &[String]) -> Option<String> {
        let own = self.names.as_ref()?;
        let mut seen = BTreeSet::new();
        if wanted.is_empty() {
            return Some("names no feature: expected the name of one column or more".into());
        }
        if let Some(twice) = wanted.iter().find(|name| !seen.insert(*name)) {
            return Some(format!("names `{twice}` twice: expected each once"));
        }
        let is_at = |name: &&String, at: Option<usize>| {
            at.and_then(|at| own.get(at))
                .is_some_and(|own| own.trim() == **name)
        };
        let label = wanted.iter().find(|name| is_at(name, Some(self.label)));
        let owner = wanted.iter().find(|name| is_at(name, self.owner));
        let taken = |name: &String, what: &str| {
            format!("names `{name}`, the column of the {what}: expected other columns")
        };
        let labels = label.map(|name| taken(name, "labels"));
        labels.or_else(|| owner.map(|name| taken(name, "owners")))
    }

    /// Names of the features, if the first line holds names.
    pub(super) fn feature_names(&self) -> Option<Vec<String>> {
        let names = self.names.as_ref()?;
        let name = |&at: &usize| names[at].trim().to_owned();
        Some(self.features.iter().map(name).collect())
    }

    fn find(&self, column: &Column, row: &StringRecord) -> Result<usize, DataError> {
        let at = match (column, &self.names) {
            (Column::Number(number), _) => Some(*number as usize).filter(|&at| at < row.len()),
            (Column::Name(name), Some(names)) => {
                names.iter().position(|other| other.trim() == name)
            }
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
                let names: Vec<&str> = names.iter().map(str::trim).collect();
                let names = names.join(", ");
                // One column whose name holds another separator is a whole line.
                let separator = [';', '\t', '|', ',']
                    .into_iter()
                    .find(|c| names.contains(*c));
                let hint = match separator.filter(|_| columns == 1) {
                    Some(other) => format!(
                        "; if {other:?} divides its values, say `separator = {:?}`",
                        other.to_string()
                    ),
                    None => String::new(),
                };
                format!("there is no column `{name}`: the names are {names}{hint}")
            }
            (Column::Name(name), None) => {
                format!(
                    "the column `{name}` is given by name, but `header = \"no\"`: give its number"
                )
            }
        }
    }

    /// The number in a feature's cell.
    pub(super) fn number(&self, row: &StringRecord, at: usize) -> Result<f64, DataError> {
        let cell = row[at].trim();
        match cell.parse::<f64>() {
            Ok(value) if value.is_finite() => Ok(value),
            _ => Err(self.wrong(row, Some(at), self.no_number(row, cell))),
        }
    }

    /// The text in the cell of a label or an owner.
    pub(super) fn name<'r>(&self, row: &'r StringRecord, at: usize) -> Result<&'r str, DataError> {
        let cell = row[at].trim();
        let problem = match cell.parse::<f64>() {
            _ if cell.is_empty() => "is empty: expected a name or a number".to_owned(),
            Ok(value) if !value.is_finite() => {
                format!("`{cell}` is no value: expected a name or a number")
            }
            _ => return Ok(cell),
        };
        Err(self.wrong(row, Some(at), problem))
    }

    fn no_number(&self, row: &StringRecord, cell: &str) -> String {
        if cell.is_empty() {
            return "is empty: expected a number in every cell; fill it, or leave its row out"
                .into();
        }
        let first = row
            .position()
            .is_some_and(|position| position.record() == 0);
        let hint = match cell {
            _ if first => "; if the first line holds names, say `header = \"yes\"`",
            cell if cell.contains(',') => ": expected a decimal point, as in 0.5",
            cell if is_missing(cell) => {
                ": expected a number in every cell; fill it, or leave its row out"
            }
            _ if self.names.is_some() => {
                ": expected a number; with `features` a column is left out, with `client` it names owners"
            }
            _ => ": expected a number",
        };
        format!("`{cell}` is not a finite number{hint}")
    }

    /// Refuses a row that swallows the rest of the file behind a quote which nothing closes.
    pub(super) fn must_close(&self, row: &StringRecord) -> Result<(), DataError> {
        let broken = row.iter().any(|cell| cell.contains('\n'));
        let open = |row: &StringRecord| {
            let place = row.position();
            place.is_some_and(|place| opens_quote(self.path, place.byte()))
        };
        match broken && open(row) {
            false => Ok(()),
            true => Err(self.wrong(row, None, UNCLOSED.to_owned())),
        }
    }

    /// An error about a row, or about one of its cells.
    pub(super) fn wrong(
        &self,
        row: &StringRecord,
        at: Option<usize>,
        problem: String,
    ) -> DataError {
        let name = |at| match self.names.as_ref().and_then(|names| names.get(at)) {
            Some(name) => format!("`{}`", name.trim()),
            None => at.to_string(),
        };
        let within = row
            .iter()
            .take(at.unwrap_or(0))
            .map(|cell| cell.matches('\n').count());
        let start = row
            .position()
            .map_or(1, |place| line_of(self.path, place.byte()));
        DataError::Cell {
            path: self.path.to_path_buf(),
            place: Place {
                line: start + within.sum::<usize>() as u64,
                column: at.map(name),
            },
            problem,
        }
    }

    /// What the CSV reader found wrong.
    pub(super) fn broken(&self, error: ::csv::Error) -> DataError {
        let line = error
            .position()
            .map_or(1, |place| line_of(self.path, place.byte()));
        let problem = match error.into_kind() {
            ::csv::ErrorKind::Io(source) => {
                return DataError::Read {
                    path: self.path.to_path_buf(),
                    source,
                };
            }
            ::csv::ErrorKind::UnequalLengths { pos, .. }
                if pos
                    .as_ref()
                    .is_some_and(|pos| opens_quote(self.path, pos.byte())) =>
            {
                UNCLOSED.to_owned()
            }
            ::csv::ErrorKind::UnequalLengths {
                expected_len, len, ..
            } => {
                format!("has {len} values: expected {expected_len}, as in the first line")
            }
            ::csv::ErrorKind::Utf8 { .. } if is_packed(self.path) => {
                "is packed: unpack the file first".to_owned()
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
