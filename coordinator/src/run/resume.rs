//! Whether a run can be gone on with, and from where.
//!
//! Twice: before data is read, what the folder and the scenario say of each other; then, once the run's digest is known,
//! which checkpoint holds what was written.

use super::{
    Prepared, RunError, Settings, Storage,
    checkpoint::{Damage, FOLDER, Manifest, Restored, Search, manifests},
    finished::{FINISHED, Finished, SUMMARY},
    journal::JOURNAL,
    seal::{self, Found},
};
use crate::Snapshot;
use lyceum_core::Event;
use lyceum_metrics::{EVENTS, EventLog, EventReader, Summary};
use lyceum_scenarios::{Deadline, Scenario};
use std::path::{Path, PathBuf};

/// A run that is to be gone on with.
#[derive(Debug, Default)]
pub struct Resume {
    /// What was found damaged, and what is done about it.
    pub warnings: Vec<String>,
    /// The last checkpoint that holds what was written; none to begin with round 0.
    pub checkpoint: Option<(Manifest, Snapshot)>,
}

impl Resume {
    /// Looks at a folder before anything else is read; refuses where the scenario is another, or does not allow another
    /// number of rounds.
    pub fn look(storage: &dyn Storage, scenario: &Scenario) -> Result<Self, RunError> {
        let good = |(_, found)| match found {
            Found::Good(manifest) => Some(manifest),
            Found::Nothing | Found::Damaged(_) => None,
        };
        let newest: Option<Manifest> = manifests(storage)?.into_iter().find_map(good);
        if newest
            .as_ref()
            .is_none_or(|m| m.scenario != scenario.lineage())
        {
            refuse_another(storage, scenario, newest.is_some())?;
        } else if let Some(manifest) = newest {
            refuse_rounds(storage, scenario, &manifest)?;
        }
        Ok(Self::default())
    }

    /// Finds the checkpoint to go on from.
    pub fn find(
        &mut self,
        storage: &dyn Storage,
        scenario: &Scenario,
        settings: &Settings,
        prepared: &Prepared,
    ) -> Result<(), RunError> {
        let log = settings.out.join(EVENTS);
        let lines = prepared.opening(scenario).len();
        let also = |manifest: &Manifest| {
            let checked = EventLog::check(&log, lines, &manifest.events);
            checked.map_err(|e| Damage::of_log(&log, &e))
        };
        let layout = prepared.network.layout();
        let search = Search::new(storage, layout, prepared.digest, &also);
        let Restored {
            checkpoint,
            damages,
            incomplete,
        } = search.last_good()?;
        if checkpoint.is_none() && !damages.is_empty() {
            refuse_other_data(settings, prepared, storage)?;
            refuse_lost(scenario, storage, &damages)?;
        }
        let from = self::from(&checkpoint, scenario);
        if checkpoint.is_none() && damages.is_empty() && incomplete.is_empty() {
            self.warnings.extend(without_any(storage, &log)?);
        }
        for Damage { file, reason } in incomplete.into_iter().chain(damages) {
            let named = format!("{}: ", storage.path(&file).display());
            let warning = format!("{named}{reason}; going on from {from}");
            // Every checkpoint is held against the one log.
            let told = file == EVENTS && self.warnings.iter().any(|w| w.starts_with(&*named));
            if !told {
                self.warnings.push(warning);
            }
        }
        self.checkpoint = checkpoint;
        Ok(())
    }

    /// The summary of a run that has nothing left to do.
    pub fn finished(
        &mut self,
        storage: &dyn Storage,
        scenario: &Scenario,
        settings: &Settings,
        prepared: &Prepared,
    ) -> Result<Option<Summary>, RunError> {
        let Some((manifest, _)) = &self.checkpoint else {
            return Ok(None);
        };
        let rounds = scenario.rounds();
        if manifest.rounds != rounds || !self.warnings.is_empty() {
            return Ok(None);
        }
        let finished = match seal::read::<Finished>(storage, FINISHED)? {
            Found::Nothing => return Ok(None),
            Found::Damaged(reason) => Err(Damage {
                file: FINISHED.into(),
                reason,
            }),
            Found::Good(finished)
                if (finished.run, finished.rounds) != (prepared.digest, rounds) =>
            {
                return Ok(None);
            }
            Found::Good(finished) => finished.summary(&settings.out),
        };
        match finished {
            Ok(summary) => Ok(Some(summary)),
            Err(Damage { file, reason }) => {
                let path = storage.path(&file);
                let warning = format!("{}: {reason}; it is made again", path.display());
                self.warnings.push(warning);
                Ok(None)
            }
        }
    }
}

/// A run whose log tells of rounds of which neither checkpoint nor journal has anything.
fn without_any(storage: &dyn Storage, log: &Path) -> Result<Option<String>, RunError> {
    let journal = storage.read(JOURNAL);
    let journal = journal.map_err(RunError::file(storage.path(JOURNAL)))?;
    let closed = |event| matches!(event, Ok(Event::RoundClosed { .. }));
    let told = EventReader::open(log).is_ok_and(|mut log| log.any(closed));
    Ok((told && journal.is_none()).then(|| {
        let folder = storage.path(FOLDER);
        format!(
            "{}: there is no checkpoint; going on from round 0: the rounds that the log tells of are done again, with the same result",
            folder.display()
        )
    }))
}

