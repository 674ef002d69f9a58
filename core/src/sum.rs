//! Sums whose bits do not depend on the order of addition.
//!
//! A weight is an integer `m` (times a power of two fixed per lane) below 2^29 and a value is below
//! 2^20 in magnitude, so `t = m x` is exact in `f64`. It is split into `hi = round(4 t)` and
//! `lo = round((t - hi / 4) 2^54)`; integers then add exactly, in any grouping.

mod bytes;

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
        for ((hi, lo), (&h, &l)) in self
            .hi
            .iter_mut()
            .zip(&mut self.lo)
            .zip(other.hi.iter().zip(&other.lo))
        {
            let (h, l) = carried(h, l);
            *hi = hi.wrapping_add(h);
            *lo += l;
        }
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
        let full = self.hi.iter().any(|h| h.unsigned_abs() >= HI_LIMIT);
        if full { Err(SumError::Full) } else { Ok(()) }
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

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_sum_is_within_its_terms_and_a_claimed_one_is_not() {
        let largest = LARGEST_VALUE * 0.999_999;
        let mut sum = ExactSum::new(&[Lane::INTEGER, Lane::SCALAR], 2);
        assert!(sum.is_within(0));
        for terms in 1..=20 {
            sum.add(0, LARGEST_WEIGHT - 1.0, &[largest, -largest])
                .unwrap();
            sum.add(1, LARGEST_WEIGHT - 1.0, &[]).unwrap();
            assert!(sum.is_within(terms) && !sum.is_within(terms - 1), "{terms}");
        }
        let mut heavy = ExactSum::new(&[Lane::SCALAR], 0);
        heavy.lanes[0].weight = u64::MAX;
        heavy.lanes[0].terms = 1;
        assert!(!heavy.is_within(1));
        let mut large = ExactSum::new(&[Lane::INTEGER], 1);
        large.lanes[0].hi[0] = HI_LIMIT as i64 - 1;
        assert!(!large.is_within(100) && !large.is_within(0));
    }

    fn terms() -> impl Strategy<Value = Vec<(u32, Vec<f32>)>> {
        let value = prop_oneof![
            -1e6_f32..1e6,
            -1e-3_f32..1e-3,
            Just(0.0),
            Just(f32::MIN_POSITIVE)
        ];
        prop::collection::vec((1_u32..1 << 28, prop::collection::vec(value, 3)), 1..40)
    }

    fn sum<'a>(items: impl Iterator<Item = &'a (u32, Vec<f32>)>) -> ExactSum {
        let mut sum = ExactSum::new(&[Lane::INTEGER], 3);
        items.for_each(|(w, v)| sum.add(0, f64::from(*w), v).unwrap());
        sum
    }

    proptest! {
        #[test]
        fn any_grouping_and_order_gives_the_same_bits(items in terms(), cut in 0_usize..40) {
            let cut = cut.min(items.len());
            let whole = sum(items.iter());
            let mut parts = sum(items[cut..].iter().rev());
            parts.merge(&sum(items[..cut].iter().rev())).unwrap();
            prop_assert_eq!(whole.mean(0), parts.mean(0));
            prop_assert_eq!(whole.weight(0), parts.weight(0));
        }

        #[test]
        fn folding_is_adding_one_by_one(items in terms()) {
            let mut folded = ExactSum::new(&[Lane::INTEGER], 3);
            let term = |(w, v): &(u32, Vec<f32>)| folded.admit(vec![(f64::from(*w), v.clone().into())]).unwrap();
            let terms: Vec<_> = items.iter().map(term).collect();
            folded.fold(&terms).unwrap();
            prop_assert_eq!(folded.mean(0), sum(items.iter()).mean(0));
            prop_assert_eq!(folded.terms(0), items.len() as u64);
        }

        #[test]
        fn the_mean_is_right(items in terms()) {
            let got = sum(items.iter()).mean(0);
            let weight: f64 = items.iter().map(|(w, _)| f64::from(*w)).sum();
            for (i, got) in got.iter().enumerate() {
                let want = items.iter().map(|(w, v)| f64::from(*w) * f64::from(v[i])).sum::<f64>() / weight;
                prop_assert!((f64::from(*got) - want).abs() <= 1e-6 * want.abs() + 1e-9, "{got} {want}");
            }
        }
    }

    #[test]
    fn ten_thousand_full_size_terms_do_not_overflow() {
        let mut sum = ExactSum::new(&[Lane::INTEGER], 1);
        for _ in 0..1000 {
            sum.add(0, LARGEST_WEIGHT - 1.0, &[LARGEST_VALUE - 1.0])
                .unwrap();
        }
        assert_eq!(sum.mean(0), [LARGEST_VALUE - 1.0]);
        let mut small = ExactSum::new(&[Lane::INTEGER], 1);
        for _ in 0..10_000 {
            small.add(0, 1.0, &[0.1]).unwrap();
        }
        assert_eq!(small.mean(0), [0.1]);
        assert_eq!(small.terms(0), 10_000);
    }

    #[test]
    fn merging_full_units_does_not_overflow() {
        let part = || {
            let mut part = ExactSum::new(&[Lane::INTEGER], 1);
            (0..4095).for_each(|_| part.add(0, 1.0, &[0.124]).unwrap());
            part
        };
        let mut sum = part();
        (0..10).for_each(|_| sum.merge(&part()).unwrap());
        assert_eq!(sum.mean(0), [0.124]);
        let mut small = ExactSum::new(&[Lane::INTEGER], 1);
        (0..10).for_each(|_| small.merge(&part()).unwrap());
        small.merge(&sum).unwrap();
        assert_eq!(small.mean(0), [0.124]);
    }

    #[test]
    fn a_bad_vector_changes_nothing() {
        let mut sum = ExactSum::new(&[Lane::INTEGER], 2);
        sum.add(0, 2.0, &[1.0, 2.0]).unwrap();
        let before = sum.clone();
        for bad in [f32::NAN, f32::INFINITY, -2e6] {
            assert!(matches!(
                sum.add(0, 1.0, &[0.0, bad]),
                Err(SumError::Value { index: 1, .. })
            ));
        }
        assert_eq!(sum.add(0, -1.0, &[0.0, 0.0]), Err(SumError::Weight(-1.0)));
        assert!(sum.add(0, f64::NAN, &[0.0, 0.0]).is_err());
        assert!(sum.add(1, 1.0, &[0.0, 0.0]).is_err());
        let mut two = ExactSum::new(&[Lane::INTEGER, Lane::SCALAR], 2);
        let term = two
            .admit(vec![(1.0, vec![1.0, 2.0].into()), (3.0, vec![].into())])
            .unwrap();
        two.fold(&[term]).unwrap();
        for bad in [
            vec![(1.0, vec![1.0, 2.0].into()), (-1.0, vec![].into())],
            vec![(1.0, vec![1.0, f32::NAN].into()), (3.0, vec![].into())],
            vec![(1.0, vec![1.0].into()), (3.0, vec![].into())],
            vec![(1.0, vec![1.0, 2.0].into())],
        ] {
            assert!(two.admit(bad).is_err());
        }
        assert_eq!(sum, before);
    }

    #[test]
    fn real_weights_keep_sixteen_binary_places() {
        let mut sum = ExactSum::new(&[Lane::REAL], 1);
        sum.add(0, 0.25, &[4.0]).unwrap();
        sum.add(0, 0.75, &[8.0]).unwrap();
        assert_eq!((sum.mean(0)[0], sum.weight(0)), (7.0, 1.0));
    }
}
