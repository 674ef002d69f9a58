//! Sums whose bits do not depend on the order of addition.
//!
//! A weight is an integer `m` (times a power of two fixed per lane) below 2^29 and a value is below
//! 2^20 in magnitude, so `t = m x` is exact in `f64`. It is split into `hi = round(4 t)` and
//! `lo = round((t - hi / 4) 2^54)`; integers then add exactly, in any grouping.

mod bytes;
#[cfg(test)]
mod tests;

pub use bytes::SumBytesError;

use crate::{Params, wide, wide::wide_fused};
use serde::{Deserialize, Serialize};

/// `round` to the nearest integer by adding and subtracting; exact for magnitudes below 2^51.
const MAGIC: f64 = 1.5 * (1_u64 << 52) as f64;
const LARGEST_WEIGHT: f64 = (1_u64 << 29) as f64;
const LARGEST_VALUE: f32 = (1_u32 << 20) as f32;
const LO_BITS: u32 = 52;
/// Additions after which `lo` may overflow if it is not carried into `hi`.
const CARRY_EVERY: u32 = 4095;
/// `hi` may hold 2^62 / 2^51 full-size terms; far more than any round has.
const HI_LIMIT: u64 = 1 << 62;
/// Terms that are added in one pass over the accumulators.
const FOLD: usize = 8;
const HALF: usize = FOLD / 2;
/// A carried `lo` is below 2^52, as large as two terms.
const CARRIED: u32 = 2;

/// A lane of a sum: a vector with weights of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lane {
    /// Weights are rounded to multiples of `2^exponent`.
    pub exponent: i32,
    /// Sums weights only: the vectors added to it must be empty.
    pub scalar: bool,
}

impl Lane {
    /// Integer weights, such as numbers of samples.
    pub const INTEGER: Self = Self {
        exponent: 0,
        scalar: false,
    };
    /// Real weights up to 2^13 in steps of 2^-16.
    pub const REAL: Self = Self {
        exponent: -16,
        scalar: false,
    };
    /// A sum of integer weights without a vector.
    pub const SCALAR: Self = Self {
        exponent: 0,
        scalar: true,
    };
    /// A sum of real weights without a vector.
    pub const REAL_SCALAR: Self = Self {
        exponent: -16,
        scalar: true,
    };
}

impl Lane {
    /// Whether a sum with this lane over vectors of `len` would take a weighted vector.
    pub fn takes(self, weight: f64, values: &[f32], len: usize) -> Result<(), SumError> {
        if values.len() != if self.scalar { 0 } else { len } {
            let (lane, len) = (0, values.len());
            return Err(SumError::Shape { lane, len });
        }
        integer_weight(self, weight)?;
        check(values)
    }
}

/// Why a vector was not added.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
pub enum SumError {
    /// A value is infinite, not a number, or too large to be a model update.
    #[error("value {value} at index {index} is not a finite number below 2^20")]
    Value {
        /// Where.
        index: usize,
        /// What.
        value: f32,
    },
    /// A weight is negative, not finite, or too large for its lane.
    #[error("weight {0} does not fit its lane")]
    Weight(f64),
    /// A vector has another length, or there is no such lane.
    #[error("lane {lane} with {len} values does not exist")]
    Shape {
        /// Which lane.
        lane: usize,
        /// How many values.
        len: usize,
    },
    /// The sum itself would overflow.
    #[error("the sum is full")]
    Full,
}

/// One weighted vector per lane, finite and in range.
#[derive(Clone, Debug)]
pub struct Term(Vec<(f64, Params)>);

impl Term {
    /// Weight and values per lane.
    pub fn into_parts(self) -> Vec<(f64, Params)> {
        self.0
    }
}

/// Named lanes of integer accumulators. Adding and merging commute and associate exactly.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExactSum {
    lanes: Vec<Accumulator>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Accumulator {
    lane: Lane,
    hi: Vec<i64>,
    lo: Vec<i64>,
    since_carry: u32,
    weight: u64,
    terms: u64,
}

impl ExactSum {
    /// Terms that [`fold`](Self::fold) likes to have at once.
    pub const FOLD: usize = FOLD;

