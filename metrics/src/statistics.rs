//! Means, medians and Student's intervals over a handful of runs.

use serde::{Deserialize, Serialize};
use std::f64::consts::PI;

/// A mean and how far it can be trusted.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Interval {
    /// Arithmetic mean.
    pub mean: f64,
    /// Half the width of the two-sided 95 % interval of Student's t; `None` for a single value.
    pub half_width: Option<f64>,
    /// Number of values.
    pub n: usize,
}

/// Arithmetic mean; `None` without values.
pub fn mean(values: &[f64]) -> Option<f64> {
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}

/// Middle value, or the mean of the two middle ones; `None` without values.
pub fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let upper = *sorted.get(sorted.len() / 2)?;
    let lower = sorted[(sorted.len() - 1) / 2];
    Some((lower + upper) / 2.0)
}

/// Mean and two-sided 95 % Student-t interval of independent values; `None` without values.
pub fn interval(values: &[f64]) -> Option<Interval> {
    let mean = mean(values)?;
    let n = values.len();
    let half_width = (n > 1).then(|| {
        let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
        let error = (squares / (n - 1) as f64 / n as f64).sqrt();
        t_quantile_95(n as u64 - 1) * error
    });
    Some(Interval {
        mean,
        half_width,
        n,
    })
}

/// Interval of the differences `a - b` of values that belong together, as those of one seed.
/// `None` without values or with lists of different lengths.
pub fn paired(a: &[f64], b: &[f64]) -> Option<Interval> {
    let differences: Vec<f64> = a.iter().zip(b).map(|(a, b)| a - b).collect();
    (a.len() == b.len()).then(|| interval(&differences))?
}

/// The value that Student's t with this many degrees of freedom exceeds, in absolute value, with
/// probability 5 %. Infinite for 0 degrees.
pub fn t_quantile_95(degrees: u64) -> f64 {
    if degrees == 0 {
        return f64::INFINITY;
    }
    // 12.7 at one degree, falling towards 1.96.
    let (mut low, mut high) = (1.0, 13.0);
    for _ in 0..60 {
        let middle = (low + high) / 2.0;
        if two_tails(middle, degrees as f64) > 0.05 {
            low = middle;
        } else {
            high = middle;
        }
    }
    (low + high) / 2.0
}

/// Two-sided p-value of Student's t test that the mean of an interval is 0; `None` for a single value. Values without any
/// spread are 0 by chance never, or always.
pub fn p_value(interval: &Interval) -> Option<f64> {
    let degrees = (interval.n as u64).checked_sub(1).filter(|&d| d > 0)?;
    let error = interval.half_width? / t_quantile_95(degrees);
    Some(match (error > 0.0, interval.mean == 0.0) {
        (_, true) => 1.0,
        (false, false) => 0.0,
        (true, false) => two_tails(interval.mean.abs() / error, degrees as f64),
    })
}

/// P-values corrected for their number (Holm 1979), in the order given: the k-th smallest of m times m - k + 1, at least
/// as large as the ones before it and at most 1. All at or below 5 % are, together, wrong with probability 5 % at most.
pub fn holm(p_values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..p_values.len()).collect();
    order.sort_by(|&a, &b| p_values[a].total_cmp(&p_values[b]));
    let mut corrected = vec![0.0; p_values.len()];
    let mut least: f64 = 0.0;
    for (rank, &place) in order.iter().enumerate() {
        let times = (p_values.len() - rank) as f64;
        least = least.max((times * p_values[place]).min(1.0));
        corrected[place] = least;
    }
    corrected
}

/// P(|T| > t) = I_x(degrees / 2, 1 / 2) at x = degrees / (degrees + t²). Abramowitz and Stegun,
/// 26.7.1 and 26.5.27.
fn two_tails(t: f64, degrees: f64) -> f64 {
    incomplete_beta(degrees / (degrees + t * t), degrees / 2.0, 0.5)
}

/// The regularised incomplete beta function for 0 < x < 1.
fn incomplete_beta(x: f64, a: f64, b: f64) -> f64 {
    let log_beta = ln_gamma(a) + ln_gamma(b) - ln_gamma(a + b);
    let front = (a * x.ln() + b * (-x).ln_1p() - log_beta).exp();
    // The fraction converges fast on this side of the mean.
    if x < (a + 1.0) / (a + b + 2.0) {
        front * beta_fraction(x, a, b) / a
    } else {
        1.0 - front * beta_fraction(1.0 - x, b, a) / b
    }
}

/// The continued fraction of the incomplete beta function, by Lentz's method. Press et al.,
/// *Numerical Recipes*, section 6.4.
fn beta_fraction(x: f64, a: f64, b: f64) -> f64 {
    const TINY: f64 = 1e-300;
    let away_from_zero = |value: f64| if value.abs() < TINY { TINY } else { value };
    let mut c = 1.0;
    let mut d = 1.0 / away_from_zero(1.0 - (a + b) * x / (a + 1.0));
    let mut result = d;
    for m in 1..500 {
        let m = f64::from(m);
        let even = m * (b - m) * x / ((a + 2.0 * m - 1.0) * (a + 2.0 * m));
        let odd = -(a + m) * (a + b + m) * x / ((a + 2.0 * m) * (a + 2.0 * m + 1.0));
        let before = result;
        for term in [even, odd] {
            d = 1.0 / away_from_zero(1.0 + term * d);
            c = away_from_zero(1.0 + term / c);
            result *= c * d;
        }
        if (result - before).abs() <= 1e-15 * result.abs() {
            break;
        }
    }
    result
}

