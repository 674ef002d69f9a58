//! Layers on images (rows x channels x height x width), differentiated by Burn.

use crate::{
    norm::{BatchNorm, Normal},
    pass::{Gradients, Pass, next, trains},
};
use burn::tensor::{
    Tensor, activation,
    module::{avg_pool2d, conv2d, max_pool2d},
    ops::{AvgPoolOptions, ConvOptions, MaxPoolOptions},
};
use lyceum_core::{Entry, Layer};
use std::{ops::Range, slice::Iter};

/// The image layers after a forward walk.
pub(crate) struct ImageLayers {
    /// How many layers there are.
    pub(crate) layers: usize,
    output: Tensor<4>,
    /// Whether anybody asks for gradients.
    wanted: bool,
    leaves: Vec<(Range<usize>, Leaf)>,
}

/// A parameter tensor that waits for its gradient.
enum Leaf {
    Kernel(Tensor<4>),
    Channels(Tensor<1>),
}

impl ImageLayers {
    /// Walks through the layers in front of the first flat one. `None` if the input is flat.
    pub(crate) fn forward(
        pass: &Pass<'_>,
        entries: &mut Iter<'_, Entry>,
        gradients: &mut Gradients,
    ) -> Option<Self> {
        let shapes = pass.network.shapes();
        let [channels, height, width] = shapes[0][..] else {
            return None;
        };
        let shape = [pass.batch.rows(), channels, height, width];
        let mut walk = Self {
            layers: shapes[1..].iter().take_while(|s| s.len() == 3).count(),
            output: pass.tensor(pass.batch.inputs.clone(), shape),
            wanted: gradients.wanted,
            leaves: Vec::new(),
        };
        for (index, layer) in pass.network.layers()[..walk.layers].iter().enumerate() {
            let input = walk.output.clone();
            walk.output = walk.layer(pass, index, layer, input, entries, gradients);
        }
        Some(walk)
    }

    fn layer(
        &mut self,
        pass: &Pass<'_>,
        index: usize,
        layer: &Layer,
        x: Tensor<4>,
        entries: &mut Iter<'_, Entry>,
        gradients: &mut Gradients,
    ) -> Tensor<4> {
        match *layer {
            Layer::Conv {
                stride, padding, ..
            } => {
                let kernel = self.kernel(pass, next(entries));
                let bias = self.channels(pass, next(entries));
                let options = ConvOptions::new([stride; 2], [padding; 2], [1; 2], 1);
                conv2d(x, kernel, Some(bias), options)
            }
            Layer::MaxPool { size, stride } => {
                let step = stride.unwrap_or(size);
                max_pool2d(x, MaxPoolOptions::new([size; 2]).with_stride([step; 2]))
            }
            Layer::AvgPool { size, stride } => {
                let step = stride.unwrap_or(size);
                avg_pool2d(x, AvgPoolOptions::new([size; 2]).with_stride([step; 2]))
            }
            Layer::Relu {} => activation::relu(x),
            Layer::Tanh {} => activation::tanh(x),
            Layer::Dropout { share } => {
                let shape: [usize; 4] = x.dims();
                match pass.mask(index, share, shape[1..].iter().product()) {
                    Some(mask) => x * pass.tensor(mask, shape),
                    None => x,
                }
            }
            Layer::BatchNorm { momentum, epsilon } => {
                let (weight, bias) = self.affine(pass, entries);
                let norm = BatchNorm::next(index, (momentum, epsilon), entries);
                norm.normal(pass, &[3, 2, 0], x, gradients).values * weight + bias
            }
            Layer::GroupNorm { groups, epsilon } => {
                let (weight, bias) = self.affine(pass, entries);
                let shape = x.dims();
                let [rows, channels, height, width] = shape;
                let grouped = x.reshape([rows, groups, channels / groups, height * width]);
                let normal = Normal::along(&[3, 2], grouped, epsilon);
                normal.values.reshape(shape) * weight + bias
            }
            Layer::Dense { .. }
            | Layer::Flatten {}
            | Layer::Binary {}
            | Layer::Residual { .. }
            | Layer::Fork {}
            | Layer::Swap {}
            | Layer::Join {}
            | Layer::Open(_) => {
                unreachable!("the output of this layer is no image, or the engine does not take it")
            }
        }
    }

    fn kernel(&mut self, pass: &Pass<'_>, entry: &Entry) -> Tensor<4> {
        let shape = [0, 1, 2, 3].map(|axis| entry.shape[axis]);
        let kernel = pass.param(entry, shape);
        self.leaf(entry, kernel, Leaf::Kernel)
    }

    fn channels(&mut self, pass: &Pass<'_>, entry: &Entry) -> Tensor<1> {
        let values = pass.param(entry, [entry.shape[0]]);
        self.leaf(entry, values, Leaf::Channels)
    }

    /// Weight and bias of every channel, beside an image.
    fn affine(&mut self, pass: &Pass<'_>, entries: &mut Iter<'_, Entry>) -> (Tensor<4>, Tensor<4>) {
        let mut broad = |entry: &Entry| {
            let shape = [1, entry.shape[0], 1, 1];
            self.channels(pass, entry).reshape(shape)
        };
        (broad(next(entries)), broad(next(entries)))
    }

    fn leaf<const D: usize>(
        &mut self,
        entry: &Entry,
        tensor: Tensor<D>,
        wrap: fn(Tensor<D>) -> Leaf,
    ) -> Tensor<D> {
        if !self.wanted || !trains(entry) {
            return tensor;
        }
        let tensor = tensor.autodiff().require_grad();
        self.leaves.push((entry.range(), wrap(tensor.clone())));
        tensor
    }

    /// Whether any parameter waits for a gradient.
    pub(crate) fn trains(&self) -> bool {
        !self.leaves.is_empty()
    }

    /// The output as columns (width x rows), cut off from the graph.
    pub(crate) fn columns(&self) -> Tensor<2> {
        let [rows, channels, height, width] = self.output.dims();
        let output = self.output.clone().without_autodiff();
        output
            .reshape([rows, channels * height * width])
            .transpose()
    }

    /// Walks back from the slope at the output (width x rows): the gradient of the sum of slope
    /// times output is what the chain rule asks for.
    pub(crate) fn backward(self, slope: Tensor<2>, gradients: &mut Gradients) {
        let slope = slope.transpose().reshape(self.output.dims());
        let mut found = (self.output * slope).sum().backward();
        for (range, leaf) in self.leaves {
            const REACHED: &str = "every parameter acts on the output";
            match leaf {
                Leaf::Kernel(leaf) => {
                    gradients.add(range, leaf.grad_remove(&mut found).expect(REACHED));
                }
                Leaf::Channels(leaf) => {
                    gradients.add(range, leaf.grad_remove(&mut found).expect(REACHED));
                }
            }
        }
    }
}
