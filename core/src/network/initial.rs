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
}

/// A tensor of a layer.
pub(super) struct Tensor {
    pub(super) name: &'static str,
    pub(super) shape: Vec<usize>,
    pub(super) role: Role,
    pub(super) start: Start,
}

/// How the values of a tensor start. Fans are counted in `f64`: sizes are checked later.
#[derive(Clone, Copy)]
pub(super) enum Start {
    Weight { fan_in: f64, fan_out: f64 },
    Bias { fan_in: f64 },
    Constant(f32),
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
    let bias = tensor("bias", vec![shape[0]], Start::Bias { fan_in });
    [
        tensor("weight", shape, Start::Weight { fan_in, fan_out }),
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

impl Start {
    pub(super) fn with(self, init: Init) -> Drawn {
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
