//! What a model looks like, as data: a stack of known layers with every shape worked out.
//!
//! Engines interpret it, the coordinator needs no more than its layout.

use crate::{Layout, Purpose, Role, Seed};
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
}

fn one() -> usize {
    1
}

/// How initial weights are drawn; biases start at zero unless said otherwise.
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

    /// Where each tensor stands in the flat parameters: `<layer>.weight` and `<layer>.bias`.
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
        let mut fan_in = 1;
        for entry in self.layout.entries() {
            let is_bias = entry.shape.len() == 1;
            let outputs = entry.shape[0];
            if !is_bias {
                fan_in = entry.shape[1..].iter().product();
            }
            let field: usize = entry.shape.iter().skip(2).product();
            let normal = |variance: f64| (variance.sqrt(), true);
            let (scale, gaussian) = match (self.init, is_bias) {
                (Init::FanIn, _) => (1.0 / (fan_in as f64).sqrt(), false),
                (_, true) | (Init::Zero, _) => (0.0, false),
                (Init::He, _) => normal(2.0 / fan_in as f64),
                (Init::Glorot, _) => normal(2.0 / (fan_in + outputs * field) as f64),
            };
            values.extend((0..entry.len()).map(|_| match (scale, gaussian) {
                (0.0, _) => 0.0,
                (s, true) => (s * Distribution::<f64>::sample(&StandardNormal, &mut rng)) as f32,
                (s, false) => (s * (2.0 * rand::RngExt::random::<f64>(&mut rng) - 1.0)) as f32,
            }));
        }
        values
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
            Layer::Dense { units } => {
                self.layout.push(
                    format!("{at}.weight"),
                    vec![*units, input[0]],
                    Role::Trainable,
                );
                self.layout
                    .push(format!("{at}.bias"), vec![*units], Role::Trainable);
                vec![*units]
            }
            Layer::Conv {
                channels,
                kernel,
                stride,
                padding,
            } => {
                let [c, h, w] = image(&input).map_err(refuse)?;
                let out = |side| windows(side + 2 * padding, *kernel, *stride).map_err(refuse);
                let shape = vec![*channels, out(h)?, out(w)?];
                self.layout.push(
                    format!("{at}.weight"),
                    vec![*channels, c, *kernel, *kernel],
                    Role::Trainable,
                );
                self.layout
                    .push(format!("{at}.bias"), vec![*channels], Role::Trainable);
                shape
            }
            Layer::MaxPool { size, stride } | Layer::AvgPool { size, stride } => {
                let [c, h, w] = image(&input).map_err(refuse)?;
                let out = |side| windows(side, *size, stride.unwrap_or(*size)).map_err(refuse);
                vec![c, out(h)?, out(w)?]
            }
            Layer::Relu {} | Layer::Tanh {} => input,
            Layer::Dropout { share } if (0.0..1.0).contains(share) => input,
            Layer::Dropout { share } => {
                return Err(refuse(format!(
                    "share {share} is out of range: from 0 up to but not including 1"
                )));
            }
            Layer::Flatten {} => vec![input.iter().product()],
        };
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
            Self::Relu {} | Self::Tanh {} | Self::Dropout { .. } | Self::Flatten {} => [0; 4],
        };
        match sizes.into_iter().find(|&size| size > LARGEST) {
            Some(size) => Err(format!("{size} is too large: at most {LARGEST}")),
            None => Ok(()),
        }
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
}
