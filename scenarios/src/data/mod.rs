//! Data sets: where labelled samples come from.
//!
//! A data set is a value that was read from the scenario file and knows how to load itself. What it
//! loads is either a pool of samples that a partition divides among clients, or a federation that
//! makes every client's samples when they are asked for.

mod cifar_binary;
mod contents;
mod digits;
mod encoder;
mod error;
mod fixed_features;
mod idx;
mod idx_file;
mod items;
mod known;
mod labels;
mod linear;
mod mixture;
mod normalise;
mod own;
mod pairs;
mod parity;
mod principal;
mod scale;
mod symmetric;
mod synthetic;
mod table;
mod table_layout;
mod table_lines;
mod table_load;
mod table_rows;
mod table_values;
#[cfg(test)]
mod test_data;
mod text;
mod validation;

pub use cifar_binary::CifarBinary;
pub use digits::Digits;
pub use error::{DataError, Place};
pub use fixed_features::FixedFeatures;
pub use idx::{Channels, Idx};
pub use items::{Item, Items};
pub use known::{Cifar10Subset, Cifar100Subset, FashionMnist, KNOWN, KnownFile, KnownSet, Mnist};
pub use mixture::Mixture;
pub use normalise::{Normalisation, normalise};
pub use own::{OwnFile, own_samples, unlike_others};
pub use pairs::{Asked, LeanPremises, Part};
pub use parity::{NParity, Question};
pub use synthetic::Synthetic;
pub use table::{Column, Csv, Header};
pub use table_values::{Settled, Statistics, Table, TableNames, TextNames};
pub use text::{
    Answer, Counts, Format, Hashed, Keep, Pad, SmsSpam, Text, TinyShakespeare, Tokens, Unknown,
    Words,
};
pub use validation::split_validation;

pub(crate) use encoder::Origin;
pub(crate) use labels::listed;
pub(crate) use scale::{far_off, ranges, short, span};

use lyceum_core::{Federation, Samples, Seed};
use std::borrow::Cow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use table::LEARNED;

/// A data set as the scenario file describes it.
pub trait DataSet: Send + Sync {
    /// Reads or makes the samples. Equal contexts and equal files give equal samples.
    fn load(&self, context: &LoadContext) -> Result<Source, DataError>;

    /// The table that the samples come from, if they do: labels and features have names, and a real client's file is read
    /// in the same way.
    fn table(&self) -> Option<&Csv> {
        None
    }

    /// How texts are read, if the samples come from texts: a real client's are read in the same way.
    fn text(&self) -> Option<Cow<'_, Text>> {
        None
    }

    /// What it says of the things that its tasks are made of, where that is not all in the samples.
    fn items(&self, context: &LoadContext) -> Result<Option<Items>, DataError> {
        let _ = context;
        Ok(None)
    }

    /// Keys that a run fills in. They follow from the samples, which are in a run's fingerprint themselves.
    fn learned(&self) -> &'static [&'static str] {
        match self.table() {
            Some(_) => &LEARNED,
            None => &[],
        }
    }

    /// Keys that say where files lie. They are in no digest: what is in the files is.
    fn paths(&self) -> &'static [&'static str] {
        &[]
    }

    /// Keys that do nothing as the others are, in sentences.
    fn warnings(&self) -> Vec<String> {
        Vec::new()
    }

    /// Whether no file is read.
    fn is_generated(&self) -> bool {
        false
    }
}

/// What a data set is told when it is loaded.
#[derive(Clone, Debug)]
pub struct LoadContext {
    /// Root of all randomness; generated sets draw from [`lyceum_core::Purpose::DATA`].
    pub seed: Seed,
    /// Number of clients of the run; only data made on demand depends on it.
    pub clients: u64,
    /// Folders in which relative paths and named sets are looked for, in this order.
    pub folders: Vec<PathBuf>,
}

/// What a data set loads.
pub enum Source {
    /// Samples in one place, to be divided by a partition.
    Pool {
        /// Samples to train on (and to split validation samples off).
        train: Samples,
        /// Samples that no client trains on.
        test: Samples,
        /// Owner of each training sample, `0..owners` without gaps, if the set knows owners.
        natural: Option<Vec<u32>>,
    },
    /// The same, where the set itself says which samples are for validation.
    Parted {
        /// Samples to train on, and those to choose by.
        train: Samples,
        /// Places of the latter, ascending.
        held: Vec<u32>,
        /// Samples that no client trains on.
        test: Samples,
        /// Owner of each training sample, if the set knows owners.
        natural: Option<Vec<u32>>,
    },
    /// A table in one place, not normalised yet, to be divided by a partition.
    Table(Box<Table>),
    /// Texts in one place, as samples, to be divided by a partition.
    Text(Box<Settled>),
    /// Clients whose samples are made when they are asked for; no partition applies.
    OnDemand(Arc<dyn Federation>),
}

impl LoadContext {
    /// The first place where a file of this path exists; an absolute path is taken as it is.
    pub(crate) fn find(&self, path: &Path) -> Result<PathBuf, DataError> {
        let places = self.places(path);
        if let Some(found) = places.iter().find(|place| place.is_file()) {
            return Ok(found.clone());
        }
        let wrong = |path: &Path, problem: &str| DataError::Format {
            path: path.to_path_buf(),
            problem: problem.into(),
        };
        if path.as_os_str().is_empty() {
            return Err(wrong(Path::new("``"), "names no file: expected its path"));
        }
        match places.iter().find(|place| place.exists()) {
            Some(folder) if folder.is_dir() => Err(wrong(folder, "is a folder: expected a file")),
            Some(other) => Err(wrong(
                other,
                "is no file with contents of its own, but a device or a pipe: expected a file",
            )),
            None => Err(DataError::NoFile {
                path: path.to_path_buf(),
                places,
            }),
        }
    }

    fn places(&self, path: &Path) -> Vec<PathBuf> {
        if path.is_absolute() {
            return vec![path.to_path_buf()];
        }
        self.folders.iter().map(|f| f.join(path)).collect()
    }
}

/// What samples of a shape are, such as `128 features`.
pub(crate) fn in_words(shape: &[usize]) -> String {
    let sizes: Vec<String> = shape.iter().map(usize::to_string).collect();
    match shape {
        [1] => "1 feature".into(),
        [features] => format!("{features} features"),
        [_, _, _] => format!(
            "images of {} (channels x height x width)",
            sizes.join(" x ")
        ),
        _ => format!("of shape {}", sizes.join(" x ")),
    }
}

/// What to say where one file is for both.
pub(crate) fn same_samples() -> String {
    "the test samples are the training samples: accuracies say nothing of others".to_owned()
}

/// Refuses training sets without samples or features, and sets whose samples `u32` cannot number.
fn checked(set: &str, train: &Samples, test: &Samples) -> Result<(), DataError> {
    let problem = if train.is_empty() {
        "has no training sample: at least one is needed"
    } else if train.width() == 0 {
        "has no feature: at least one value per sample is needed"
    } else if train.len().max(test.len()) > u32::MAX as usize {
        "has more than 4,294,967,295 samples: divide it into several sets"
    } else {
        return Ok(());
    };
    Err(DataError::Set {
        set: set.to_owned(),
        problem: problem.to_owned(),
    })
}
