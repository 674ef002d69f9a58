//! Why the store could not do what was asked of it, in a sentence for the person who asked.

use std::{
    io,
    path::{Path, PathBuf},
};

/// Why the store could not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// A file or folder.
    #[error("{}: {source}", path.display())]
    File {
        /// Which one.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// There is no space.
    #[error("{}: {reason}; free some space and give the command again: what was told before is kept", path.display())]
    Full {
        /// Which file found none.
        path: PathBuf,
        /// What the system said.
        reason: String,
    },
    /// A file does not hold what was written.
    #[error("{}: {reason}", path.display())]
    Damaged {
        /// Which one.
        path: PathBuf,
        /// What is wrong, and what to do.
        reason: String,
    },
    /// Another version wrote the store.
    #[error(
        "{} is of version {found}, and this lyceum reads version {reads}: use the lyceum that wrote it, or export the tasks with it \
         and add them to a new store",
        path.display()
    )]
    Version {
        /// The file that says so.
        path: PathBuf,
        /// Its version.
        found: u64,
        /// The version of this program.
        reads: u64,
    },
    /// Another process works with the store.
    #[error("{}: another process has this store open; wait until it has ended, then give the command again", path.display())]
    Busy {
        /// The store's folder.
        path: PathBuf,
    },
    /// What was asked for cannot be done.
    #[error("{0}")]
    Refused(String),
}

impl StoreError {
    /// Whether what was asked for is at fault.
    pub fn is_bad_input(&self) -> bool {
        match self {
            Self::Refused(_) | Self::Version { .. } => true,
            Self::File { source, .. } => matches!(
                source.kind(),
                io::ErrorKind::NotFound
                    | io::ErrorKind::IsADirectory
                    | io::ErrorKind::NotADirectory
                    | io::ErrorKind::PermissionDenied
            ),
            _ => false,
        }
    }

    /// Whether it can be asked for again once something outside of the store has changed.
    pub fn can_go_on(&self) -> bool {
        matches!(self, Self::Full { .. } | Self::Busy { .. })
    }

    /// An error of a file, for `map_err`.
    pub(crate) fn file(path: &Path) -> impl FnOnce(io::Error) -> Self + '_ {
        move |source| match is_full(&source) {
            true => Self::Full {
                path: path.into(),
                reason: source.to_string(),
            },
            false => Self::File {
                path: path.into(),
                source,
            },
        }
    }

    pub(crate) fn damaged(path: &Path, reason: impl ToString) -> Self {
        Self::Damaged {
            path: path.into(),
            reason: reason.to_string(),
        }
    }

    pub(crate) fn refused(reason: impl ToString) -> Self {
        Self::Refused(reason.to_string())
    }
}

/// Whether space is what is lacking.
fn is_full(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge
    )
}
