//! The coordinator's archive: checkpoints on the world's disk, events in memory.

use super::disk::Disk;
use lyceum_coordinator::{
    RoundMachine, Snapshot,
    run::{
        Archive, RunError, Storage,
        checkpoint::{Checkpoints, Restored, Search},
        incarnation,
    },
};
use lyceum_core::{Event, Fingerprint, GLOBAL, Layout, Params, Request, Round, Want};
use lyceum_metrics::Extent;

/// Where a coordinator process of a world keeps its run.
pub(crate) struct Shelf {
    disk: Disk,
    layout: Layout,
    checkpoints: Checkpoints,
    best: Option<Params>,
    /// How often was looked for requests.
    looked: u64,
    /// What happened since somebody looked.
    pub(super) events: Vec<Event>,
    #[cfg(feature = "mutants")]
    pub(super) mutant: lyceum_coordinator::Mutant,
}

impl Shelf {
    pub(crate) fn new(disk: Disk, layout: Layout, run: Fingerprint, rounds: u64) -> Self {
        Self {
            disk,
            layout,
            checkpoints: Checkpoints {
                run,
                scenario: run,
                planned: rounds,
                last: None,
            },
            best: None,
            looked: 0,
            events: Vec::new(),
            #[cfg(feature = "mutants")]
            mutant: lyceum_coordinator::Mutant::None,
        }
    }

    /// The disk that it stands on.
    pub(crate) fn disk(&self) -> &Disk {
        &self.disk
    }

    /// Counts one process more, and says which one it is. `processes` is how many there were.
    pub(crate) fn incarnation(&mut self, processes: u64) -> Result<u32, RunError> {
        let beyond = || (1 << 30) + processes as u32;
        Ok(incarnation::count(&mut self.disk, beyond)?.0)
    }

    /// Takes a machine back to the last good checkpoint.
    pub(crate) fn restore(&mut self, machine: &mut RoundMachine) -> Result<(), RunError> {
        if let Some((manifest, snapshot)) = self.last_good()?.checkpoint {
            let path = self.disk.path("checkpoint");
            let restored = machine.restore(snapshot);
            restored.map_err(|e| RunError::damaged(path, e))?;
            self.checkpoints.last = Some(manifest);
        }
        Ok(())
    }

    fn last_good(&self) -> Result<Restored, RunError> {
        let search = Search {
            storage: &self.disk,
            layout: &self.layout,
            run: self.checkpoints.run,
            also: &|_| Ok(()),
            #[cfg(feature = "mutants")]
            mutant: self.mutant,
        };
        search.last_good()
    }

    /// The link of the last good checkpoint.
    pub(crate) fn kept(&self) -> Result<Option<Fingerprint>, RunError> {
        let checkpoint = self.last_good()?.checkpoint;
        Ok(checkpoint.map(|(manifest, _)| manifest.fingerprint))
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

    /// Behind every other round somebody asks what a mixture is worth, which must change nothing.
    fn requests(&mut self) -> Result<Vec<Request>, RunError> {
        self.looked += 1;
        let request = Request {
            id: self.looked.to_string(),
            want: Want::Judge {
                of: vec![(GLOBAL.into(), 0.5), (GLOBAL.into(), 0.25)],
            },
        };
        Ok(Vec::from_iter(
            self.looked.is_multiple_of(2).then_some(request),
        ))
    }

    fn save(&mut self, snapshot: &Snapshot) -> Result<(), RunError> {
        let (best, events) = (self.best.take(), Extent::nothing());
        let (disk, layout) = (&mut self.disk, &self.layout);
        self.checkpoints
            .save(disk, layout, snapshot, best.as_ref(), events)
    }

    fn storage(&mut self) -> &mut dyn Storage {
        &mut self.disk
    }
}
