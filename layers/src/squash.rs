//! Curves that flatten out at both ends, made of [`exp`]: the same bits on every machine.

use lyceum_core::exp;
use std::f32::consts::{FRAC_1_SQRT_2, TAU};

/// `1 / (1 + e^-x)`.
#[inline(always)]
pub(crate) fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + exp(-x))
}

/// Below this the series is used: the difference of two values close to each other would lose places.
const NEAR_ZERO: f32 = 0.25;

/// Coefficients of the series of `tanh(x) / x` in `x^2`, highest first.
const TANH_SERIES: [f32; 5] = [62.0 / 2835.0, -17.0 / 315.0, 2.0 / 15.0, -1.0 / 3.0, 1.0];

/// Hyperbolic tangent, off by less than 4e-7 of its size.
#[inline(always)]
pub(crate) fn tanh(x: f32) -> f32 {
    let size = x.abs();
    let far = (1.0 - 2.0 / (exp(2.0 * size) + 1.0)).copysign(x);
    let square = x * x;
    let near = x * TANH_SERIES
        .iter()
        .fold(0.0, |sum, term| sum * square + term);
    if size < NEAR_ZERO { near } else { far }
}

/// Where the fit of `e^(x^2) erfc(x)` is a polynomial in: `1 / (1 + RATE x)`.
const RATE: f64 = 0.4;

/// That polynomial, highest power first: off by less than 3e-9 of its size for x from 0 to 11, beyond which `erfc` is 0 in 32 bits.
/// By weighted least squares on 4001 places.
const TAIL: [f64; 11] = [
    -0.037_140_072_195_505_81,
    0.241_360_524_439_622_58,
    -0.607_851_135_029_104_4,
    0.705_305_243_387_929_5,
    -0.429_781_148_374_656_2,
    0.360_946_370_297_753_3,
    0.093_231_206_119_982_53,
    0.224_808_033_015_584_02,
    0.223_254_829_903_311_66,
    0.225_873_217_407_515_31,
    -7.066_426_694_094_376e-6,
];

/// `e^(x^2) erfc(x)` for x from 0.
#[inline(always)]
fn scaled_tail(x: f32) -> f32 {
    let t = 1.0 / (1.0 + RATE * f64::from(x));
    TAIL.iter().fold(0.0, |sum, term| sum * t + term) as f32
}

/// The error function, off by less than 1e-7.
#[cfg(test)]
pub(crate) fn erf(x: f32) -> f32 {
    let size = x.abs();
    (1.0 - exp(-size * size) * scaled_tail(size)).copysign(x)
}

/// Of a standard normal number: the probability that it is below `x`, and the density at `x`.
#[inline(always)]
pub(crate) fn normal(x: f32) -> (f32, f32) {
    let size = x.abs();
    let bell = exp(-0.5 * size * size);
    let beyond = 0.5 * bell * scaled_tail(size * FRAC_1_SQRT_2);
    let below = if x < 0.0 { beyond } else { 1.0 - beyond };
    (below, bell / TAU.sqrt())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// By its series in 64 bits, for |x| up to 4.
    fn erf_by_series(x: f64) -> f64 {
        let mut term = x;
        let mut sum = x;
        for n in 1..120 {
            term *= -x * x / f64::from(n);
            sum += term / f64::from(2 * n + 1);
        }
        sum * 2.0 / std::f64::consts::PI.sqrt()
    }

    #[test]
    fn ends_and_what_is_no_number() {
        assert_eq!(
            [sigmoid(-200.0), sigmoid(0.0), sigmoid(200.0)],
            [0.0, 0.5, 1.0]
        );
        assert_eq!([tanh(-200.0), tanh(0.0), tanh(200.0)], [-1.0, 0.0, 1.0]);
        assert_eq!([erf(-200.0), erf(200.0)], [-1.0, 1.0]);
        assert_eq!([normal(-200.0).0, normal(200.0).0], [0.0, 1.0]);
        let all = [sigmoid, tanh, erf, |x| normal(x).0];
        assert!(all.iter().all(|curve| curve(f32::NAN).is_nan()));
    }

    proptest! {
        #[test]
        fn curves_are_what_their_series_say(x in -4.0_f32..4.0) {
            let wide = f64::from(x);
            let error = (f64::from(erf(x)) - erf_by_series(wide)).abs();
            prop_assert!(error < 1e-7, "erf({x}) is off by {error}");
            let below = 0.5 + 0.5 * erf_by_series(wide * std::f64::consts::FRAC_1_SQRT_2);
            prop_assert!((f64::from(normal(x).0) - below).abs() < 1e-7);
            let of_tanh = (f64::from(tanh(x)) - wide.tanh()).abs();
            prop_assert!(of_tanh <= 4e-7 * wide.tanh().abs(), "tanh({x}) is off by {of_tanh}");
            let of_sigmoid = (f64::from(sigmoid(x)) - 1.0 / (1.0 + (-wide).exp())).abs();
            prop_assert!(of_sigmoid < 1e-7);
        }
    }
}
