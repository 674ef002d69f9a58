//! Sums of values that are 2^20 or more.
//!
//! Such a value has no bit below 2^-3. Divided by 2^44 it is below 2^20 again and its last bit is above the grid of 2^-54, so
//! that it is summed as every other value, and exactly. The same holds from 2^64 on with 2^84, and from 2^104 on
//! with 2^124, which is beyond the largest finite value.

use super::{LARGEST_VALUE, LO_SCALE, Units, carried};
use serde::{Deserialize, Serialize};

/// From which exponent on a value is divided by which power of two.
const TIERS: [(i32, i32); 3] = [(20, 44), (64, 84), (104, 124)];

/// A sum for each tier of each statistic; none at all before the first large value.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Coarse {
    pub(super) hi: Vec<i64>,
    pub(super) lo: Vec<i64>,
}

impl Coarse {
    /// Whether no value was large.
    pub(super) fn is_empty(&self) -> bool {
        self.hi.is_empty()
    }

    /// As many sums as there are tiers of so many statistics.
    pub(super) fn zeros(slots: usize) -> Self {
        let len = slots * TIERS.len();
        let (hi, lo) = (vec![0; len], vec![0; len]);
        Self { hi, lo }
    }

    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    /// Adds `m` times a large, finite value to one of `slots` statistics.
    pub(super) fn add(&mut self, slot: usize, slots: usize, m: f64, value: f32) {
        debug_assert!(value.is_finite() && value.abs() >= LARGEST_VALUE);
        if self.is_empty() {
            *self = Self::zeros(slots);
        }
        let size = f64::from(value.abs());
        let begun = TIERS.iter().rposition(|(from, _)| size >= exp2(*from));
        let tier = begun.expect("a large value is in the first tier at least");
        let place = slot * TIERS.len() + tier;
        // Four times the term, as in `pass`; products with powers of two are exact.
        let term = 4.0 * m * (f64::from(value) * exp2(-TIERS[tier].1));
        let high = term.round();
        self.hi[place] += high as i64;
        self.lo[place] += ((term - high) * LO_SCALE).round() as i64;
    }

    /// The sum of a statistic's large values, in units that are those of the small ones.
    pub(super) fn value(&self, slot: usize, units: Units) -> f64 {
        let tiers = TIERS.iter().enumerate().map(|(tier, (_, shift))| {
            let place = slot * TIERS.len() + tier;
            units.value(self.hi[place], self.lo[place]) * exp2(*shift)
        });
        tiers.sum()
    }

    pub(super) fn forget(&mut self, slot: usize) {
        if !self.is_empty() {
            let at = slot * TIERS.len()..(slot + 1) * TIERS.len();
            self.hi[at.clone()].fill(0);
            self.lo[at].fill(0);
        }
    }

    pub(super) fn merge(&mut self, other: &Self) {
        if self.is_empty() {
            *self = Self {
                hi: vec![0; other.hi.len()],
                lo: vec![0; other.lo.len()],
            };
        }
        let mine = self.hi.iter_mut().zip(&mut self.lo);
        for ((hi, lo), (&h, &l)) in mine.zip(other.hi.iter().zip(&other.lo)) {
            let (h, l) = carried(h, l);
            *hi = hi.wrapping_add(h);
            *lo += l;
        }
    }

    pub(super) fn carry(&mut self) {
        for (hi, lo) in self.hi.iter_mut().zip(&mut self.lo) {
            (*hi, *lo) = carried(*hi, *lo);
        }
    }

    pub(super) fn largest(&self) -> u64 {
        self.hi.iter().map(|hi| hi.unsigned_abs()).fold(0, u64::max)
    }

    /// As of a sum of small values.
    pub(super) fn is_within(&self, most: u128, terms: u64) -> bool {
        let mut all = self.hi.iter().zip(&self.lo);
        all.all(|(&hi, &lo)| {
            let (hi, lo) = carried(hi, lo);
            u128::from(hi.unsigned_abs()) <= most && (terms > 0 || lo == 0)
        })
    }
}

fn exp2(exponent: i32) -> f64 {
    f64::from(exponent).exp2()
}
