use super::Combined;
use lyceum_core::{Purpose, Seed, Stream, Ticket};
use rand::RngExt;
use rand_distr::{Distribution, StandardNormal};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Which region of high density models are drawn from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum RegionKind {
    /// For each weight the interval of mass 1 - alpha around its mean; models are drawn uniformly, weight by weight.
    #[default]
    Box,
    /// The smallest set of all weights together of mass 1 - alpha, an ellipsoid by the chi-squared law; models are drawn from
    /// the posterior within it.
    Ellipsoid,
    /// As the published code has it: intervals of mass alpha, and one random number for all weights.
    Published,
}

impl RegionKind {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Box, Self::Ellipsoid, Self::Published];

    /// As a file names it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Box => "box",
            Self::Ellipsoid => "ellipsoid",
            Self::Published => "published",
        }
    }
}

/// A region of high density of a posterior.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Region {
    /// Its shape.
    pub kind: RegionKind,
    /// The mass that is left out: above 0, below 1.
    pub alpha: f64,
}

impl Region {
    /// Half of the width in deviations of a weight; of an ellipsoid, its radius over `weights` of them.
    pub fn radius(self, weights: usize) -> f64 {
        match self.kind {
            RegionKind::Box => normal_quantile(1.0 - self.alpha / 2.0),
            RegionKind::Ellipsoid => chi_squared_quantile(1.0 - self.alpha, weights).sqrt(),
            RegionKind::Published => normal_quantile(0.5 + self.alpha / 2.0),
        }
    }

    /// A model of the region: the draw of this number, of this preference.
    pub fn draw(self, seed: Seed, address: (u64, u64), of: &Combined) -> Vec<f32> {
        let (preference, number) = address;
        let seed = Seed(seed.0 ^ preference.rotate_left(32));
        let mut rng = seed.stream(Purpose::REGION, Ticket(number), None);
        let weights = of.means.len();
        let radius = self.radius(weights);
        let steps = match self.kind {
            RegionKind::Box => (0..weights).map(|_| radius * signed(&mut rng)).collect(),
            RegionKind::Ellipsoid => within(radius, weights, &mut rng),
            RegionKind::Published => vec![radius * signed(&mut rng); weights],
        };
        let sites = of.means.iter().zip(&of.deviations).zip(steps);
        sites
            .map(|((m, s), z)| (f64::from(*m) + z * f64::from(*s)) as f32)
            .collect()
    }
}

/// Uniform between -1 and 1.
fn signed(rng: &mut Stream) -> f64 {
    2.0 * rng.random::<f64>() - 1.0
}

/// Standard normal numbers whose squares sum to at most the square of the radius.
fn within(radius: f64, weights: usize, rng: &mut Stream) -> Vec<f64> {
    loop {
        let draw: Vec<f64> = (0..weights).map(|_| StandardNormal.sample(rng)).collect();
        if draw.iter().map(|z| z * z).sum::<f64>() <= radius * radius {
            return draw;
        }
    }
}

/// The point below which a standard normal number has this probability, which is above 0 and below 1: by bisection, to the last
/// place but one.
pub fn normal_quantile(probability: f64) -> f64 {
    let upper = probability.max(1.0 - probability);
    // P(|Z| <= z) is the law of chi-squared with one degree of freedom.
    let root = chi_squared_quantile(2.0 * upper - 1.0, 1).sqrt();
    if probability < 0.5 { -root } else { root }
}

/// The point below which the sum of so many squared standard normal numbers has this probability.
pub fn chi_squared_quantile(probability: f64, degrees: usize) -> f64 {
    if probability <= 0.0 {
        return 0.0;
    }
    let shape = degrees as f64 / 2.0;
    let (mut low, mut high) = (0.0, degrees as f64 + 1.0);
    while gamma_p(shape, high / 2.0) < probability {
        high *= 2.0;
    }
    for _ in 0..200 {
        let middle = 0.5 * (low + high);
        if middle <= low || middle >= high {
            break;
        }
        match gamma_p(shape, middle / 2.0) < probability {
            true => low = middle,
            false => high = middle,
        }
    }
    0.5 * (low + high)
}

/// The regularised lower incomplete gamma function P(a, x), by its series below a + 1 and by the continued fraction of its complement above (Abramowitz and
/// Stegun 6.5.29, 6.5.31).
fn gamma_p(a: f64, x: f64) -> f64 {
    if x <= 0.0 {
        return 0.0;
    }
    let scale = (a * x.ln() - x - ln_gamma(a)).exp();
    if x < a + 1.0 {
        let (mut term, mut sum, mut n) = (1.0 / a, 1.0 / a, a);
        while term.abs() > sum.abs() * f64::EPSILON {
            n += 1.0;
            term *= x / n;
            sum += term;
        }
        return scale * sum;
    }
    let tiny = 1e-300;
    let mut b = x + 1.0 - a;
    let mut c = 1.0 / tiny;
    let mut d = 1.0 / b;
    let mut fraction = d;
    for i in 1..10_000 {
        let step = -f64::from(i) * (f64::from(i) - a);
        b += 2.0;
        d = step * d + b;
        d = if d.abs() < tiny { tiny } else { d };
        c = b + step / c;
        c = if c.abs() < tiny { tiny } else { c };
        d = 1.0 / d;
        fraction *= d * c;
        if (d * c - 1.0).abs() < f64::EPSILON {
            break;
        }
    }
    1.0 - scale * fraction
}

/// ln Gamma(x) for x > 0: Stirling's series from 10 on, recursion below (Abramowitz and Stegun 6.1.41, 6.1.15).
fn ln_gamma(x: f64) -> f64 {
    if x < 10.0 {
        return ln_gamma(x + 1.0) - x.ln();
    }
    let inverse = 1.0 / (x * x);
    let series = [
        1.0 / 12.0,
        -1.0 / 360.0,
        1.0 / 1260.0,
        -1.0 / 1680.0,
        1.0 / 1188.0,
    ];
    let correction = series.iter().rev().fold(0.0, |sum, c| sum * inverse + c) / x;
    (x - 0.5) * x.ln() - x + 0.5 * (2.0 * std::f64::consts::PI).ln() + correction
}
