use super::{
    Model,
    parts::{conv, dense, max_pool, relu, sides},
};
use lyceum_core::{Init, Layer, Network, NetworkError};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// LeNet-5 (LeCun, Bottou, Bengio and Haffner 1998) as it is commonly implemented: plain pooling, no partial connections, and a
/// softmax in the place of radial basis functions.
///
/// Convolution 5x5 to 6 channels, activation, pooling 2x2, convolution 5x5 to 16 channels, activation, pooling 2x2, dense 120,
/// activation, dense 84, activation, dense to the classes. The paper's images have sides of 32; smaller ones get two zeros on every
/// side before the first convolution. 61,706 parameters for one channel and 10 classes, of 28x28 or 32x32.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Lenet5 {
    /// Activation and pooling; "relu-max" by default.
    #[serde(default)]
    pub form: Lenet5Variant,
    /// How initial weights are drawn; "fan-in" by default.
    #[serde(default = "fan_in")]
    pub init: Init,
}

/// Activation and pooling of a LeNet-5.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Lenet5Variant {
    /// ReLU and the largest value of a window, as most write it today.
    #[default]
    ReluMax,
    /// The hyperbolic tangent and the mean of a window, closer to the paper.
    TanhAverage,
}

pub(super) fn fan_in() -> Init {
    Init::FanIn
}

impl Model for Lenet5 {
    fn network(&self, input: &[usize], classes: usize) -> Result<Network, NetworkError> {
        let is_small = sides(input).iter().any(|side| *side < 32);
        let padding = if is_small { 2 } else { 0 };
        let (active, pool) = match self.form {
            Lenet5Variant::ReluMax => (relu(), max_pool(2)),
            Lenet5Variant::TanhAverage => (
                Layer::Tanh {},
                Layer::AvgPool {
                    size: 2,
                    stride: None,
                },
            ),
        };
        let layers = vec![
            conv(6, 5, 1, padding),
            active.clone(),
            pool.clone(),
            conv(16, 5, 1, 0),
            active.clone(),
            pool,
            dense(120),
            active.clone(),
            dense(84),
            active,
            dense(classes),
        ];
        Network::new(input, classes, layers, self.init)
    }
}
