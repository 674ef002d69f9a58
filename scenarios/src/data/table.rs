use super::labels::Labels;
use super::table_layout::{Part, Wanted};
use super::table_rows::Rows;
use super::table_values::{Statistics, Table};
use super::{DataError, DataSet, LoadContext, Source};
use lyceum_core::units::Fraction;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::path::{Path, PathBuf};

/// A table of numbers in CSV files, by path: a label column, perhaps a column that names the owner
/// of each sample, and features in all other columns.
///
/// Classes are the distinct labels of both files in ascending order: by value if all of them are
/// numbers, otherwise as text. So the labels 0 to 9 are themselves, and the labels 1 to 3 become
/// 0 to 2. Where files have headers, features are found by their names, in whichever order they come.
///
/// A run writes the names that it found into its own `scenario.toml` (`classes`, `features` and,
/// with `normalise = "standard"`, `mean` and `deviation`), and every node reads by them.
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
    /// Labels in the order of their classes; any other label is refused. Default: those of both files, ascending.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub classes: Option<Vec<String>>,
    /// Names of the features in the order of a sample; other columns are left aside. Default: all columns besides label
    /// and client, in the order of the training file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub features: Option<Vec<String>>,
    /// With `normalise = "standard"`: what is subtracted from each feature. Default: its mean over the training samples.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mean: Option<Vec<f64>>,
    /// With `normalise = "standard"`: what each feature is divided by then. Default: its standard deviation over the
    /// training samples.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deviation: Option<Vec<f64>>,
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

/// Keys that a run fills in. They follow from the samples, which are in a run's fingerprint themselves.
pub(crate) const LEARNED: [&str; 4] = ["classes", "features", "mean", "deviation"];

impl DataSet for Csv {
    fn paths(&self) -> &'static [&'static str] {
        &["train", "test"]
    }

    fn load(&self, context: &LoadContext) -> Result<Source, DataError> {
        let mut labels = self.labels()?;
        let train_path = context.find(&self.train)?;
        let train = Rows::read(self, &train_path, Part::Train, self.wanted(), &mut labels)?;
        holds_rows(&train)?;
        let (train, test) = match &self.test {
            Some(path) => {
                let wanted = Wanted {
                    names: train.names.as_deref(),
                    width: train.width,
                    by: "the training file has",
                };
                let path = context.find(path)?;
                let test = Rows::read(self, &path, Part::Other, Some(wanted), &mut labels)?;
                holds_rows(&test)?;
                (train, test)
            }
            None => self.split(train)?,
        };
        let has_owners = self.client.is_some();
        let table = Table::new(
            train,
            test,
            labels.classes(),
            has_owners,
            self.statistics()?,
        )?;
        Ok(Source::Table(Box::new(table)))
    }

    fn table(&self) -> Option<&Csv> {
        Some(self)
    }
}

impl Csv {
    /// The labels that the set knows before it is read.
    pub(super) fn labels(&self) -> Result<Labels, DataError> {
        let Some(classes) = &self.classes else {
            return Ok(Labels::open());
        };
        Labels::given(classes).map_err(|name| DataError::Key {
            key: "classes",
            problem: format!("names one class twice ({name}): expected each label once"),
        })
    }

    /// The features that the set knows before it is read.
    pub(super) fn wanted(&self) -> Option<Wanted<'_>> {
        self.features.as_ref().map(|names| Wanted {
            names: Some(names),
            width: names.len(),
            by: "the scenario names",
        })
    }

    /// What standardises the features, where the set knows it before it is read.
    pub(super) fn statistics(&self) -> Result<Option<Statistics>, DataError> {
        let wrong = |key, problem: &str| {
            let problem = problem.to_owned();
            Err(DataError::Key { key, problem })
        };
        match (&self.mean, &self.deviation) {
            (None, None) => Ok(None),
            (Some(_), None) => wrong(
                "deviation",
                "is missing: expected one value for each `mean`",
            ),
            (None, Some(_)) => wrong(
                "mean",
                "is missing: expected one value for each `deviation`",
            ),
            (Some(mean), Some(_)) if mean.iter().any(|m| !m.is_finite()) => {
                wrong("mean", "has a value that is no finite number")
            }
            (Some(mean), Some(deviation)) => {
                let positive = |d: &f64| d.is_finite() && *d > 0.0;
                if deviation.len() != mean.len() || !deviation.iter().all(positive) {
                    return wrong("deviation", "needs one value above 0 for each `mean`");
                }
                Ok(Some(Statistics {
                    mean: mean.clone(),
                    deviation: deviation.clone(),
                }))
            }
        }
    }

    fn split(&self, rows: Rows) -> Result<(Rows, Rows), DataError> {
        let path = rows.path.clone();
        let (train, test) = rows.split(self.test_fraction);
        if !train.is_empty() && !test.is_empty() {
            return Ok((train, test));
        }
        Err(DataError::Key {
            key: "test_fraction",
            problem: format!(
                "leaves {} training and {} test samples of {}: expected at least one of each",
                train.labels.len(),
                test.labels.len(),
                path.display()
            ),
        })
    }
}

/// Refuses a file without samples, and one with more than `u32` can number.
pub(super) fn holds_rows(rows: &Rows) -> Result<(), DataError> {
    let problem = match (rows.labels.len(), &rows.names) {
        (0, Some(_)) => "has a header and no sample: expected at least one row below it",
        (0, None) => "has no sample: expected at least one row",
        (1..=0xffff_ffff, _) => return Ok(()),
        _ => "has more than 4,294,967,295 samples: divide it into several files",
    };
    Err(DataError::Format {
        path: rows.path.clone(),
        problem: problem.to_owned(),
    })
}

/// The file at a path, read as the set says for samples that are not its own training samples.
pub(super) fn read_other(set: &Csv, path: &Path, wanted: Wanted<'_>) -> Result<Rows, DataError> {
    let rows = Rows::read(set, path, Part::Other, Some(wanted), &mut set.labels()?)?;
    holds_rows(&rows).map(|()| rows)
}

#[cfg(test)]
#[path = "table_tests.rs"]
mod tests;
