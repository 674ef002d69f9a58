//! What is wrong with a world, as data.

use lyceum_core::{Purpose, Seed, Ticket, units::Fraction};
use lyceum_network_model::LinkFaults;
use rand::{Rng, RngExt};
use serde::{Deserialize, Serialize};

/// A second, in microseconds.
pub(super) const SECOND: u64 = 1_000_000;

/// Everything that is wrong with a world. By default nothing is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Faults {
    /// Node processes.
    pub nodes: u32,
    /// Most threads of a node; each has 1 to this many.
    pub threads: u32,
    /// Longest time that a node takes for one unit, in microseconds; each unit draws its own.
    pub unit_micros: u64,
    /// Longest time that a node takes to load a scenario's data, in microseconds.
    pub load_micros: u64,
    /// What every link between a node and the coordinator does to messages.
    pub link: LinkFaults,
    /// Faults happen in the first so many microseconds; after that, links are faultless and nothing is taken down any
    /// more.
    pub trouble_micros: u64,
    /// Times at which the link of one node stops messages, one way or both ways.
    pub partitions: u32,
    /// Longest time that such a partition lasts, in microseconds.
    pub partition_micros: u64,
    /// Times at which a node process dies; it comes back with the same name and no memory.
    pub node_crashes: u32,
    /// Times at which the coordinator process dies.
    pub coordinator_crashes: u32,
    /// Times at which an operator stops the run, at once or at the end of the round, and resumes it.
    pub pauses: u32,
    /// The storage operation, counted from 1 over all processes, at which the coordinator process dies.
    pub crash_at_write: Option<u64>,
    /// Longest time that a process is away after it died, in microseconds.
    pub down_micros: u64,
    /// Longest time that a sync of the journal takes, in microseconds.
    pub sync_micros: u64,
    /// Times at which the coordinator's disk is full; the process stops there.
    pub full_disks: u32,
    /// Longest time that the disk is full, in microseconds.
    pub full_micros: u64,
    /// Share of the coordinator's starts at which the journal's unsynced end reads back with a flipped bit.
    pub bit_flips: Fraction,
    /// Whether bits that were safe may flip too. What was acknowledged may then be worked on again.
    pub rot: bool,
    /// Share of the coordinator's starts before which a stored file is damaged, whichever: a bit is flipped, its end is cut
    /// off, it is what it was before, or it is the file of another run.
    pub damage: Fraction,
    /// Times at which the coordinator's clock jumps forward.
    pub clock_jumps: u32,
    /// Longest such jump, in microseconds.
    pub clock_jump_micros: u64,
    /// Times at which somebody asks that a task joins the stream; one without a stream refuses.
    pub asked_tasks: u32,
    /// Share of the messages of ended connections that are heard nevertheless.
    pub late_messages: Fraction,
    /// Least microseconds between two checkpoints of the coordinator; 0 saves after every round.
    pub save_micros: u64,
    /// Bytes of journal after which the next round's end is saved.
    pub journal_bytes: u64,
}

impl Default for Faults {
    fn default() -> Self {
        Self {
            nodes: 2,
            threads: 1,
            unit_micros: SECOND / 10,
            load_micros: SECOND / 10,
            link: LinkFaults {
                delay_micros: 1000,
                ..LinkFaults::default()
            },
            trouble_micros: 0,
            partitions: 0,
            partition_micros: 0,
            node_crashes: 0,
            coordinator_crashes: 0,
            pauses: 0,
            crash_at_write: None,
            down_micros: SECOND,
            sync_micros: 1000,
            full_disks: 0,
            full_micros: 0,
            bit_flips: fraction(0.0),
            rot: false,
            damage: fraction(0.0),
            clock_jumps: 0,
            clock_jump_micros: 0,
            asked_tasks: 0,
            late_messages: fraction(0.0),
            save_micros: 10 * SECOND,
            journal_bytes: 256 << 20,
        }
    }
}

fn fraction(value: f64) -> Fraction {
    Fraction::new(value).expect("a constant or a draw below 1")
}

impl Faults {
    /// Nothing goes wrong.
    pub fn calm() -> Self {
        Self::default()
    }

    /// A network that loses, doubles and disorders messages, and stops now and then.
    pub fn bad_network() -> Self {
        Self {
            nodes: 4,
            threads: 3,
            link: LinkFaults {
                delay_micros: 20_000,
                jitter_micros: 200_000,
                loss: fraction(0.2),
                duplicate: fraction(0.1),
                reorder: fraction(0.1),
                reorder_micros: SECOND,
                ..LinkFaults::default()
            },
            trouble_micros: 60 * SECOND,
            partitions: 4,
            partition_micros: 20 * SECOND,
            late_messages: fraction(0.5),
            ..Self::default()
        }
    }

