//! How the tensors of layers start.

use crate::{Role, Stream};
use rand::RngExt;
use rand_distr::{Distribution, StandardNormal};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

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
    /// Uniform in +-sqrt(6 / (inputs + outputs)) (Glorot and Bengio 2010, equation 16): the default of Keras.
    GlorotUniform,
}

/// A tensor of a layer.
#[derive(Clone, Debug, PartialEq)]
pub struct Tensor {
    /// Its name within the layer, such as `weight`.
    pub name: &'static str,
    /// Sizes, outermost first; values are row-major.
    pub shape: Vec<usize>,
    /// What may be done to it.
    pub role: Role,
    /// How its values start.
    pub start: Initial,
}

impl Tensor {
    /// One that follows its gradient.
    pub fn trainable(name: &'static str, shape: Vec<usize>, start: Initial) -> Self {
        let role = Role::Trainable;
        Self {
            name,
            shape,
            role,
            start,
        }
    }
}

/// How the values of a tensor start. Fans are counted in `f64`: sizes are checked later.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Initial {
    /// As the network draws its weights ([`Init`]).
    Weight {
        /// Values that one result is a sum of.
        fan_in: f64,
        /// Results that one value goes into.
        fan_out: f64,
    },
    /// As the network starts its biases ([`Init`]).
    Bias {
        /// That of the weights beside it.
        fan_in: f64,
    },
    /// Always the same.
    Constant(f32),
    /// Normal, whatever the network draws, but zero where that is zero.
    Normal {
        /// Standard deviation.
        deviation: f64,
    },
    /// Uniform in +-`bound`, whatever the network draws, but zero where that is zero.
    Uniform {
        /// Largest value.
        bound: f64,
    },
}

/// Weights (outputs x inputs x field) and a bias per output.
pub(super) fn drawn(shape: Vec<usize>) -> [Tensor; 2] {
    let field: f64 = shape[2..].iter().map(|&side| side as f64).product();
    let (fan_in, fan_out) = (shape[1] as f64 * field, shape[0] as f64 * field);
    let tensor = |name, shape, start| Tensor {
        name,
        shape,
        role: Role::Trainable,
        start,
    };
    let bias = tensor("bias", vec![shape[0]], Initial::Bias { fan_in });
    [
        tensor("weight", shape, Initial::Weight { fan_in, fan_out }),
        bias,
    ]
}

/// What each value of a tensor is drawn from.
#[derive(Clone, Copy)]
pub(super) enum Drawn {
    Always(f32),
    Normal { deviation: f64 },
    Uniform { bound: f64 },
}

impl Initial {
    pub(super) fn with(self, init: Init) -> Drawn {
        let normal = |variance: f64| Drawn::Normal {
            deviation: variance.sqrt(),
        };
        match (init, self) {
            (_, Self::Constant(value)) => Drawn::Always(value),
            (Init::Zero, _) => Drawn::Always(0.0),
            (_, Self::Normal { deviation }) => Drawn::Normal { deviation },
            (_, Self::Uniform { bound }) => Drawn::Uniform { bound },
            (Init::FanIn, Self::Weight { fan_in, .. } | Self::Bias { fan_in }) => Drawn::Uniform {
                bound: 1.0 / fan_in.sqrt(),
            },
            (_, Self::Bias { .. }) => Drawn::Always(0.0),
            (Init::He, Self::Weight { fan_in, .. }) => normal(2.0 / fan_in),
            (Init::Glorot, Self::Weight { fan_in, fan_out }) => normal(2.0 / (fan_in + fan_out)),
            (Init::GlorotUniform, Self::Weight { fan_in, fan_out }) => Drawn::Uniform {
                bound: (6.0 / (fan_in + fan_out)).sqrt(),
            },
        }
    }
}

impl Drawn {
    pub(super) fn value(self, rng: &mut Stream) -> f32 {
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
