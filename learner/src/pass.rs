//! One walk through the layers, forward and, in training, back.
//!
//! Flat values are kept as columns (width x rows): then `W x` needs no transposed copy, and the
//! gradient of `W` leaves the backward pass in the order in which the flat vector stores it.

use burn::tensor::{
    DType, Device, Gradients, Tensor, TensorData, Transaction, activation,
    module::{avg_pool2d, conv2d, max_pool2d},
    ops::{AvgPoolOptions, ConvOptions, MaxPoolOptions},
};
use lyceum_core::{Batch, Entry, Layer, Network, Role};
use std::ops::Range;

/// A walk of one batch through one network.
pub(crate) struct Pass<'a> {
    network: &'a Network,
    params: &'a [f32],
    device: &'a Device,
    batch: &'a Batch,
    entries: std::slice::Iter<'a, Entry>,
    leaves: Vec<(Range<usize>, Leaf)>,
}

/// A parameter tensor that waits for its gradient.
enum Leaf {
    Vector(Tensor<1>),
    Matrix(Tensor<2>),
    Kernel(Tensor<4>),
}

/// The values between two layers.
enum Signal {
    /// width x rows.
    Columns(Tensor<2>),
    /// rows x channels x height x width.
    Images(Tensor<4>),
}

impl<'a> Pass<'a> {
    /// On a device with automatic differentiation the walk is a training pass: it drops out, and
    /// gradients can be asked for. The batch has at least one row.
    pub(crate) fn new(
        network: &'a Network,
        params: &'a [f32],
        device: &'a Device,
        batch: &'a Batch,
    ) -> Self {
        Self {
            network,
            params,
            device,
            batch,
            entries: network.layout().entries().iter(),
            leaves: Vec::new(),
        }
    }

    /// Logits, rows x classes.
    pub(crate) fn logits(mut self) -> TensorData {
        self.forward().transpose().into_data()
    }

    /// Weighted mean cross entropy; its gradient replaces `grad`.
    pub(crate) fn backward(mut self, grad: &mut [f32]) -> f32 {
        let log_shares = activation::log_softmax(self.forward(), 0);
        let loss = (log_shares * self.targets()).sum();
        let mut read = Transaction::default().register(loss.clone().inner());
        let trains = !self.leaves.is_empty();
        if trains {
            let mut gradients = loss.backward();
            for (_, leaf) in &self.leaves {
                read = leaf.register(&mut gradients, read);
            }
        }
        if self.leaves.iter().map(|(range, _)| range.len()).sum::<usize>() != grad.len() {
            grad.fill(0.0);
        }
        let mut read = read.execute().into_iter();
        let loss = values(&read.next().expect("the loss was registered first"))[0];
        for ((range, _), data) in self.leaves.into_iter().zip(read) {
            grad[range].copy_from_slice(values(&data));
        }
        loss
    }

    fn forward(&mut self) -> Tensor<2> {
        let network = self.network;
        let mut signal = self.input();
        for (index, (layer, shape)) in network.layers().iter().zip(network.shapes()).enumerate() {
            signal = self.layer(index, layer, shape, signal);
        }
        signal.columns()
    }

    /// Inputs as they come: row-major, so that columns are a view.
    fn input(&self) -> Signal {
        self.constant(self.batch.inputs.clone(), &self.network.shapes()[0])
    }

    fn layer(&mut self, index: usize, layer: &Layer, shape: &[usize], x: Signal) -> Signal {
        match layer {
            Layer::Dense { .. } => self.dense(x.columns()),
            Layer::Conv {
                stride, padding, ..
            } => {
                let options = ConvOptions::new([*stride; 2], [*padding; 2], [1; 2], 1);
                self.conv(x.images(), options)
            }
            Layer::MaxPool { size, stride } => {
                let step = stride.unwrap_or(*size);
                let options = MaxPoolOptions::new([*size; 2]).with_stride([step; 2]);
                Signal::Images(max_pool2d(x.images(), options))
            }
            Layer::AvgPool { size, stride } => {
                let step = stride.unwrap_or(*size);
                let options = AvgPoolOptions::new([*size; 2]).with_stride([step; 2]);
                Signal::Images(avg_pool2d(x.images(), options))
            }
            Layer::Relu {} => x.relu(),
            Layer::Tanh {} => x.tanh(),
            Layer::Dropout { share } => self.dropout(index, *share, shape, x),
            Layer::Flatten {} => Signal::Columns(x.columns()),
        }
    }

    fn dense(&mut self, x: Tensor<2>) -> Signal {
        let entry = self.entry();
        let weight = self.leaf([entry.shape[0], entry.shape[1]], entry, Leaf::Matrix);
        let entry = self.entry();
        let bias = self.leaf([entry.shape[0], 1], entry, Leaf::Matrix);
        Signal::Columns(weight.matmul(x) + bias)
    }

