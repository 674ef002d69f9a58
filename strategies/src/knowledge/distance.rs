use lyceum_core::{Halves, exp};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How far two posteriors are from each other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Distance {
    /// The 2-Wasserstein distance, `sqrt(|m - m'|^2 + |s - s'|^2)` for independent normal weights with means m and deviations s, divided by the
    /// root of the number of weights, so that a threshold means the same for every size of model.
    #[default]
    Wasserstein,
    /// As the published code has it: `|m - m'| / P + |s - s'| / (sqrt(2) P)` for P weights.
    Published,
}

impl Distance {
    /// Between two models of these halves, in units of a weight.
    pub fn between(self, halves: Halves, a: &[f32], b: &[f32]) -> f64 {
        let squares = |a: f64, b: f64| (a - b) * (a - b);
        let means = a[halves.means()].iter().zip(&b[halves.means()]);
        let means: f64 = means.map(|(a, b)| squares((*a).into(), (*b).into())).sum();
        let deviation = |rho: &f32| f64::from(exp(*rho));
        let rhos = a[halves.rhos()].iter().zip(&b[halves.rhos()]);
        let deviations: f64 = rhos.map(|(a, b)| squares(deviation(a), deviation(b))).sum();
        let count = halves.len.max(1) as f64;
        match self {
            Self::Wasserstein => ((means + deviations) / count).sqrt(),
            Self::Published => means.sqrt() / count + deviations.sqrt() / (2.0_f64.sqrt() * count),
        }
    }
}