    /// Empty lanes for vectors of `len` values.
    pub fn new(lanes: &[Lane], len: usize) -> Self {
        let lane = |&lane: &Lane| Accumulator {
            lane,
            hi: vec![0; if lane.scalar { 0 } else { len }],
            lo: vec![0; if lane.scalar { 0 } else { len }],
            since_carry: 0,
            weight: 0,
            terms: 0,
        };
        Self {
            lanes: lanes.iter().map(lane).collect(),
        }
    }

    /// Whether the sum has these lanes over vectors of this length.
    pub fn has_shape(&self, lanes: &[Lane], len: usize) -> bool {
        let fits = |(a, lane): (&Accumulator, &Lane)| {
            a.lane == *lane && a.hi.len() == if lane.scalar { 0 } else { len }
        };
        self.lanes.len() == lanes.len() && self.lanes.iter().zip(lanes).all(fits)
    }

    /// Whether so many vectors of admitted values and weights, or fewer, could add up to this.
    pub fn is_within(&self, terms: u64) -> bool {
        self.lanes.iter().all(|lane| lane.is_within(terms))
    }

    /// Back to empty, keeping the memory.
    pub fn clear(&mut self) {
        for lane in &mut self.lanes {
            lane.hi.fill(0);
            lane.lo.fill(0);
            (lane.since_carry, lane.weight, lane.terms) = (0, 0, 0);
        }
    }

    /// Adds `weight * values`, or nothing at all if that is refused.
    pub fn add(&mut self, lane: usize, weight: f64, values: &[f32]) -> Result<(), SumError> {
        let accumulator = self
            .lanes
            .get_mut(lane)
            .filter(|a| a.hi.len() == values.len())
            .ok_or(SumError::Shape {
                lane,
                len: values.len(),
            })?;
        check(values)?;
        accumulator.add(weight, values)
    }

    /// Lets one weighted vector per lane pass, in the order of the lanes, or says why not.
    pub fn admit(&self, parts: Vec<(f64, Params)>) -> Result<Term, SumError> {
        if parts.len() != self.lanes.len() {
            return Err(SumError::Shape {
                lane: parts.len(),
                len: 0,
            });
        }
        for (lane, (accumulator, (weight, values))) in self.lanes.iter().zip(&parts).enumerate() {
            if accumulator.hi.len() != values.len() {
                return Err(SumError::Shape {
                    lane,
                    len: values.len(),
                });
            }
            accumulator.integer_weight(*weight)?;
            check(values)?;
        }
        Ok(Term(parts))
    }

    /// Adds terms that a sum with the same lanes has admitted, several of them in each pass over the accumulators.
    pub fn fold(&mut self, terms: &[Term]) -> Result<(), SumError> {
        for terms in terms.chunks(FOLD) {
            for (index, accumulator) in self.lanes.iter_mut().enumerate() {
                let mut factors = [0.0; FOLD];
                let mut vectors: [&[f32]; FOLD] = [&[]; FOLD];
                for (place, term) in terms.iter().enumerate() {
                    let (weight, values) = term.0.get(index).ok_or(SumError::Shape {
                        lane: index,
                        len: 0,
                    })?;
                    factors[place] = accumulator.integer_weight(*weight)?;
                    vectors[place] = values;
                }
                accumulator.add_all(&factors[..terms.len()], &vectors[..terms.len()])?;
            }
        }
        Ok(())
    }

    /// Adds another sum with the same lanes.
    pub fn merge(&mut self, other: &Self) -> Result<(), SumError> {
        if self.lanes.len() != other.lanes.len() {
            return Err(SumError::Shape {
                lane: other.lanes.len(),
                len: 0,
            });
        }
        for (index, (mine, theirs)) in self.lanes.iter_mut().zip(&other.lanes).enumerate() {
            if mine.lane != theirs.lane || mine.hi.len() != theirs.hi.len() {
                return Err(SumError::Shape {
                    lane: index,
                    len: theirs.hi.len(),
                });
            }
            mine.merge(theirs)?;
        }
        Ok(())
    }

    /// Sum of the weights of a lane.
    pub fn weight(&self, lane: usize) -> f64 {
        self.lanes
            .get(lane)
            .map_or(0.0, |a| a.weight as f64 * scale(a.lane))
    }

    /// Number of vectors added to a lane.
    pub fn terms(&self, lane: usize) -> u64 {
        self.lanes.get(lane).map_or(0, |a| a.terms)
    }

