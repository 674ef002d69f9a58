//! The layers that the core knows, written in Burn one by one: for networks that hold layers of other kinds as well.

use crate::{
    autodiff::{ByAutodiff, Written},
    pass::values,
};
use burn::tensor::{
    DType, Device, Tensor, TensorData, activation,
    module::{avg_pool2d, conv2d, max_pool2d},
    ops::{AvgPoolOptions, ConvOptions, MaxPoolOptions},
};
use lyceum_core::{Layer, Mode, Operation};

/// What a layer that the core knows does on a device of Burn; `None` for those of other kinds, which bring their own.
pub(crate) fn operation(
    layer: &Layer,
    place: usize,
    input: &[usize],
    device: &Device,
) -> Option<Box<dyn Operation>> {
    if matches!(layer, Layer::Open(_)) {
        return None;
    }
    let sizes = layer.tensor_sizes(input);
    let known = Known {
        layer: layer.clone(),
        place,
        device: device.clone(),
        steps: None,
    };
    Some(Box::new(ByAutodiff::new(
        known,
        input,
        sizes,
        device.clone(),
    )))
}

#[derive(Debug)]
struct Known {
    layer: Layer,
    place: usize,
    device: Device,
    /// Steps of the running mean and variance of the last pass.
    steps: Option<[Vec<f32>; 2]>,
}

impl Written for Known {
    fn apply(
        &mut self,
        tensors: &[Tensor<1>],
        x: Tensor<2>,
        shape: &[usize],
        mode: Mode<'_>,
    ) -> Tensor<2> {
        self.steps = None;
        let tensor = |at: usize| tensors[at].clone();
        match self.layer {
            Layer::Dense { units } => {
                let weight = tensor(0).reshape([units, shape[0]]);
                x.matmul(weight.transpose()) + tensor(1).reshape([1, units])
            }
            Layer::Conv {
                channels,
                kernel,
                stride,
                padding,
            } => {
                let weight = tensor(0).reshape([channels, shape[0], kernel, kernel]);
                let options = ConvOptions::new([stride; 2], [padding; 2], [1; 2], 1);
                flat(conv2d(image(x, shape), weight, Some(tensor(1)), options))
            }
            Layer::MaxPool { size, stride } => {
                let options = MaxPoolOptions::new([size; 2]);
                let options = options.with_stride([stride.unwrap_or(size); 2]);
                flat(max_pool2d(image(x, shape), options))
            }
            Layer::AvgPool { size, stride } => {
                let options = AvgPoolOptions::new([size; 2]);
                let options = options.with_stride([stride.unwrap_or(size); 2]);
                flat(avg_pool2d(image(x, shape), options))
            }
            Layer::Relu {} => activation::relu(x),
            Layer::Tanh {} => activation::tanh(x),
            Layer::Dropout { share } => self.dropout(x, share, mode),
            Layer::Binary {} => Tensor::cat(vec![x.zeros_like(), x], 1),
            Layer::BatchNorm { momentum, epsilon } => {
                self.batch_norm(tensors, x, shape, (momentum, epsilon), mode)
            }
            Layer::GroupNorm { groups, epsilon } => {
                let [rows, width] = x.dims();
                let grouped = x.reshape([rows, groups, width / groups]);
                let centred = grouped.clone() - grouped.mean_dim(2);
                let variance = (centred.clone() * centred.clone()).mean_dim(2);
                let normal = (centred / (variance + epsilon).sqrt()).reshape([rows, width]);
                scaled(normal, shape[0], tensor(0), tensor(1))
            }
            _ => x,
        }
    }

    fn complete(&self, gradient: &mut [f32]) {
        if !matches!(self.layer, Layer::BatchNorm { .. }) {
            return;
        }
        let running = gradient.len() / 2;
        let (mean, variance) = gradient[running..].split_at_mut(running / 2);
        match &self.steps {
            Some([of_mean, of_variance]) => {
                mean.copy_from_slice(of_mean);
                variance.copy_from_slice(of_variance);
            }
            None => gradient[running..].fill(0.0),
        }
    }
}

impl Known {
    fn dropout(&self, x: Tensor<2>, share: f64, mode: Mode<'_>) -> Tensor<2> {
        let Some(noise) = mode.noise() else {
            return x;
        };
        let sizes = x.dims();
        let mut mask = vec![0.0; sizes[0] * sizes[1]];
        noise.mask(self.place, share, &mut mask);
        let mask = TensorData::new(mask, sizes);
        x * Tensor::from_data(mask, (&self.device, DType::F32))
    }

    fn batch_norm(
        &mut self,
        tensors: &[Tensor<1>],
        x: Tensor<2>,
        shape: &[usize],
        (momentum, epsilon): (f64, f64),
        mode: Mode<'_>,
    ) -> Tensor<2> {
        let (channels, [rows, width]) = (shape[0], x.dims());
        let plane = width / channels;
        let x = x.reshape([rows, channels, plane]);
        let running = [2, 3].map(|at| {
            let tensor: Tensor<3> = tensors[at]
                .clone()
                .without_autodiff()
                .reshape([1, channels, 1]);
            tensor
        });
        let [mut mean, mut variance] = running.clone();
        if mode.is_by_batch(self.place) {
            mean = x.clone().mean_dims(&[0, 2]);
            let centred = x.clone() - mean.clone();
            variance = (centred.clone() * centred).mean_dims(&[0, 2]);
            let count = rows * plane;
            let unbiased = count as f64 / (count.max(2) - 1) as f64;
            let observed = [
                mean.clone().without_autodiff(),
                variance.clone().without_autodiff() * unbiased,
            ];
            let mut observed = observed.into_iter();
            self.steps = Some(running.map(|running| {
                let observed = observed.next().expect("two of them");
                let step = (running - observed) * momentum;
                values(&step.into_data()).to_vec()
            }));
        } else {
            variance = variance.clamp_min(0.0);
        }
        let normal = (x - mean) / (variance + epsilon).sqrt();
        let normal = normal.reshape([rows, width]);
        scaled(normal, channels, tensors[0].clone(), tensors[1].clone())
    }
}

/// Times the weight and plus the bias of each channel.
fn scaled(x: Tensor<2>, channels: usize, weight: Tensor<1>, bias: Tensor<1>) -> Tensor<2> {
    let [rows, width] = x.dims();
    let by_channel = x.reshape([rows, channels, width / channels]);
    let (weight, bias) = (
        weight.reshape([1, channels, 1]),
        bias.reshape([1, channels, 1]),
    );
    (by_channel * weight + bias).reshape([rows, width])
}

fn image(x: Tensor<2>, shape: &[usize]) -> Tensor<4> {
    let [rows, _] = x.dims();
    x.reshape([rows, shape[0], shape[1], shape[2]])
}

fn flat(x: Tensor<4>) -> Tensor<2> {
    let [rows, channels, height, width] = x.dims();
    x.reshape([rows, channels * height * width])
}
