//! Gated recurrent units.

use crate::{
    cell::{BackStep, Cell, Step},
    panels::{LANES, Ways},
    recurrent::{self, Recurrent},
    squash::{sigmoid, tanh},
};
use lyceum_core::{LayerKind, Operation, Tensor};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Gated recurrent units (Cho et al. 2014), with the reset gate behind the product, as in PyTorch.
///
/// At each place, from a zero state: `r, z = sigmoid(W x + b + U h + d)`, `n = tanh(W x + b + r (U h + d))`, then
/// `h = (1 - z) n + z h`. In: `[places, features]`; out: `[places, units]`, the states `h`, or `[units]`, the last. Tensors as in
/// PyTorch, gates in the order r, z, n: `input_weight`, 3 units x features; `hidden_weight`, 3 units x units; `input_bias` and
/// `hidden_bias`, 3 units. All start uniform in +-1/sqrt(units).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Gru {
    /// Number of units, at least 1.
    pub units: usize,
    /// Whether the last state alone is given; false by default.
    #[serde(default)]
    pub last: bool,
    /// Whether it goes from the last place to the first; false by default.
    #[serde(default)]
    pub reverse: bool,
}

impl LayerKind for Gru {
    fn output(&self, input: &[usize]) -> Result<Vec<usize>, String> {
        recurrent::output(self.units, self.last, input)
    }

    fn tensors(&self, input: &[usize]) -> Vec<Tensor> {
        recurrent::tensors(GruCell::GATES, self.units, input)
    }

    fn multiplications(&self, input: &[usize], _: &[usize]) -> u64 {
        recurrent::multiplications(GruCell::GATES, self.units, input)
    }

    fn operation(&self, _: usize, input: &[usize]) -> Box<dyn Operation> {
        let Self { last, reverse, .. } = *self;
        let ways = Ways { last, reverse };
        Box::new(Recurrent::new(GruCell, self.units, ways, input))
    }
}

#[derive(Debug)]
struct GruCell;

const LINES: usize = GruCell::GATES * LANES;

impl Cell for GruCell {
    const GATES: usize = 3;
    /// What the state gives to the candidate, before the reset gate.
    const KEPT: usize = 1;
    const SPLIT: bool = true;

    #[inline(always)]
    fn forward(&self, step: &mut Step<'_>) {
        let [Some(input_bias), Some(hidden_bias)] = step.biases.map(|b| b.first_chunk::<LINES>())
        else {
            return;
        };
        let gates = step.gates.as_chunks_mut::<LINES>().0;
        let hidden = step.hidden.as_chunks::<LINES>().0;
        let kept = step.kept.as_chunks_mut::<LANES>().0;
        let states = step.state.as_chunks_mut::<LANES>().0.iter_mut();
        let states = states.zip(step.before.as_chunks::<LANES>().0);
        let rows = gates.iter_mut().zip(hidden).zip(kept).zip(states);
        for (((gates, hidden), kept), (state, before)) in rows {
            let [reset, update, candidate] = [0, 1, 2].map(|gate| gate * LANES);
            for at in 0..LANES {
                let input = |gate: usize| gates[gate + at] + input_bias[gate + at];
                let hidden = |gate: usize| hidden[gate + at] + hidden_bias[gate + at];
                let r = sigmoid(input(reset) + hidden(reset));
                let z = sigmoid(input(update) + hidden(update));
                kept[at] = hidden(candidate);
                let n = tanh(input(candidate) + r * kept[at]);
                state[at] = (1.0 - z) * n + z * before[at];
                (gates[reset + at], gates[update + at]) = (r, z);
                gates[candidate + at] = n;
            }
        }
    }

    #[inline(always)]
    fn backward(&self, step: &mut BackStep<'_>) {
        let gates = step.gates.as_chunks_mut::<LINES>().0.iter_mut();
        let gates = gates.zip(step.hidden.as_chunks_mut::<LINES>().0);
        let kept = step.kept.as_chunks::<LANES>().0.iter();
        let kept = kept.zip(step.before.as_chunks::<LANES>().0);
        let slopes = step.slope.as_chunks::<LANES>().0.iter();
        let slopes = slopes.zip(step.carry.as_chunks_mut::<LANES>().0);
        for (((gates, hidden), (kept, before)), (slope, carry)) in gates.zip(kept).zip(slopes) {
            let [reset, update, candidate] = [0, 1, 2].map(|gate| gate * LANES);
            for at in 0..LANES {
                let (r, z) = (gates[reset + at], gates[update + at]);
                let n = gates[candidate + at];
                let slope = slope[at] + carry[at];
                let of_n = slope * (1.0 - z) * (1.0 - n * n);
                let of_r = of_n * kept[at] * r * (1.0 - r);
                let of_z = slope * (before[at] - n) * z * (1.0 - z);
                (gates[reset + at], hidden[reset + at]) = (of_r, of_r);
                (gates[update + at], hidden[update + at]) = (of_z, of_z);
                (gates[candidate + at], hidden[candidate + at]) = (of_n, of_n * r);
                carry[at] = slope * z;
            }
        }
    }
}
