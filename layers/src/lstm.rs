//! Long short-term memory.

use crate::{
    cell::{BackStep, Cell, Step},
    panels::{LANES, Ways},
    recurrent::{self, Recurrent},
    squash::{sigmoid, tanh},
};
use lyceum_core::{LayerKind, Operation, Tensor};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Long short-term memory (Hochreiter and Schmidhuber 1997), with forget gates (Gers, Schmidhuber and Cummins 2000).
///
/// At each place, from zero states: `i, f, o = sigmoid(W x + b + U h + d)`, `g = tanh(W x + b + U h + d)`, then
/// `c = f c + i g` and `h = o tanh(c)`. In: `[places, features]`; out: `[places, units]`, the states `h`, or `[units]`, the last.
/// Tensors as in PyTorch, gates in the order i, f, g, o: `input_weight`, 4 units x features; `hidden_weight`, 4 units x units;
/// `input_bias` and `hidden_bias`, 4 units. All start uniform in +-1/sqrt(units).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Lstm {
    /// Number of units, at least 1.
    pub units: usize,
    /// Whether the last state alone is given; false by default.
    #[serde(default)]
    pub last: bool,
    /// Whether it goes from the last place to the first; false by default.
    #[serde(default)]
    pub reverse: bool,
}

impl LayerKind for Lstm {
    fn output(&self, input: &[usize]) -> Result<Vec<usize>, String> {
        recurrent::output(self.units, self.last, input)
    }

    fn tensors(&self, input: &[usize]) -> Vec<Tensor> {
        recurrent::tensors(LstmCell::GATES, self.units, input)
    }

    fn multiplications(&self, input: &[usize], _: &[usize]) -> u64 {
        recurrent::multiplications(LstmCell::GATES, self.units, input)
    }

    fn operation(&self, _: usize, input: &[usize]) -> Box<dyn Operation> {
        let Self { last, reverse, .. } = *self;
        let ways = Ways { last, reverse };
        Box::new(Recurrent::new(LstmCell, self.units, ways, input))
    }
}

#[derive(Debug)]
struct LstmCell;

const LINES: usize = LstmCell::GATES * LANES;
const KEPT: usize = LstmCell::KEPT * LANES;

impl Cell for LstmCell {
    const GATES: usize = 4;
    /// The cell, and its hyperbolic tangent.
    const KEPT: usize = 2;
    const SPLIT: bool = false;

    #[inline(always)]
    fn forward(&self, step: &mut Step<'_>) {
        let [input_bias, hidden_bias] = step.biases;
        let mut bias = [0.0; LINES];
        let both = bias.iter_mut().zip(input_bias).zip(hidden_bias);
        both.for_each(|((b, i), h)| *b = i + h);
        let gates = step.gates.as_chunks_mut::<LINES>().0;
        let hidden = step.hidden.as_chunks::<LINES>().0;
        let kept = step.kept.as_chunks_mut::<KEPT>().0.iter_mut();
        let kept = kept.zip(step.kept_before.as_chunks::<KEPT>().0);
        let states = step.state.as_chunks_mut::<LANES>().0;
        let rows = gates.iter_mut().zip(hidden).zip(kept).zip(states);
        for (((gates, hidden), (kept, before)), state) in rows {
            for at in 0..LINES {
                gates[at] += hidden[at] + bias[at];
            }
            let [input, forget, cell, output] = [0, 1, 2, 3].map(|gate| gate * LANES);
            for at in 0..LANES {
                let i = sigmoid(gates[input + at]);
                let f = sigmoid(gates[forget + at]);
                let g = tanh(gates[cell + at]);
                let o = sigmoid(gates[output + at]);
                let c = f * before[at] + i * g;
                let squashed = tanh(c);
                (gates[input + at], gates[forget + at]) = (i, f);
                (gates[cell + at], gates[output + at]) = (g, o);
                (kept[at], kept[LANES + at]) = (c, squashed);
                state[at] = o * squashed;
            }
        }
    }

    #[inline(always)]
    fn backward(&self, step: &mut BackStep<'_>) {
        let gates = step.gates.as_chunks_mut::<LINES>().0;
        let kept = step.kept.as_chunks::<KEPT>().0.iter();
        let kept = kept.zip(step.kept_before.as_chunks::<KEPT>().0);
        let slopes = step.slope.as_chunks::<LANES>().0.iter();
        let slopes = slopes.zip(step.carry.as_chunks_mut::<LANES>().0);
        for ((gates, (kept, before)), (slope, carry)) in gates.iter_mut().zip(kept).zip(slopes) {
            let [input, forget, cell, output] = [0, 1, 2, 3].map(|gate| gate * LANES);
            for at in 0..LANES {
                let (i, f) = (gates[input + at], gates[forget + at]);
                let (g, o) = (gates[cell + at], gates[output + at]);
                let squashed = kept[LANES + at];
                let of_cell = carry[at] + slope[at] * o * (1.0 - squashed * squashed);
                gates[input + at] = of_cell * g * i * (1.0 - i);
                gates[forget + at] = of_cell * before[at] * f * (1.0 - f);
                gates[cell + at] = of_cell * i * (1.0 - g * g);
                gates[output + at] = slope[at] * squashed * o * (1.0 - o);
                carry[at] = of_cell * f;
            }
        }
    }
}