    /// Writes `sum / divisor` of a lane to `out`, each value rounded once.
    pub fn divided(&self, lane: usize, divisor: f64, out: &mut [f32]) {
        let Some(a) = self.lanes.get(lane) else {
            return out.fill(0.0);
        };
        let (hi_unit, lo_unit) = (
            0.25 * scale(a.lane) / divisor,
            (-54.0_f64).exp2() * scale(a.lane) / divisor,
        );
        wide(
            #[inline(always)]
            || {
                for ((out, &hi), &lo) in out.iter_mut().zip(&a.hi).zip(&a.lo) {
                    let (hi, lo) = carried(hi, lo);
                    *out = (hi as f64 * hi_unit + lo as f64 * lo_unit) as f32;
                }
            },
        );
    }

    /// The weighted mean of a lane: sum of weight times value over sum of weights. Zeros if it is empty.
    pub fn mean(&self, lane: usize) -> Vec<f32> {
        let mut out = vec![0.0; self.lanes.get(lane).map_or(0, |a| a.hi.len())];
        let weight = self.weight(lane);
        if weight > 0.0 {
            self.divided(lane, weight, &mut out);
        }
        out
    }
}

impl Accumulator {
    fn is_within(&self, terms: u64) -> bool {
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
            && u128::from(self.weight) <= u128::from(self.terms) * (LARGEST_WEIGHT as u128)
            && u128::from(largest) <= most
            && (terms > 0 || any_lo == 0)
    }

    fn integer_weight(&self, weight: f64) -> Result<f64, SumError> {
        integer_weight(self.lane, weight)
    }

    fn add(&mut self, weight: f64, values: &[f32]) -> Result<(), SumError> {
        let m = self.integer_weight(weight)?;
        self.add_all(&[m], &[values])
    }

    /// Adds vectors of the accumulator's length times integer weights.
    fn add_all(&mut self, m: &[f64], values: &[&[f32]]) -> Result<(), SumError> {
        if values.iter().any(|v| v.len() != self.hi.len()) {
            return Err(SumError::Shape {
                lane: 0,
                len: values.len(),
            });
        }
        self.make_room(m.len() as u32)?;
        let mut place = 0;
        while place < m.len() {
            place += match m.len() - place {
                FOLD.. => self.pass::<FOLD>(&m[place..], &values[place..]),
                HALF.. => self.pass::<HALF>(&m[place..], &values[place..]),
                _ => self.pass::<1>(&m[place..], &values[place..]),
            };
        }
        self.weight += m.iter().map(|&m| m as u64).sum::<u64>();
        self.terms += m.len() as u64;
        Ok(())
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

    fn merge(&mut self, other: &Self) -> Result<(), SumError> {
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
        if largest >= HI_LIMIT {
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

/// `lo` counts 2^-54, and so 2^-52 of four times a term.
const LO_SCALE: f64 = (1_u64 << 52) as f64;

#[inline(always)]
fn carried(hi: i64, lo: i64) -> (i64, i64) {
    (hi + (lo >> LO_BITS), lo & ((1 << LO_BITS) - 1))
}

/// A weight in the steps of its lane.
fn integer_weight(lane: Lane, weight: f64) -> Result<f64, SumError> {
    let m = (weight / scale(lane)).round();
    if (0.0..LARGEST_WEIGHT).contains(&m) {
        Ok(m)
    } else {
        Err(SumError::Weight(weight))
    }
}

fn scale(lane: Lane) -> f64 {
    f64::from(lane.exponent).exp2()
}

fn check(values: &[f32]) -> Result<(), SumError> {
    // One pass without a branch for the usual case; the index is looked up only for a bad one.
    let all_good = wide(
        #[inline(always)]
        || {
            values
                .iter()
                .fold(true, |good, v| good & (v.abs() < LARGEST_VALUE))
        },
    );
    if all_good {
        return Ok(());
    }
    let bad = |(_, v): &(usize, &f32)| {
        !matches!(
            v.abs().partial_cmp(&LARGEST_VALUE),
            Some(std::cmp::Ordering::Less)
        )
    };
    match values.iter().enumerate().find(bad) {
        Some((index, &value)) => Err(SumError::Value { index, value }),
        None => Ok(()),
    }
}
