//! `[variational]`: weights that are normal distributions instead of numbers.

use crate::{Scenario, scenario::Wrong};
use lyceum_core::{
    Charge, Divergence, Network, Params, Variational, VectorRef,
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
    fn how(&self) -> Variational {
        Variational {
            start: self.start.get() as f32,
            draws: u32::try_from(self.draws.get()).unwrap_or(u32::MAX),
            local: self.local,
        }
    }
}

/// A normal prior of every weight around 0, as a model.
pub fn normal_prior(network: &Network, deviation: f64) -> Params {
    let mut prior = vec![0.0; network.layout().len()];
    if let Some(halves) = network.halves() {
        prior[halves.rhos()].fill(deviation.ln() as f32);
    }
    prior.into()
}

impl Scenario {
    /// Whether a rule gives clients the priors of the models that they train.
    pub fn gives_priors(&self) -> bool {
        let steering = self.rule();
        steering.is_some_and(|rule| rule.gives_priors())
    }

    /// How weights are distributions, where they are.
    pub(crate) fn distributions(&self) -> Option<VariationalWeights> {
        let by_rule = || self.gives_priors().then(VariationalWeights::default);
        self.variational.clone().or_else(by_rule)
    }

    /// The network with distributions for weights, where the scenario has them.
    pub fn distributed(&self, network: Network) -> Network {
        match self.distributions() {
            Some(weights) => network.variational(weights.how()),
            None => network,
        }
    }

    /// The prior of all models, where weights are distributions and no rule gives priors.
    pub fn prior(&self, network: &Network) -> Option<Params> {
        let weights = self.distributions().filter(|_| !self.gives_priors())?;
        Some(normal_prior(network, weights.prior.get()))
    }

    /// Why dense layers of this model cannot draw what they give, where they are to.
    pub(crate) fn wrong_in_draws(&self, network: &Network) -> Option<Wrong> {
        let (at, layer) = network.unlike_local()?;
        self.distributions().filter(|weights| weights.local)?;
        Some((
            "variational.local".into(),
            format!("layer {at} of this model is `{layer}`, which only draws weights"),
            "a model of dense layers, activations and dropout, or leave it out".into(),
        ))
    }

    /// What does not go together where weights are distributions, or should be.
    pub(crate) fn wrong_in_distributions(&self) -> Option<Wrong> {
        let merges = self.strategy.plugin.merges_distributions();
        (merges && self.distributions().is_none()).then(|| {
            (
                format!("strategy.{}", self.strategy.name),
                "it merges distributions, and the model's weights are numbers".into(),
                "`[variational]` or `[scenario.ibcl]` with it".into(),
            )
        })
    }

    /// What a client minimises besides its data loss where weights are distributions: the divergence from the scenario's prior,
    /// in whose place a rule may give another.
    pub fn divergence(&self, network: &Network) -> Option<Divergence> {
        let weights = self.distributions()?;
        Some(Divergence {
            prior: VectorRef::Inline(normal_prior(network, weights.prior.get())),
            halves: network.halves()?,
            charge: weights.kl,
        })
    }
}
