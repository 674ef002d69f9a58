//! What is wrong with keys and with lines of files.

use super::super::{DataError, Place};
use std::path::Path;

/// An error about a key.
pub(super) fn wrong<T>(key: &'static str, problem: impl Into<String>) -> Result<T, DataError> {
    let problem = problem.into();
    Err(DataError::Key { key, problem })
}

/// An error about a line.
pub(super) fn at(path: &Path, line: u64, problem: impl Into<String>) -> DataError {
    DataError::Cell {
        path: path.to_path_buf(),
        place: Place { line, column: None },
        problem: problem.into(),
    }
}
