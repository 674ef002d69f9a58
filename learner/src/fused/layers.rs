//! One operation per layer, forward and back.

use super::{
    conv::Conv,
    kernel::{View, product},
    pool::Pool,
};
use lyceum_core::{Batch, Layer, Network};
use std::ops::Range;

/// A layer with everything about it that does not depend on the batch.
#[derive(Clone, Debug)]
pub(super) struct Op {
    kind: Kind,
    /// Values per sample behind the layer.
    width: usize,
    weights: Range<usize>,
    bias: Range<usize>,
}

#[derive(Clone, Debug)]
enum Kind {
    Dense {
        inputs: usize,
        units: usize,
    },
    Conv(Conv),
    MaxPool(Pool),
    AvgPool(Pool),
    Relu,
    Tanh,
    /// `channels` is 1 for flat values.
    Dropout {
        layer: usize,
        share: f64,
        channels: usize,
    },
    /// From channels x rows x plane to rows x (channels x plane).
    Flatten {
        channels: usize,
    },
}

/// Buffers of an operation on its way forward.
pub(super) struct Scratch<'a> {
    pub(super) found: &'a mut Vec<u32>,
    pub(super) mask: &'a mut Vec<f32>,
    pub(super) unfolded: &'a mut Vec<f32>,
}

/// What an operation sees on its way back.
pub(super) struct Back<'a> {
    pub(super) rows: usize,
    pub(super) input: &'a [f32],
    pub(super) output: &'a [f32],
    pub(super) slope: &'a [f32],
    pub(super) found: &'a [u32],
    pub(super) mask: &'a [f32],
    pub(super) unfolded: &'a mut Vec<f32>,
    pub(super) grad: &'a mut [f32],
}

/// The operations of a network.
pub(super) fn ops(network: &Network) -> Vec<Op> {
    let mut entries = network.layout().entries().iter();
    let shapes = network.shapes().windows(2);
    let layers = network.layers().iter().zip(shapes).enumerate();
    layers
        .map(|(index, (layer, shapes))| {
            let kind = kind(index, layer, &shapes[0], &shapes[1]);
            let mut take = || entries.next().map_or(0..0, |e| e.range());
            let trained = matches!(kind, Kind::Dense { .. } | Kind::Conv(_));
            let (weights, bias) = if trained {
                (take(), take())
            } else {
                (0..0, 0..0)
            };
            Op {
                kind,
                width: shapes[1].iter().product(),
                weights,
                bias,
            }
        })
        .collect()
}

fn kind(index: usize, layer: &Layer, from: &[usize], to: &[usize]) -> Kind {
    let side = |shape: &[usize], axis: usize| shape.get(axis).copied().unwrap_or(1);
    let pool = |size: usize, stride: Option<usize>| Pool {
        size,
        stride: stride.unwrap_or(size),
        height: side(from, 1),
        width: side(from, 2),
        out_height: side(to, 1),
        out_width: side(to, 2),
    };
    match *layer {
        Layer::Dense { units } => Kind::Dense {
            inputs: from[0],
            units,
        },
        Layer::Conv {
            channels,
            kernel,
            stride,
            padding,
        } => Kind::Conv(Conv {
            inputs: from[0],
            outputs: channels,
            kernel,
            stride,
            padding,
            height: side(from, 1),
            width: side(from, 2),
            out_height: side(to, 1),
            out_width: side(to, 2),
        }),
        Layer::MaxPool { size, stride } => Kind::MaxPool(pool(size, stride)),
        Layer::AvgPool { size, stride } => Kind::AvgPool(pool(size, stride)),
        Layer::Relu {} => Kind::Relu,
        Layer::Tanh {} => Kind::Tanh,
        Layer::Dropout { share } => Kind::Dropout {
            layer: index,
            share,
            channels: if from.len() == 3 { from[0] } else { 1 },
        },
        Layer::Flatten {} => Kind::Flatten {
            channels: if from.len() == 3 { from[0] } else { 1 },
        },
        Layer::BatchNorm { .. } | Layer::GroupNorm { .. } => {
            unreachable!("the engine refuses networks that normalise")
        }
    }
}

