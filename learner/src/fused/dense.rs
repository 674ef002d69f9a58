//! Dense layers: `y = W x + b`, and the activation behind it.

use super::{
    flatten::transpose,
    kernel::{Onto, View, product},
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

impl Dense {
    fn weights<'a>(&self, params: &'a [f32]) -> View<'a> {
        View::new(&params[self.weights.clone()], self.units, self.inputs)
    }

    /// `turned` is for the layer alone: what of the input is not laid out as a product needs it.
    pub(super) fn forward(
        &self,
        params: &[f32],
        input: &[f32],
        rows: usize,
        out: &mut [f32],
        turned: &mut Vec<f32>,
    ) {
        let columns = if self.by_row {
            let turned = room(turned, input.len());
            transpose(input, self.inputs, turned);
            turned
        } else {
            input
        };
        let columns = View::new(columns, self.inputs, rows);
        product(self.weights(params), columns, out, Onto::REPLACE);
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
        (target, onto): (&mut [f32], Onto),
        turned: &mut Vec<f32>,
    ) {
        let by_row = if self.by_row {
            input
        } else {
            let turned = room(turned, input.len());
            transpose(input, rows, turned);
            turned
        };
        let by_row = View::new(by_row, rows, self.inputs);
        let view = View::new(slope, self.units, rows);
        product(view, by_row, &mut target[self.weights.clone()], onto);
        let bias = target[self.bias.clone()].iter_mut();
        let mut lines = bias.zip(slope.chunks_exact(rows));
        wide(
            #[inline(always)]
            || {
                lines
                    .by_ref()
                    .for_each(|(bias, line)| onto.write(bias, sum(line)))
            },
        );
    }
}