/// Where a run goes on whose last checkpoint is not good, and what becomes of what was done since.
fn from(checkpoint: &Option<(Manifest, Snapshot)>, scenario: &Scenario) -> String {
    let alike = match scenario.deadline {
        // Who was late may come in time now.
        Some(Deadline::Close(_)) => "",
        _ => ", with the same result",
    };
    match checkpoint {
        Some((manifest, _)) => {
            let round = manifest.rounds;
            format!("round {round}: what was done after it is done again{alike}")
        }
        None => format!(
            "round 0{alike}: no checkpoint can be gone on from, and those that are there give way to new ones"
        ),
    }
}

/// The run in the folder is of another scenario, unless its own copy of the scenario says that it is the same.
fn refuse_another(storage: &dyn Storage, scenario: &Scenario, begun: bool) -> Result<(), RunError> {
    let folder = folder_of(storage);
    let folder = folder.display();
    let text = storage.read("scenario.toml").ok().flatten();
    let text = text.and_then(|bytes| String::from_utf8(bytes).ok());
    let keys = text.and_then(|text| scenario.differing(&text));
    let what = match keys {
        Some(keys) if keys.is_empty() => return Ok(()),
        Some(keys) => listed(&keys),
        // Nothing is there to go on with, and nothing to tell it from.
        None if !begun => return Ok(()),
        None => "its scenario.toml cannot be read".into(),
    };
    Err(RunError::Refused(format!(
        "{folder} holds a run of another scenario ({what}): go on with the file and --set that it began with, which its \
         scenario.toml has, or choose another --out"
    )))
}

/// The run's folder, for messages.
fn folder_of(storage: &dyn Storage) -> PathBuf {
    let inside = storage.path(SUMMARY);
    inside.parent().map_or_else(PathBuf::new, PathBuf::from)
}

fn listed(keys: &[String]) -> String {
    const SHOWN: usize = 6;
    let shown = keys[..keys.len().min(SHOWN)].join(", ");
    match keys.len() {
        1 => format!("{shown} differs"),
        few if few <= SHOWN => format!("{shown} differ"),
        many => format!("{shown} and {} more differ", many - SHOWN),
    }
}

fn refuse_rounds(
    storage: &dyn Storage,
    scenario: &Scenario,
    manifest: &Manifest,
) -> Result<(), RunError> {
    let folder = folder_of(storage);
    let folder = folder.display();
    let (wanted, done, planned) = (
        scenario.run.rounds.get() as u64,
        manifest.rounds,
        manifest.planned,
    );
    if scenario.rounds() < done {
        return Err(RunError::Refused(format!(
            "{folder}: {done} rounds are done, and run.rounds is {wanted}: ask for {done} or more, or choose another --out"
        )));
    }
    let bound = scenario.bound_to_rounds();
    if wanted == planned || bound.is_empty() {
        return Ok(());
    }
    Err(RunError::Refused(format!(
        "{folder}: the run was to have run.rounds = {planned} and cannot be gone on with to {wanted}, since what its rounds do \
         depends on how many there are ({}): go on with {planned}, or choose another --out",
        bound.join(", ")
    )))
}

/// No checkpoint belongs to the run that the scenario makes: that of the folder began with other data.
fn refuse_other_data(
    settings: &Settings,
    prepared: &Prepared,
    storage: &dyn Storage,
) -> Result<(), RunError> {
    let good = |(_, found)| match found {
        Found::Good(Manifest { run, .. }) => Some(run),
        Found::Nothing | Found::Damaged(_) => None,
    };
    let mut runs = manifests(storage)?.into_iter().filter_map(good).peekable();
    if runs.peek().is_none()
        || runs.any(|run| run == prepared.digest)
        || begun_as(settings, prepared)
    {
        return Ok(());
    }
    Err(RunError::Refused(format!(
        "{} holds a run of other data: the scenario is the same, but the samples, the parameters that it starts from, or an \
         expert of another engine are not; bring back what it began with, or choose another --out",
        settings.out.display()
    )))
}

/// Whether the log's first line is that of this run.
fn begun_as(settings: &Settings, prepared: &Prepared) -> bool {
    let first = EventReader::open(&settings.out.join(EVENTS))
        .ok()
        .and_then(|mut log| log.next()?.ok());
    matches!(first, Some(Event::RunStarted { scenario, .. }) if scenario == prepared.digest)
}

/// Where a round may close without the late, nobody can do the rounds again as they were.
fn refuse_lost(
    scenario: &Scenario,
    storage: &dyn Storage,
    damages: &[Damage],
) -> Result<(), RunError> {
    if !matches!(scenario.deadline, Some(Deadline::Close(_))) {
        return Ok(());
    }
    let told: Vec<String> = damages
        .iter()
        .map(|d| format!("{}: {}", storage.path(&d.file).display(), d.reason))
        .collect();
    let reason = format!(
        "no checkpoint is left to go on from ({}), and with deadline.close its rounds would not be the same again; bring one \
         back, or start the run anew with another --out",
        told.join("; ")
    );
    Err(RunError::damaged(storage.path(FOLDER), reason))
}
