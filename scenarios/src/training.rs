//! `[training]` and `[expert]`: how parameters follow their gradients.

use lyceum_core::{
    Augmentation, Loss, Optimizer, Round,
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
    /// What happens to the samples of each step, one after another; nothing by default.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub augment: Vec<Augmentation>,
    /// Weight of the loss of each class's samples, in the order of the classes; the loss stays divided by the number of samples. 1
    /// for all by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub class_weights: Option<Vec<NonNegative>>,
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
    /// Change of the rate from step to step of a call, besides; constant by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step_schedule: Option<StepRates>,
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
    /// Adam whose weight decay acts on the weights by itself (Loshchilov and Hutter 2019).
    AdamW(Adam),
    /// Steps over a running mean square (Tieleman and Hinton 2012).
    RmsProp(RmsProp),
    /// Steps over the sum of all squares (Duchi et al. 2011).
    Adagrad(Adagrad),
    /// Steps by the sign of a momentum, whose weight decay acts by itself (Chen et al. 2023).
    Lion(Lion),
}

/// Stochastic gradient descent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Sgd {
    /// Heavy-ball momentum; 0 by default.
    #[serde(default = "no_momentum")]
    pub momentum: Decay,
    /// Nesterov's momentum: the step looks ahead by one step of the velocity; false by default.
    #[serde(default, skip_serializing_if = "is_false")]
    pub nesterov: bool,
}

/// RMSprop.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RmsProp {
    /// Decay of the mean square; 0.99 by default.
    #[serde(default = "ninety_nine")]
    pub decay: Decay,
    /// Momentum of the steps; 0 by default.
    #[serde(default = "no_momentum")]
    pub momentum: Decay,
    /// Added to the root of the mean square; 1e-8 by default.
    #[serde(default = "epsilon")]
    pub epsilon: Positive,
}

/// Adagrad.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Adagrad {
    /// Added to the root of the sum of squares; 1e-10 by default.
    #[serde(default = "tiny")]
    pub epsilon: Positive,
}

/// Lion.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Lion {
    /// Share of the momentum in a step; 0.9 by default.
    #[serde(default = "beta1")]
    pub beta1: Decay,
    /// Decay of the momentum; 0.99 by default.
    #[serde(default = "ninety_nine")]
    pub beta2: Decay,
}

/// Adam, with weight decay as a part of the gradient or by itself.
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
    /// Up to the full rate and down again by half cosines (Smith and Topin 2019).
    OneCycle(OneCycle),
}

/// Change of the rate from step to step of a call.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum StepRates {
    /// Rises over the first steps, then stays.
    WarmUp(WarmUp),
    /// Half a cosine from the full rate to `floor` times the rate in the last step of the call.
    Cosine(Cosine),
    /// Up to the full rate and down again by half cosines (Smith and Topin 2019).
    OneCycle(OneCycle),
}

/// A rise from near zero.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WarmUp {
    /// Steps until the full rate is reached: step t (from 0) uses `(t + 1) / steps` of it.
    pub steps: Count,
}

/// One rise and one fall.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OneCycle {
    /// Share of the way that rises; 0.3 by default.
    #[serde(default = "three_tenths")]
    pub rise: PositiveFraction,
    /// Share of the rate at the start; 0.04 by default.
    #[serde(default = "twenty_fifth")]
    pub start: PositiveFraction,
    /// Share of the rate at the end; 4e-6 by default.
    #[serde(default = "end_of_cycle")]
    pub floor: PositiveFraction,
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
    /// Share of the rate that is left at the end; 0.01 by default.
    #[serde(default = "hundredth")]
    pub floor: PositiveFraction,
    /// Rounds, or steps, in which the rate rises first: the t-th (from 0) uses `(t + 1) / (warm_up + 1)` of it; 0 by default.
    #[serde(default, skip_serializing_if = "is_nothing")]
    pub warm_up: u64,
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
            nesterov: false,
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
        let decay = |value: Decay| value.get() as f32;
        match self {
            Self::Sgd(sgd) if sgd.nesterov => Optimizer::Nesterov {
                momentum: decay(sgd.momentum),
            },
            Self::Sgd(sgd) => Optimizer::Sgd {
                momentum: decay(sgd.momentum),
            },
            Self::Adam(adam) => Optimizer::Adam {
                beta1: decay(adam.beta1),
                beta2: decay(adam.beta2),
                epsilon: adam.epsilon.get() as f32,
            },
            Self::AdamW(adam) => Optimizer::AdamW {
                beta1: decay(adam.beta1),
                beta2: decay(adam.beta2),
                epsilon: adam.epsilon.get() as f32,
            },
            Self::RmsProp(rms) => Optimizer::RmsProp {
                decay: decay(rms.decay),
                momentum: decay(rms.momentum),
                epsilon: rms.epsilon.get() as f32,
            },
            Self::Adagrad(adagrad) => Optimizer::Adagrad {
                epsilon: adagrad.epsilon.get() as f32,
            },
            Self::Lion(lion) => Optimizer::Lion {
                beta1: decay(lion.beta1),
                beta2: decay(lion.beta2),
            },
        }
    }

    /// The coefficient by which earlier gradients live on in later steps, and whether a step looks ahead; 0 for rules whose steps
    /// do not add up to a travel.
    pub fn momentum(&self) -> (f64, bool) {
        match self {
            Self::Sgd(sgd) => (sgd.momentum.get(), sgd.nesterov),
            _ => (0.0, false),
        }
    }
}

