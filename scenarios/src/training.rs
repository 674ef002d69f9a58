//! `[training]` and `[expert]`: how parameters follow their gradients.

use lyceum_core::{
    Loss, Optimizer, Round,
    units::{Count, Decay, NonNegative, Positive, PositiveFraction},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// `[training]`: one client's local training call.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Training {
    /// Passes over the local samples per call; 1 by default.
    #[serde(default = "one")]
    pub epochs: Count,
    /// Steps per call, instead of passes; as many passes are begun as they need.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub steps: Option<Count>,
    /// Samples per step; 32 by default. The last batch of a pass may be smaller.
    #[serde(default = "thirty_two")]
    pub batch: Count,
    /// Learning rate of the first step.
    pub rate: Positive,
    /// What training minimises, here and for an expert, and what scores and evaluations report;
    /// "cross-entropy" by default.
    #[serde(default)]
    pub loss: Loss,
    /// The update rule; plain SGD by default.
    #[serde(default)]
    pub optimizer: OptimizerChoice,
    /// In a stream of tasks: a client's optimizer goes on where its last call left it, instead of from rest; false by
    /// default.
    #[serde(default, skip_serializing_if = "is_false")]
    pub carry: bool,
    /// Times the parameter, added to the gradient; 0 by default.
    #[serde(default = "zero")]
    pub weight_decay: NonNegative,
    /// Largest norm of a step's data gradient; unlimited by default.
    #[serde(default)]
    pub clip: Option<Positive>,
    /// Decay of the rate within a call: step t uses `rate * (1 + factor t)^-power`; none by default.
    #[serde(default)]
    pub step_decay: Option<StepDecay>,
    /// Change of the rate from round to round; constant by default.
    #[serde(default)]
    pub schedule: Schedule,
    /// What computes gradients: "fused" by default.
    #[serde(default = "fused")]
    pub engine: String,
}

/// The update rule.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OptimizerChoice {
    /// `v <- momentum v + g; w <- w - rate v`.
    Sgd(Sgd),
    /// Adam with bias correction (Kingma and Ba 2015).
    Adam(Adam),
}

/// Stochastic gradient descent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Sgd {
    /// Heavy-ball momentum; 0 by default.
    #[serde(default = "no_momentum")]
    pub momentum: Decay,
}

/// Adam.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Adam {
    /// Decay of the first moment; 0.9 by default.
    #[serde(default = "beta1")]
    pub beta1: Decay,
    /// Decay of the second moment; 0.999 by default.
    #[serde(default = "beta2")]
    pub beta2: Decay,
    /// Added to the root of the second moment; 1e-8 by default.
    #[serde(default = "epsilon")]
    pub epsilon: Positive,
}

/// Decay of the rate within a call.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StepDecay {
    /// `factor` of `rate * (1 + factor t)^-power`.
    pub factor: NonNegative,
    /// `power` of `rate * (1 + factor t)^-power`.
    pub power: NonNegative,
}

/// Change of the rate from round to round.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Schedule {
    /// The same rate in every round.
    Constant(Constant),
    /// Multiplied by `factor` every `every` rounds.
    Step(StepSchedule),
    /// Half a cosine from the full rate to `floor` times the rate in the last round.
    Cosine(Cosine),
}

/// No change.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Constant {}

/// Steps downwards.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StepSchedule {
    /// Rounds between steps.
    pub every: Count,
    /// What the rate is multiplied by.
    pub factor: PositiveFraction,
}

/// Half a cosine.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Cosine {
    /// Share of the rate that is left in the last round; 0.01 by default.
    #[serde(default = "hundredth")]
    pub floor: PositiveFraction,
}

/// `[expert]`: central training on all samples, for expert scores and difficulty partitions.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Expert {
    /// Passes over the pool; 10 by default.
    #[serde(default = "ten")]
    pub epochs: Count,
    /// Samples per step; 32 by default.
    #[serde(default = "thirty_two")]
    pub batch: Count,
    /// Learning rate; 0.01 by default.
    #[serde(default = "expert_rate")]
    pub rate: Positive,
    /// Heavy-ball momentum; 0.9 by default.
    #[serde(default = "beta1")]
    pub momentum: Decay,
    /// Weight decay; 5e-4 by default.
    #[serde(default = "expert_decay")]
    pub weight_decay: NonNegative,
}

