//! Sums as bytes: about 7 to 8 a value instead of the 16 that they take in memory.
//!
//! Per lane: weight and number of terms, then the values in blocks. A value is the integer
//! `hi 2^52 + lo` in two's complement; a block drops the zero bits that all its values end in and keeps the bytes
//! that its largest value needs. Where vectors have running statistics, a byte follows that is 1 if some of them were
//! too large for these sums, and then the blocks of theirs. The same sum always gives the same bytes, however it was added up.

use super::{
    CARRIED, Coarse, ExactSum, Grid, HI_LIMIT, LO_BITS, Lane, accumulator::Accumulator, carried,
};

/// Values that share a shift and a width.
const BLOCK: usize = 256;
/// Bytes of the integers, at most.
const WIDEST: usize = 16;

/// Bytes that are not a sum with the expected lanes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a sum of {lanes} lanes over {len} values: {reason}")]
pub struct SumBytesError {
    /// Lanes that were expected.
    pub lanes: usize,
    /// Values that were expected in each of them.
    pub len: usize,
    /// What is wrong.
    pub reason: &'static str,
}

impl ExactSum {
    /// The canonical bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::new();
        self.write_bytes(&mut out);
        out
    }

    /// Adds the canonical bytes to others.
    pub fn write_bytes(&self, out: &mut Vec<u8>) {
        let values: usize = self.lanes.iter().map(|a| a.hi.len()).sum();
        out.reserve(16 * self.lanes.len() + 8 * values + WIDEST);
        for lane in &self.lanes {
            out.extend(lane.weight.to_le_bytes());
            out.extend(lane.terms.to_le_bytes());
            write_blocks(&lane.hi, &lane.lo, out);
            if lane.grid.slot_count() > 0 {
                lane.coarse.write(out);
            }
        }
    }

    /// Reads what [`to_bytes`](Self::to_bytes) wrote, for lanes and a grid that the reader knows. Nothing in the
    /// bytes decides how much memory is taken.
    pub fn from_bytes(
        bytes: &[u8],
        lanes: &[Lane],
        grid: impl Into<Grid>,
    ) -> Result<Self, SumBytesError> {
        let grid = grid.into();
        let wrong = |reason| SumBytesError {
            lanes: lanes.len(),
            len: grid.len(),
            reason,
        };
        let mut sum = Self::new(lanes, &grid);
        let mut rest = Rest(bytes);
        for lane in &mut sum.lanes {
            lane.weight = rest.word().ok_or(wrong("it ends early"))?;
            lane.terms = rest.word().ok_or(wrong("it ends early"))?;
            lane.read_values(&mut rest).map_err(wrong)?;
        }
        if rest.0.is_empty() {
            Ok(sum)
        } else {
            Err(wrong("bytes are left over"))
        }
    }
}

impl Accumulator {
    fn read_values(&mut self, rest: &mut Rest<'_>) -> Result<(), &'static str> {
        read_blocks(&mut self.hi, &mut self.lo, rest)?;
        let slots = self.grid.slot_count();
        if slots > 0 {
            self.coarse = Coarse::read(slots, rest)?;
        }
        self.since_carry = CARRIED;
        Ok(())
    }
}

impl Coarse {
    fn write(&self, out: &mut Vec<u8>) {
        let mut sums = self.hi.iter().zip(&self.lo);
        let some = sums.any(|(&hi, &lo)| carried(hi, lo) != (0, 0));
        out.push(u8::from(some));
        if some {
            write_blocks(&self.hi, &self.lo, out);
        }
    }

