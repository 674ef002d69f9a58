//! The layers once more, in `f64`, as plainly as they can be written.

mod local;

use lyceum_core::{Batch, Layer, Loss, Mode, Network, Role, Variational};

/// Central differences of the loss, one parameter after another; for running statistics, their steps.
pub(crate) fn gradient(
    network: &Network,
    params: &[f32],
    batch: &Batch,
    mode: Mode<'_>,
) -> Vec<f64> {
    const STEP: f64 = 1e-6;
    let mut params: Vec<f64> = params.iter().map(|&p| f64::from(p)).collect();
    let mut gradient = steps(network, &params, batch, mode);
    let trained = network.layout().entries().iter();
    for i in trained
        .filter(|e| e.role != Role::Statistic)
        .flat_map(|e| e.range())
    {
        let middle = params[i];
        let mut at = |value| {
            params[i] = value;
            loss(network, &params, batch, mode)
        };
        gradient[i] = (at(middle + STEP) - at(middle - STEP)) / (2.0 * STEP);
        params[i] = middle;
    }
    gradient
}

/// `momentum * (running - observed)` in the places of the statistics that follow the batch, zero elsewhere.
fn steps(network: &Network, params: &[f64], batch: &Batch, mode: Mode<'_>) -> Vec<f64> {
    let draws = draws(network, params, mode);
    if !draws.is_empty() {
        let mut mean = vec![0.0; params.len()];
        for (weights, mode) in &draws {
            let own = steps(&network.plain(), weights, batch, *mode);
            let sites = mean.iter_mut().zip(own);
            sites.for_each(|(mean, own)| *mean += own / draws.len() as f64);
        }
        return mean;
    }
    let mut observed = walk(network, params, batch, mode).observed.into_iter();
    let mut steps = vec![0.0; params.len()];
    let statistics = network.layout().entries().iter();
    for i in statistics
        .filter(|e| e.role == Role::Statistic)
        .flat_map(|e| e.range())
    {
        let (momentum, observed) = observed.next().expect("one for each statistic");
        steps[i] = momentum * (params[i] - observed);
    }
    steps
}

/// Draws of the weights, where they are distributions and the mode trains, each with the mode of its pass.
fn draws<'a>(network: &Network, params: &[f64], mode: Mode<'a>) -> Vec<(Vec<f64>, Mode<'a>)> {
    let (Some(how), Some(halves)) = (network.posterior(), network.halves()) else {
        return Vec::new();
    };
    let Mode::Train { noise, fixed } = mode else {
        return Vec::new();
    };
    if how.local {
        return Vec::new();
    }
    let draw = |number| {
        let noise = noise.of_draw(number);
        let mut normal = vec![0.0; halves.len];
        noise.normal(&mut normal);
        let mut weights = params[halves.means()].to_vec();
        for place in network.drawn().into_iter().flatten() {
            weights[place] += params[halves.len + place].exp() * f64::from(normal[place]);
        }
        (weights, Mode::Train { noise, fixed })
    };
    (0..how.draws).map(draw).collect()
}

/// Weighted mean loss.
pub(crate) fn loss(network: &Network, params: &[f64], batch: &Batch, mode: Mode<'_>) -> f64 {
    let draws = draws(network, params, mode);
    if !draws.is_empty() {
        let plain = network.plain();
        let losses = draws
            .iter()
            .map(|(weights, mode)| loss(&plain, weights, batch, *mode));
        return losses.sum::<f64>() / draws.len() as f64;
    }
    if let (
        Some(Variational {
            local: true, draws, ..
        }),
        Some(noise),
    ) = (network.posterior(), mode.noise())
    {
        let losses = (0..draws).map(|draw| {
            let logits = local::logits(network, params, batch, noise.of_draw(draw));
            loss_of_logits(network, batch, &logits)
        });
        return losses.sum::<f64>() / f64::from(draws);
    }
    loss_of_logits(network, batch, &logits(network, params, batch, mode))
}

fn loss_of_logits(network: &Network, batch: &Batch, logits: &[f64]) -> f64 {
    let rows = logits.chunks_exact(network.classes()).enumerate();
    let sum: f64 = rows
        .map(|(row, logits)| {
            let weight = batch.weights.get(row).copied().unwrap_or(1.0);
            f64::from(weight) * loss_of_row(batch.loss, logits, batch.labels[row] as usize)
        })
        .sum();
    sum / batch.rows() as f64
}

fn loss_of_row(loss: Loss, logits: &[f64], label: usize) -> f64 {
    match loss {
        Loss::CrossEntropy => logits.iter().map(|z| z.exp()).sum::<f64>().ln() - logits[label],
        Loss::Sigmoid => {
            let probability = |z: f64| 1.0 / (1.0 + (-z).exp());
            let terms = logits.iter().enumerate().map(|(class, &z)| {
                let hit = if class == label { z } else { -z };
                -probability(hit).ln()
            });
            terms.sum()
        }
        _ => unreachable!("losses of values are tested where they stand"),
    }
}