impl Default for Expert {
    fn default() -> Self {
        Self {
            epochs: ten(),
            batch: thirty_two(),
            rate: expert_rate(),
            momentum: beta1(),
            weight_decay: expert_decay(),
        }
    }
}

impl Default for OptimizerChoice {
    fn default() -> Self {
        Self::Sgd(Sgd {
            momentum: no_momentum(),
        })
    }
}

impl Default for Schedule {
    fn default() -> Self {
        Self::Constant(Constant {})
    }
}

impl OptimizerChoice {
    /// The rule with its numbers.
    pub fn rule(&self) -> Optimizer {
        match self {
            Self::Sgd(sgd) => Optimizer::Sgd {
                momentum: sgd.momentum.get() as f32,
            },
            Self::Adam(adam) => Optimizer::Adam {
                beta1: adam.beta1.get() as f32,
                beta2: adam.beta2.get() as f32,
                epsilon: adam.epsilon.get() as f32,
            },
        }
    }

    /// The coefficient by which earlier gradients live on in later steps; 0 for Adam, whose steps
    /// do not add up to a travel.
    pub fn momentum(&self) -> f64 {
        match self {
            Self::Sgd(sgd) => sgd.momentum.get(),
            Self::Adam(_) => 0.0,
        }
    }
}

impl Training {
    /// Steps per call, where the scenario gives a number of them.
    pub fn steps(&self) -> Option<u64> {
        self.steps.map(|steps| steps.get() as u64)
    }

    /// Rate of step `step` (from 0) of a call in round `round` of `rounds`.
    pub fn rate_at(&self, step: u64, round: Round, rounds: u64) -> f64 {
        let decay = self.step_decay.as_ref();
        let within = decay.map_or(1.0, |d| {
            (1.0 + d.factor.get() * step as f64).powf(-d.power.get())
        });
        self.rate.get() * self.schedule.factor(round, rounds) * within
    }
}

impl Schedule {
    /// What the rate of a round is multiplied by.
    pub fn factor(&self, round: Round, rounds: u64) -> f64 {
        match self {
            Self::Constant(_) => 1.0,
            Self::Step(step) => step
                .factor
                .get()
                .powi((round.0 / step.every.get() as u64) as i32),
            Self::Cosine(cosine) => {
                let floor = cosine.floor.get();
                let progress = round.0 as f64 / rounds.saturating_sub(1).max(1) as f64;
                floor + (1.0 - floor) * 0.5 * (1.0 + (std::f64::consts::PI * progress).cos())
            }
        }
    }
}

fn is_false(value: &bool) -> bool {
    !value
}
fn one() -> Count {
    Count::new(1).expect("1 is in range")
}
fn ten() -> Count {
    Count::new(10).expect("10 is in range")
}
fn thirty_two() -> Count {
    Count::new(32).expect("32 is in range")
}
fn zero() -> NonNegative {
    NonNegative::new(0.0).expect("0 is in range")
}
fn no_momentum() -> Decay {
    Decay::new(0.0).expect("0 is in range")
}
fn beta1() -> Decay {
    Decay::new(0.9).expect("0.9 is in range")
}
fn beta2() -> Decay {
    Decay::new(0.999).expect("0.999 is in range")
}
fn epsilon() -> Positive {
    Positive::new(1e-8).expect("1e-8 is in range")
}
fn hundredth() -> PositiveFraction {
    PositiveFraction::new(0.01).expect("0.01 is in range")
}
fn expert_rate() -> Positive {
    Positive::new(0.01).expect("0.01 is in range")
}
fn expert_decay() -> NonNegative {
    NonNegative::new(5e-4).expect("5e-4 is in range")
}
fn fused() -> String {
    "fused".into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schedules_begin_at_one_and_end_where_they_say() {
        let cosine = Schedule::Cosine(Cosine { floor: hundredth() });
        assert_eq!(cosine.factor(Round(0), 50), 1.0);
        assert!((cosine.factor(Round(49), 50) - 0.01).abs() < 1e-12);
        assert_eq!(cosine.factor(Round(0), 1), 1.0);
        let step = Schedule::Step(StepSchedule {
            every: ten(),
            factor: PositiveFraction::new(0.5).unwrap(),
        });
        assert_eq!(
            [0, 9, 10, 20].map(|r| step.factor(Round(r), 50)),
            [1.0, 1.0, 0.5, 0.25]
        );
    }
}
