//! Bytes and times of transfers, per node.

use crate::dispatch::Peer;
use lyceum_metrics::Latency;
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

/// What was measured of one connection.
#[derive(Clone, Debug, Default)]
pub struct Meter {
    /// Bytes of models and states that went to the node.
    pub bytes_down: u64,
    /// Bytes of results that came from it.
    pub bytes_up: u64,
    /// Microseconds of each transfer to it.
    pub download: Latency,
    /// Microseconds of each transfer from it.
    pub upload: Latency,
}

/// Meters of all connections.
#[derive(Clone, Debug, Default)]
pub(super) struct Meters(Arc<Mutex<BTreeMap<Peer, Meter>>>);

impl Meters {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<Peer, Meter>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn uploaded(&self, peer: Peer, bytes: u64, took: Duration) {
        let mut meters = self.lock();
        let meter = meters.entry(peer).or_default();
        meter.bytes_up += bytes;
        meter.upload.record(took.as_micros() as u64);
    }

    pub(super) fn downloaded(&self, peer: Peer, bytes: u64, took: Duration) {
        let mut meters = self.lock();
        let meter = meters.entry(peer).or_default();
        meter.bytes_down += bytes;
        meter.download.record(took.as_micros() as u64);
    }

    pub(super) fn forget(&self, peer: Peer) {
        self.lock().remove(&peer);
    }

    pub(super) fn all(&self) -> BTreeMap<Peer, Meter> {
        self.lock().clone()
    }
}
