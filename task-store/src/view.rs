//! How a store is read: task by task, sample by sample, never as a whole.

use crate::{
    Bins, Counts, Difficulty, Split, Store, StoreError, Unknown,
    rows::{MemberRow, PieceRow, SolvedRow, TaskRow, key},
    sources::Place,
};
use lyceum_core::Fingerprint;

/// A task.
#[derive(Clone, Debug, PartialEq)]
pub struct Task {
    /// The place at which it came.
    pub order: u32,
    /// What is known of it.
    pub row: TaskRow,
}

/// A sample of a task.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// What it is.
    pub identity: Fingerprint,
    /// The version that the task has.
    pub row: MemberRow,
}

/// A sample that was solved.
#[derive(Clone, Debug, PartialEq)]
pub struct SolvedSample {
    /// Number of the fact in the log.
    pub fact: u64,
    /// What it is.
    pub identity: Fingerprint,
    /// Who solved it, and to which tasks it went back.
    pub row: SolvedRow,
}

impl Store {
    /// All tasks in the order in which they came.
    pub fn tasks(&self) -> Result<impl Iterator<Item = Result<Task, StoreError>>, StoreError> {
        let index = self.index()?;
        Ok(index.rows(key::TASKS, None).map(|row| {
            let (at, bytes) = row?;
            let order = key::number(&at).ok_or_else(|| index.damaged("a key is too short"))?;
            let row = index.decoded(&bytes)?;
            Ok(Task { order, row })
        }))
    }

    /// A task by its name.
    pub fn task(&self, name: &str) -> Result<Task, StoreError> {
        let found = self.find(name)?;
        let (order, row) = found.ok_or_else(|| self.no_task(name))?;
        Ok(Task { order, row })
    }

    /// A task by the place at which it came.
    pub fn task_at(&self, order: u32) -> Result<Option<Task>, StoreError> {
        let row = self.index()?.row(&key::task(order))?;
        Ok(row.map(|row| Task { order, row }))
    }

    /// The samples of a task in the order of their hashes, which no order of arrival changes.
    pub fn samples(
        &self,
        task: &Task,
    ) -> Result<impl Iterator<Item = Result<Sample, StoreError>>, StoreError> {
        let index = self.index()?;
        let rows = index.rows(&key::members(task.order), None);
        Ok(rows.map(|row| {
            let (at, bytes) = row?;
            let identity = key::last_hash(&at).map(Fingerprint::from);
            let identity = identity.ok_or_else(|| index.damaged("a key is too short"))?;
            let row = index.decoded(&bytes)?;
            Ok(Sample { identity, row })
        }))
    }

    /// The record of a sample's version.
    pub fn text(&self, row: &MemberRow) -> Result<String, StoreError> {
        let place = (row.part, row.offset, row.bytes);
        self.text_at(place, &row.content)
    }

    fn text_at(
        &self,
        (part, offset, bytes): (u32, u32, u32),
        content: &Fingerprint,
    ) -> Result<String, StoreError> {
        let index = self.index()?;
        let hash = index.row(&key::part(part))?;
        let hash = hash.ok_or_else(|| index.damaged("a part has no row"))?;
        self.sources.record(&hash, Place { offset, bytes }, content)
    }

    /// What a sample is for; the same in all tasks.
    pub fn split(&self, sample: &Fingerprint) -> Split {
        self.settings.split(sample)
    }

    /// The shared pieces that a task uses: what they are, and the records that stand.
    pub fn pieces(
        &self,
        task: &Task,
    ) -> Result<impl Iterator<Item = Result<(Fingerprint, String), StoreError>>, StoreError> {
        let index = self.index()?;
        Ok(index.rows(&key::uses(task.order), None).map(|row| {
            let (at, _) = row?;
            let piece = key::last_hash(&at).map(Fingerprint::from);
            let piece = piece.ok_or_else(|| index.damaged("a key is too short"))?;
            let row: Option<PieceRow> = index.row(&key::piece(&piece))?;
            let row = row.ok_or_else(|| index.damaged("a piece has no row"))?;
            let place = (row.part, row.offset, row.bytes);
            Ok((piece, self.text_at(place, &row.content)?))
        }))
    }

    /// What was solved, in the order in which it was told.
    pub fn solved_samples(
        &self,
    ) -> Result<impl Iterator<Item = Result<SolvedSample, StoreError>>, StoreError> {
        let index = self.index()?;
        Ok(index.rows(key::SOLVED, None).map(|row| {
            let (at, bytes) = row?;
            let identity = key::last_hash(&at).map(Fingerprint::from);
            let found = key::long_number(&at).zip(identity);
            let (fact, identity) = found.ok_or_else(|| index.damaged("a key is too short"))?;
            let row = index.decoded(&bytes)?;
            Ok(SolvedSample {
                fact,
                identity,
                row,
            })
        }))
    }

    /// The version of a sample that a task has.
    pub fn sample(&self, task: &Task, sample: &Fingerprint) -> Result<Option<Sample>, StoreError> {
        let row = self.index()?.row(&key::member(task.order, sample))?;
        Ok(row.map(|row| Sample {
            identity: *sample,
            row,
        }))
    }

    /// The samples of a task by bin.
    pub fn counts_by_bin(
        &self,
        bins: &Bins,
        task: &Task,
        unknown: Unknown,
    ) -> Result<Counts, StoreError> {
        bins.counts(self.index()?, (task.order, &task.row), unknown)
    }

    /// Samples of all tasks, each once, and shared pieces.
    pub fn totals(&self) -> Result<(u64, u64), StoreError> {
        let progress = self.index()?.progress()?;
        Ok((progress.samples, progress.pieces))
    }
}

/// A difficulty in a table: a number, `inf`, or nothing that is known.
impl std::fmt::Display for Difficulty {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Known(value) => value.fmt(f),
            Self::Infinite => f.write_str("inf"),
            Self::Unknown => f.write_str("-"),
        }
    }
}