/// Logarithm of the gamma function for arguments of at least 1/2: Stirling's series, Abramowitz and
/// Stegun 6.1.40, after the argument has been raised to where the series is accurate.
fn ln_gamma(x: f64) -> f64 {
    let (mut x, mut shift) = (x, 0.0);
    while x < 15.0 {
        shift += x.ln();
        x += 1.0;
    }
    let inverse = 1.0 / x;
    let square = inverse * inverse;
    let series =
        1.0 / 12.0 - square * (1.0 / 360.0 - square * (1.0 / 1260.0 - square * (1.0 / 1680.0)));
    (x - 0.5) * x.ln() - x + 0.5 * (2.0 * PI).ln() + inverse * series - shift
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn t_quantiles_are_the_tabulated_ones() {
        let table = [
            (1, 12.706_204_736),
            (2, 4.302_652_730),
            (7, 2.364_624_252),
            (10, 2.228_138_852),
            (30, 2.042_272_456),
            (100, 1.983_971_519),
        ];
        for (degrees, expected) in table {
            let found = t_quantile_95(degrees);
            assert!((found - expected).abs() < 2e-9, "{degrees}: {found}");
        }
        assert!((t_quantile_95(10_000_000) - 1.959_964).abs() < 1e-6);
        assert_eq!(t_quantile_95(0), f64::INFINITY);
    }

    #[test]
    fn the_gamma_function_is_a_factorial() {
        assert!((ln_gamma(0.5) - PI.sqrt().ln()).abs() < 1e-13);
        assert!((ln_gamma(6.0) - 120_f64.ln()).abs() < 1e-13);
    }

    #[test]
    fn means_and_medians() {
        assert_eq!(mean(&[]), None);
        assert_eq!(mean(&[1.0, 2.0, 6.0]), Some(3.0));
        assert_eq!(median(&[]), None);
        assert_eq!(median(&[5.0]), Some(5.0));
        assert_eq!(median(&[9.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(&[4.0, 1.0, 2.0, 9.0]), Some(3.0));
    }

    #[test]
    fn an_interval_is_t_times_the_standard_error() {
        let found = interval(&[1.0, 2.0, 3.0]).unwrap();
        assert_eq!((found.mean, found.n), (2.0, 3));
        let expected = 4.302_652_730 / 3_f64.sqrt();
        assert!((found.half_width.unwrap() - expected).abs() < 1e-8);
        assert_eq!(interval(&[0.5]).unwrap().half_width, None);
        assert_eq!(interval(&[]), None);
    }

    /// Differences 1, 2, 3: t = 2 / (1 / sqrt 3) = 3.4641 with 2 degrees, for which P(|T| > t) = 1 - t / sqrt(t^2 + 2)
    /// = 1 - 3.46410 / sqrt 14 = 0.0741799.
    #[test]
    fn p_values_are_those_of_students_t() {
        let p = p_value(&interval(&[1.0, 2.0, 3.0]).unwrap()).unwrap();
        assert!(
            (p - (1.0 - 12_f64.sqrt() / 14_f64.sqrt())).abs() < 1e-9,
            "{p}"
        );
        let at = |values: &[f64]| p_value(&interval(values).unwrap());
        assert_eq!(at(&[-1.0, -2.0, -3.0]), Some(p), "two-sided");
        assert_eq!((at(&[1.0]), at(&[2.0, 2.0])), (None, Some(0.0)));
        assert_eq!(at(&[0.0, 0.0]), Some(1.0));
        let edge = Interval {
            mean: 1.0,
            half_width: Some(1.0),
            n: 9,
        };
        assert!((p_value(&edge).unwrap() - 0.05).abs() < 1e-9);
    }

    /// Holm's example by hand: 0.01 x 4, 0.02 x 3 = 0.06, 0.03 x 2 = 0.06, 0.04 x 1 is raised to 0.06.
    #[test]
    fn holm_corrects_step_by_step() {
        let found = holm(&[0.04, 0.01, 0.03, 0.02]);
        let want = [0.06, 0.04, 0.06, 0.06];
        let near = |(a, b): (&f64, &f64)| (a - b).abs() < 1e-12;
        assert!(found.iter().zip(&want).all(near), "{found:?}");
        assert_eq!(holm(&[0.4, 0.9]), [0.8, 0.9]);
        assert_eq!(holm(&[0.6, 0.9]), [1.0, 1.0]);
        assert_eq!((holm(&[0.2]), holm(&[])), (vec![0.2], vec![]));
    }

    #[test]
    fn pairing_removes_what_the_pairs_share() {
        let found = paired(&[11.0, 22.0, 33.0], &[10.0, 20.0, 30.0]).unwrap();
        assert_eq!(found, interval(&[1.0, 2.0, 3.0]).unwrap());
        let same = paired(&[3.0, 9.0], &[1.0, 7.0]).unwrap();
        assert_eq!((same.mean, same.half_width), (2.0, Some(0.0)));
        assert_eq!(paired(&[1.0], &[]), None);
        assert_eq!(paired(&[], &[]), None);
    }
}
