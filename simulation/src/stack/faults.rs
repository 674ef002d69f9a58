//! What is wrong with a world of the whole stack, as data.

use lyceum_core::{Purpose, Seed, Ticket, units::Fraction};
use lyceum_network_model::LinkFaults;
use rand::RngExt;
use serde::{Deserialize, Serialize};

const SECOND: u64 = 1_000_000;

/// Everything that is wrong with a world. By default nothing is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct StackFaults {
    /// Node processes.
    pub nodes: u32,
    /// Microseconds that a node takes for one unit.
    pub unit_micros: u64,
    /// What every link does to packets.
    pub link: LinkFaults,
    /// Times at which the link of one node stops, one way or both ways.
    pub partitions: u32,
    /// Longest time that such a partition lasts, in microseconds.
    pub partition_micros: u64,
    /// Times at which a node process dies; it comes back with the same name and no memory.
    pub node_crashes: u32,
    /// Times at which the coordinator process dies.
    pub coordinator_crashes: u32,
    /// All of that happens in the first so many microseconds.
    pub trouble_micros: u64,
    /// Longest time that a process is away after it died, in microseconds.
    pub down_micros: u64,
    /// Longest time that a sync of the journal takes, in microseconds.
    pub sync_micros: u64,
    /// Times at which somebody asks that a task joins the stream; one without a stream refuses.
    pub asked_tasks: u32,
    /// Share of the coordinator's deaths after which a stored file is damaged.
    pub damage: Fraction,
}

impl Default for StackFaults {
    fn default() -> Self {
        Self {
            nodes: 2,
            unit_micros: 50_000,
            link: LinkFaults {
                delay_micros: 1000,
                ..LinkFaults::default()
            },
            partitions: 0,
            partition_micros: 0,
            node_crashes: 0,
            coordinator_crashes: 0,
            trouble_micros: 0,
            down_micros: SECOND,
            sync_micros: 1000,
            asked_tasks: 0,
            damage: none(),
        }
    }
}

impl StackFaults {
    /// The faults of a world, drawn from its seed.
    pub fn drawn(seed: u64) -> Self {
        let purpose = Purpose::named("lyceum.stack.faults");
        let mut rng = Seed(seed).stream(purpose, Ticket(0), None);
        let mut share =
            |most: f64| Fraction::new(rng.random_range(0.0..=most)).unwrap_or_else(none);
        let (loss, duplicate, reorder) = (share(0.05), share(0.02), share(0.02));
        let delay_micros = rng.random_range(500..60_000);
        Self {
            nodes: rng.random_range(1..=4),
            unit_micros: rng.random_range(5_000..400_000),
            link: LinkFaults {
                delay_micros,
                jitter_micros: rng.random_range(0..=delay_micros / 4),
                loss,
                duplicate,
                reorder,
                reorder_micros: rng.random_range(0..50_000),
                ..LinkFaults::default()
            },
            partitions: rng.random_range(0..=3),
            partition_micros: rng.random_range(1..=40) * SECOND,
            node_crashes: rng.random_range(0..=3),
            coordinator_crashes: rng.random_range(0..=4),
            trouble_micros: rng.random_range(1..=8) * SECOND,
            down_micros: 5 * SECOND,
            sync_micros: rng.random_range(100..50_000),
            damage: Fraction::new(rng.random_range(0.0..=0.8)).unwrap_or_else(none),
            asked_tasks: rng.random_range(0..=3),
        }
    }
}

fn none() -> Fraction {
    Fraction::new(0.0).expect("0 is a fraction")
}
