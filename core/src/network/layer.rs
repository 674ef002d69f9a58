//! The kinds of layers, and what each makes of a shape.

use super::{
    initial::{Initial, Tensor, drawn},
    kind::OpenLayer,
    reading::{list_of_layers, with_open_kinds},
};
use crate::Role;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One layer. Images are channels x height x width, kernels and windows are square.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields, remote = "Self")]
#[schemars(rename = "Layer", inline, transform = with_open_kinds)]
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
    /// One value z becomes two logits, 0 and z: the softmax over them is the logistic function of z. For two classes.
    Binary {},
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
    /// What goes in is added to what a list of layers makes of it (He et al. 2016): `y = x + layers(x)`, or
    /// `projection(x) + layers(x)`. Both sides end in the same shape.
    Residual {
        /// The layers that something is added to.
        #[schemars(schema_with = "list_of_layers")]
        layers: Vec<Layer>,
        /// Layers on the other way, where the shape changes; none by default.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        #[schemars(schema_with = "list_of_layers")]
        projection: Vec<Layer>,
    },
    /// Keeps a copy of the value for a `join`: the parts of a residual block, one by one.
    Fork {},
    /// Goes on from the kept copy, and keeps the value in its place.
    Swap {},
    /// Adds the kept value, which is used up.
    Join {},
    /// A kind that other crates bring.
    #[serde(skip)]
    #[schemars(skip)]
    Open(OpenLayer),
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

/// Most parameters of a model, and most values between two layers per sample.
pub(super) const LARGEST: usize = 1 << 30;

impl Layer {
    /// Names of the layers that this crate knows.
    pub(super) const NAMES: [&'static str; 15] = [
        "dense",
        "conv",
        "max_pool",
        "avg_pool",
        "relu",
        "tanh",
        "dropout",
        "binary",
        "flatten",
        "batch_norm",
        "group_norm",
        "residual",
        "fork",
        "swap",
        "join",
    ];

    /// A layer of a kind of its own.
    pub fn open<K: super::LayerKind + Serialize>(name: &str, kind: K) -> Self {
        Self::Open(OpenLayer::new(name, kind))
    }

    /// The shape that comes out for a shape that goes in, or why the layer cannot take it.
    pub(super) fn output(&self, input: &[usize]) -> Result<Vec<usize>, String> {
        self.check_sizes()?;
        match *self {
            Self::Dense { units: 0 } | Self::Conv { channels: 0, .. } => {
                Err("must give at least one value".into())
            }
            Self::Dense { units } => Ok(vec![units]),
            Self::Conv {
                channels,
                kernel,
                stride,
                padding,
            } => {
                let [_, h, w] = image(input)?;
                let out = |side| windows(side + 2 * padding, kernel, stride);
                Ok(vec![channels, out(h)?, out(w)?])
            }
            Self::MaxPool { size, stride } | Self::AvgPool { size, stride } => {
                let [c, h, w] = image(input)?;
                let out = |side| windows(side, size, stride.unwrap_or(size));
                Ok(vec![c, out(h)?, out(w)?])
            }
            Self::Flatten {} => Ok(vec![input.iter().product()]),
            Self::Open(ref open) => open.kind().output(input),
            Self::Binary {} => match input {
                [1] => Ok(vec![2]),
                _ => Err(format!(
                    "needs one value a sample, but its input is {input:?}"
                )),
            },
            Self::Relu {}
            | Self::Tanh {}
            | Self::Dropout { .. }
            | Self::BatchNorm { .. }
            | Self::GroupNorm { .. }
            | Self::Residual { .. }
            | Self::Fork {}
            | Self::Swap {}
            | Self::Join {} => {
                self.check_settings(input)?;
                Ok(input.to_vec())
            }
        }
    }

