//! Why a run did not come to its end.

use crate::{InputError, plan::is_full};
use lyceum_metrics::LogError;
use lyceum_scenarios::Diagnostic;
use std::{error::Error, io, path::PathBuf};

/// Why a run did not come to its end.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The scenario cannot be run as it stands.
    #[error("{0}")]
    Scenario(Box<Diagnostic>),
    /// A file or folder.
    #[error("{}: {}", path.display(), told(source))]
    File {
        /// Which one.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file of a run that does not hold what it should.
    #[error("{}: {reason}", path.display())]
    Damaged {
        /// Which one.
        path: PathBuf,
        /// What is wrong, and what to do.
        reason: String,
    },
    /// A run cannot be gone on with as it was asked for.
    #[error("{0}")]
    Refused(String),
    /// A file of a run that another version wrote.
    #[error(
        "{} is of version {found}, and this lyceum reads version {}: go on with the lyceum that wrote it, or start the run \
         anew with another --out",
        path.display(),
        super::seal::FORMAT
    )]
    Version {
        /// Which one.
        path: PathBuf,
        /// Its version.
        found: u32,
    },
    /// A folder or file that this run cannot have as it was asked for.
    #[error("{}: {reason}", path.display())]
    Misused {
        /// Which one.
        path: PathBuf,
        /// Why, and what to do.
        reason: String,
    },
    /// A unit could not be worked on.
    #[error("a worker failed: {0}")]
    Worker(String),
    /// A worker's thread died.
    #[error("a worker panicked: {0}")]
    Panic(String),
    /// The run cannot go on.
    #[error("the run stopped in round {round}: {reason}")]
    Stalled {
        /// In which round.
        round: u64,
        /// Why.
        reason: String,
        /// It may go better another time.
        passing: bool,
    },
    /// The run was stopped before its first round, and can be resumed.
    #[error("the run was stopped before its first round; start it again to go on")]
    Stopped,
    /// A file of the run could not be written or read.
    #[error("{0}")]
    Metrics(String),
    /// There is no space for a file of the run.
    #[error("{0}; free some space, then go on with the run")]
    FullDisk(String),
    /// An upload was not taken.
    #[error("{0}")]
    Upload(#[from] InputError),
}

impl RunError {
    /// Whether the user's input is at fault.
    pub fn is_bad_input(&self) -> bool {
        match self {
            Self::Scenario(_) | Self::Refused(_) | Self::Version { .. } | Self::Misused { .. } => {
                true
            }
            Self::File { source, .. } => in_the_way(source).is_some(),
            _ => false,
        }
    }

    /// A file is of another version.
    pub fn version(path: impl Into<PathBuf>, found: u32) -> Self {
        Self::Version {
            path: path.into(),
            found,
        }
    }

    /// Whether the run can be gone on with once something outside of it has changed.
    pub fn can_go_on(&self) -> bool {
        match self {
            Self::Stopped | Self::FullDisk(_) => true,
            Self::Stalled { passing, .. } => *passing,
            Self::File { source, .. } => is_full(source),
            Self::Upload(InputError::Spill { full, .. }) => *full,
            _ => false,
        }
    }

    /// An error of the files that tell of a run.
    pub fn of_log(error: impl Error + 'static) -> Self {
        let mut cause: Option<&(dyn Error + 'static)> = Some(&error);
        while let Some(inner) = cause {
            if inner.downcast_ref().is_some_and(is_full) {
                return Self::FullDisk(error.to_string());
            }
            if let Some(what) = inner.downcast_ref().and_then(in_the_way) {
                return Self::Refused(format!("{error}: {what}"));
            }
            cause = inner.source();
        }
        Self::Metrics(error.to_string())
    }

    /// A log that was named, and is none. The error names it already.
    pub fn misused_log(error: LogError) -> Self {
        match error {
            LogError::File { path, source } => {
                let expected = "name the events.jsonl of a run's folder";
                Self::misused(path, format!("{source}; {expected}"))
            }
            other => Self::Refused(other.to_string()),
        }
    }

    /// A folder or file that this run cannot have as it was asked for.
    pub fn misused(path: impl Into<PathBuf>, reason: impl ToString) -> Self {
        Self::Misused {
            path: path.into(),
            reason: reason.to_string(),
        }
    }

    /// An error of a file, for `map_err`.
    pub fn file(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::File { path, source }
    }

    /// A file does not hold what it should.
    pub fn damaged(path: impl Into<PathBuf>, reason: impl ToString) -> Self {
        Self::Damaged {
            path: path.into(),
            reason: reason.to_string(),
        }
    }
}

fn told(error: &io::Error) -> String {
    match in_the_way(error) {
        Some(what) => what.into(),
        None if is_full(error) => format!("{error}; free some space, then go on with the run"),
        None => error.to_string(),
    }
}

/// What a person has put, or forbidden, where a run needs a file.
fn in_the_way(error: &io::Error) -> Option<&'static str> {
    match error.kind() {
        io::ErrorKind::IsADirectory => {
            Some("a folder is where a file of the run belongs: move it away, then go on")
        }
        io::ErrorKind::NotADirectory => {
            Some("a file is where a folder of the run belongs: move it away, then go on")
        }
        io::ErrorKind::PermissionDenied => {
            Some("this user may not read or write it: give the permission, then go on")
        }
        io::ErrorKind::ReadOnlyFilesystem => {
            Some("nothing can be written there: choose another --out")
        }
        _ => None,
    }
}

impl From<Diagnostic> for RunError {
    fn from(diagnostic: Diagnostic) -> Self {
        Self::Scenario(Box::new(diagnostic))
    }
}
