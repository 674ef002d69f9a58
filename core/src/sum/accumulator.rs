//! The integers of one lane.

use super::{
    CARRIED, Grid, HI_LIMIT, LARGEST_WEIGHT, LO_SCALE, Lane, SumError, carried, coarse::Coarse,
    integer_weight, is_large,
};
use crate::{wide, wide::wide_fused};
use serde::{Deserialize, Serialize};

/// `round` to the nearest integer by adding and subtracting; exact for magnitudes below 2^51.
const MAGIC: f64 = 1.5 * (1_u64 << 52) as f64;
/// Additions after which `lo` may overflow if it is not carried into `hi`.
const CARRY_EVERY: u32 = 4095;
/// Terms that are added in one pass over the accumulators.
pub(super) const FOLD: usize = 8;
const HALF: usize = FOLD / 2;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Accumulator {
    pub(super) lane: Lane,
    pub(super) grid: Grid,
    pub(super) hi: Vec<i64>,
    pub(super) lo: Vec<i64>,
    /// What does not fit into `hi`.
    pub(super) coarse: Coarse,
    pub(super) since_carry: u32,
    pub(super) weight: u64,
    pub(super) terms: u64,
}

impl Accumulator {
    pub(super) fn is_within(&self, terms: u64) -> bool {
        // `4 m x` is below 2^51, and what is carried from `lo` is less than 1 a term.
        let most = u128::from(terms) * ((1 << 51) + 1);
        // One pass without a branch.
        let (largest, any_lo) = wide(
            #[inline(always)]
            || {
                let all = self.hi.iter().zip(&self.lo);
                all.fold((0_u64, 0), |(largest, any_lo), (&hi, &lo)| {
                    let (hi, lo) = carried(hi, lo);
                    (largest.max(hi.unsigned_abs()), any_lo | lo)
                })
            },
        );
        self.terms <= terms
            && self.coarse.is_within(most, terms)
            && u128::from(self.weight) <= u128::from(self.terms) * (LARGEST_WEIGHT as u128)
            && u128::from(largest) <= most
            && (terms > 0 || any_lo == 0)
    }

    pub(super) fn integer_weight(&self, weight: f64) -> Result<f64, SumError> {
        integer_weight(self.lane, weight)
    }

    pub(super) fn add(&mut self, weight: f64, values: &[f32]) -> Result<(), SumError> {
        let m = self.integer_weight(weight)?;
        self.add_all(&[m], &[values])
    }

    /// Adds vectors of the accumulator's length times integer weights.
    pub(super) fn add_all(&mut self, m: &[f64], values: &[&[f32]]) -> Result<(), SumError> {
        if values.iter().any(|v| v.len() != self.hi.len()) {
            return Err(SumError::Shape {
                lane: 0,
                len: values.len(),
            });
        }
        self.make_room(m.len() as u32)?;
        match values.iter().any(|v| self.grid.has_large(v)) {
            false => self.passes(m, values),
            true => self.split_passes(m, values),
        }
        self.weight += m.iter().map(|&m| m as u64).sum::<u64>();
        self.terms += m.len() as u64;
        Ok(())
    }

    fn passes(&mut self, m: &[f64], values: &[&[f32]]) {
        let mut place = 0;
        while place < m.len() {
            place += match m.len() - place {
                FOLD.. => self.pass::<FOLD>(&m[place..], &values[place..]),
                HALF.. => self.pass::<HALF>(&m[place..], &values[place..]),
                _ => self.pass::<1>(&m[place..], &values[place..]),
            };
        }
    }

    /// As `passes`, with the large values going where they fit.
    fn split_passes(&mut self, m: &[f64], values: &[&[f32]]) {
        for (&m, values) in m.iter().zip(values) {
            let mut fine = values.to_vec();
            let slots = self.grid.slots(0..fine.len());
            for (place, slot) in slots.filter(|(place, _)| is_large(values[*place])) {
                fine[place] = 0.0;
                let slots = self.grid.slot_count();
                self.coarse.add(slot, slots, m, values[place]);
            }
            self.passes(&[m], &[&fine]);
        }
    }

