//! What of a run follows from weights that are distributions.

use crate::{Scenario, VariationalWeights, scenario::Wrong};
use lyceum_core::{Divergence, Network, Params, VectorRef};
use std::ops::RangeInclusive;

/// Deviations of weights that can be computed with in 32 bits.
const DEVIATIONS: RangeInclusive<f64> = 1e-6..=1e6;

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
        let own = self.variational.as_ref();
        let far = own.and_then(|v| {
            let both = [("prior", v.prior.get()), ("start", v.start.get())];
            both.into_iter()
                .find(|(_, deviation)| !DEVIATIONS.contains(deviation))
        });
        if let Some((key, deviation)) = far {
            return Some((
                format!("variational.{key}"),
                format!("a deviation of {deviation} cannot be learned with"),
                format!("{:e} to {:e}", DEVIATIONS.start(), DEVIATIONS.end()),
            ));
        }
        let merges = self.strategy.plugin.merges_distributions();
        (merges && self.distributions().is_none()).then(|| {
            (
                format!("strategy.{}", self.strategy.name),
                format!(
                    "`{}` merges distributions, and the model's weights are numbers",
                    self.strategy.name
                ),
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
