//! What a finished run left, so that nothing of it is believed unseen: the hash of each of its files.

use super::{
    RunError, Storage,
    checkpoint::{BEST, Damage},
    seal::{self, FileSeal, Found},
    storage::Folder,
};
use lyceum_core::Fingerprint;
use lyceum_metrics::{
    CLIENTS_PARQUET, EVENTS, EventLog, Extent, ROUNDS_CSV, ROUNDS_PARQUET, Status, Summary,
};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, path::Path};

/// Where it stands.
pub(super) const FINISHED: &str = "checkpoint/finished.json";
pub(super) const SUMMARY: &str = "summary.json";
/// What is sealed beside the log; what is not there is not.
const FILES: [&str; 6] = [
    SUMMARY,
    "scenario.toml",
    ROUNDS_CSV,
    ROUNDS_PARQUET,
    CLIENTS_PARQUET,
    BEST,
];

/// The hashes of a finished run's files.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Finished {
    /// Digest of the run.
    pub run: Fingerprint,
    /// Its rounds.
    pub rounds: u64,
    /// The last link of its chain.
    pub fingerprint: Fingerprint,
    /// Lines of `events.jsonl` before what happened.
    pub opening: u64,
    /// How far `events.jsonl` goes after them.
    pub events: Extent,
    /// The other files, by name.
    pub files: BTreeMap<String, FileSeal>,
}

impl Finished {
    /// Writes it down; the files and the log, with `opening` lines before what happened, are on disk.
    pub fn write(
        storage: &mut dyn Storage,
        run: Fingerprint,
        summary: &Summary,
        opening: usize,
        events: Extent,
    ) -> Result<(), RunError> {
        let mut files = BTreeMap::new();
        // Without a validation set, a file of that name is of an earlier run.
        let ours = |name: &&str| *name != BEST || summary.best_round.is_some();
        for name in FILES.into_iter().filter(ours) {
            let path = storage.path(name);
            let seal = FileSeal::of_file(&path).map_err(RunError::file(path))?;
            files.extend(seal.map(|seal| (name.to_owned(), seal)));
        }
        let finished = Self {
            run,
            rounds: summary.rounds,
            fingerprint: summary.fingerprint,
            opening: opening as u64,
            events,
            files,
        };
        seal::write(storage, FINISHED, &finished)
    }

    /// Forgets that the run was finished.
    pub fn remove(storage: &mut dyn Storage) -> Result<(), RunError> {
        let path = storage.path(FINISHED);
        storage.remove(FINISHED).map_err(RunError::file(path))
    }

    /// The summary, if all is there as it was written; else a file that is not.
    pub(super) fn summary(&self, folder: &Path) -> Result<Summary, Damage> {
        match self.damages(folder).into_iter().next() {
            Some(damage) => Err(damage),
            None => Summary::read(&folder.join(SUMMARY)).map_err(|e| damage(SUMMARY, e)),
        }
    }

    /// The files that are not as they were written.
    fn damages(&self, folder: &Path) -> Vec<Damage> {
        let mut damages = Vec::new();
        for (name, seal) in &self.files {
            match FileSeal::of_file(&folder.join(name)) {
                Ok(Some(found)) if found == *seal => {}
                Ok(Some(_)) => damages.push(damage(name, "it does not hold what was written")),
                Ok(None) => damages.push(damage(name, "it is missing")),
                Err(error) => damages.push(damage(name, error)),
            }
        }
        let log = EventLog::check(&folder.join(EVENTS), self.opening as usize, &self.events);
        damages.extend(log.err().map(|e| Damage::of_log(&folder.join(EVENTS), &e)));
        damages
    }
}

fn damage(file: &str, reason: impl ToString) -> Damage {
    Damage {
        file: file.into(),
        reason: reason.to_string(),
    }
}

/// What was done to the files of a finished run since it ended, in sentences for whoever reads them: a run that goes on, one of
/// which only parts were copied and one whose seals are of another version say nothing.
pub fn alterations(folder: &Path) -> Vec<String> {
    let finished = Folder::new(folder).read(FINISHED).ok().flatten();
    let found = finished.map(|bytes| seal::from_bytes::<Finished>(&bytes));
    let shown = |file: &str| folder.join(file).display().to_string();
    let again = "`lyceum run` with --resume makes it again";
    match found {
        Some(Ok(Found::Good(finished))) => finished
            .damages(folder)
            .into_iter()
            .map(|Damage { file, reason }| format!("{}: {reason}; {again}", shown(&file)))
            .collect(),
        Some(Ok(Found::Damaged(reason))) => {
            vec![format!("{}: {reason}; {again}", shown(FINISHED))]
        }
        Some(_) => Vec::new(),
        None => unsealed(folder)
            .then(|| {
                let missing =
                    "it is missing, so nothing tells whether the files are those that were written";
                format!("{}: {missing}; {again}", shown(FINISHED))
            })
            .into_iter()
            .collect(),
    }
}

/// Whether a run that is finished has checkpoints and no seals.
fn unsealed(folder: &Path) -> bool {
    let summary = Summary::read(&folder.join(SUMMARY));
    summary.is_ok_and(|s| s.status == Status::Finished) && folder.join("checkpoint").is_dir()
}
