//! Weights instead of an order.

use super::Score;
use lyceum_core::{Round, units::Count};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Weights each sample's loss by how easy it is at first and evenly later on (MacAvaney et al. 2020,
/// difficulty weighting, applied to each sample by itself as the paper says).
///
/// With the confidence `D = exp(-loss)` of a model in the sample's class, in round e of `until_round`
/// m: `W = D (1 - e / m) + e / m`, and 1 from round m on. No sample is ever left out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Weighting {
    /// The loss that the confidence comes from; default "global-loss".
    pub by: WeightingScore,
    /// Number of rounds after which all samples weigh 1, 1 or above; default 20.
    pub until_round: Count,
    /// Whether hard samples weigh more at first (1 - D for D); default false.
    pub anti: bool,
}

/// The loss that a confidence comes from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum WeightingScore {
    /// Loss under the global model as received.
    #[default]
    GlobalLoss,
    /// Loss under a model that was trained centrally on all samples.
    ExpertLoss,
}

impl WeightingScore {
    /// The same among all scores.
    pub fn score(self) -> Score {
        match self {
            Self::GlobalLoss => Score::GlobalLoss,
            Self::ExpertLoss => Score::ExpertLoss,
        }
    }
}

impl Default for Weighting {
    fn default() -> Self {
        Self {
            by: WeightingScore::default(),
            until_round: Count::new(20).expect("defaults are in range"),
            anti: false,
        }
    }
}

impl Weighting {
    /// The weight of each sample in a round, from 0 to 1. A loss that is not a number counts as
    /// infinite: no confidence.
    pub fn weights(&self, losses: &[f32], round: Round) -> Vec<f32> {
        let done = (round.0 as f64 / self.until_round.get() as f64).min(1.0);
        let weight = |&loss: &f32| {
            let loss = if loss.is_nan() { f32::INFINITY } else { loss };
            let confidence = (-f64::from(loss)).exp().min(1.0);
            let share = if self.anti {
                1.0 - confidence
            } else {
                confidence
            };
            (share * (1.0 - done) + done) as f32
        };
        losses.iter().map(weight).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn weights(anti: bool, round: u64) -> Vec<f32> {
        let losses = [0.0, std::f32::consts::LN_2, f32::INFINITY, f32::NAN];
        Weighting {
            anti,
            ..Weighting::default()
        }
        .weights(&losses, Round(round))
    }

    fn near(got: &[f32], want: [f32; 4]) -> bool {
        got.iter().zip(want).all(|(g, w)| (g - w).abs() < 1e-6)
    }

    /// Confidences 1, 0.5, 0, 0. In round 5 of 20: W = 0.75 D + 0.25.
    #[test]
    fn easy_samples_weigh_more_until_the_end() {
        assert!(near(&weights(false, 0), [1.0, 0.5, 0.0, 0.0]));
        assert!(near(&weights(false, 5), [1.0, 0.625, 0.25, 0.25]));
        assert!(near(&weights(false, 20), [1.0; 4]));
        assert!(near(&weights(false, 999), [1.0; 4]));
    }

    #[test]
    fn anti_turns_it_round() {
        assert!(near(&weights(true, 0), [0.0, 0.5, 1.0, 1.0]));
        assert!(near(&weights(true, 5), [0.25, 0.625, 1.0, 1.0]));
        assert!(near(&weights(true, 20), [1.0; 4]));
    }
}
