//! The link model: when a packet arrives, if it does.

use crate::{Direction, Directions, LinkFaults};
use lyceum_core::{ClientId, Purpose, Seed, Ticket, Time};
use rand::RngExt;
use std::ops::AddAssign;

/// Name of the purpose that fates are drawn for.
const PURPOSE: &str = "lyceum.link";
const NANOS_PER_SECOND: u128 = 1_000_000_000;

/// When the copies of one packet arrive: none, one or two times, the first sent first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Arrivals([Option<Time>; 2]);

impl Arrivals {
    /// The times, of the packet and then of its copy.
    pub fn iter(&self) -> impl Iterator<Item = Time> {
        self.0.into_iter().flatten()
    }

    /// Whether nothing arrives.
    pub fn is_empty(&self) -> bool {
        self.0 == [None, None]
    }
}

impl IntoIterator for Arrivals {
    type Item = Time;
    type IntoIter = std::iter::Flatten<std::array::IntoIter<Option<Time>, 2>>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter().flatten()
    }
}

/// What became of the packets sent one way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LinkCounts {
    /// Packets handed to the link.
    pub sent: u64,
    /// Packets lost on the wire.
    pub lost: u64,
    /// Packets that arrive twice.
    pub duplicated: u64,
    /// Packets held back.
    pub reordered: u64,
    /// Packets that found the queue full.
    pub dropped_by_queue: u64,
    /// Packets stopped by a partition.
    pub dropped_by_partition: u64,
}

impl LinkCounts {
    /// Packets that arrive, copies included.
    pub fn arriving(&self) -> u64 {
        self.sent + self.duplicated - self.lost - self.dropped_by_queue - self.dropped_by_partition
    }
}

impl AddAssign for LinkCounts {
    fn add_assign(&mut self, other: Self) {
        self.sent += other.sent;
        self.lost += other.lost;
        self.duplicated += other.duplicated;
        self.reordered += other.reordered;
        self.dropped_by_queue += other.dropped_by_queue;
        self.dropped_by_partition += other.dropped_by_partition;
    }
}

/// A link between two places, both ways.
///
/// **Invariant:** what is drawn for a packet depends on (seed, label, direction, number of the packet that way) only,
/// and a fault that is switched on changes no draw of another fault.
#[derive(Clone, Debug)]
pub struct Link {
    seed: Seed,
    purpose: Purpose,
    label: u64,
    faults: LinkFaults,
    ways: [Way; 2],
}

/// One direction of a link.
#[derive(Clone, Debug, Default)]
struct Way {
    cut: bool,
    /// When the last packet taken has left the queue, in nanoseconds since the start.
    free_at_nanos: u64,
    counts: LinkCounts,
}

/// What was drawn for one packet.
struct Fate {
    lost: bool,
    held_back: bool,
    jitter_micros: u64,
    copy_jitter_micros: Option<u64>,
}

impl Link {
    /// A link. Links of one seed differ by label, a number below 2^63.
    pub fn new(seed: Seed, label: u64, faults: LinkFaults) -> Self {
        Self {
            seed,
            purpose: Purpose::named(PURPOSE),
            label,
            faults,
            ways: Default::default(),
        }
    }

    /// Sends a packet of so many bytes; `now` must not go back.
    pub fn send(&mut self, now: Time, direction: Direction, bytes: usize) -> Arrivals {
        let fate = self.fate(direction);
        self.ways[direction as usize].counts.sent += 1;
        if self.is_cut(now, direction) {
            self.ways[direction as usize].counts.dropped_by_partition += 1;
            return Arrivals::default();
        }
        let Some(left) = self.pass_queue(now, direction, bytes) else {
            self.ways[direction as usize].counts.dropped_by_queue += 1;
            return Arrivals::default();
        };
        self.travel(left, direction, &fate)
    }

    /// Stops or lets pass these ways from now on, beside the partitions of the faults.
    pub fn cut(&mut self, directions: Directions, on: bool) {
        for direction in [Direction::AToB, Direction::BToA] {
            if directions.covers(direction) {
                self.ways[direction as usize].cut = on;
            }
        }
    }

    /// Replaces the faults. Packets go on being counted.
    pub fn set_faults(&mut self, faults: LinkFaults) {
        self.faults = faults;
    }

    /// What became of the packets sent one way.
    pub fn counts(&self, direction: Direction) -> LinkCounts {
        self.ways[direction as usize].counts
    }

    /// Draws in a fixed order, whatever the faults are.
    fn fate(&self, direction: Direction) -> Fate {
        let number = self.ways[direction as usize].counts.sent;
        let way = ClientId(self.label.wrapping_mul(2) + direction as u64);
        let mut rng = self.seed.stream(self.purpose, Ticket(number), Some(way));
        let longest = self.faults.jitter_micros as f64;
        let [lost, held_back, twice, jitter, copy] = rng.random::<[f64; 5]>();
        let micros = |share: f64| (share * (longest + 1.0)) as u64;
        Fate {
            lost: lost < self.faults.loss.get(),
            held_back: held_back < self.faults.reorder.get(),
            jitter_micros: micros(jitter),
            copy_jitter_micros: (twice < self.faults.duplicate.get()).then(|| micros(copy)),
        }
    }

    fn is_cut(&self, now: Time, direction: Direction) -> bool {
        let stops = |p: &crate::Partition| p.stops(now, direction);
        self.ways[direction as usize].cut || self.faults.partitions.iter().any(stops)
    }

    /// When the packet's last byte has left the queue; none if there was no room.
    fn pass_queue(&mut self, now: Time, direction: Direction, bytes: usize) -> Option<Time> {
        let Some(rate) = self.faults.rate_bytes_per_s else {
            return Some(now);
        };
        let rate = u128::from(rate.get());
        let way = &mut self.ways[direction as usize];
        let now_nanos = now.0.saturating_mul(1000);
        let ahead_nanos = way.free_at_nanos.saturating_sub(now_nanos);
        let ahead = u128::from(ahead_nanos) * rate / NANOS_PER_SECOND;
        if ahead_nanos > 0 && ahead + bytes as u128 > u128::from(self.faults.queue_bytes) {
            return None;
        }
        let service = (bytes as u128 * NANOS_PER_SECOND).div_ceil(rate);
        let service = u64::try_from(service).unwrap_or(u64::MAX);
        way.free_at_nanos = way.free_at_nanos.max(now_nanos).saturating_add(service);
        Some(Time(way.free_at_nanos.div_ceil(1000)))
    }

    /// Loss, delay and copies, from the moment the packet has left the queue.
    fn travel(&mut self, left: Time, direction: Direction, fate: &Fate) -> Arrivals {
        let counts = &mut self.ways[direction as usize].counts;
        if fate.lost {
            counts.lost += 1;
            return Arrivals::default();
        }
        let mut delay = self.faults.delay_micros;
        if fate.held_back {
            counts.reordered += 1;
            delay = delay.saturating_add(self.faults.reorder_micros);
        }
        counts.duplicated += u64::from(fate.copy_jitter_micros.is_some());
        let after = |jitter: u64| Time(left.0.saturating_add(delay).saturating_add(jitter));
        Arrivals([
            Some(after(fate.jitter_micros)),
            fate.copy_jitter_micros.map(after),
        ])
    }
}