/// Lays the batch out as the first operation wants it: images channel by channel.
pub(super) fn arrange_input(network: &Network, batch: &Batch, out: &mut Vec<f32>) {
    out.resize(batch.inputs.len(), 0.0);
    match network.shapes()[0][..] {
        [channels, ..] if network.shapes()[0].len() == 3 && channels > 1 => {
            by_channel(&batch.inputs, channels, batch.rows(), out);
        }
        _ => out.copy_from_slice(&batch.inputs),
    }
}

/// rows x (channels x plane) to channels x rows x plane.
fn by_channel(from: &[f32], channels: usize, rows: usize, to: &mut [f32]) {
    let plane = from.len() / (channels * rows).max(1);
    for (row, sample) in from.chunks_exact(channels * plane).enumerate() {
        for (channel, values) in sample.chunks_exact(plane).enumerate() {
            to[(channel * rows + row) * plane..][..plane].copy_from_slice(values);
        }
    }
}

/// channels x rows x plane to rows x (channels x plane).
fn by_row(from: &[f32], channels: usize, rows: usize, to: &mut [f32]) {
    let plane = from.len() / (channels * rows).max(1);
    for (row, sample) in to.chunks_exact_mut(channels * plane).enumerate() {
        for (channel, values) in sample.chunks_exact_mut(plane).enumerate() {
            values.copy_from_slice(&from[(channel * rows + row) * plane..][..plane]);
        }
    }
}

/// Cross entropy of one row; writes `scale * (softmax - one hot)` to `slope`.
pub(super) fn softmax_slope(logits: &[f32], label: usize, scale: f32, slope: &mut [f32]) -> f32 {
    let top = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let mut total = 0.0;
    for (s, &z) in slope.iter_mut().zip(logits) {
        *s = (z - top).exp();
        total += *s;
    }
    slope.iter_mut().for_each(|s| *s *= scale / total);
    slope[label] -= scale;
    total.ln() + top - logits[label]
}

/// Sum over the classes of the binary cross entropies of one row; writes `scale * (sigmoid - one hot)` to
/// `slope`. With `s` the logit, negated for the row's class, each term is `ln(1 + e^s)`.
pub(super) fn sigmoid_slope(logits: &[f32], label: usize, scale: f32, slope: &mut [f32]) -> f32 {
    let mut loss = 0.0;
    for (class, (slope, &z)) in slope.iter_mut().zip(logits).enumerate() {
        let sign = if class == label { -1.0 } else { 1.0 };
        let signed = sign * z;
        let small = (-z.abs()).exp();
        let share = if signed < 0.0 { small } else { 1.0 } / (1.0 + small);
        *slope = sign * scale * share;
        loss += signed.max(0.0) + small.ln_1p();
    }
    loss
}

impl Op {
    /// Values per sample behind the layer.
    pub(super) fn width(&self) -> usize {
        self.width
    }

    /// Whether the layer has parameters.
    pub(super) fn has_params(&self) -> bool {
        !self.weights.is_empty()
    }