    fn read(slots: usize, rest: &mut Rest<'_>) -> Result<Self, &'static str> {
        match rest.take(1) {
            Some([0]) => Ok(Self::default()),
            Some([1]) => {
                let mut coarse = Self::zeros(slots);
                read_blocks(&mut coarse.hi, &mut coarse.lo, rest)?;
                Ok(coarse)
            }
            Some(_) => Err("it does not say whether it has large values"),
            None => Err("it ends early"),
        }
    }
}

fn write_blocks(hi: &[i64], lo: &[i64], out: &mut Vec<u8>) {
    for (hi, lo) in hi.chunks(BLOCK).zip(lo.chunks(BLOCK)) {
        write_block(hi, lo, out);
    }
}

fn read_blocks(hi: &mut [i64], lo: &mut [i64], rest: &mut Rest<'_>) -> Result<(), &'static str> {
    for (hi, lo) in hi.chunks_mut(BLOCK).zip(lo.chunks_mut(BLOCK)) {
        let [shift, width] = *rest.take(2).ok_or("it ends early")? else {
            return Err("it ends early");
        };
        let (shift, width) = (u32::from(shift), usize::from(width));
        if width > WIDEST || shift > 127 {
            return Err("a block of values wider than 16 bytes");
        }
        let packed = rest.take(width * hi.len()).ok_or("it ends early")?;
        let mut largest = 0;
        for (index, (hi, lo)) in hi.iter_mut().zip(lo).enumerate() {
            let value = read_value(packed, index * width, width) << shift;
            let high = value >> LO_BITS;
            largest |= high.unsigned_abs();
            *hi = high as i64;
            *lo = (value & ((1 << LO_BITS) - 1)) as i64;
        }
        if largest >= u128::from(HI_LIMIT) {
            return Err("a value beyond what a sum can hold");
        }
    }
    Ok(())
}

fn joined(hi: i64, lo: i64) -> i128 {
    (i128::from(hi) << LO_BITS) | i128::from(lo)
}

fn write_block(hi: &[i64], lo: &[i64], out: &mut Vec<u8>) {
    let (mut highs, mut lows) = ([0_i64; BLOCK], [0_i64; BLOCK]);
    let (mut any_hi, mut any_lo, mut size_hi, mut size_lo) = (0, 0, 0, 0);
    let carries = hi.iter().zip(lo).map(|(&hi, &lo)| carried(hi, lo));
    for ((high, low), (hi, lo)) in highs.iter_mut().zip(&mut lows).zip(carries) {
        (*high, *low) = (hi, lo);
        let sign = hi >> 63;
        any_hi |= hi;
        any_lo |= lo;
        size_hi |= hi ^ sign;
        size_lo |= lo ^ (sign & ((1 << LO_BITS) - 1));
    }
    let (any, size) = (joined(any_hi, any_lo), joined(size_hi, size_lo));
    let shift = if any == 0 { 0 } else { any.trailing_zeros() };
    // One bit more than the magnitude, for the sign.
    let bits = if any == 0 {
        0
    } else {
        1 + (128 - size.leading_zeros()).saturating_sub(shift)
    };
    let width = (bits as usize).div_ceil(8);
    out.extend([shift as u8, width as u8]);
    let start = out.len();
    // Whole words are written one over the end of the other; what the last one has too much is cut off.
    out.resize(start + width * hi.len() + WIDEST, 0);
    let packed = &mut out[start..];
    let values = highs.iter().zip(&lows).take(hi.len());
    if width <= 8 {
        for (index, (&hi, &lo)) in values.enumerate() {
            let word = (joined(hi, lo) >> shift) as u64;
            packed[index * width..][..8].copy_from_slice(&word.to_le_bytes());
        }
    } else {
        for (index, (&hi, &lo)) in values.enumerate() {
            let word = joined(hi, lo) >> shift;
            packed[index * width..][..WIDEST].copy_from_slice(&word.to_le_bytes());
        }
    }
    out.truncate(start + width * hi.len());
}

/// The integer of `width` bytes that begins at a place.
#[inline]
fn read_value(packed: &[u8], at: usize, width: usize) -> i128 {
    if let (1..=8, Some(word)) = (width, packed.get(at..at + 8)) {
        let word = i64::from_le_bytes(word.try_into().expect("it is 8 bytes long"));
        let unused = 64 - 8 * width as u32;
        return i128::from((word << unused) >> unused);
    }
    let bytes = &packed[at..at + width];
    let sign = bytes.last().is_some_and(|b| b & 0x80 != 0);
    let mut word = [if sign { 0xff } else { 0 }; WIDEST];
    word[..width].copy_from_slice(bytes);
    i128::from_le_bytes(word)
}

struct Rest<'a>(&'a [u8]);

impl<'a> Rest<'a> {
    fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let (head, tail) = self.0.split_at_checked(len)?;
        self.0 = tail;
        Some(head)
    }

    fn word(&mut self) -> Option<u64> {
        let bytes = self.take(8)?.try_into().ok()?;
        Some(u64::from_le_bytes(bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const LANES: [Lane; 2] = [Lane::INTEGER, Lane::SCALAR];

    proptest! {
        #[test]
        fn sums_come_back_and_the_bytes_do_not_depend_on_the_order(
            terms in prop::collection::vec((1_u32..1 << 28, prop::collection::vec(-1e6_f32..1e6, 300)), 1..20),
        ) {
            let sum = |terms: &mut dyn Iterator<Item = &(u32, Vec<f32>)>| {
                let mut sum = ExactSum::new(&LANES, 300);
                for (weight, values) in terms {
                    sum.add(0, f64::from(*weight), values).unwrap();
                    sum.add(1, 1.0, &[]).unwrap();
                }
                sum
            };
            let (forward, backward) = (sum(&mut terms.iter()), sum(&mut terms.iter().rev()));
            let bytes = forward.to_bytes();
            prop_assert_eq!(&bytes, &backward.to_bytes());
            let back = ExactSum::from_bytes(&bytes, &LANES, 300).unwrap();
            prop_assert_eq!(back.mean(0), forward.mean(0));
            prop_assert_eq!(back.weight(1), forward.weight(1));
            prop_assert_eq!(back.to_bytes(), bytes);
        }

        #[test]
        fn any_other_bytes_are_refused_or_read_but_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
            let _ = ExactSum::from_bytes(&bytes, &LANES, 20);
        }
    }

    #[test]
    fn small_updates_take_about_seven_bytes() {
        let values: Vec<f32> = (0..10_000).map(|i| (i as f32).sin() * 1e-3).collect();
        let mut sum = ExactSum::new(&[Lane::INTEGER], values.len());
        (1..10).for_each(|n| sum.add(0, f64::from(n) * 60.0, &values).unwrap());
        let per_value = sum.to_bytes().len() as f64 / values.len() as f64;
        assert!(per_value < 8.1, "{per_value}");
    }

    #[test]
    fn a_cut_or_longer_sum_is_refused() {
        let mut sum = ExactSum::new(&LANES, 3);
        sum.add(0, 2.0, &[1.0, -0.5, 3e-9]).unwrap();
        let mut bytes = sum.to_bytes();
        assert!(ExactSum::from_bytes(&bytes[..bytes.len() - 1], &LANES, 3).is_err());
        assert!(ExactSum::from_bytes(&bytes, &LANES, 4).is_err());
        bytes.push(0);
        assert!(ExactSum::from_bytes(&bytes, &LANES, 3).is_err());
        let empty = ExactSum::new(&LANES, 3);
        assert_eq!(
            ExactSum::from_bytes(&empty.to_bytes(), &LANES, 3),
            Ok(ExactSum {
                ..empty.clone().marked()
            })
        );
    }

    impl ExactSum {
        /// As one that was read: nothing is known of its carries.
        fn marked(mut self) -> Self {
            self.lanes.iter_mut().for_each(|a| a.since_carry = CARRIED);
            self
        }
    }
}
