//! `[variational]`: weights that are normal distributions instead of numbers.

use lyceum_core::{
    Charge, Variational,
    units::{Count, Positive},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// `[variational]`: every weight is a normal distribution, learned by the evidence lower bound (Blundell et al. 2015); tests take
/// the means.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct VariationalWeights {
    /// Deviation of the prior of every weight, which is normal around 0; 1 by default. A knowledge base has priors of its own.
    #[serde(default = "one")]
    pub prior: Positive,
    /// Deviation of every weight before training; 1 by default.
    #[serde(default = "one")]
    pub start: Positive,
    /// How much of the divergence from the prior each step pays; "elbo" by default.
    #[serde(default)]
    pub kl: Charge,
    /// Draws of all weights that a step takes the mean gradient of; 1 by default.
    #[serde(default = "once")]
    pub draws: Count,
    /// Whether dense layers draw what they give, one number for each row and unit, in the place of their weights: the same
    /// distribution, gradients that are less noisy, and faster (local reparameterisation; Kingma, Salimans and Welling 2015). For
    /// models of dense layers, activations and dropout, on engine "fused"; false by default.
    #[serde(default)]
    pub local: bool,
}

fn one() -> Positive {
    Positive::new(1.0).expect("1 is in range")
}

fn once() -> Count {
    Count::new(1).expect("1 is in range")
}

impl Default for VariationalWeights {
    fn default() -> Self {
        Self {
            prior: one(),
            start: one(),
            kl: Charge::default(),
            draws: once(),
            local: false,
        }
    }
}

impl VariationalWeights {
    /// As a network knows it.
    pub(crate) fn how(&self) -> Variational {
        Variational {
            start: self.start.get() as f32,
            draws: u32::try_from(self.draws.get()).unwrap_or(u32::MAX),
            local: self.local,
        }
    }
}