    fn conv(&mut self, x: Tensor<4>, options: ConvOptions<2>) -> Signal {
        let entry = self.entry();
        let shape = [0, 1, 2, 3].map(|axis| entry.shape[axis]);
        let kernel = self.leaf(shape, entry, Leaf::Kernel);
        let entry = self.entry();
        let bias = self.leaf([entry.shape[0]], entry, Leaf::Vector);
        Signal::Images(conv2d(x, kernel, Some(bias), options))
    }

    fn dropout(&self, index: usize, share: f64, shape: &[usize], x: Signal) -> Signal {
        if !self.device.is_autodiff() {
            return x;
        }
        let len = self.batch.rows() * shape.iter().product::<usize>();
        let mask = self.constant(self.batch.dropout_mask(index, share, len), shape);
        match (x, mask) {
            (Signal::Images(x), Signal::Images(mask)) => Signal::Images(x * mask),
            (x, mask) => Signal::Columns(x.columns() * mask.columns()),
        }
    }

    /// `-weight / rows` where row and label meet, so that the loss is a plain sum; classes x rows.
    fn targets(&self) -> Tensor<2> {
        let rows = self.batch.rows();
        let mut targets = vec![0.0; rows * self.network.classes()];
        for (row, &label) in self.batch.labels.iter().enumerate() {
            let weight = self.batch.weights.get(row).copied().unwrap_or(1.0);
            targets[label as usize * rows + row] = -weight / rows as f32;
        }
        self.tensor(targets, [self.network.classes(), rows])
    }

    fn entry(&mut self) -> &'a Entry {
        self.entries
            .next()
            .expect("the layout has the tensors of every layer, in order")
    }

    /// Takes a parameter tensor out of the flat vector, and notes it if it follows a gradient
    /// (local parameters train as well: they only never leave their client).
    fn leaf<const D: usize>(
        &mut self,
        shape: [usize; D],
        entry: &Entry,
        wrap: fn(Tensor<D>) -> Leaf,
    ) -> Tensor<D> {
        let tensor = self.tensor(self.params[entry.range()].to_vec(), shape);
        let trains = matches!(entry.role, Role::Trainable | Role::Local);
        if !trains || !self.device.is_autodiff() {
            return tensor;
        }
        let tensor = tensor.require_grad();
        self.leaves.push((entry.range(), wrap(tensor.clone())));
        tensor
    }

    /// Row-major values of the whole batch, where one row has the shape `shape`.
    fn constant(&self, values: Vec<f32>, shape: &[usize]) -> Signal {
        let rows = self.batch.rows();
        match *shape {
            [channels, height, width] => {
                Signal::Images(self.tensor(values, [rows, channels, height, width]))
            }
            _ => {
                let width = shape.iter().product();
                Signal::Columns(self.tensor(values, [rows, width]).transpose())
            }
        }
    }

    fn tensor<const D: usize>(&self, values: Vec<f32>, shape: [usize; D]) -> Tensor<D> {
        Tensor::from_data(TensorData::new(values, shape), (self.device, DType::F32))
    }
}

impl Leaf {
    fn register(&self, gradients: &mut Gradients, read: Transaction) -> Transaction {
        const REACHED: &str = "every parameter takes part in the loss";
        match self {
            Self::Vector(leaf) => read.register(leaf.grad_remove(gradients).expect(REACHED)),
            Self::Matrix(leaf) => read.register(leaf.grad_remove(gradients).expect(REACHED)),
            Self::Kernel(leaf) => read.register(leaf.grad_remove(gradients).expect(REACHED)),
        }
    }
}

impl Signal {
    fn columns(self) -> Tensor<2> {
        match self {
            Self::Columns(x) => x,
            Self::Images(x) => {
                let [rows, channels, height, width] = x.dims();
                x.reshape([rows, channels * height * width]).transpose()
            }
        }
    }

    fn images(self) -> Tensor<4> {
        match self {
            Self::Images(x) => x,
            Self::Columns(_) => unreachable!("the network checked that this layer gets images"),
        }
    }

    fn relu(self) -> Self {
        match self {
            Self::Columns(x) => Self::Columns(activation::relu(x)),
            Self::Images(x) => Self::Images(activation::relu(x)),
        }
    }

    fn tanh(self) -> Self {
        match self {
            Self::Columns(x) => Self::Columns(activation::tanh(x)),
            Self::Images(x) => Self::Images(activation::tanh(x)),
        }
    }
}

/// The numbers that a device gave back.
pub(crate) fn values(data: &TensorData) -> &[f32] {
    data.as_slice()
        .expect("all tensors are made with `f32` values")
}
