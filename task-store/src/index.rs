//! The tables on disk. They follow from the log and the sources, so they may be lost: then they are made again.
//!
//! All tables are in one keyspace, so that one batch is one step, whole or not at all. Every block on disk has a hash, so damage is seen
//! by whoever reads it.

use crate::{
    StoreError,
    rows::{self, Progress, key},
};
use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode, Slice};
use serde::{Serialize, de::DeserializeOwned};
use std::{
    collections::BTreeMap,
    error::Error,
    io,
    ops::Bound,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
};

/// How much memory the tables take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tuning {
    /// Bytes of rows that are gathered before they are sorted into a file.
    pub gathered: u64,
    /// Bytes of files that are kept in memory.
    pub cached: u64,
}

impl Default for Tuning {
    fn default() -> Self {
        Self {
            gathered: 12 << 20,
            cached: 64 << 20,
        }
    }
}

/// The tables of a store.
pub(crate) struct Index {
    path: PathBuf,
    database: Database,
    rows: Keyspace,
}

impl std::fmt::Debug for Index {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Index").field("path", &self.path).finish()
    }
}

impl Index {
    /// Opens the tables, or makes empty ones.
    pub(crate) fn open(path: &Path, tuning: Tuning) -> Result<Self, StoreError> {
        let open = || -> fjall::Result<(Database, Keyspace)> {
            let database = Database::builder(path)
                .worker_threads(1)
                .cache_size(tuning.cached)
                .max_cached_files(Some(64))
                .max_journaling_size(64 << 20)
                .open()?;
            let options = || KeyspaceCreateOptions::default().max_memtable_size(tuning.gathered);
            let rows = database.keyspace("rows", options)?;
            Ok((database, rows))
        };
        let (database, rows) = guarded(path, open)?;
        Ok(Self {
            path: path.into(),
            database,
            rows,
        })
    }

    /// The bytes of a row.
    pub(crate) fn bytes(&self, key: &[u8]) -> Result<Option<Slice>, StoreError> {
        guarded(&self.path, || self.rows.get(key))
    }

    /// A row.
    pub(crate) fn row<T: DeserializeOwned>(&self, key: &[u8]) -> Result<Option<T>, StoreError> {
        let bytes = self.bytes(key)?;
        bytes.map(|bytes| self.decoded(&bytes)).transpose()
    }

    /// How far they follow the log.
    pub(crate) fn progress(&self) -> Result<Progress, StoreError> {
        Ok(self.row(key::PROGRESS)?.unwrap_or_default())
    }

    /// The row in some bytes.
    pub(crate) fn decoded<T: DeserializeOwned>(&self, bytes: &[u8]) -> Result<T, StoreError> {
        rows::decode(bytes).map_err(|error| self.damaged(error))
    }

    /// These tables do not hold what was written.
    pub(crate) fn damaged(&self, reason: impl ToString) -> StoreError {
        damaged(&self.path, &reason.to_string())
    }

    /// Rows whose keys begin with `prefix`, in the order of their keys; with `after`, those behind that key.
    pub(crate) fn rows(&self, prefix: &[u8], after: Option<&[u8]>) -> Rows<'_> {
        let prefix = prefix.to_vec();
        let begin = match after {
            Some(key) => Bound::Excluded(key.to_vec()),
            None => Bound::Included(prefix.clone()),
        };
        let range = (begin, Bound::Unbounded);
        Rows {
            iter: self.rows.range::<Vec<u8>, _>(range),
            path: &self.path,
            prefix,
            ended: false,
        }
    }

    /// Makes one step: all of it or, after a crash, nothing.
    pub(crate) fn commit(&self, changes: Changes) -> Result<(), StoreError> {
        let commit = || {
            let mut batch = self.database.batch();
            for (key, row) in changes.0 {
                match row {
                    Some(row) => batch.insert(&self.rows, key, row),
                    None => batch.remove(&self.rows, key),
                }
            }
            batch.commit()
        };
        guarded(&self.path, commit)
    }

    /// Makes everything that was committed safe.
    pub(crate) fn sync(&self) -> Result<(), StoreError> {
        guarded(&self.path, || self.database.persist(PersistMode::SyncAll))
    }

    /// Whether it can still be written: a thread of its own may have met a full disk.
    pub(crate) fn is_usable(&self) -> bool {
        guarded(&self.path, || self.database.persist(PersistMode::Buffer)).is_ok()
    }

    /// Sorts everything into as few files as can be.
    pub(crate) fn compact(&self) -> Result<(), StoreError> {
        guarded(&self.path, || {
            self.rows.rotate_memtable_and_wait()?;
            self.rows.major_compact()
        })
    }
}

/// Rows in the order of their keys.
pub(crate) struct Rows<'a> {
    iter: fjall::Iter,
    path: &'a Path,
    prefix: Vec<u8>,
    ended: bool,
}

impl Iterator for Rows<'_> {
    type Item = Result<(Slice, Slice), StoreError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let next = guarded(self.path, || {
            let row = self.iter.next().map(fjall::Guard::into_inner);
            row.transpose()
        });
        let row = next.transpose();
        let row = row.filter(|row| !matches!(row, Ok((key, _)) if !key.starts_with(&self.prefix)));
        self.ended = !matches!(row, Some(Ok(_)));
        row
    }
}

/// Rows that change in one step.
#[derive(Debug, Default)]
pub(crate) struct Changes(BTreeMap<Vec<u8>, Option<Vec<u8>>>);

impl Changes {
    /// A row as it will be.
    pub(crate) fn row<T: DeserializeOwned>(
        &self,
        index: &Index,
        key: &[u8],
    ) -> Result<Option<T>, StoreError> {
        match self.0.get(key) {
            None => index.row(key),
            Some(None) => Ok(None),
            Some(Some(bytes)) => index.decoded(bytes).map(Some),
        }
    }

    /// Writes a row.
    pub(crate) fn put(&mut self, key: Vec<u8>, row: &impl Serialize) {
        self.0.insert(key, Some(rows::encode(row)));
    }

    /// Takes a row away.
    pub(crate) fn remove(&mut self, key: Vec<u8>) {
        self.0.insert(key, None);
    }
}

/// Does something with the tables. That a damaged file makes their reader panic is an error like any other.
fn guarded<T>(path: &Path, work: impl FnOnce() -> fjall::Result<T>) -> Result<T, StoreError> {
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(fjall::Error::Locked)) => Err(StoreError::Busy {
            path: path.parent().unwrap_or(path).into(),
        }),
        Ok(Err(error)) => Err(told(path, error)),
        Err(_) => Err(damaged(path, "their reader gave up")),
    }
}

fn told(path: &Path, error: fjall::Error) -> StoreError {
    let mut cause: Option<&(dyn Error + 'static)> = Some(&error);
    while let Some(inner) = cause {
        if let Some(io) = inner.downcast_ref::<io::Error>() {
            let again = io::Error::new(io.kind(), io.to_string());
            let told = StoreError::file(path)(again);
            return match told {
                StoreError::Full { .. } => told,
                _ => damaged(path, &io.to_string()),
            };
        }
        cause = inner.source();
    }
    match error {
        // Something was refused before, most likely space.
        fjall::Error::Poisoned => StoreError::Full {
            path: path.into(),
            reason: "an earlier step could not be written".into(),
        },
        error => damaged(path, &error.to_string()),
    }
}

fn damaged(path: &Path, reason: &str) -> StoreError {
    let advice =
        "`lyceum tasks FOLDER check --repair` makes them again from the log and the sources";
    StoreError::damaged(
        path,
        format!("the tables do not hold what was written ({reason}); {advice}"),
    )
}
