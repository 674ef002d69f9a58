//! Why a run did not come to its end.

use lyceum_scenarios::Diagnostic;
use std::{io, path::PathBuf};

/// Why a run did not come to its end.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The scenario cannot be run as it stands.
    #[error("{0}")]
    Scenario(Box<Diagnostic>),
    /// A file or folder.
    #[error("{}: {source}", path.display())]
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
    },
    /// The run was stopped before its first round, and can be resumed.
    #[error("the run was stopped before its first round; start it again to go on")]
    Stopped,
    /// A file of the run could not be written or read.
    #[error("{0}")]
    Metrics(String),
    /// An upload was not taken.
    #[error("{0}")]
    Upload(#[from] crate::InputError),
}

impl RunError {
    /// Whether the user's input is at fault.
    pub fn is_bad_input(&self) -> bool {
        matches!(
            self,
            Self::Scenario(_) | Self::Refused(_) | Self::Version { .. }
        )
    }

    /// A file is of another version.
    pub fn version(path: impl Into<PathBuf>, found: u32) -> Self {
        Self::Version {
            path: path.into(),
            found,
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

impl From<Diagnostic> for RunError {
    fn from(diagnostic: Diagnostic) -> Self {
        Self::Scenario(Box::new(diagnostic))
    }
}
