use super::{
    Model,
    fedavg_cnn::glorot_uniform,
    parts::{conv, dense, max_pool, relu},
};
use lyceum_core::{Init, Layer, Network, NetworkError};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The CNN for CIFAR-10 of pfl-research's benchmarks (Granqvist et al. 2024).
///
/// Convolution 3x3 to 32 channels, ReLU, convolution 3x3 to 64 channels, ReLU, max-pooling 2x2, dropout 0.25, dense 128, ReLU, dropout
/// 0.5, dense to the classes; no borders. 1,626,442 parameters for CIFAR-10.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PflCnn {
    /// How initial weights are drawn; "glorot-uniform" by default.
    #[serde(default = "glorot_uniform")]
    pub init: Init,
}

impl Model for PflCnn {
    fn network(&self, input: &[usize], classes: usize) -> Result<Network, NetworkError> {
        let layers = vec![
            conv(32, 3, 1, 0),
            relu(),
            conv(64, 3, 1, 0),
            relu(),
            max_pool(2),
            Layer::Dropout { share: 0.25 },
            dense(128),
            relu(),
            Layer::Dropout { share: 0.5 },
            dense(classes),
        ];
        Network::new(input, classes, layers, self.init)
    }
}
