//! The exponential function, with the same bits on every machine.

use crate::wide;

/// Adding it to a number below 2^51 rounds that to the nearest integer, which then stands in the last bits.
const MAGIC: f64 = 1.5 * (1_u64 << 52) as f64;
const LOG2_E: f64 = std::f64::consts::LOG2_E;
const LN_2: f64 = std::f64::consts::LN_2;
/// Beyond these `f32` holds nothing but zero and infinity.
const LEAST: f32 = -110.0;
const MOST: f32 = 100.0;
/// Places of the fraction of an `f64`.
const FRACTION: u32 = 52;
const BIAS: i64 = 1023;
/// `1 / n!` for n = 8, 7, .., 1, 0: the series is off by less than 3e-10 for |r| <= ln(2) / 2.
const SERIES: [f64; 9] = [
    1.0 / 40320.0,
    1.0 / 5040.0,
    1.0 / 720.0,
    1.0 / 120.0,
    1.0 / 24.0,
    1.0 / 6.0,
    0.5,
    1.0,
    1.0,
];

/// `e^x`, off by less than 0.51 of the last place. The library function of a system may differ from that of another one
/// in the last bit; this is additions and multiplications alone, and can be done for many values at once.
#[inline(always)]
pub fn exp(x: f32) -> f32 {
    // Written so that a value that is no number stays one.
    let x = if x < LEAST { LEAST } else { x };
    let x = f64::from(if x > MOST { MOST } else { x });
    // x = k ln(2) + r
    let shifted = x * LOG2_E + MAGIC;
    let r = x - (shifted - MAGIC) * LN_2;
    let power = SERIES.iter().fold(0.0, |sum, term| sum * r + term);
    let k = (shifted.to_bits() as i64).wrapping_sub(MAGIC.to_bits() as i64);
    let two_to_k = f64::from_bits((k.wrapping_add(BIAS) as u64) << FRACTION);
    (power * two_to_k) as f32
}

/// [`exp`] of each value, in its place.
pub fn exp_all(values: &mut [f32]) {
    wide(
        #[inline(always)]
        || values.iter_mut().for_each(|x| *x = exp(*x)),
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// How far off, in units of the last place of the result.
    fn off(x: f32) -> f64 {
        let (got, want) = (f64::from(exp(x)), f64::from(x).exp());
        let place = f64::from(f32::from_bits((want as f32).to_bits() + 1)) - f64::from(want as f32);
        (got - want).abs() / place
    }

    #[test]
    fn known_values_and_ends() {
        assert_eq!(exp(0.0), 1.0);
        assert_eq!(exp(-0.0), 1.0);
        assert_eq!(exp(1.0), std::f32::consts::E);
        assert_eq!(exp(f32::NEG_INFINITY), 0.0);
        assert_eq!(exp(f32::MIN), 0.0);
        assert_eq!(exp(-104.0), 0.0);
        assert_eq!(exp(f32::INFINITY), f32::INFINITY);
        assert_eq!(exp(89.0), f32::INFINITY);
        assert!(exp(f32::NAN).is_nan());
    }

    proptest! {
        #[test]
        fn off_by_half_a_place(x in -103.0_f32..88.0) {
            prop_assert!(off(x) < 0.51, "{x}: {}", off(x));
        }

        #[test]
        fn many_at_once_are_the_same(values in prop::collection::vec(-120.0_f32..120.0, 0..70)) {
            let mut all = values.clone();
            exp_all(&mut all);
            let each: Vec<f32> = values.into_iter().map(exp).collect();
            prop_assert_eq!(all, each);
        }
    }
}