/// Logits, rows x classes.
pub(crate) fn logits(network: &Network, params: &[f64], batch: &Batch, mode: Mode<'_>) -> Vec<f64> {
    walk(network, params, batch, mode).values
}

/// A walk through the layers.
struct Walk {
    /// Row-major, rows x width.
    values: Vec<f64>,
    /// Momentum and observation for each running statistic, in the order of the layout.
    observed: Vec<(f64, f64)>,
}

fn walk(network: &Network, params: &[f64], batch: &Batch, mode: Mode<'_>) -> Walk {
    let mut walk = Walk {
        values: batch.inputs.iter().map(|&v| f64::from(v)).collect(),
        observed: Vec::new(),
    };
    let mut params = params;
    let mut kept: Vec<Vec<f64>> = Vec::new();
    let layers = network.layers().iter().enumerate();
    for ((index, layer), shapes) in layers.zip(network.shapes().windows(2)) {
        let mut take = |len| params.split_off(..len).expect("parameters for every layer");
        match *layer {
            Layer::Fork {} => kept.push(walk.values.clone()),
            Layer::Swap {} => {
                let top = kept.last_mut().expect("something is kept");
                std::mem::swap(top, &mut walk.values);
            }
            Layer::Join {} => {
                let other = kept.pop().expect("something is kept");
                let sites = walk.values.iter_mut().zip(other);
                sites.for_each(|(v, o)| *v += o);
            }
            Layer::Dropout { share } if mode.noise().is_some() => {
                let mut mask = vec![0.0; walk.values.len()];
                let noise = mode.noise().expect("it was just asked for");
                noise.mask(index, share, &mut mask);
                let kept = walk.values.iter_mut().zip(mask);
                kept.for_each(|(v, m)| *v *= f64::from(m));
            }
            Layer::BatchNorm { momentum, epsilon } => {
                let own = [(); 4].map(|()| take(shapes[0][0]));
                let by_batch = mode.is_by_batch(index);
                let momentum = if by_batch { momentum } else { 0.0 };
                walk.batch_norm(by_batch, (momentum, epsilon), &shapes[0], own);
            }
            Layer::GroupNorm { groups, epsilon } => {
                let own = [(); 2].map(|()| take(shapes[0][0]));
                walk.group_norm(groups, epsilon, &shapes[0], own);
            }
            _ => {
                let (weights, biases) = sizes(layer, &shapes[0], &shapes[1]);
                let (weight, bias) = (take(weights), take(biases));
                let rows = walk.values.chunks_exact(shapes[0].iter().product());
                walk.values = rows
                    .flat_map(|x| row(layer, &shapes[0], &shapes[1], weight, bias, x))
                    .collect();
            }
        }
    }
    walk
}

impl Walk {
    fn batch_norm(
        &mut self,
        by_batch: bool,
        (momentum, epsilon): (f64, f64),
        shape: &[usize],
        own: [&[f64]; 4],
    ) {
        let (channels, plane) = (shape[0], shape[1..].iter().product::<usize>());
        let [weight, bias, running_mean, running_variance] = own;
        let (mut means, mut variances) = (Vec::new(), Vec::new());
        for c in 0..channels {
            let places: Vec<usize> = (0..self.values.len())
                .filter(|i| i / plane % channels == c)
                .collect();
            let (mut mean, mut variance) = moments(&self.values, &places);
            let n = places.len() as f64;
            means.push((momentum, mean));
            variances.push((momentum, variance * n / (n - 1.0).max(1.0)));
            if !by_batch {
                (mean, variance) = (running_mean[c], running_variance[c].max(0.0));
            }
            for i in places {
                let normal = (self.values[i] - mean) / (variance + epsilon).sqrt();
                self.values[i] = normal * weight[c] + bias[c];
            }
        }
        self.observed.extend(means);
        self.observed.extend(variances);
    }

    fn group_norm(&mut self, groups: usize, epsilon: f64, shape: &[usize], own: [&[f64]; 2]) {
        let (channels, plane) = (shape[0], shape[1..].iter().product::<usize>());
        let [weight, bias] = own;
        let size = channels / groups * plane;
        for start in (0..self.values.len()).step_by(size) {
            let places: Vec<usize> = (start..start + size).collect();
            let (mean, variance) = moments(&self.values, &places);
            for i in places {
                let c = i / plane % channels;
                let normal = (self.values[i] - mean) / (variance + epsilon).sqrt();
                self.values[i] = normal * weight[c] + bias[c];
            }
        }
    }
}

/// Mean and biased variance of the values at some places.
fn moments(values: &[f64], places: &[usize]) -> (f64, f64) {
    let n = places.len() as f64;
    let mean = places.iter().map(|&i| values[i]).sum::<f64>() / n;
    let square = |&i: &usize| (values[i] - mean).powi(2);
    (mean, places.iter().map(square).sum::<f64>() / n)
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
        Layer::Binary {} => vec![0.0, x[0]],
        _ => unreachable!("not a matter of one row, or tested by itself"),
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
