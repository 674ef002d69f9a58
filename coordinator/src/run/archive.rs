//! What a run needs of the place where it is kept.

use super::{RunError, Storage};
use crate::Snapshot;
use lyceum_core::{Event, Params, Payload, Request, Round};
use std::{io, pin::Pin};

/// Where a run goes: events and checkpoints.
pub trait Archive {
    /// Something happened.
    fn event(&mut self, event: Event) -> Result<(), RunError>;
    /// The validation set likes this model best so far.
    fn best(&mut self, params: Params);
    /// The expert's training found this; only before the first round.
    fn expert(&mut self, _: Payload) {}
    /// Clients took this long.
    fn clients_took(&mut self, micros: &[u64]);
    /// A round took `total` microseconds, of which `training` before it was closed.
    fn round_took(&mut self, round: Round, total: u64, training: u64) -> Result<(), RunError>;
    /// What somebody outside has asked since the last time.
    fn requests(&mut self) -> Result<Vec<Request>, RunError> {
        Ok(Vec::new())
    }
    /// Makes a state, and all events before it, safe.
    fn save(&mut self, snapshot: &Snapshot) -> Result<(), RunError>;
    /// Keeps in memory what [`save_held`](Self::save_held) needs besides the state of this moment, which is not saved yet.
    fn hold(&mut self) -> Result<(), RunError> {
        Ok(())
    }
    /// Makes the state of the last [`hold`](Self::hold), and all events before it, safe.
    fn save_held(&mut self, snapshot: &Snapshot) -> Result<(), RunError> {
        self.save(snapshot)
    }
    /// Where the journal is.
    fn storage(&mut self) -> &mut dyn Storage;
}

/// Makes a journal safe; may take long, and blocks nobody.
pub type Syncing = Pin<Box<dyn Future<Output = io::Result<()>> + Send>>;

/// An archive whose journal can be made safe while the run goes on.
pub trait Durable: Archive {
    /// What makes safe all that was appended to the journal until now.
    fn syncing(&mut self) -> Syncing;
    /// Called when nothing is left to do for the moment.
    fn idle(&mut self) -> Result<(), RunError>;
}