    /// Adds the first `N` vectors times their weights in one pass; how many that were.
    fn pass<const N: usize>(&mut self, m: &[f64], values: &[&[f32]]) -> usize {
        let m: [f64; N] = std::array::from_fn(|k| m[k]);
        let values: [&[f32]; N] = std::array::from_fn(|k| values[k]);
        let (hi, lo) = (&mut self.hi, &mut self.lo);
        wide_fused(
            #[inline(always)]
            |fused| match fused {
                true => pass(hi, lo, m, values, f64::mul_add),
                false => pass(hi, lo, m, values, |a, b, c| a * b + c),
            },
        );
        N
    }

    pub(super) fn merge(&mut self, other: &Self) -> Result<(), SumError> {
        self.make_room(CARRIED)?;
        wide(
            #[inline(always)]
            || {
                let mine = self.hi.iter_mut().zip(&mut self.lo);
                for ((hi, lo), (&h, &l)) in mine.zip(other.hi.iter().zip(&other.lo)) {
                    let (h, l) = carried(h, l);
                    *hi = hi.wrapping_add(h);
                    *lo += l;
                }
            },
        );
        self.coarse.merge(&other.coarse);
        self.check_room()?;
        self.weight = self
            .weight
            .checked_add(other.weight)
            .ok_or(SumError::Full)?;
        self.terms = self.terms.checked_add(other.terms).ok_or(SumError::Full)?;
        Ok(())
    }

    /// Two values below the limit never wrap, so checking after each merge and carry is enough.
    fn check_room(&self) -> Result<(), SumError> {
        // One pass without a branch.
        let largest = wide(
            #[inline(always)]
            || {
                let sizes = self.hi.iter().map(|h| h.unsigned_abs());
                sizes.fold(0, u64::max)
            },
        );
        if largest.max(self.coarse.largest()) >= HI_LIMIT {
            return Err(SumError::Full);
        }
        Ok(())
    }

    /// Carries `lo` into `hi` before it could overflow, and checks `hi`.
    fn make_room(&mut self, additions: u32) -> Result<(), SumError> {
        if self.since_carry + additions > CARRY_EVERY {
            for (hi, lo) in self.hi.iter_mut().zip(&mut self.lo) {
                (*hi, *lo) = carried(*hi, *lo);
            }
            self.coarse.carry();
            self.check_room()?;
            self.since_carry = CARRIED;
        }
        self.since_carry += additions;
        Ok(())
    }
}

/// Adds `m[k] * values[k]` for every `k` in one pass.
///
/// With `t = 4 m x`, adding `MAGIC` rounds `t` to `hi`, and the bits of the result are those of `MAGIC` plus `hi`; what
/// is left of `t` becomes `lo` in the same way. The bits of `MAGIC` are taken off once for all terms. Every product here
/// is exact, so `mul_add` may round it or not.
#[inline(always)]
fn pass<const N: usize>(
    hi: &mut [i64],
    lo: &mut [i64],
    m: [f64; N],
    values: [&[f32]; N],
    mul_add: impl Fn(f64, f64, f64) -> f64,
) {
    let values = values.map(|v| &v[..hi.len()]);
    let magics = (MAGIC.to_bits() as i64).wrapping_mul(N as i64);
    for (i, (hi, lo)) in hi.iter_mut().zip(lo).enumerate() {
        let (mut h, mut l) = (hi.wrapping_sub(magics), lo.wrapping_sub(magics));
        for (m, values) in m.iter().zip(&values) {
            let (m, x) = (4.0 * m, f64::from(values[i]));
            let high = mul_add(m, x, MAGIC);
            let left = mul_add(m, x, -(high - MAGIC));
            let low = mul_add(left, LO_SCALE, MAGIC);
            h = h.wrapping_add(high.to_bits() as i64);
            l = l.wrapping_add(low.to_bits() as i64);
        }
        (*hi, *lo) = (h, l);
    }
}