impl Training {
    /// Steps per call, where the scenario gives a number of them.
    pub fn steps(&self) -> Option<u64> {
        self.steps.map(|steps| steps.get() as u64)
    }

    /// Rate of step `step` (from 0) of `steps` of a call in round `round` of `rounds`.
    pub fn rate_at(&self, (step, steps): (u64, u64), round: Round, rounds: u64) -> f64 {
        let decay = self.step_decay.as_ref();
        let within = decay.map_or(1.0, |d| {
            (1.0 + d.factor.get() * step as f64).powf(-d.power.get())
        });
        let by_step = self.step_schedule.as_ref();
        let by_step = by_step.map_or(1.0, |rates| rates.factor(step, steps));
        self.rate.get() * self.schedule.factor(round, rounds) * within * by_step
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
            Self::Cosine(cosine) => cosine.factor(round.0, rounds),
            Self::OneCycle(cycle) => cycle.factor(round.0, rounds),
        }
    }
}

impl StepRates {
    /// What the rate of step `step` of `steps` is multiplied by.
    fn factor(&self, step: u64, steps: u64) -> f64 {
        match self {
            Self::WarmUp(warm) => ((step + 1) as f64 / warm.steps.get() as f64).min(1.0),
            Self::Cosine(cosine) => cosine.factor(step, steps),
            Self::OneCycle(cycle) => cycle.factor(step, steps),
        }
    }
}

/// From 1 to 0 by half a cosine.
fn half_cosine(progress: f64) -> f64 {
    0.5 * (1.0 + (std::f64::consts::PI * progress).cos())
}

impl Cosine {
    fn factor(&self, at: u64, of: u64) -> f64 {
        if at < self.warm_up {
            return (at + 1) as f64 / (self.warm_up + 1) as f64;
        }
        let floor = self.floor.get();
        let left = of.saturating_sub(self.warm_up).saturating_sub(1).max(1);
        let progress = (at - self.warm_up) as f64 / left as f64;
        floor + (1.0 - floor) * half_cosine(progress)
    }
}

impl OneCycle {
    fn factor(&self, at: u64, of: u64) -> f64 {
        let (start, floor) = (self.start.get(), self.floor.get());
        let last = of.saturating_sub(1).max(1) as f64;
        // As PyTorch's OneCycleLR: the top is reached one step early, and the fall takes what is left.
        let top = (self.rise.get() * of as f64 - 1.0).max(0.0);
        let at = at as f64;
        match at <= top && top > 0.0 {
            true => 1.0 - (1.0 - start) * half_cosine(at / top),
            false => {
                let progress = (at - top) / (last - top).max(1.0);
                floor + (1.0 - floor) * half_cosine(progress.min(1.0))
            }
        }
    }
}

fn is_nothing(count: &u64) -> bool {
    *count == 0
}
fn three_tenths() -> PositiveFraction {
    PositiveFraction::new(0.3).expect("0.3 is in range")
}
fn twenty_fifth() -> PositiveFraction {
    PositiveFraction::new(0.04).expect("0.04 is in range")
}
fn end_of_cycle() -> PositiveFraction {
    PositiveFraction::new(4e-6).expect("4e-6 is in range")
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
fn ninety_nine() -> Decay {
    Decay::new(0.99).expect("0.99 is in range")
}
fn tiny() -> Positive {
    Positive::new(1e-10).expect("1e-10 is in range")
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
        let cosine = Schedule::Cosine(Cosine {
            floor: hundredth(),
            warm_up: 0,
        });
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

    #[test]
    fn a_cosine_may_rise_first() {
        let cosine = Cosine {
            floor: hundredth(),
            warm_up: 3,
        };
        let factors = [0, 1, 2, 3].map(|at| cosine.factor(at, 10));
        assert_eq!(factors, [0.25, 0.5, 0.75, 1.0]);
        assert!((cosine.factor(9, 10) - 0.01).abs() < 1e-12);
    }

    /// `OneCycleLR(max_lr=1, total_steps=10)` of PyTorch 2.15.
    #[test]
    fn one_cycle_is_that_of_pytorch() {
        let cycle = OneCycle {
            rise: three_tenths(),
            start: twenty_fifth(),
            floor: end_of_cycle(),
        };
        let want = [
            0.04,
            0.52,
            1.0,
            0.950484688,
            0.811745653,
            0.611261865,
            0.388742135,
            0.188258347,
            0.049519312,
            0.000004,
        ];
        for (at, want) in want.into_iter().enumerate() {
            let got = cycle.factor(at as u64, 10);
            assert!((got - want).abs() < 1e-6, "{at}: {got}, not {want}");
        }
    }
}
