//! What a model looks like, as data: a stack of known layers with every shape worked out.
//!
//! Engines interpret it, the coordinator needs no more than its layout.

use crate::{Layout, Purpose, Role, Seed, Stream};
use rand::RngExt;
use rand_distr::{Distribution, StandardNormal};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One layer. Images are channels x height x width, kernels and windows are square.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Layer {
    /// `units` outputs from a flat input: `y = W x + b`, `W` is units x inputs.
    Dense {
        /// Number of outputs.
        units: usize,
    },
    /// Convolution with bias: weights are channels x input channels x kernel x kernel.
    Conv {
        /// Number of output channels.
        channels: usize,
        /// Side of the kernel.
        kernel: usize,
        /// Step of the kernel.
        #[serde(default = "one")]
        stride: usize,
        /// Zeros added on every side.
        #[serde(default)]
        padding: usize,
    },
    /// Largest value of every window.
    MaxPool {
        /// Side of the window, and its step unless `stride` says otherwise.
        size: usize,
        /// Step of the window.
        #[serde(default)]
        stride: Option<usize>,
    },
    /// Mean of every window.
    AvgPool {
        /// Side of the window, and its step unless `stride` says otherwise.
        size: usize,
        /// Step of the window.
        #[serde(default)]
        stride: Option<usize>,
    },
    /// `max(x, 0)`.
    Relu {},
    /// Hyperbolic tangent.
    Tanh {},
    /// In training, zeroes a share of the values and scales the others by `1 / (1 - share)`.
    Dropout {
        /// Share that is zeroed, from 0 up to but not including 1.
        share: f64,
    },
    /// Lays an image out as a flat vector.
    Flatten {},
    /// Batch normalisation (Ioffe and Szegedy 2015): each channel less its mean, over its deviation, times a
    /// weight, plus a bias. Channels of flat values are the features.
    ///
    /// Training takes mean and biased variance over the rows and places of the batch, whatever the weights of
    /// the rows; running estimates of both then move by `momentum`, the variance by its unbiased estimate
    /// (biased if a channel has one value only). Everything else takes the running estimates, with a negative
    /// variance read as 0, and so does training where they are frozen (see `Mode`). They follow no gradient and may be any
    /// finite value; a strategy averages them by the weights of its clients, whatever else it does to parameters. See
    /// `Role::Statistic`.
    BatchNorm {
        /// Share of the running estimates that each batch replaces, from 0 to 1; 0.1 by default.
        #[serde(default = "tenth")]
        momentum: f64,
        /// Added to the variance, above 0; 1e-5 by default.
        #[serde(default = "hundred_thousandth")]
        epsilon: f64,
    },
    /// Group normalisation (Wu and He 2018): in each sample, each of `groups` runs of channels less its mean,
    /// over its (biased) deviation, times a weight, plus a bias. Weight and bias are one per channel. The same
    /// in training and after it.
    GroupNorm {
        /// Number of groups; divides the channels. 1 is layer, `channels` is instance normalisation.
        groups: usize,
        /// Added to the variance, above 0; 1e-5 by default.
        #[serde(default = "hundred_thousandth")]
        epsilon: f64,
    },
}

fn one() -> usize {
    1
}
fn tenth() -> f64 {
    0.1
}
fn hundred_thousandth() -> f64 {
    1e-5
}

/// How initial weights are drawn; biases start at zero unless said otherwise. Normalisations always start
/// with weight 1, bias 0, mean 0 and variance 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Init {
    /// Normal with variance 2 / inputs (He et al. 2015).
    #[default]
    He,
    /// Normal with variance 2 / (inputs + outputs) (Glorot and Bengio 2010).
    Glorot,
    /// Uniform in +-1/sqrt(inputs), for weights and biases: the default of PyTorch.
    FanIn,
    /// All zeros: enough for softmax regression, where it makes runs comparable.
    Zero,
}

/// Why a stack of layers cannot work.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("layer {index} ({layer}): {reason}")]
pub struct NetworkError {
    /// Position in the stack, from 0.
    pub index: usize,
    /// The layer's kind.
    pub layer: &'static str,
    /// What is wrong, and what would be right.
    pub reason: String,
}

