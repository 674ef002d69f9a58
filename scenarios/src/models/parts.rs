//! Parts that models of images share.

use lyceum_core::Layer;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The normalisation after a convolution.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Norm {
    /// Batch normalisation with momentum 0.1 and epsilon 1e-5, the defaults of PyTorch.
    Batch(Batch),
    /// Group normalisation with epsilon 1e-5, which does not mix samples: the usual one where clients' data differ (Hsieh et al. 2020).
    Group(Group),
}

/// Batch normalisation: nothing to set.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Batch {}

/// Group normalisation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Group {
    /// Number of groups of channels; 2 by default.
    #[serde(default = "two")]
    pub groups: usize,
}

fn two() -> usize {
    2
}

impl Default for Norm {
    fn default() -> Self {
        Self::Batch(Batch {})
    }
}

impl Norm {
    fn layer(&self) -> Layer {
        let epsilon = 1e-5;
        match self {
            Self::Batch(Batch {}) => Layer::BatchNorm {
                momentum: 0.1,
                epsilon,
            },
            Self::Group(Group { groups }) => Layer::GroupNorm {
                groups: *groups,
                epsilon,
            },
        }
    }

    /// A convolution that keeps the size, unless its stride is above 1, and its normalisation.
    ///
    /// The convolution has a bias, though the normalisation makes it idle (wholly with batches; with groups all but its differences
    /// within them): the engine's convolution that goes with the normalisation always has one.
    pub(super) fn after(&self, channels: usize, kernel: usize, stride: usize) -> [Layer; 2] {
        [conv(channels, kernel, stride, kernel / 2), self.layer()]
    }
}

pub(super) fn conv(channels: usize, kernel: usize, stride: usize, padding: usize) -> Layer {
    Layer::Conv {
        channels,
        kernel,
        stride,
        padding,
    }
}

pub(super) fn max_pool(size: usize) -> Layer {
    Layer::MaxPool { size, stride: None }
}

pub(super) fn dense(units: usize) -> Layer {
    Layer::Dense { units }
}

pub(super) fn relu() -> Layer {
    Layer::Relu {}
}

/// Height and width of an image; nothing of other samples, which the first convolution refuses.
pub(super) fn sides(input: &[usize]) -> &[usize] {
    match input {
        [_, sides @ ..] => sides,
        [] => &[],
    }
}
