//! Plain recurrent units, which may leak.

use crate::{
    cell::{BackStep, Cell, Step},
    panels::{LANES, Ways},
    recurrent::{self, Recurrent},
    squash::{sigmoid, tanh},
};
use lyceum_core::{Initial, LayerKind, Operation, Tensor};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Recurrent units (Elman 1990): `h = act(W x + b + U h + d)`, from a zero state.
///
/// With `time_constant` each unit leaks at a rate of its own that is learned (Khajehabdollahi et al. 2023, "Emergent mechanisms for
/// long timescales depend on training curriculum and affect performance in memory tasks", equation 1 with a time step of 1):
/// `h = (1 - 1/tau) h + 1/tau act(W x + b + U h + d)`. There tau is clipped; here it is `1 + e^theta`, always above 1, and `theta`
/// is the parameter.
///
/// In: `[places, features]`; out: `[places, units]`, the states `h`, or `[units]`, the last. Tensors as in PyTorch: `input_weight`,
/// units x features; `hidden_weight`, units x units; `input_bias` and `hidden_bias`, units, which start uniform in +-1/sqrt(units);
/// with a time constant `log_time`, units, the `theta` of each.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Rnn {
    /// Number of units, at least 1.
    pub units: usize,
    /// Hyperbolic tangent by default.
    #[serde(default)]
    pub activation: RnnActivation,
    /// What the time constants of all units start at, above 1; without it units do not leak.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_constant: Option<f64>,
    /// Whether the last state alone is given; false by default.
    #[serde(default)]
    pub last: bool,
    /// Whether it goes from the last place to the first; false by default.
    #[serde(default)]
    pub reverse: bool,
}

/// What a unit makes of its sum.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum RnnActivation {
    /// Hyperbolic tangent.
    #[default]
    Tanh,
    /// `max(x, 0)`.
    Relu,
}

impl Rnn {
    /// What `theta` starts at.
    fn log_time(&self) -> Option<f32> {
        self.time_constant.map(|time| (time - 1.0).ln() as f32)
    }

    fn boxed<const RELU: bool, const LEAKS: bool>(&self, input: &[usize]) -> Box<dyn Operation> {
        let Self { last, reverse, .. } = *self;
        let ways = Ways { last, reverse };
        let cell = RnnCell::<RELU, LEAKS>;
        Box::new(Recurrent::new(cell, self.units, ways, input))
    }
}

impl LayerKind for Rnn {
    fn output(&self, input: &[usize]) -> Result<Vec<usize>, String> {
        if let (Some(time), Some(log)) = (self.time_constant, self.log_time())
            && !(time > 1.0 && log.is_finite())
        {
            return Err(format!(
                "time_constant {time} is out of range: a number above 1"
            ));
        }
        recurrent::output(self.units, self.last, input)
    }

    fn tensors(&self, input: &[usize]) -> Vec<Tensor> {
        let mut tensors = recurrent::tensors(1, self.units, input);
        let times = self
            .log_time()
            .map(|start| Tensor::trainable("log_time", vec![self.units], Initial::Constant(start)));
        tensors.extend(times);
        tensors
    }

    fn multiplications(&self, input: &[usize], _: &[usize]) -> u64 {
        recurrent::multiplications(1, self.units, input)
    }

    fn operation(&self, _: usize, input: &[usize]) -> Box<dyn Operation> {
        match (self.activation, self.time_constant.is_some()) {
            (RnnActivation::Tanh, false) => self.boxed::<false, false>(input),
            (RnnActivation::Tanh, true) => self.boxed::<false, true>(input),
            (RnnActivation::Relu, false) => self.boxed::<true, false>(input),
            (RnnActivation::Relu, true) => self.boxed::<true, true>(input),
        }
    }
}

#[derive(Debug)]
struct RnnCell<const RELU: bool, const LEAKS: bool>;

impl<const RELU: bool, const LEAKS: bool> RnnCell<RELU, LEAKS> {
    /// `1 / tau` of each unit.
    #[inline(always)]
    fn rates(own: &[f32]) -> [f32; LANES] {
        let mut rates = [1.0; LANES];
        if LEAKS {
            let sites = rates.iter_mut().zip(own);
            sites.for_each(|(rate, theta)| *rate = sigmoid(-theta));
        }
        rates
    }
}

impl<const RELU: bool, const LEAKS: bool> Cell for RnnCell<RELU, LEAKS> {
    const GATES: usize = 1;
    const KEPT: usize = 0;
    const SPLIT: bool = false;

    #[inline(always)]
    fn forward(&self, step: &mut Step<'_>) {
        let [input_bias, hidden_bias] = step.biases;
        let rates = Self::rates(step.own);
        let gates = step.gates.as_chunks_mut::<LANES>().0.iter_mut();
        let gates = gates.zip(step.hidden.as_chunks::<LANES>().0);
        let states = step.state.as_chunks_mut::<LANES>().0.iter_mut();
        let states = states.zip(step.before.as_chunks::<LANES>().0);
        for ((gates, hidden), (state, before)) in gates.zip(states) {
            for at in 0..LANES {
                let sum = gates[at] + hidden[at] + (input_bias[at] + hidden_bias[at]);
                gates[at] = match RELU {
                    true if sum < 0.0 => 0.0,
                    true => sum,
                    false => tanh(sum),
                };
                state[at] = match LEAKS {
                    true => before[at] + rates[at] * (gates[at] - before[at]),
                    false => gates[at],
                };
            }
        }
    }

    #[inline(always)]
    fn backward(&self, step: &mut BackStep<'_>) {
        let rates = Self::rates(step.own);
        let gates = step.gates.as_chunks_mut::<LANES>().0.iter_mut();
        let gates = gates.zip(step.before.as_chunks::<LANES>().0);
        let slopes = step.slope.as_chunks::<LANES>().0.iter();
        let slopes = slopes.zip(step.carry.as_chunks_mut::<LANES>().0);
        for ((gates, before), (slope, carry)) in gates.zip(slopes) {
            for at in 0..LANES {
                let (slope, active) = (slope[at] + carry[at], gates[at]);
                let bent = match RELU {
                    true if active > 0.0 => 1.0,
                    true => 0.0,
                    false => 1.0 - active * active,
                };
                gates[at] = slope * rates[at] * bent;
                if LEAKS {
                    // The rate is sigmoid(-theta).
                    let of_theta = -rates[at] * (1.0 - rates[at]);
                    step.own_gradient[at] += slope * (active - before[at]) * of_theta;
                    carry[at] = slope * (1.0 - rates[at]);
                }
            }
        }
    }
}