/// A checked stack of layers from an input shape to one logit per class.
///
/// **Invariant:** `shapes[i]` goes into layer `i`, `shapes[i + 1]` comes out; the last is `[classes]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Network {
    layers: Vec<Layer>,
    shapes: Vec<Vec<usize>>,
    layout: Layout,
    init: Init,
}

impl Network {
    /// Works out all shapes and the parameter layout.
    ///
    /// `input` is `[features]` or `[channels, height, width]`; a flat layer that meets an image is
    /// preceded by a flattening of its own. The last layer must give `classes` values.
    pub fn new(
        input: &[usize],
        classes: usize,
        layers: Vec<Layer>,
        init: Init,
    ) -> Result<Self, NetworkError> {
        if input.is_empty() || input.contains(&0) || classes == 0 {
            let reason = format!(
                "samples are {input:?} in {classes} classes: there must be a value and a class"
            );
            return Err(NetworkError {
                index: 0,
                layer: "input",
                reason,
            });
        }
        let mut network = Self {
            layers: Vec::new(),
            shapes: vec![input.to_vec()],
            layout: Layout::default(),
            init,
        };
        for (index, layer) in layers.into_iter().enumerate() {
            if matches!(layer, Layer::Dense { .. }) && network.output().len() != 1 {
                network.push(index, Layer::Flatten {})?;
            }
            network.push(index, layer)?;
        }
        if network.output() != [classes] {
            let reason = format!(
                "gives {:?} values, but there are {classes} classes",
                network.output()
            );
            return Err(NetworkError {
                index: network.layers.len().saturating_sub(1),
                layer: "output",
                reason,
            });
        }
        Ok(network)
    }

    /// The layers in order.
    pub fn layers(&self) -> &[Layer] {
        &self.layers
    }

    /// Shapes between the layers, without the batch dimension; one more than there are layers.
    pub fn shapes(&self) -> &[Vec<usize>] {
        &self.shapes
    }

    /// Where each tensor stands in the flat parameters: `<layer>.weight` and `<layer>.bias`, and behind those
    /// of a batch normalisation its running `<layer>.mean` and `<layer>.variance`.
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// Number of values in one sample.
    pub fn inputs(&self) -> usize {
        self.shapes[0].iter().product()
    }

    /// Number of logits.
    pub fn classes(&self) -> usize {
        self.output().iter().product()
    }

    /// Number of values in front of the last dense layer; `None` for a network that does not end in one.
    pub fn features(&self) -> Option<usize> {
        let last = self.layers.len().checked_sub(1)?;
        matches!(self.layers[last], Layer::Dense { .. }).then(|| self.shapes[last].iter().product())
    }

    /// The layers in front of the last dense one, by themselves; their tensors stand at the same places. `None` for a
    /// network that does not end in a dense layer.
    pub fn without_head(&self) -> Option<Self> {
        self.features()?;
        let mut body = self.clone();
        body.layers.pop();
        body.shapes.pop();
        let tensors = body.layers.iter().zip(&body.shapes);
        let count = tensors
            .map(|(layer, input)| layer.tensors(input).len())
            .sum();
        body.layout.truncate(count);
        Some(body)
    }

    /// Number of parameters of the layers, without what was appended.
    pub fn layers_len(&self) -> usize {
        let tensors = self.layers.iter().zip(&self.shapes);
        let tensors = tensors.flat_map(|(layer, input)| layer.tensors(input));
        tensors
            .map(|tensor| tensor.shape.iter().product::<usize>())
            .sum()
    }

    /// Appends a tensor that no layer reads, for what a method keeps in the model; starts at zero.
    pub fn append(&mut self, name: impl Into<String>, shape: Vec<usize>, role: Role) {
        self.layout.push(name, shape, role);
    }

    /// Whether training needs random masks.
    pub fn has_dropout(&self) -> bool {
        self.layers
            .iter()
            .any(|l| matches!(l, Layer::Dropout { .. }))
    }

