use lyceum_core::{Halves, Params, exp};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What of normal distributions is added up, besides their means.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum CombineOn {
    /// Deviations, as the published code has it.
    #[default]
    Deviations,
    /// Variances.
    Variances,
}

/// The posterior of a preference: means and deviations, one of each a weight.
#[derive(Clone, Debug, PartialEq)]
pub struct Combined {
    /// Means.
    pub means: Vec<f32>,
    /// Deviations.
    pub deviations: Vec<f32>,
}

/// The convex combination of posteriors; each sum is taken in 64 bits, in the given order, and rounded once.
pub fn combine(on: CombineOn, halves: Halves, of: &[(&Params, f64)]) -> Combined {
    let sum = |value: &dyn Fn(&Params, usize) -> f64, place: usize| -> f64 {
        of.iter().map(|(model, w)| w * value(model, place)).sum()
    };
    let mean = |model: &Params, place: usize| f64::from(model[place]);
    let deviation = |model: &Params, place: usize| f64::from(exp(model[halves.len + place]));
    let variance = |model: &Params, place: usize| deviation(model, place).powi(2);
    let means = (0..halves.len).map(|place| sum(&mean, place) as f32);
    let deviations = (0..halves.len).map(|place| match on {
        CombineOn::Deviations => sum(&deviation, place) as f32,
        CombineOn::Variances => sum(&variance, place).sqrt() as f32,
    });
    Combined {
        means: means.collect(),
        deviations: deviations.collect(),
    }
}
