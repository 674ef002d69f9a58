//! Worlds of the whole stack: the processes as they are, with real quinn and real TLS, over a simulated network in
//! virtual time.
//!
//! Slower than worlds of messages, and repeatable packet for packet: one thread, a paused clock, seeded connection
//! ids, certificates of one length, and links that decide a packet's fate by its number.

mod crew;
mod faults;
mod processes;

pub use faults::StackFaults;

use crate::{RunError, world::Ground};
use lyceum_core::{Fingerprint, Round, Seed, TaskDefinition, Time};
use lyceum_network_model::SimNet;
use lyceum_protocol::identity::{Ephemeral, Name, ephemeral};
use processes::Processes;
use std::{sync::Arc, time::Duration};

/// A world that has not ended by then, in virtual time, does not end.
const BOUND: Duration = Duration::from_secs(3600);

/// What became of a world.
#[derive(Clone, Debug, PartialEq)]
pub struct StackOutcome {
    /// Last link of the run's chain; none where the run did not end.
    pub fingerprint: Option<Fingerprint>,
    /// Tasks that it was asked for and took, with the rounds in which they were told.
    pub asked: Vec<(Round, TaskDefinition)>,
    /// Packets that were delivered.
    pub packets: u64,
    /// Hash over time, addresses and length of each of them.
    pub trace: Fingerprint,
    /// When it ended, in the world's time.
    pub ended: Time,
    /// Processes that died, and links that stopped for a while.
    pub troubles: Troubles,
    /// What went wrong beyond the faults.
    pub complaints: Vec<String>,
}

/// Faults that happened while the run was on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Troubles {
    /// Coordinator processes that died.
    pub coordinator_crashes: u64,
    /// Node processes that died.
    pub node_crashes: u64,
    /// Links that stopped for a while.
    pub partitions: u64,
}

/// Runs a scenario in the world of a seed.
pub fn stack_world(
    ground: &Arc<Ground>,
    faults: &StackFaults,
    seed: u64,
) -> Result<StackOutcome, RunError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .map_err(|e| RunError::Worker(format!("no virtual time: {e}")))?;
    let identities = identities(faults.nodes)?;
    runtime.block_on(async {
        let net = SimNet::new(Seed(seed), faults.link.clone());
        let processes = Arc::new(Processes::new(
            ground.clone(),
            faults.clone(),
            seed,
            net.clone(),
            identities,
        ));
        let end = tokio::time::timeout(BOUND, processes.clone().run()).await;
        if end.is_err() {
            processes.complain("the run did not end within an hour".into());
        }
        let (fingerprint, notes) = (end.unwrap_or(None), processes.notes().clone());
        let (packets, trace) = net.trace();
        Ok(StackOutcome {
            fingerprint,
            asked: notes.asked,
            packets,
            trace,
            ended: net.now(),
            troubles: notes.troubles,
            complaints: notes.complaints,
        })
    })
}

fn identities(nodes: u32) -> Result<Ephemeral, RunError> {
    let names = (1..=nodes).map(|n| format!("n{n}").parse::<Name>().expect("it is a name"));
    ephemeral(names).map_err(|e| RunError::Worker(e.to_string()))
}