    /// Initial parameters, drawn from our own stream so that every engine starts with the same bits.
    pub fn initial(&self, seed: Seed) -> Vec<f32> {
        let mut rng = seed.once(Purpose::INIT);
        let mut values = Vec::with_capacity(self.layout.len());
        for (layer, input) in self.layers.iter().zip(&self.shapes) {
            for tensor in layer.tensors(input) {
                let len: usize = tensor.shape.iter().product();
                let drawn = tensor.start.with(self.init);
                values.extend((0..len).map(|_| drawn.value(&mut rng)));
            }
        }
        values.resize(self.layout.len(), 0.0);
        values
    }

    /// Floating-point operations of one training sample, products only: an addition and a multiplication per weight and
    /// use, forward, for the gradient of the weight, and for the slope at the input of every layer but the first.
    pub fn training_flops(&self) -> u64 {
        let mut first = true;
        let layers = self.layers.iter().zip(self.shapes.windows(2));
        layers
            .map(|(layer, shapes)| {
                let uses = layer.multiplications(&shapes[0], &shapes[1]);
                let passes = if uses > 0 && std::mem::take(&mut first) {
                    2
                } else {
                    3
                };
                2 * passes * uses
            })
            .sum()
    }

    fn output(&self) -> &[usize] {
        self.shapes.last().map_or(&[], Vec::as_slice)
    }

    fn push(&mut self, index: usize, layer: Layer) -> Result<(), NetworkError> {
        let name = layer.name();
        let refuse = |reason: String| NetworkError {
            index,
            layer: name,
            reason,
        };
        let input = self.output().to_vec();
        let at = self.layers.len();
        layer.check_sizes().map_err(refuse)?;
        let output = match &layer {
            Layer::Dense { units: 0 } | Layer::Conv { channels: 0, .. } => {
                return Err(refuse("must give at least one value".into()));
            }
            Layer::Dense { units } => vec![*units],
            Layer::Conv {
                channels,
                kernel,
                stride,
                padding,
            } => {
                let [_, h, w] = image(&input).map_err(refuse)?;
                let out = |side| windows(side + 2 * padding, *kernel, *stride).map_err(refuse);
                vec![*channels, out(h)?, out(w)?]
            }
            Layer::MaxPool { size, stride } | Layer::AvgPool { size, stride } => {
                let [c, h, w] = image(&input).map_err(refuse)?;
                let out = |side| windows(side, *size, stride.unwrap_or(*size)).map_err(refuse);
                vec![c, out(h)?, out(w)?]
            }
            Layer::Relu {} | Layer::Tanh {} => input.clone(),
            Layer::Dropout { share } if (0.0..1.0).contains(share) => input.clone(),
            Layer::Dropout { share } => {
                return Err(refuse(format!(
                    "share {share} is out of range: from 0 up to but not including 1"
                )));
            }
            Layer::Flatten {} => vec![input.iter().product()],
            Layer::BatchNorm { momentum, epsilon } => {
                normalises(*epsilon).map_err(refuse)?;
                if !(0.0..=1.0).contains(momentum) {
                    return Err(refuse(format!(
                        "momentum {momentum} is out of range: from 0 to 1"
                    )));
                }
                input.clone()
            }
            Layer::GroupNorm { groups, epsilon } => {
                normalises(*epsilon).map_err(refuse)?;
                divides(*groups, input[0]).map_err(refuse)?;
                input.clone()
            }
        };
        for tensor in layer.tensors(&input) {
            let name = format!("{at}.{}", tensor.name);
            self.layout.push(name, tensor.shape, tensor.role);
        }
        let product = |sizes: &[usize]| {
            sizes
                .iter()
                .try_fold(1_usize, |n, &size| n.checked_mul(size))
        };
        let values = product(&output).filter(|&n| n <= LARGEST);
        let tensors = self
            .layout
            .entries()
            .iter()
            .try_fold(0_usize, |n, e| n.checked_add(product(&e.shape)?));
        if values.is_none() || tensors.is_none_or(|n| n > LARGEST) {
            return Err(refuse(format!(
                "makes the model larger than {LARGEST} parameters or values per sample"
            )));
        }
        self.layers.push(layer);
        self.shapes.push(output);
        Ok(())
    }
}

/// Most parameters of a model, and most values between two layers per sample.
const LARGEST: usize = 1 << 30;

