//! Dense layers: `y = W x + b`, and the activation behind it.

use super::{
    kernel::{
        Marks, Onto, Panel, View, marked_product, marked_product_turned, product, row_product,
        transpose,
    },
    pointwise::{Activation, sum},
    room,
};
use lyceum_core::wide;
use std::ops::Range;

/// A dense layer. Values behind it are columns: units x rows.
#[derive(Clone, Debug)]
pub(super) struct Dense {
    pub(super) inputs: usize,
    pub(super) units: usize,
    /// Whether the input comes row by row, as batches do, and not as columns.
    pub(super) by_row: bool,
    pub(super) activation: Option<Activation>,
    /// Where the weights, units x inputs, stand in the parameters.
    pub(super) weights: Range<usize>,
    pub(super) bias: Range<usize>,
}

/// Buffers of one dense layer, which only ever grow.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    /// What of the input is not laid out as a product needs it.
    turned: Vec<f32>,
    /// What is not zero in the input, and in the slope.
    seen: Marks,
    felt: Marks,
    panel: Panel,
}

/// Fewest units for which an input's zeros are looked for.
const WORTH_MARKING: usize = 32;

/// Shares of values that are not zero up to which it is faster to step over the zeros: of an input, for which the weights
/// are laid out anew, and of a slope.
const SEEN: f64 = 0.45;
const FELT: f64 = 0.6;

/// Inputs per unit from which on it costs more to turn a batch round than to add up the lanes of its dot products.
const WORTH_TURNING: usize = 16;

/// Most rows whose inputs stay near while a unit's slopes go through them.
const FEW_ROWS: usize = 64;

impl Dense {
    fn weights<'a>(&self, params: &'a [f32]) -> View<'a> {
        View::new(&params[self.weights.clone()], self.units, self.inputs)
    }

    pub(super) fn forward(
        &self,
        params: &[f32],
        input: &[f32],
        rows: usize,
        out: &mut [f32],
        own: &mut Scratch,
    ) {
        let (weights, by_row) = (self.weights(params), View::new(input, rows, self.inputs));
        if !self.by_row {
            let columns = View::new(input, self.inputs, rows);
            product(weights, columns, out, Onto::REPLACE);
        } else if self.units * WORTH_TURNING <= self.inputs {
            row_product(weights, by_row, out);
        } else if self.sees_zeros(input, &mut own.seen) {
            marked_product_turned(weights, (by_row, &own.seen), out, &mut own.panel);
        } else {
            let turned = room(&mut own.turned, input.len());
            transpose(input, self.inputs, turned);
            let columns = View::new(turned, self.inputs, rows);
            product(weights, columns, out, Onto::REPLACE);
        }
        let bias = &params[self.bias.clone()];
        let mut lines = out.chunks_exact_mut(rows).zip(bias);
        wide(
            #[inline(always)]
            || match self.activation {
                None => lines
                    .by_ref()
                    .for_each(|(line, b)| line.iter_mut().for_each(|v| *v += b)),
                Some(activation) => lines
                    .by_ref()
                    .for_each(|(line, b)| activation.apply(line.iter_mut(), |v| v + b)),
            },
        );
    }

    /// Whether stepping over the zeros of the input is worth it.
    pub(super) fn sees_zeros(&self, input: &[f32], seen: &mut Marks) -> bool {
        if self.units < WORTH_MARKING {
            return false;
        }
        seen.mark(input, self.inputs);
        seen.are_within(SEEN)
    }

    /// Takes the slope from behind the activation to in front of it, and to the input, inputs x rows, if it is wanted.
    pub(super) fn slopes(
        &self,
        params: &[f32],
        output: &[f32],
        slope: &mut [f32],
        rows: usize,
        wanted: Option<&mut [f32]>,
    ) {
        if let Some(activation) = self.activation {
            wide(
                #[inline(always)]
                || activation.walk_back(output, slope),
            );
        }
        if let Some(next) = wanted {
            let slope = View::new(slope, self.units, rows);
            product(
                self.weights(params).transposed(),
                slope,
                next,
                Onto::REPLACE,
            );
        }
    }

    /// Writes the gradients onto what stands at the layer's places in `target`.
    pub(super) fn gradients(
        &self,
        input: &[f32],
        slope: &[f32],
        rows: usize,
        (target, onto): (&mut [f32], Onto<'_>),
        own: &mut Scratch,
    ) {
        let by_row = if self.by_row {
            input
        } else {
            let turned = room(&mut own.turned, input.len());
            transpose(input, rows, turned);
            turned
        };
        let by_row = View::new(by_row, rows, self.inputs);
        let view = View::new(slope, self.units, rows);
        let weights = &mut target[self.weights.clone()];
        let onto_weights = onto.part(&self.weights);
        let may_be_zero = self.activation == Some(Activation::Relu);
        let marks = may_be_zero.then_some(&mut own.felt);
        let marks = marks.and_then(|marks| marked(slope, rows, marks));
        outer((view, marks), by_row, weights, onto_weights);
        let (bias, onto) = (&mut target[self.bias.clone()], onto.part(&self.bias));
        wide(
            #[inline(always)]
            || onto.write(bias, slope.chunks_exact(rows).map(sum)),
        );
    }
}

/// Marks what is not zero in a slope behind which values may be zero, if it is worth stepping over them.
pub(super) fn marked<'a>(slope: &[f32], rows: usize, marks: &'a mut Marks) -> Option<&'a Marks> {
    if rows > FEW_ROWS {
        return None;
    }
    marks.mark(slope, rows);
    marks.are_within(FELT).then_some(marks)
}

/// Writes the gradient of weights: slopes, units x rows, times what came in, row by row.
pub(super) fn outer(
    (slope, marks): (View<'_>, Option<&Marks>),
    by_row: View<'_>,
    out: &mut [f32],
    onto: Onto<'_>,
) {
    match marks {
        Some(marks) => marked_product((slope, marks), by_row, out, onto),
        None => product(slope, by_row, out, onto),
    }
}
