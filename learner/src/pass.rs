//! What a walk reads, what it collects, and the loss at its far end.

use burn::tensor::{DType, Device, Tensor, TensorData, Transaction, activation};
use lyceum_core::{Batch, Contrastive, Entry, Loss, Mode, Network, Role};
use lyceum_layers::{Contrast, PairRows};
use std::ops::Range;

/// What a walk reads.
pub(crate) struct Pass<'a> {
    pub(crate) network: &'a Network,
    pub(crate) weights: Weights<'a>,
    pub(crate) batch: &'a Batch,
    /// Without automatic differentiation.
    pub(crate) device: &'a Device,
    pub(crate) mode: Mode<'a>,
}

/// Where parameters are.
#[derive(Clone, Copy)]
pub(crate) enum Weights<'a> {
    /// In the processor's memory, as one vector.
    Flat(&'a [f32]),
    /// On the device, a flat tensor for each of the layout's.
    There(&'a [Tensor<1>]),
}

/// The gradient of a range of the flat vector.
pub(crate) type Gradient = (Range<usize>, Tensor<1>);

/// Gradients, and steps of statistics, on their way to the flat vector; fetched from the device together.
#[derive(Default)]
pub(crate) struct Gradients {
    /// Whether anybody asks for them.
    pub(crate) wanted: bool,
    found: Vec<Gradient>,
}

impl Pass<'_> {
    /// The loss of logits (classes x rows), and its slope there: weight / rows times softmax, or sigmoids,
    /// minus one-hot label.
    pub(crate) fn loss(&self, logits: Tensor<2>) -> (Losses, Tensor<2>) {
        let rows = self.batch.rows();
        let mut weights = self.batch.weights.clone();
        weights.resize(rows, 1.0);
        weights.iter_mut().for_each(|w| *w /= rows as f32);
        let shares = self.tensor(weights.clone(), [1, rows]);
        match self.batch.loss {
            Loss::Contrastive(how) => self.contrastive_loss(logits, how),
            _ if !self.batch.goals.is_empty() => self.aimed_loss(logits),
            Loss::CrossEntropy => {
                let targets = self.by_class(0.0, |row| weights[row]);
                let logs = activation::log_softmax(logits, 0);
                let mean = (logs.clone() * targets.clone()).sum().neg();
                let rows = (logs.clone() * self.by_class(0.0, |_| 1.0)).sum_dim(0);
                let losses = Losses::new(mean, rows);
                (losses, logs.exp() * shares - targets)
            }
            Loss::Sigmoid => {
                // With the logits of the rows' own classes negated, each term is ln(1 + e^signed).
                let signs = self.by_class(1.0, |_| -1.0);
                let signed = logits * signs.clone();
                let small = signed.clone().abs().neg().exp().log1p();
                let terms = activation::relu(signed.clone()) + small;
                let mean = (terms.clone() * shares.clone()).sum();
                let losses = Losses::new(mean, terms.sum_dim(0));
                (losses, activation::sigmoid(signed) * signs * shares)
            }
            _ => self.aimed_loss(logits),
        }
    }

    /// As `loss`, for rows that are masked or matched: few numbers, and the same code as every engine's.
    pub(crate) fn aimed_loss(&self, logits: Tensor<2>) -> (Losses, Tensor<2>) {
        let (rows, classes) = (self.batch.rows(), self.network.classes());
        let data = logits.transpose().into_data();
        let (mut slopes, mut total) = (vec![0.0; rows * classes], 0.0);
        let mut each = Vec::with_capacity(rows);
        let lines = values(&data).chunks_exact(classes);
        let places = lines.zip(slopes.chunks_exact_mut(classes));
        let wanted = self.batch.wanted();
        for (row, (z, out)) in places.enumerate() {
            let weight = self.batch.weights.get(row).copied().unwrap_or(1.0);
            let of_label = (wanted.of(row), weight);
            let share = 1.0 / rows as f32;
            each.push((self.batch.aims).slope(self.batch.loss, row, z, of_label, share, out));
            total += each[row];
        }
        let mean = self.tensor(vec![total / rows as f32], [1]);
        let losses = Losses::new(mean, self.tensor(each, [1, rows]));
        (losses, self.columns(slopes, classes))
    }

    /// As `loss`, for pairs: the same code as every engine's.
    fn contrastive_loss(&self, outputs: Tensor<2>, how: Contrastive) -> (Losses, Tensor<2>) {
        let (rows, width) = (self.batch.rows(), self.network.classes());
        let data = outputs.transpose().into_data();
        let pairs = PairRows {
            outputs: values(&data),
            rows,
            kin: &self.batch.kin.rows,
            weights: &self.batch.weights,
            temperature: how.temperature.get() as f32,
        };
        let (mut slopes, mut contrast) = (vec![0.0; rows * width], Contrast::default());
        let (mean, each) = contrast.slopes(pairs, &mut slopes);
        let each = self.tensor(each.to_vec(), [1, rows]);
        let losses = Losses::new(self.tensor(vec![mean], [1]), each);
        (losses, self.columns(slopes, width))
    }

    /// A value for the class of each row, and another for all beside it (classes x rows).
    fn by_class(&self, beside: f32, at: impl Fn(usize) -> f32) -> Tensor<2> {
        let (rows, classes) = (self.batch.rows(), self.network.classes());
        let mut values = vec![beside; classes * rows];
        for (row, &label) in self.batch.labels.iter().enumerate() {
            values[label as usize * rows + row] = at(row);
        }
        self.tensor(values, [classes, rows])
    }

    /// A parameter tensor, copied out of the flat vector where it is not on the device.
    pub(crate) fn param<const D: usize>(&self, entry: &Entry, shape: [usize; D]) -> Tensor<D> {
        match self.weights {
            Weights::Flat(params) => self.tensor(params[entry.range()].to_vec(), shape),
            Weights::There(tensors) => {
                let entries = self.network.layout().entries();
                let start = entry.range().start;
                let place = entries.partition_point(|entry| entry.range().start < start);
                tensors[place].clone().reshape(shape)
            }
        }
    }

    /// The mask of a dropout layer, if it acts: row-major, rows x width.
    pub(crate) fn mask(&self, layer: usize, share: f64, width: usize) -> Option<Vec<f32>> {
        let len = self.batch.rows() * width;
        self.mode.noise().map(|noise| {
            let mut mask = vec![0.0; len];
            noise.mask(layer, share, &mut mask);
            mask
        })
    }

    /// Row-major values, seen as width x rows without a copy.
    pub(crate) fn columns(&self, values: Vec<f32>, width: usize) -> Tensor<2> {
        self.tensor(values, [self.batch.rows(), width]).transpose()
    }

    pub(crate) fn tensor<const D: usize>(&self, values: Vec<f32>, shape: [usize; D]) -> Tensor<D> {
        Tensor::from_data(TensorData::new(values, shape), (self.device, DType::F32))
    }
}

