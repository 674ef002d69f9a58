//! Worlds: the real machines of coordinator and nodes under adversity, in virtual time.
//!
//! A world is a queue of things that will happen, drawn from a seed: messages arrive late, twice, in another order or
//! never; processes die and come back; the disk loses what was not synced. It holds the real
//! [`Conductor`](lyceum_coordinator::conductor::Conductor) and
//! [`NodeMachine`](lyceum_client_node::machine::NodeMachine)s, and a [`Property`] that does not hold comes with the one
//! line that shows it again.
//!
//! **Invariant:** no clock, no thread, no file and no socket in a world: scenario, faults and seed decide everything.

mod checks;
mod commands;
mod coordinator;
mod damage;
mod disk;
mod events;
mod faults;
mod ground;
mod node;
mod process;
mod queue;
mod report;
mod shelf;
mod workers;

pub(crate) use damage::foreign_files;
pub(crate) use disk::Disk;
pub(crate) use shelf::Shelf;

pub use checks::{Property, Violation};
#[cfg(feature = "mutants")]
pub use events::Mistakes;
pub use events::World;
pub use faults::Faults;
pub use ground::{Ground, Lab};
pub use report::{Progress, Report, Span, worlds};

use lyceum_coordinator::conductor::Ending;
use lyceum_core::{Fingerprint, Time};
use serde::Serialize;
use std::ops::AddAssign;

/// What became of a world.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    /// How the run ended; none where it did not.
    pub ending: Option<Ending>,
    /// The last link of the run's chain, where it finished.
    pub fingerprint: Option<Fingerprint>,
    /// What did not hold.
    pub violations: Vec<Violation>,
    /// What happened, counted.
    pub counters: Counters,
    /// Hash of everything that happened, in order.
    pub trace: Fingerprint,
    /// When it ended, in the world's time.
    pub ended: Time,
}

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// What happened in a world, or in many, counted.
        #[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
        pub struct Counters {
            $($(#[$doc])* pub $name: u64,)*
        }

        impl AddAssign<&Counters> for Counters {
            fn add_assign(&mut self, other: &Counters) {
                $(self.$name += other.$name;)*
            }
        }

        impl Counters {
            /// Names and numbers, in a fixed order.
            pub fn entries(&self) -> Vec<(&'static str, u64)> {
                vec![$((stringify!($name), self.$name)),*]
            }
        }
    };
}

counters! {
    /// Things that happened at all.
    steps,
    /// Rounds that were closed, repetitions after a crash included.
    rounds,
    /// Messages handed to a link.
    messages,
    /// Messages lost on the way.
    lost,
    /// Messages that arrived twice.
    doubled,
    /// Messages that were held back.
    held_back,
    /// Messages stopped by a partition.
    stopped,
    /// Messages of ended connections that were heard.
    late_messages,
    /// Partitions.
    partitions,
    /// Node processes that died.
    node_crashes,
    /// Coordinator processes that died, for whatever reason.
    coordinator_crashes,
    /// Times at which an operator stopped the run.
    pauses,
    /// Coordinator processes that died at a storage operation.
    crashes_at_write,
    /// Journal ends that were lost or torn.
    torn_tails,
    /// Coordinator processes that stopped because the disk was full.
    full_disks,
    /// Bits that read back flipped.
    bit_flips,
    /// Stored files that were damaged: flipped bits, cut off, older ones, those of another run.
    damaged_files,
    /// Jumps of the coordinator's clock.
    clock_jumps,
    /// Syncs of the journal that were waited for.
    syncs,
    /// Storage operations.
    writes,
    /// Uploads that counted.
    uploads,
    /// Uploads that came when nobody waited for them.
    late_uploads,
    /// Times at which a node was given up.
    lost_nodes,
    /// Rounds that were closed without the late, or with clients that never answer.
    closed_early,
}
