//! Sums whose bits do not depend on the order of addition.
//!
//! A weight is an integer `m` (times a power of two fixed per lane) below 2^29 and a value is below
//! 2^20 in magnitude, so `t = m x` is exact in `f64`. It is split into `hi = round(4 t)` and
//! `lo = round((t - hi / 4) 2^54)`; integers then add exactly, in any grouping.
//!
//! A running statistic may be any finite value, such as the variance of an income: what is 2^20 or more goes to accumulators
//! of coarser grids (`coarse.rs`), which are made when there is such a value. Below 2^20 nothing depends on them.

mod accumulator;
mod bytes;
mod coarse;
mod error;
mod grid;
#[cfg(test)]
mod tests;

pub use bytes::SumBytesError;
pub use error::SumError;
pub use grid::Grid;

use crate::{Params, wide};
use accumulator::{Accumulator, FOLD};
use coarse::Coarse;
use serde::{Deserialize, Serialize};
use std::ops::Range;

const LARGEST_WEIGHT: f64 = (1_u64 << 29) as f64;
const LARGEST_VALUE: f32 = (1_u32 << 20) as f32;
const LO_BITS: u32 = 52;
/// `lo` counts 2^-54, and so 2^-52 of four times a term.
const LO_SCALE: f64 = (1_u64 << LO_BITS) as f64;
/// `hi` may hold 2^62 / 2^51 full-size terms; far more than any round has.
const HI_LIMIT: u64 = 1 << 62;
/// A carried `lo` is below 2^52, as large as two terms.
const CARRIED: u32 = 2;

#[inline(always)]
fn carried(hi: i64, lo: i64) -> (i64, i64) {
    (hi + (lo >> LO_BITS), lo & ((1 << LO_BITS) - 1))
}

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
    /// Whether a sum with this lane over such vectors would take a weighted one.
    pub fn takes(self, weight: f64, values: &[f32], grid: &Grid) -> Result<(), SumError> {
        if values.len() != self.grid(grid).len() {
            let (lane, len) = (0, values.len());
            return Err(SumError::Shape { lane, len });
        }
        integer_weight(self, weight)?;
        grid.check(values)
    }

    /// The grid of the lane's vectors, where those of the model have this one.
    fn grid(self, grid: &Grid) -> Grid {
        match self.scalar {
            true => Grid::default(),
            false => grid.clone(),
        }
    }
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

impl ExactSum {
    /// Terms that [`fold`](Self::fold) likes to have at once.
    pub const FOLD: usize = FOLD;

    /// Empty lanes for vectors of a grid, or of so many values below 2^20.
    pub fn new(lanes: &[Lane], grid: impl Into<Grid>) -> Self {
        let grid = grid.into();
        let lane = |&lane: &Lane| {
            let grid = lane.grid(&grid);
            Accumulator {
                lane,
                hi: vec![0; grid.len()],
                lo: vec![0; grid.len()],
                grid,
                coarse: Coarse::default(),
                since_carry: 0,
                weight: 0,
                terms: 0,
            }
        };
        Self {
            lanes: lanes.iter().map(lane).collect(),
        }
    }

    /// Whether the sum has these lanes over vectors of this grid.
    pub fn has_shape(&self, lanes: &[Lane], grid: &Grid) -> bool {
        let fits = |(a, lane): (&Accumulator, &Lane)| a.lane == *lane && a.grid == lane.grid(grid);
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
            lane.coarse.clear();
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
        accumulator.grid.check(values)?;
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
            accumulator.grid.check(values)?;
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
            if mine.lane != theirs.lane || mine.grid != theirs.grid {
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
        self.divided_range(lane, divisor, 0..out.len(), out);
    }

    /// As [`divided`](Self::divided), for a range of the values, of which there is one for each place of `out`.
    pub fn divided_range(&self, lane: usize, divisor: f64, at: Range<usize>, out: &mut [f32]) {
        let Some(a) = self.lanes.get(lane).filter(|a| at.end <= a.hi.len()) else {
            return out.fill(0.0);
        };
        let units = Units::new(a.lane, divisor);
        wide(
            #[inline(always)]
            || {
                let sums = a.hi[at.clone()].iter().zip(&a.lo[at.clone()]);
                for (out, (&hi, &lo)) in out.iter_mut().zip(sums) {
                    *out = units.value(hi, lo) as f32;
                }
            },
        );
        if !a.coarse.is_empty() {
            for (place, slot) in a.grid.slots(at.clone()) {
                let fine = units.value(a.hi[place], a.lo[place]);
                out[place - at.start] = (fine + a.coarse.value(slot, units)) as f32;
            }
        }
    }

    /// Forgets what was added to a range of the values of every lane; weights and numbers of terms stay.
    pub fn forget(&mut self, at: &Range<usize>) {
        for a in self.lanes.iter_mut().filter(|a| at.end <= a.hi.len()) {
            a.hi[at.clone()].fill(0);
            a.lo[at.clone()].fill(0);
            let slots = a.grid.slots(at.clone());
            slots.for_each(|(_, slot)| a.coarse.forget(slot));
        }
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

fn is_large(value: f32) -> bool {
    value.abs() >= LARGEST_VALUE
}

/// What the halves of a sum count, divided by something.
#[derive(Clone, Copy)]
struct Units {
    hi: f64,
    lo: f64,
}

impl Units {
    fn new(lane: Lane, divisor: f64) -> Self {
        Self {
            hi: 0.25 * scale(lane) / divisor,
            lo: (-54.0_f64).exp2() * scale(lane) / divisor,
        }
    }

    #[inline(always)]
    fn value(self, hi: i64, lo: i64) -> f64 {
        let (hi, lo) = carried(hi, lo);
        hi as f64 * self.hi + lo as f64 * self.lo
    }
}
