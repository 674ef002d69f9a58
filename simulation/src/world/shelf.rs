//! The coordinator's archive: checkpoints on the world's disk, events in memory.

use super::disk::Disk;
use lyceum_coordinator::{
    RoundMachine, Snapshot,
    conductor::Archive,
    run::{
        RunError, Storage,
        checkpoint::{Latest, replace, write_best},
    },
};
use lyceum_core::{Event, Fingerprint, Layout, Params, Round};

/// Counts the coordinator processes of a run.
const INCARNATION: &str = "incarnation";

/// Where a coordinator process of a world keeps its run.
pub(crate) struct Shelf {
    disk: Disk,
    layout: Layout,
    run: Fingerprint,
    best: Option<Params>,
    /// What happened since somebody looked.
    pub(super) events: Vec<Event>,
}

impl Shelf {
    pub(crate) fn new(disk: Disk, layout: Layout, run: Fingerprint) -> Self {
        Self {
            disk,
            layout,
            run,
            best: None,
            events: Vec::new(),
        }
    }

    /// The disk that it stands on.
    pub(crate) fn disk(&self) -> &Disk {
        &self.disk
    }

    /// Counts one process more, and says which one it is.
    pub(crate) fn incarnation(&mut self) -> Result<u32, RunError> {
        let path = self.disk.path(INCARNATION);
        let bytes = self.disk.read(INCARNATION).map_err(RunError::file(path))?;
        let before = bytes.and_then(|b| b.first_chunk().copied());
        let number = before.map_or(0, u32::from_le_bytes) + 1;
        replace(&mut self.disk, INCARNATION, &number.to_le_bytes())?;
        Ok(number)
    }

    /// Takes a machine back to the last checkpoint.
    pub(crate) fn restore(&self, machine: &mut RoundMachine) -> Result<(), RunError> {
        if let Some(latest) = Latest::read(&self.disk)? {
            let snapshot = latest.snapshot(&self.disk, &self.layout)?;
            let path = self.disk.path("checkpoint");
            let restored = machine.restore(snapshot);
            restored.map_err(|e| RunError::damaged(path, e))?;
        }
        Ok(())
    }

    /// The last checkpoint.
    pub(crate) fn latest(&self) -> Result<Option<Latest>, RunError> {
        Latest::read(&self.disk)
    }
}

impl Archive for Shelf {
    fn event(&mut self, event: Event) -> Result<(), RunError> {
        self.events.push(event);
        Ok(())
    }

    fn best(&mut self, params: Params) {
        self.best = Some(params);
    }

    fn clients_took(&mut self, _: &[u64]) {}

    fn round_took(&mut self, _: Round, _: u64, _: u64) -> Result<(), RunError> {
        Ok(())
    }

    fn save(&mut self, snapshot: &Snapshot) -> Result<(), RunError> {
        if let Some(best) = self.best.take() {
            write_best(&mut self.disk, &self.layout, &best)?;
        }
        let latest = Latest {
            rounds: snapshot.rounds,
            events_bytes: 0,
            scenario: self.run,
            fingerprint: snapshot.fingerprint,
        };
        latest.write(&mut self.disk, &self.layout, snapshot)
    }

    fn storage(&mut self) -> &mut dyn Storage {
        &mut self.disk
    }
}