    /// Processes that die and come back.
    pub fn crashes() -> Self {
        Self {
            nodes: 3,
            threads: 2,
            unit_micros: SECOND,
            trouble_micros: 20 * SECOND,
            node_crashes: 4,
            coordinator_crashes: 4,
            sync_micros: 300_000,
            ..Self::default()
        }
    }

    /// A disk that is slow, full, and reads back what was not written.
    pub fn bad_disk() -> Self {
        Self {
            sync_micros: 2 * SECOND,
            full_disks: 3,
            full_micros: 5 * SECOND,
            bit_flips: fraction(0.5),
            ..Self::crashes()
        }
    }

    /// Processes that die, and a disk that does not hold what was written.
    pub fn damaged_files() -> Self {
        Self {
            damage: fraction(0.9),
            save_micros: 0,
            ..Self::crashes()
        }
    }

    /// The preset of this name: `calm`, `bad-network`, `crashes`, `bad-disk` or `damaged-files`.
    pub fn named(name: &str) -> Option<Self> {
        match name {
            "calm" => Some(Self::calm()),
            "bad-network" => Some(Self::bad_network()),
            "crashes" => Some(Self::crashes()),
            "bad-disk" => Some(Self::bad_disk()),
            "damaged-files" => Some(Self::damaged_files()),
            _ => None,
        }
    }

    /// The adversity of a world, drawn from its seed: each kind of fault is there or not, weak or strong.
    pub fn drawn(seed: u64) -> Self {
        let mut rng = Seed(seed).stream(Purpose::named("lyceum.world.faults"), Ticket(0), None);
        let rng = &mut rng;
        let nodes = rng.random_range(2..=5);
        let threads = rng.random_range(1..=4);
        let slow = one_of(rng, &[SECOND / 50, SECOND / 5, SECOND, 4 * SECOND]);
        Self {
            nodes,
            threads,
            unit_micros: slow,
            load_micros: one_of(rng, &[1000, SECOND / 2, 5 * SECOND]),
            link: drawn_link(rng),
            trouble_micros: one_of(rng, &[2, 5, 15, 40]) * SECOND,
            partitions: times(rng, 4),
            partition_micros: one_of(rng, &[1, 8, 30]) * SECOND,
            node_crashes: times(rng, 4),
            coordinator_crashes: times(rng, 4),
            pauses: times(rng, 2),
            crash_at_write: maybe(rng).then(|| rng.random_range(1..40)),
            down_micros: one_of(rng, &[SECOND / 10, 2 * SECOND, 20 * SECOND]),
            sync_micros: one_of(rng, &[100, SECOND / 10, 3 * SECOND]),
            full_disks: times(rng, 2),
            full_micros: one_of(rng, &[SECOND, 10 * SECOND]),
            bit_flips: share(rng, 0.5),
            rot: rng.random::<f64>() < 0.05,
            clock_jumps: times(rng, 3),
            clock_jump_micros: one_of(rng, &[SECOND, 20 * SECOND]),
            late_messages: share(rng, 1.0),
            save_micros: one_of(rng, &[0, SECOND, 10 * SECOND]),
            journal_bytes: one_of(rng, &[10_000, 20_000, 256 << 20]),
            damage: match maybe(rng) {
                true => share(rng, 0.9),
                false => fraction(0.0),
            },
            asked_tasks: times(rng, 3),
        }
    }
}

fn drawn_link(rng: &mut impl Rng) -> LinkFaults {
    LinkFaults {
        delay_micros: one_of(rng, &[200, 5000, 100_000]),
        jitter_micros: one_of(rng, &[0, 10_000, 500_000]),
        loss: share(rng, 0.3),
        duplicate: share(rng, 0.3),
        reorder: share(rng, 0.3),
        reorder_micros: one_of(rng, &[50_000, SECOND, 8 * SECOND]),
        ..LinkFaults::default()
    }
}

fn maybe(rng: &mut impl Rng) -> bool {
    rng.random()
}

fn one_of(rng: &mut impl Rng, values: &[u64]) -> u64 {
    values[rng.random_range(0..values.len())]
}

/// Nothing in every second world.
fn times(rng: &mut impl Rng, most: u32) -> u32 {
    if maybe(rng) {
        rng.random_range(1..=most)
    } else {
        0
    }
}

fn share(rng: &mut impl Rng, most: f64) -> Fraction {
    let value = rng.random::<f64>() * most;
    fraction(if maybe(rng) { value } else { 0.0 })
}