    /// The settings of a layer that keeps the shape of its input.
    fn check_settings(&self, input: &[usize]) -> Result<(), String> {
        match *self {
            Self::Dropout { share } if !(0.0..1.0).contains(&share) => Err(format!(
                "share {share} is out of range: from 0 up to but not including 1"
            )),
            Self::BatchNorm { .. } | Self::GroupNorm { .. } if input.len() == 2 => Err(format!(
                "needs flat values or an image, but its input is {input:?}: use layer_norm for sequences"
            )),
            Self::BatchNorm { momentum, epsilon } => {
                normalises(epsilon)?;
                match (0.0..=1.0).contains(&momentum) {
                    true => Ok(()),
                    false => Err(format!("momentum {momentum} is out of range: from 0 to 1")),
                }
            }
            Self::GroupNorm { groups, epsilon } => {
                normalises(epsilon)?;
                divides(groups, input[0])
            }
            _ => Ok(()),
        }
    }

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
            | Self::Binary {}
            | Self::BatchNorm { .. }
            | Self::Residual { .. }
            | Self::Fork {}
            | Self::Swap {}
            | Self::Join {}
            | Self::Open(_) => [0; 4],
        };
        match sizes.into_iter().find(|&size| size > LARGEST) {
            Some(size) => Err(format!("{size} is too large: at most {LARGEST}")),
            None => Ok(()),
        }
    }

    /// Multiplications of one sample on its way forward; 0 for layers without products.
    pub(super) fn multiplications(&self, from: &[usize], to: &[usize]) -> u64 {
        let results: usize = to.iter().product();
        let inner = match *self {
            Self::Open(ref open) => return open.kind().multiplications(from, to),
            Self::Dense { .. } => from[0],
            Self::Conv { kernel, .. } => from[0] * kernel * kernel,
            _ => 0,
        };
        (results * inner) as u64
    }

    /// Whether it computes anything, and is no mark in the list.
    pub fn is_computed(&self) -> bool {
        !matches!(
            self,
            Self::Fork {} | Self::Swap {} | Self::Join {} | Self::Residual { .. }
        )
    }

    /// Values of each of its tensors, for an input that fits.
    pub fn tensor_sizes(&self, input: &[usize]) -> Vec<usize> {
        let tensors = self.tensors(input).into_iter();
        tensors
            .map(|tensor| tensor.shape.iter().product())
            .collect()
    }

    /// Its name in scenario files.
    pub fn name(&self) -> &str {
        match self {
            Self::Open(open) => open.name(),
            Self::Residual { .. } => "residual",
            Self::Fork {} => "fork",
            Self::Swap {} => "swap",
            Self::Join {} => "join",
            Self::Dense { .. } => "dense",
            Self::Conv { .. } => "conv",
            Self::MaxPool { .. } => "max_pool",
            Self::AvgPool { .. } => "avg_pool",
            Self::Relu {} => "relu",
            Self::Tanh {} => "tanh",
            Self::Dropout { .. } => "dropout",
            Self::Flatten {} => "flatten",
            Self::Binary {} => "binary",
            Self::BatchNorm { .. } => "batch_norm",
            Self::GroupNorm { .. } => "group_norm",
        }
    }

    /// The tensors of the layer in the order of the layout, for an input that fits.
    pub(super) fn tensors(&self, input: &[usize]) -> Vec<Tensor> {
        let constant = |name, value, role| Tensor {
            name,
            shape: vec![input[0]],
            role,
            start: Initial::Constant(value),
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
            Self::Open(ref open) => open.kind().tensors(input),
            Self::MaxPool { .. }
            | Self::AvgPool { .. }
            | Self::Relu {}
            | Self::Tanh {}
            | Self::Dropout { .. }
            | Self::Binary {}
            | Self::Flatten {}
            | Self::Residual { .. }
            | Self::Fork {}
            | Self::Swap {}
            | Self::Join {} => Vec::new(),
        }
    }
}

fn image(shape: &[usize]) -> Result<[usize; 3], String> {
    shape.try_into().map_err(|_| {
        let values: usize = shape.iter().product();
        format!("needs an image (channels x height x width), but its input is {values} features")
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