    pub(super) fn forward(
        &self,
        params: &[f32],
        input: &[f32],
        output: &mut [f32],
        batch: &Batch,
        training: bool,
        scratch: Scratch<'_>,
    ) {
        let rows = batch.rows();
        let (weights, bias) = (&params[self.weights.clone()], &params[self.bias.clone()]);
        match &self.kind {
            Kind::Dense { inputs, units } => {
                output
                    .chunks_exact_mut(*units)
                    .for_each(|row| row.copy_from_slice(bias));
                let weights = View::new(weights, *units, *inputs).transposed();
                product(
                    View::new(input, rows, *inputs),
                    weights,
                    output,
                    *units,
                    true,
                );
            }
            Kind::Conv(conv) => conv.forward(weights, bias, input, rows, output, scratch.unfolded),
            Kind::MaxPool(pool) => {
                scratch.found.resize(output.len(), 0);
                pool.max(input, output, scratch.found);
            }
            Kind::AvgPool(pool) => pool.mean(input, output),
            // Written so that a value that is no number stays one.
            Kind::Relu => output
                .iter_mut()
                .zip(input)
                .for_each(|(o, &x)| *o = if x < 0.0 { 0.0 } else { x }),
            Kind::Tanh => output
                .iter_mut()
                .zip(input)
                .for_each(|(o, x)| *o = x.tanh()),
            Kind::Dropout {
                layer,
                share,
                channels,
            } if training => {
                let mask = batch.dropout_mask(*layer, *share, output.len());
                scratch.mask.resize(output.len(), 0.0);
                by_channel(&mask, *channels, rows, scratch.mask);
                let kept = input.iter().zip(&*scratch.mask);
                output
                    .iter_mut()
                    .zip(kept)
                    .for_each(|(o, (x, m))| *o = x * m);
            }
            Kind::Dropout { .. } => output.copy_from_slice(input),
            Kind::Flatten { channels } => by_row(input, *channels, rows, output),
        }
    }

    /// Writes the gradients of the parameters, and the slope at the input if it is wanted.
    pub(super) fn backward(&self, params: &[f32], back: Back<'_>, wanted: Option<&mut [f32]>) {
        let weights = &params[self.weights.clone()];
        let rows = back.rows;
        match &self.kind {
            Kind::Dense { inputs, units } => {
                let slope = View::new(back.slope, rows, *units);
                let input = View::new(back.input, rows, *inputs);
                product(
                    slope.transposed(),
                    input,
                    &mut back.grad[self.weights.clone()],
                    *inputs,
                    false,
                );
                let bias = &mut back.grad[self.bias.clone()];
                bias.fill(0.0);
                for row in back.slope.chunks_exact(*units) {
                    bias.iter_mut().zip(row).for_each(|(b, s)| *b += s);
                }
                if let Some(next) = wanted {
                    product(
                        slope,
                        View::new(weights, *units, *inputs),
                        next,
                        *inputs,
                        false,
                    );
                }
            }
            Kind::Conv(conv) => {
                let (before, behind) = back.grad.split_at_mut(self.bias.start);
                let (weight_grad, bias_grad) = (
                    &mut before[self.weights.clone()],
                    &mut behind[..self.bias.len()],
                );
                conv.gradients(
                    back.input,
                    back.slope,
                    rows,
                    weight_grad,
                    bias_grad,
                    back.unfolded,
                );
                if let Some(next) = wanted {
                    conv.backward(weights, back.slope, rows, next, back.unfolded);
                }
            }
            _ => self.backward_plain(back, wanted),
        }
    }

    /// Layers without parameters.
    fn backward_plain(&self, back: Back<'_>, wanted: Option<&mut [f32]>) {
        let Some(next) = wanted else { return };
        let slope = back.slope.iter();
        match &self.kind {
            Kind::MaxPool(pool) => pool.max_backward(back.slope, back.found, next),
            Kind::AvgPool(pool) => pool.mean_backward(back.slope, next),
            Kind::Relu => {
                let passed = slope
                    .zip(back.output)
                    .map(|(s, &o)| if o > 0.0 { *s } else { 0.0 });
                next.iter_mut().zip(passed).for_each(|(n, s)| *n = s);
            }
            Kind::Tanh => {
                let passed = slope.zip(back.output).map(|(s, o)| s * (1.0 - o * o));
                next.iter_mut().zip(passed).for_each(|(n, s)| *n = s);
            }
            Kind::Dropout { .. } => {
                next.iter_mut()
                    .zip(slope.zip(back.mask))
                    .for_each(|(n, (s, m))| *n = s * m);
            }
            Kind::Flatten { channels } => by_channel(back.slope, *channels, back.rows, next),
            Kind::Dense { .. } | Kind::Conv(_) => {}
        }
    }
}
