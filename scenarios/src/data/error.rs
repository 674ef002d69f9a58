use std::borrow::Cow;
use std::fmt;
use std::path::PathBuf;
use thiserror::Error;

/// What begins a sentence about the file or the cell that was named before it.
const VERBS: [&str; 8] = [
    "is", "has", "holds", "begins", "ends", "goes", "declares", "names",
];

/// A problem as a sentence with a subject.
fn sentence(problem: &str) -> Cow<'_, str> {
    let first = problem.split(' ').next().unwrap_or_default();
    match VERBS.contains(&first) {
        true => format!("it {problem}").into(),
        false => problem.into(),
    }
}

/// Why a data set could not be loaded. Every sentence says where, and what would be right.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum DataError {
    /// No folder holds a named set.
    #[error(
        "the data set `{set}` was not found: put {} (each plain or with .gz) into one of {}; it can be had from {home_page}",
        names(files),
        paths(places)
    )]
    Missing {
        /// Name of the set.
        set: &'static str,
        /// Files it consists of.
        files: Vec<&'static str>,
        /// Folders in which they were looked for.
        places: Vec<PathBuf>,
        /// Where the public can get them.
        home_page: &'static str,
    },
    /// A named set is there in part.
    #[error(
        "the data set `{set}` in {} is not complete: {} (plain or with .gz) is missing; it can be had from {home_page}",
        folder.display(),
        names(files)
    )]
    Incomplete {
        /// Name of the set.
        set: &'static str,
        /// Folder that holds some of its files.
        folder: PathBuf,
        /// Files that are missing.
        files: Vec<&'static str>,
        /// Where the public can get them.
        home_page: &'static str,
    },
    /// Fixed features cannot be computed.
    #[error("{message}")]
    Features {
        /// What is wrong, and what would be right.
        message: String,
    },
    /// A file named by path is nowhere.
    #[error("there is no file {}: looked for {}", path.display(), paths(places))]
    NoFile {
        /// As the scenario names it.
        path: PathBuf,
        /// Where it was looked for.
        places: Vec<PathBuf>,
    },
    /// The operating system, or the decompressor, refused.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// File that was read.
        path: PathBuf,
        /// What went wrong.
        source: std::io::Error,
    },
    /// A known file has other contents than the published one.
    #[error(
        "{} is not the published file of `{set}`: the SHA-256 of its unpacked contents is {found}, expected {expected}; fetch it again from {home_page}",
        path.display()
    )]
    Checksum {
        /// File that was read.
        path: PathBuf,
        /// Name of the set.
        set: &'static str,
        /// Sum of what was read.
        found: String,
        /// Sum of the published contents.
        expected: &'static str,
        /// Where the public can get it.
        home_page: &'static str,
    },
    /// A file breaks its format.
    #[error("{}: {}", path.display(), sentence(problem))]
    Format {
        /// File that was read.
        path: PathBuf,
        /// What is wrong, and what would be right.
        problem: String,
    },
    /// A text file breaks its format at a known place.
    #[error("{}, {place}: {}", path.display(), sentence(problem))]
    Cell {
        /// File that was read.
        path: PathBuf,
        /// Where in the file.
        place: Place,
        /// What is wrong, and what would be right.
        problem: String,
    },
    /// A key of the scenario has a value that cannot be used.
    #[error("`{key}` {problem}")]
    Key {
        /// Name of the key.
        key: &'static str,
        /// What is wrong, and what would be right.
        problem: String,
    },
    /// What a key of the scenario names cannot be used.
    #[error("{source}")]
    At {
        /// Name of the key.
        key: &'static str,
        /// What is wrong there.
        source: Box<DataError>,
    },
    /// The set as a whole cannot be used.
    #[error("the data set `{set}` {problem}")]
    Set {
        /// Name of the set.
        set: String,
        /// What is wrong, and what would be right.
        problem: String,
    },
}

impl DataError {
    /// As an error of what this key names, unless a key is known already.
    pub(super) fn at(self, key: &'static str) -> Self {
        match self.key() {
            Some(_) => self,
            None => Self::At {
                key,
                source: Box::new(self),
            },
        }
    }

    /// The file that it is about, where it is about the contents of one.
    pub(super) fn path(&self) -> Option<&PathBuf> {
        match self {
            Self::Read { path, .. } | Self::Format { path, .. } | Self::Cell { path, .. } => {
                Some(path)
            }
            _ => None,
        }
    }

    /// Whether it is about files, whatever the keys of the data set say.
    pub(crate) fn is_of_files(&self) -> bool {
        matches!(
            self,
            Self::Missing { .. } | Self::Incomplete { .. } | Self::Checksum { .. }
        )
    }

    /// The key of the data set at which it stands, where one is known.
    pub(crate) fn key(&self) -> Option<&'static str> {
        match self {
            Self::Key { key, .. } | Self::At { key, .. } => Some(key),
            _ => None,
        }
    }
}

/// A place in a text file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Line, counted from 1.
    pub line: u64,
    /// Name of the column, or its number counted from 0; none if the whole line is meant.
    pub column: Option<String>,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}", self.line)?;
        match &self.column {
            Some(column) => write!(f, ", column {column}"),
            None => Ok(()),
        }
    }
}

fn names(files: &[&'static str]) -> String {
    files.join(", ")
}

fn paths(places: &[PathBuf]) -> String {
    let shown: Vec<_> = places.iter().map(|p| p.display().to_string()).collect();
    if shown.is_empty() {
        return "a data folder (none was given)".to_owned();
    }
    shown.join(", ")
}
