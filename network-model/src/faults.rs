//! What is wrong with a link, as data.

use lyceum_core::{Time, units::Fraction};
use serde::{Deserialize, Serialize};
use std::num::NonZeroU64;

/// Which way a packet travels. The ends of a link are called A and B.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// From A to B.
    AToB,
    /// From B to A.
    BToA,
}

impl Direction {
    /// The way back.
    pub fn reverse(self) -> Self {
        match self {
            Self::AToB => Self::BToA,
            Self::BToA => Self::AToB,
        }
    }
}

/// Which ways a partition stops.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Directions {
    /// Nothing passes.
    #[default]
    Both,
    /// Only packets from A to B are stopped.
    AToB,
    /// Only packets from B to A are stopped.
    BToA,
}

impl Directions {
    /// Whether this way is among them.
    pub fn covers(self, direction: Direction) -> bool {
        match self {
            Self::Both => true,
            Self::AToB => direction == Direction::AToB,
            Self::BToA => direction == Direction::BToA,
        }
    }

    /// The same ways seen from the other end.
    pub fn reverse(self) -> Self {
        match self {
            Self::Both => Self::Both,
            Self::AToB => Self::BToA,
            Self::BToA => Self::AToB,
        }
    }
}

/// A while in which packets are stopped. Packets already under way still arrive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Partition {
    /// First moment at which packets sent are stopped, in microseconds since the start.
    pub from_micros: u64,
    /// First moment at which packets sent pass again, in microseconds since the start.
    pub until_micros: u64,
    /// Which ways are stopped.
    #[serde(default)]
    pub direction: Directions,
}

impl Partition {
    /// Whether a packet sent now is stopped.
    pub fn stops(&self, now: Time, direction: Direction) -> bool {
        (self.from_micros..self.until_micros).contains(&now.0) && self.direction.covers(direction)
    }
}

/// Everything that is wrong with a link, the same in both directions except for partitions. By default nothing is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LinkFaults {
    /// Time a packet travels, in microseconds, one way.
    pub delay_micros: u64,
    /// Longest extra delay, in microseconds; each packet draws its own, evenly from 0 to this. Packets closer
    /// together than this overtake each other.
    pub jitter_micros: u64,
    /// Share of packets lost on the wire, each by its own draw. They have used up their part of the rate.
    pub loss: Fraction,
    /// Share of packets that arrive twice. The copy is made behind the queue, and costs nothing of the rate.
    pub duplicate: Fraction,
    /// Share of packets held back by `reorder_micros`.
    pub reorder: Fraction,
    /// How long a reordered packet is held back, in microseconds.
    pub reorder_micros: u64,
    /// Bytes per second that pass one way; none: no limit. Packets wait for those before them.
    pub rate_bytes_per_s: Option<NonZeroU64>,
    /// Bytes that may be under transmission or waiting for it, one way; a packet beyond is dropped, but an idle
    /// link takes a packet of any length. Means nothing without a rate.
    pub queue_bytes: u64,
    /// When packets are stopped.
    pub partitions: Vec<Partition>,
}

impl Default for LinkFaults {
    fn default() -> Self {
        let never = Fraction::new(0.0).expect("0 is a fraction");
        Self {
            delay_micros: 0,
            jitter_micros: 0,
            loss: never,
            duplicate: never,
            reorder: never,
            reorder_micros: 0,
            rate_bytes_per_s: None,
            queue_bytes: 256 * 1024,
            partitions: Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_are_read_from_toml_and_wrong_ones_refused() {
        let faults: LinkFaults = toml::from_str(
            "delay_micros = 50\nloss = 0.5\npartitions = [{ from_micros = 1, until_micros = 2, direction = 'a_to_b' }]",
        )
        .unwrap();
        assert_eq!((faults.delay_micros, faults.loss.get()), (50, 0.5));
        assert!(faults.partitions[0].stops(Time(1), Direction::AToB));
        assert!(!faults.partitions[0].stops(Time(2), Direction::AToB));
        for wrong in ["loss = 1.5", "rate_bytes_per_s = 0", "delay = 3"] {
            assert!(toml::from_str::<LinkFaults>(wrong).is_err(), "{wrong}");
        }
    }
}
