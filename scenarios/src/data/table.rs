use super::table_layout::Layout;
use super::{DataError, DataSet, LoadContext, Source, checked};
use ::csv::{Reader, ReaderBuilder, StringRecord, Trim};
use lyceum_core::units::Fraction;
use lyceum_core::{Affine, Features, Purpose, Samples, Seed, shuffle};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::path::{Path, PathBuf};

/// A table of numbers in CSV files, by path: a label column, perhaps a column that names the owner
/// of each sample, and features in all other columns.
///
/// Classes are the distinct labels of both files in ascending order: by value if all of them are
/// numbers, otherwise as text. So the labels 0 to 9 are themselves, and the labels 1 to 3 become
/// 0 to 2.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Csv {
    /// Training file; a relative path is looked for in the data folders.
    pub train: PathBuf,
    /// Test file with the same columns; by default test samples are split off the training file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub test: Option<PathBuf>,
    /// Share of the training file that becomes the test set if there is no test file, 0 to 1
    /// (default 0.2). Chosen at random, but the same samples for every seed.
    #[serde(default = "fifth")]
    pub test_fraction: Fraction,
    /// Column of the labels: its name, or its number counted from 0.
    pub label: Column,
    /// Column of the owners, by name or number; owners are numbered as they first appear among the
    /// training samples. Default: the set knows no owners.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client: Option<Column>,
    /// Whether the first line holds names (default auto: it does if a column is given by
    /// name, or if no feature in it is a number).
    #[serde(default)]
    pub header: Header,
    /// Character between values, ASCII (default a comma).
    #[serde(default = "comma")]
    pub separator: char,
}

/// A column of a table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(
    untagged,
    expecting = "expected the name of a column, or its number counted from 0"
)]
pub enum Column {
    /// By number, counted from 0.
    Number(u32),
    /// By the name in the first line.
    Name(String),
}

/// Whether the first line of a table holds the names of the columns.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Header {
    /// Yes if a column is given by name, or if no feature in the first line is a number (default).
    #[default]
    Auto,
    /// It does.
    Yes,
    /// It does not: columns are given by number.
    No,
}

fn fifth() -> Fraction {
    Fraction::new(0.2).expect("0.2 is a fraction")
}

fn comma() -> char {
    ','
}

impl fmt::Display for Column {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => write!(f, "{number}"),
            Self::Name(name) => write!(f, "`{name}`"),
        }
    }
}

impl DataSet for Csv {
    fn paths(&self) -> &'static [&'static str] {
        &["train", "test"]
    }

    fn load(&self, context: &LoadContext) -> Result<Source, DataError> {
        let mut classes = Names::default();
        let train = self.read(&context.find(&self.train)?, &mut classes)?;
        let (train, test) = match &self.test {
            Some(path) => {
                let path = context.find(path)?;
                let mut test = self.read(&path, &mut classes)?;
                test.must_match(&train, &path)?;
                (train, test)
            }
            None => train.split(self.test_fraction),
        };
        let order = classes.ranks();
        let natural = self.client.as_ref().map(|_| contiguous(&train.owners));
        let (train, test) = (train.finish(&order), test.finish(&order));
        checked(&self.train.display().to_string(), &train, &test)?;
        Ok(Source::Pool {
            train,
            test,
            natural,
        })
    }
}

/// Distinct texts, numbered as they first appear.
#[derive(Default)]
struct Names(BTreeMap<String, u32>);

impl Names {
    fn number(&mut self, name: &str) -> u32 {
        let next = self.0.len() as u32;
        match self.0.get(name) {
            Some(&number) => number,
            None => *self.0.entry(name.to_owned()).or_insert(next),
        }
    }

    /// For every number the rank of its text: by value if all are numbers, otherwise as text. Texts
    /// of one value, such as 1 and 1.0, share a rank.
    fn ranks(&self) -> Vec<u32> {
        let value = |name: &String| name.parse().ok().filter(|value: &f64| value.is_finite());
        let values: Option<Vec<f64>> = self.0.keys().map(value).collect();
        let texts = self.0.values().copied();
        let mut ranks = vec![0; self.0.len()];
        let Some(values) = values else {
            texts
                .enumerate()
                .for_each(|(rank, number)| ranks[number as usize] = rank as u32);
            return ranks;
        };
        let mut pairs: Vec<(f64, u32)> = values.into_iter().zip(texts).collect();
        pairs.sort_by(|a, b| a.0.total_cmp(&b.0));
        let mut rank = 0;
        for (at, &(value, number)) in pairs.iter().enumerate() {
            rank += u32::from(at > 0 && value != pairs[at - 1].0);
            ranks[number as usize] = rank;
        }
        ranks
    }
}

