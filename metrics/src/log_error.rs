//! Why a log could not be written or read.

use crate::unreadable;
use std::io;
use std::path::{Path, PathBuf};

/// Why a log could not be written or read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LogError {
    /// The file could not be opened, written or read.
    #[error("event log {path}: {source}")]
    File {
        /// Of the log.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The log has fewer bytes than the checkpoint to resume from counted.
    #[error(
        "event log {path} has {len} bytes, but the checkpoint was taken after {offset}: \
         it is not the log of this run, or its end was lost"
    )]
    Short {
        /// Of the log.
        path: PathBuf,
        /// Bytes there are.
        len: u64,
        /// Bytes there should be.
        offset: u64,
    },
    /// The log does not hold what it held at the checkpoint to resume from.
    #[error(
        "event log {path} is damaged: it does not hold what it held when the checkpoint was taken"
    )]
    Damaged {
        /// Of the log.
        path: PathBuf,
    },
    /// An event could not be written as JSON.
    #[error("event log {path}: an event cannot be written: {source}")]
    Encode {
        /// Of the log.
        path: PathBuf,
        /// Why.
        source: serde_json::Error,
    },
    /// A line is not an event.
    #[error("event log {path}, line {line} is damaged: {}", unreadable(.source))]
    Line {
        /// Of the log.
        path: PathBuf,
        /// Counted from 1.
        line: u64,
        /// Why.
        source: serde_json::Error,
    },
}

impl LogError {
    pub(crate) fn file(path: &Path, source: io::Error) -> Self {
        let path = path.to_path_buf();
        Self::File { path, source }
    }
}
