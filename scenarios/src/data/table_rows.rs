//! The rows of a CSV file, in 64-bit numbers.

use super::labels::Labels;
use super::table::Csv;
use super::table_layout::{Layout, Part, Wanted};
use super::table_lines::line_of;
use super::{DataError, Place};
use ::csv::{Reader, ReaderBuilder, StringRecord};
use lyceum_core::units::Fraction;
use lyceum_core::{Purpose, Seed, shuffle};
use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};

/// From here on not every integer has a floating-point number of its own.
const EXACT: f64 = (1_u64 << 53) as f64;

/// The contents of one file.
#[derive(Clone, Debug, Default)]
pub(super) struct Rows {
    pub(super) path: PathBuf,
    /// Names of the features, if the file holds them.
    pub(super) names: Option<Vec<String>>,
    /// Features per row; unknown while there is no row and no name.
    pub(super) width: usize,
    pub(super) values: Vec<f64>,
    /// Of each feature, the largest error of `values` against what the file says.
    pub(super) lost: Vec<f64>,
    /// Of each value that is too large for 32 bits, as its bits, the byte at which its first row begins, by column.
    huge: BTreeMap<(usize, u64), u64>,
    /// Number of each row's label.
    pub(super) labels: Vec<u32>,
    /// Number of each row's owner; empty without an owner column.
    pub(super) owners: Vec<u32>,
    /// Names of the owners.
    pub(super) owner_names: Vec<String>,
}

impl Rows {
    /// Reads a file as the set describes it.
    pub(super) fn read(
        set: &Csv,
        path: &Path,
        part: Part,
        wanted: Option<Wanted<'_>>,
        labels: &mut Labels,
    ) -> Result<Self, DataError> {
        let mut reader = open(set.separator, path)?;
        let mut row = StringRecord::new();
        let mut layout = Layout::new(path);
        let mut rows = Self {
            path: path.to_path_buf(),
            ..Self::default()
        };
        let mut owners = BTreeMap::new();
        let mut first = true;
        while reader
            .read_record(&mut row)
            .map_err(|error| layout.broken(error))?
        {
            layout.must_close(&row)?;
            if std::mem::take(&mut first) && layout.begin(set, &row, part, wanted)? {
                continue;
            }
            rows.append(&layout, &row, (labels, set.classes.is_some()))?;
            if let Some(at) = layout.owner {
                rows.append_owner(layout.name(&row, at)?, &mut owners);
            }
        }
        rows.width = layout.features.len();
        rows.lost.resize(rows.width, 0.0);
        rows.names = layout.feature_names();
        Ok(rows)
    }

    fn append(
        &mut self,
        layout: &Layout<'_>,
        row: &StringRecord,
        (labels, given): (&mut Labels, bool),
    ) -> Result<(), DataError> {
        for (column, &at) in layout.features.iter().enumerate() {
            let value = layout.number(row, at)?;
            if value.abs() >= EXACT {
                self.lost.resize(layout.features.len(), 0.0);
                self.lost[column] = self.lost[column].max(error_of(row[at].trim(), value));
                if !(value as f32).is_finite() {
                    let byte = row.position().map_or(0, |place| place.byte());
                    self.huge.entry((column, value.to_bits())).or_insert(byte);
                }
            }
            self.values.push(value);
        }
        let label = layout.name(row, layout.label)?;
        let number = labels.number(label).ok_or_else(|| {
            let problem = format!("`{label}` is no class: expected {}", labels.expected());
            let error = layout.wrong(row, Some(layout.label), problem);
            match given {
                true => error.at("classes"),
                false => error,
            }
        })?;
        self.labels.push(number);
        Ok(())
    }

    fn append_owner(&mut self, owner: &str, numbers: &mut BTreeMap<String, u32>) {
        let next = self.owner_names.len() as u32;
        let number = numbers.get(owner).copied().unwrap_or_else(|| {
            numbers.insert(owner.to_owned(), next);
            self.owner_names.push(owner.to_owned());
            next
        });
        self.owners.push(number);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// What a feature is called in messages.
    pub(super) fn name(&self, column: usize) -> String {
        match &self.names {
            Some(names) => format!("`{}`", names[column]),
            None => column.to_string(),
        }
    }

    /// A value that is too large for a model as it is `shown` to it.
    pub(super) fn too_large(&self, column: usize, value: f64, shown: f64) -> DataError {
        let path = self.path.clone();
        let most = "a model takes values up to 3.4e38";
        match self.huge.get(&(column, value.to_bits())) {
            Some(&byte) => DataError::Cell {
                place: Place {
                    line: line_of(&path, byte),
                    column: Some(self.name(column)),
                },
                problem: format!("{value:e} is too large: {most}"),
                path,
            },
            None => DataError::Format {
                path,
                problem: format!(
                    "the column {} comes to {shown:e}: {most}",
                    self.name(column)
                ),
            },
        }
    }

    /// The values of one feature.
    pub(super) fn column(&self, column: usize) -> impl Iterator<Item = f64> + Clone + '_ {
        self.values
            .iter()
            .skip(column)
            .step_by(self.width.max(1))
            .copied()
    }

    /// Training and test rows, each in the order of the file; the same ones whatever the seed.
    pub(super) fn split(self, test: Fraction) -> (Self, Self) {
        let amount = (self.labels.len() as f64 * test.get()).round() as usize;
        let mut order: Vec<usize> = (0..self.labels.len()).collect();
        shuffle(&mut order, &mut Seed(0).once(Purpose::DATA));
        let mut train = order.split_off(amount);
        order.sort_unstable();
        train.sort_unstable();
        (self.pick(&train), self.pick(&order))
    }

    fn pick(&self, rows: &[usize]) -> Self {
        let values = |&row: &usize| &self.values[row * self.width..(row + 1) * self.width];
        let owners = rows.iter().filter_map(|&row| self.owners.get(row).copied());
        Self {
            path: self.path.clone(),
            names: self.names.clone(),
            width: self.width,
            values: rows.iter().flat_map(values).copied().collect(),
            lost: self.lost.clone(),
            huge: self.huge.clone(),
            labels: rows.iter().map(|&row| self.labels[row]).collect(),
            owners: owners.collect(),
            owner_names: self.owner_names.clone(),
        }
    }
}

/// How far a large value is from the integer that its text is.
fn error_of(text: &str, value: f64) -> f64 {
    let exact = text.parse::<i128>();
    exact.map_or(0.0, |exact| exact.abs_diff(value as i128) as f64)
}

fn open(separator: char, path: &Path) -> Result<Reader<File>, DataError> {
    if !separator.is_ascii() {
        return Err(DataError::Key {
            key: "separator",
            problem: format!("is `{separator}`: expected an ASCII character"),
        });
    }
    let file = File::open(path).map_err(|source| DataError::Read {
        path: path.to_path_buf(),
        source,
    })?;
    let mut builder = ReaderBuilder::new();
    builder.has_headers(false).delimiter(separator as u8);
    Ok(builder.from_reader(file))
}
