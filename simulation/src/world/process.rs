//! What a world holds of a coordinator's process.

use super::shelf::Shelf;
use lyceum_coordinator::{conductor::Conductor, dispatch::Peer};
use lyceum_core::Time;

/// A coordinator process.
pub(super) struct Process {
    pub(super) conductor: Conductor<Shelf>,
    /// What its clock shows beyond the world's time, in microseconds.
    pub(super) clock: u64,
    /// The first connection that is not an earlier process's.
    pub(super) first_peer: Peer,
    pub(super) wake: Option<Time>,
    /// When the last sync that was ordered is done.
    pub(super) sync_free: Time,
}