impl Layer {
    /// Keeps every size so small that shapes can be worked out without overflow.
    fn check_sizes(&self) -> Result<(), String> {
        let sizes = match *self {
            Self::Dense { units } => [units, 0, 0, 0],
            Self::Conv {
                channels,
                kernel,
                stride,
                padding,
            } => [channels, kernel, stride, padding],
            Self::MaxPool { size, stride } | Self::AvgPool { size, stride } => {
                [size, stride.unwrap_or(0), 0, 0]
            }
            Self::GroupNorm { groups, .. } => [groups, 0, 0, 0],
            Self::Relu {}
            | Self::Tanh {}
            | Self::Dropout { .. }
            | Self::Flatten {}
            | Self::BatchNorm { .. } => [0; 4],
        };
        match sizes.into_iter().find(|&size| size > LARGEST) {
            Some(size) => Err(format!("{size} is too large: at most {LARGEST}")),
            None => Ok(()),
        }
    }

    /// Multiplications of one sample on its way forward; 0 for layers without products.
    fn multiplications(&self, from: &[usize], to: &[usize]) -> u64 {
        let results: usize = to.iter().product();
        let inner = match *self {
            Self::Dense { .. } => from[0],
            Self::Conv { kernel, .. } => from[0] * kernel * kernel,
            _ => 0,
        };
        (results * inner) as u64
    }

    fn name(&self) -> &'static str {
        match self {
            Self::Dense { .. } => "dense",
            Self::Conv { .. } => "conv",
            Self::MaxPool { .. } => "max_pool",
            Self::AvgPool { .. } => "avg_pool",
            Self::Relu {} => "relu",
            Self::Tanh {} => "tanh",
            Self::Dropout { .. } => "dropout",
            Self::Flatten {} => "flatten",
            Self::BatchNorm { .. } => "batch_norm",
            Self::GroupNorm { .. } => "group_norm",
        }
    }

    /// The tensors of the layer in the order of the layout, for an input that fits.
    fn tensors(&self, input: &[usize]) -> Vec<Tensor> {
        let constant = |name, value, role| Tensor {
            name,
            shape: vec![input[0]],
            role,
            start: Start::Constant(value),
        };
        let affine = || {
            [
                constant("weight", 1.0, Role::Trainable),
                constant("bias", 0.0, Role::Trainable),
            ]
        };
        match *self {
            Self::Dense { units } => drawn(vec![units, input[0]]).into(),
            Self::Conv {
                channels, kernel, ..
            } => drawn(vec![channels, input[0], kernel, kernel]).into(),
            Self::BatchNorm { .. } => {
                let running = [
                    constant("mean", 0.0, Role::Statistic),
                    constant("variance", 1.0, Role::Statistic),
                ];
                affine().into_iter().chain(running).collect()
            }
            Self::GroupNorm { .. } => affine().into(),
            Self::MaxPool { .. }
            | Self::AvgPool { .. }
            | Self::Relu {}
            | Self::Tanh {}
            | Self::Dropout { .. }
            | Self::Flatten {} => Vec::new(),
        }
    }
}

/// A tensor of a layer.
struct Tensor {
    name: &'static str,
    shape: Vec<usize>,
    role: Role,
    start: Start,
}

/// How the values of a tensor start. Fans are counted in `f64`: sizes are checked later.
#[derive(Clone, Copy)]
enum Start {
    Weight { fan_in: f64, fan_out: f64 },
    Bias { fan_in: f64 },
    Constant(f32),
}

/// Weights (outputs x inputs x field) and a bias per output.
fn drawn(shape: Vec<usize>) -> [Tensor; 2] {
    let field: f64 = shape[2..].iter().map(|&side| side as f64).product();
    let (fan_in, fan_out) = (shape[1] as f64 * field, shape[0] as f64 * field);
    let tensor = |name, shape, start| Tensor {
        name,
        shape,
        role: Role::Trainable,
        start,
    };
    let bias = tensor("bias", vec![shape[0]], Start::Bias { fan_in });
    [
        tensor("weight", shape, Start::Weight { fan_in, fan_out }),
        bias,
    ]
}

/// What each value of a tensor is drawn from.
#[derive(Clone, Copy)]
enum Drawn {
    Always(f32),
    Normal { deviation: f64 },
    Uniform { bound: f64 },
}