impl Gradients {
    /// Somebody asks for them.
    pub(crate) fn wanted() -> Self {
        Self {
            wanted: true,
            ..Self::default()
        }
    }

    /// Notes the gradient of a range of the flat vector.
    pub(crate) fn add<const D: usize>(&mut self, range: Range<usize>, gradient: Tensor<D>) {
        let flat = gradient.reshape([range.len()]);
        self.found.push((range, flat));
    }

    /// What was noted.
    pub(crate) fn all(self) -> Vec<Gradient> {
        self.found
    }

    /// Fetches everything; parameters without a gradient get zero.
    pub(crate) fn write(self, losses: Losses, grad: &mut [f32]) -> (f32, f64) {
        if self
            .found
            .iter()
            .map(|(range, _)| range.len())
            .sum::<usize>()
            < grad.len()
        {
            grad.fill(0.0);
        }
        let (ranges, tensors): (Vec<_>, Vec<_>) = self.found.into_iter().unzip();
        let register = |all: Transaction, tensor| all.register(tensor);
        let fetched = losses.registered(tensors.into_iter().fold(Transaction::default(), register));
        for (range, data) in ranges.into_iter().zip(&fetched) {
            grad[range].copy_from_slice(values(data));
        }
        Losses::read(&fetched)
    }
}

/// The loss of a batch.
pub(crate) struct Losses {
    /// The weighted mean.
    mean: Tensor<1>,
    /// That of each row without its weight, or what is as large.
    rows: Tensor<2>,
}

impl Losses {
    fn new(mean: Tensor<1>, rows: Tensor<2>) -> Self {
        Self { mean, rows }
    }

    /// Mean, and sum of the rows' squares.
    pub(crate) fn fetched(self) -> (f32, f64) {
        Self::read(&self.registered(Transaction::default()))
    }

    /// Fetches both behind what waits already.
    fn registered(self, waiting: Transaction) -> Vec<TensorData> {
        waiting.register(self.rows).register(self.mean).execute()
    }

    /// Reads both from the end of what was fetched.
    fn read(fetched: &[TensorData]) -> (f32, f64) {
        let [.., rows, mean] = fetched else {
            unreachable!("the losses were registered last")
        };
        let square = |loss: &f32| f64::from(*loss) * f64::from(*loss);
        (values(mean)[0], values(rows).iter().map(square).sum())
    }
}

/// Whether a tensor follows its gradient. Local parameters do: they only never leave their client.
pub(crate) fn trains(entry: &Entry) -> bool {
    matches!(entry.role, Role::Trainable | Role::Local)
}

/// The next tensor of the layout.
pub(crate) fn next<'a>(entries: &mut std::slice::Iter<'a, Entry>) -> &'a Entry {
    entries
        .next()
        .expect("the layout has the tensors of every layer, in order")
}

/// The values of a tensor that came from the device.
pub(crate) fn values(data: &TensorData) -> &[f32] {
    data.as_slice()
        .expect("all tensors are made with `f32` values")
}
