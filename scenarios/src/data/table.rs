//! What a CSV file is, as a scenario describes it.

use lyceum_core::units::Fraction;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::path::PathBuf;

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

/// The share that becomes the test set by default.
pub(super) fn fifth() -> Fraction {
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