impl Start {
    fn with(self, init: Init) -> Drawn {
        let normal = |variance: f64| Drawn::Normal {
            deviation: variance.sqrt(),
        };
        match (init, self) {
            (_, Self::Constant(value)) => Drawn::Always(value),
            (Init::FanIn, Self::Weight { fan_in, .. } | Self::Bias { fan_in }) => Drawn::Uniform {
                bound: 1.0 / fan_in.sqrt(),
            },
            (_, Self::Bias { .. }) | (Init::Zero, _) => Drawn::Always(0.0),
            (Init::He, Self::Weight { fan_in, .. }) => normal(2.0 / fan_in),
            (Init::Glorot, Self::Weight { fan_in, fan_out }) => normal(2.0 / (fan_in + fan_out)),
        }
    }
}

impl Drawn {
    fn value(self, rng: &mut Stream) -> f32 {
        match self {
            Self::Always(value) => value,
            Self::Normal { deviation } => {
                let z: f64 = StandardNormal.sample(rng);
                (deviation * z) as f32
            }
            Self::Uniform { bound } => (bound * (2.0 * rng.random::<f64>() - 1.0)) as f32,
        }
    }
}

fn image(shape: &[usize]) -> Result<[usize; 3], String> {
    shape.try_into().map_err(|_| {
        format!("needs an image (channels x height x width), but its input is {shape:?}")
    })
}

fn windows(side: usize, window: usize, stride: usize) -> Result<usize, String> {
    if window == 0 || stride == 0 {
        return Err("window and stride must be 1 or above".into());
    }
    match side.checked_sub(window) {
        Some(rest) => Ok(rest / stride + 1),
        None => Err(format!(
            "a window of {window} does not fit into a side of {side}"
        )),
    }
}

fn normalises(epsilon: f64) -> Result<(), String> {
    match epsilon > 0.0 && (epsilon as f32).is_normal() {
        true => Ok(()),
        false => Err(format!(
            "epsilon {epsilon} is out of range: above 0, as a 32-bit number"
        )),
    }
}