/// Renumbers owners as they first appear, without gaps.
fn contiguous(owners: &[u32]) -> Vec<u32> {
    let mut numbers = BTreeMap::new();
    let mut number = |owner: &u32| {
        let next = numbers.len() as u32;
        *numbers.entry(*owner).or_insert(next)
    };
    owners.iter().map(&mut number).collect()
}

/// The contents of one file.
#[derive(Default)]
struct Table {
    /// Names of the features, if the file holds them.
    names: Option<Vec<String>>,
    /// Features per row; unknown while there is no row.
    width: usize,
    features: Vec<f32>,
    labels: Vec<u32>,
    /// Empty without an owner column.
    owners: Vec<u32>,
}

impl Csv {
    fn read(&self, path: &Path, classes: &mut Names) -> Result<Table, DataError> {
        let mut reader = self.open(path)?;
        let mut row = StringRecord::new();
        let mut layout = Layout::new(path);
        let mut table = Table::default();
        let mut owners = Names::default();
        let mut first = true;
        while reader
            .read_record(&mut row)
            .map_err(|error| layout.broken(error))?
        {
            if std::mem::take(&mut first) && layout.begin(self, &row)? {
                continue;
            }
            layout.append(&row, &mut table.features)?;
            table.labels.push(classes.number(&row[layout.label]));
            if let Some(owner) = layout.owner {
                table.owners.push(owners.number(&row[owner]));
            }
        }
        let values = table.features.len();
        table.width = values.checked_div(table.labels.len()).unwrap_or(0);
        table.names = layout.features();
        Ok(table)
    }

    fn open(&self, path: &Path) -> Result<Reader<File>, DataError> {
        if !self.separator.is_ascii() {
            return Err(DataError::Key {
                key: "separator",
                problem: format!("is `{}`: expected an ASCII character", self.separator),
            });
        }
        let file = File::open(path).map_err(|source| DataError::Read {
            path: path.to_path_buf(),
            source,
        })?;
        let mut builder = ReaderBuilder::new();
        builder.has_headers(false).trim(Trim::All);
        Ok(builder.delimiter(self.separator as u8).from_reader(file))
    }
}

impl Table {
    /// Checks the columns of a test file, and gives an empty one the width of the training file.
    fn must_match(&mut self, train: &Self, path: &Path) -> Result<(), DataError> {
        if self.labels.is_empty() {
            self.width = train.width;
        }
        let problem = match (&self.names, &train.names) {
            _ if self.width != train.width => format!("has {} features", self.width),
            (Some(own), Some(names)) if own != names => {
                format!("has the features {}", own.join(", "))
            }
            _ => return Ok(()),
        };
        let names = train.names.as_ref().map(|names| names.join(", "));
        let expected = names.unwrap_or_else(|| train.width.to_string());
        Err(DataError::Format {
            path: path.to_path_buf(),
            problem: format!("{problem}: expected {expected}, as in the training file"),
        })
    }

    /// Training and test rows, each in the order of the file; the same ones whatever the seed.
    fn split(self, test: Fraction) -> (Self, Self) {
        let amount = (self.labels.len() as f64 * test.get()).round() as usize;
        let mut order: Vec<usize> = (0..self.labels.len()).collect();
        shuffle(&mut order, &mut Seed(0).once(Purpose::DATA));
        let mut train = order.split_off(amount);
        order.sort_unstable();
        train.sort_unstable();
        (self.pick(&train), self.pick(&order))
    }

    fn pick(&self, rows: &[usize]) -> Self {
        let features = |&row: &usize| &self.features[row * self.width..(row + 1) * self.width];
        let owners = rows.iter().filter_map(|&row| self.owners.get(row).copied());
        Self {
            names: None,
            width: self.width,
            features: rows.iter().flat_map(features).copied().collect(),
            labels: rows.iter().map(|&row| self.labels[row]).collect(),
            owners: owners.collect(),
        }
    }

    fn finish(self, order: &[u32]) -> Samples {
        Samples {
            shape: vec![self.width],
            classes: order.iter().max().map_or(0, |&last| last as usize + 1),
            features: Features::F32(self.features),
            labels: self
                .labels
                .iter()
                .map(|&label| order[label as usize])
                .collect(),
            affine: Affine::identity(),
        }
    }
}

#[cfg(test)]
#[path = "table_tests.rs"]
mod tests;
