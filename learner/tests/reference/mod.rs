//! The layers once more, in `f64`, as plainly as they can be written.

use lyceum_core::{Batch, Layer, Network};

/// Central differences of the loss, one parameter after another.
pub(crate) fn gradient(network: &Network, params: &[f32], batch: &Batch) -> Vec<f64> {
    const STEP: f64 = 1e-6;
    let mut params: Vec<f64> = params.iter().map(|&p| f64::from(p)).collect();
    (0..params.len())
        .map(|i| {
            let middle = params[i];
            let mut at = |value| {
                params[i] = value;
                loss(network, &params, batch)
            };
            let slope = (at(middle + STEP) - at(middle - STEP)) / (2.0 * STEP);
            params[i] = middle;
            slope
        })
        .collect()
}

/// Weighted mean cross entropy with dropout.
pub(crate) fn loss(network: &Network, params: &[f64], batch: &Batch) -> f64 {
    let logits = logits(network, params, batch, true);
    let rows = logits.chunks_exact(network.classes()).enumerate();
    let sum: f64 = rows
        .map(|(row, logits)| {
            let weight = batch.weights.get(row).copied().unwrap_or(1.0);
            let sum: f64 = logits.iter().map(|z| z.exp()).sum();
            f64::from(weight) * (sum.ln() - logits[batch.labels[row] as usize])
        })
        .sum();
    sum / batch.rows() as f64
}

/// Logits, rows x classes.
pub(crate) fn logits(network: &Network, params: &[f64], batch: &Batch, train: bool) -> Vec<f64> {
    let mut values: Vec<f64> = batch.inputs.iter().map(|&v| f64::from(v)).collect();
    let mut params = params;
    let layers = network.layers().iter().enumerate();
    for ((index, layer), shapes) in layers.zip(network.shapes().windows(2)) {
        if let (Layer::Dropout { share }, true) = (layer, train) {
            let mut mask = vec![0.0; values.len()];
            batch.dropout_mask(index, *share, &mut mask);
            values
                .iter_mut()
                .zip(mask)
                .for_each(|(v, m)| *v *= f64::from(m));
        }
        let width: usize = shapes[0].iter().product();
        let (weights, biases) = sizes(layer, &shapes[0], &shapes[1]);
        let (own, rest) = params.split_at(weights + biases);
        params = rest;
        let (weight, bias) = own.split_at(weights);
        values = values
            .chunks_exact(width)
            .flat_map(|x| row(layer, &shapes[0], &shapes[1], weight, bias, x))
            .collect();
    }
    values
}

fn sizes(layer: &Layer, input: &[usize], output: &[usize]) -> (usize, usize) {
    match layer {
        Layer::Dense { units } => (units * input[0], *units),
        Layer::Conv { kernel, .. } => (output[0] * input[0] * kernel * kernel, output[0]),
        _ => (0, 0),
    }
}

fn row(
    layer: &Layer,
    input: &[usize],
    output: &[usize],
    weight: &[f64],
    bias: &[f64],
    x: &[f64],
) -> Vec<f64> {
    match *layer {
        Layer::Dense { .. } => {
            let rows = weight.chunks_exact(input[0]).zip(bias);
            let dot = |w: &[f64]| w.iter().zip(x).map(|(w, x)| w * x).sum::<f64>();
            rows.map(|(w, b)| dot(w) + b).collect()
        }
        Layer::Conv {
            kernel,
            stride,
            padding,
            ..
        } => {
            let window = Window {
                side: kernel,
                step: stride,
                padding,
            };
            each(output, |o, i, j| {
                let mut sum = bias[o];
                for c in 0..input[0] {
                    for (u, v, value) in window.values(input, x, c, i, j) {
                        sum += value * weight[((o * input[0] + c) * kernel + u) * kernel + v];
                    }
                }
                sum
            })
        }
        Layer::MaxPool { size, stride } => {
            let window = Window::unpadded(size, stride);
            each(output, |c, i, j| {
                let values = window.values(input, x, c, i, j);
                values.map(|(.., v)| v).fold(f64::NEG_INFINITY, f64::max)
            })
        }
        Layer::AvgPool { size, stride } => {
            let window = Window::unpadded(size, stride);
            each(output, |c, i, j| {
                let values = window.values(input, x, c, i, j);
                values.map(|(.., v)| v).sum::<f64>() / (size * size) as f64
            })
        }
        Layer::Relu {} => x.iter().map(|v| v.max(0.0)).collect(),
        Layer::Tanh {} => x.iter().map(|v| v.tanh()).collect(),
        Layer::Dropout { .. } | Layer::Flatten {} => x.to_vec(),
    }
}

/// A value for every place of an image, row-major.
fn each(shape: &[usize], value: impl Fn(usize, usize, usize) -> f64) -> Vec<f64> {
    let mut values = Vec::new();
    for c in 0..shape[0] {
        for i in 0..shape[1] {
            for j in 0..shape[2] {
                values.push(value(c, i, j));
            }
        }
    }
    values
}

struct Window {
    side: usize,
    step: usize,
    padding: usize,
}

impl Window {
    fn unpadded(size: usize, stride: Option<usize>) -> Self {
        Self {
            side: size,
            step: stride.unwrap_or(size),
            padding: 0,
        }
    }

    /// Places and values inside the window at `(i, j)` of channel `c` that do not lie in the padding.
    fn values(
        &self,
        shape: &[usize],
        x: &[f64],
        c: usize,
        i: usize,
        j: usize,
    ) -> impl Iterator<Item = (usize, usize, f64)> {
        let (height, width) = (shape[1], shape[2]);
        let (top, left) = (i * self.step, j * self.step);
        let (side, padding) = (self.side, self.padding);
        let places = (0..side).flat_map(move |u| (0..side).map(move |v| (u, v)));
        places.filter_map(move |(u, v)| {
            let row = (top + u).checked_sub(padding).filter(|&r| r < height)?;
            let column = (left + v).checked_sub(padding).filter(|&k| k < width)?;
            Some((u, v, x[(c * height + row) * width + column]))
        })
    }
}