fn divides(groups: usize, channels: usize) -> Result<(), String> {
    match channels.checked_rem(groups) {
        Some(0) => Ok(()),
        Some(_) => Err(format!(
            "{groups} groups do not divide {channels} channels evenly"
        )),
        None => Err("groups must be 1 or above".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cnn(input: &[usize]) -> Result<Network, NetworkError> {
        let conv = |channels| Layer::Conv {
            channels,
            kernel: 3,
            stride: 1,
            padding: 0,
        };
        let pool = || Layer::MaxPool {
            size: 2,
            stride: None,
        };
        let layers = vec![
            conv(16),
            Layer::Relu {},
            pool(),
            conv(32),
            Layer::Relu {},
            pool(),
            Layer::Dense { units: 10 },
        ];
        Network::new(input, 10, layers, Init::He)
    }

    #[test]
    fn shapes_of_the_benchmark_cnn() {
        let network = cnn(&[1, 28, 28]).unwrap();
        let sides: Vec<usize> = network
            .shapes()
            .iter()
            .map(|s| *s.last().unwrap())
            .collect();
        assert_eq!(sides, [28, 26, 26, 13, 11, 11, 5, 800, 10]);
        assert_eq!(
            network.layout().len(),
            16 * 9 + 16 + 32 * 16 * 9 + 32 + 8010
        );
        assert_eq!(network.initial(Seed(1)).len(), network.layout().len());
    }

    /// Weights times uses: 9 x 16 x 26^2, 144 x 32 x 11^2 and 800 x 10; the first twice, the others three times.
    #[test]
    fn operations_of_the_benchmark_cnn() {
        let flops = 2 * (2 * 97_344 + 3 * 557_568 + 3 * 8_000);
        assert_eq!(cnn(&[1, 28, 28]).unwrap().training_flops(), flops);
    }

    #[test]
    fn samples_without_values_and_heads_without_classes_are_refused() {
        for (input, classes) in [(&[0][..], 1), (&[1, 0, 4], 1), (&[], 1), (&[3], 0)] {
            let layers = vec![Layer::Flatten {}, Layer::Dense { units: classes }];
            let error = Network::new(input, classes, layers, Init::He).unwrap_err();
            assert!(
                error.to_string().contains("there must be a value"),
                "{error}"
            );
        }
    }

    #[test]
    fn a_model_beyond_all_memory_is_refused_before_it_is_made() {
        for units in [1 << 29, 1 << 53, usize::MAX] {
            let layers = vec![Layer::Dense { units }, Layer::Dense { units }];
            let error = Network::new(&[4], units, layers, Init::He).unwrap_err();
            assert!(error.to_string().contains("large"), "{error}");
        }
        let padded = Layer::Conv {
            channels: 1,
            kernel: 1,
            stride: 1,
            padding: usize::MAX / 2,
        };
        assert!(Network::new(&[1, 4, 4], 1, vec![padded], Init::He).is_err());
    }

    #[test]
    fn a_window_larger_than_the_image_is_refused_with_the_layer() {
        let error = cnn(&[1, 4, 4]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "layer 3 (conv): a window of 3 does not fit into a side of 1"
        );
        assert!(
            cnn(&[64])
                .unwrap_err()
                .to_string()
                .contains("needs an image")
        );
    }

    fn normalised(layer: Layer) -> Result<Network, NetworkError> {
        let layers = vec![
            Layer::Conv {
                channels: 6,
                kernel: 3,
                stride: 1,
                padding: 0,
            },
            layer,
            Layer::Dense { units: 2 },
        ];
        Network::new(&[1, 4, 4], 2, layers, Init::FanIn)
    }

    fn group_norm(groups: usize) -> Layer {
        Layer::GroupNorm {
            groups,
            epsilon: 1e-5,
        }
    }

    fn batch_norm(momentum: f64, epsilon: f64) -> Layer {
        Layer::BatchNorm { momentum, epsilon }
    }

    #[test]
    fn a_batch_norm_has_statistics_and_starts_as_the_identity() {
        let network = normalised(batch_norm(0.1, 1e-5)).unwrap();
        let own: Vec<_> = network.layout().entries()[2..6]
            .iter()
            .map(|e| (e.name.as_str(), e.shape.as_slice(), e.role))
            .collect();
        let want = [
            ("1.weight", Role::Trainable),
            ("1.bias", Role::Trainable),
            ("1.mean", Role::Statistic),
            ("1.variance", Role::Statistic),
        ];
        assert_eq!(own, want.map(|(name, role)| (name, [6].as_slice(), role)));
        let start = network.initial(Seed(1));
        let values = |index: usize| &start[network.layout().entries()[index].range()];
        for (index, value) in [(2, 1.0), (3, 0.0), (4, 0.0), (5, 1.0)] {
            assert!(values(index).iter().all(|&v| v == value), "{index}");
        }
        assert!(
            values(7)
                .iter()
                .all(|&v| v != 0.0 && v.abs() <= 24.0_f32.powf(-0.5))
        );
    }

    #[test]
    fn a_group_norm_has_no_statistics() {
        let network = normalised(group_norm(3)).unwrap();
        assert_eq!(network.layout().len(), 6 * 9 + 6 + 2 * 6 + 2 * 24 + 2);
        assert!(
            network
                .layout()
                .entries()
                .iter()
                .all(|e| e.role == Role::Trainable)
        );
    }

    #[test]
    fn normalisations_that_cannot_work_say_why() {
        let reasons = [
            (group_norm(4), "4 groups do not divide 6 channels evenly"),
            (group_norm(7), "7 groups do not divide 6 channels evenly"),
            (group_norm(0), "groups must be 1 or above"),
            (batch_norm(1.5, 1e-5), "momentum 1.5 is out of range"),
            (batch_norm(f64::NAN, 1e-5), "momentum NaN is out of range"),
            (batch_norm(0.1, 0.0), "epsilon 0 is out of range"),
            (batch_norm(0.1, -1.0), "epsilon -1 is out of range"),
            (batch_norm(0.1, 1e-60), "is out of range: above 0"),
            (
                batch_norm(0.1, f64::INFINITY),
                "epsilon inf is out of range",
            ),
        ];
        for (layer, reason) in reasons {
            let error = normalised(layer).unwrap_err().to_string();
            assert!(error.starts_with("layer 1 ("), "{error}");
            assert!(error.contains(reason), "{error}");
        }
    }
}
