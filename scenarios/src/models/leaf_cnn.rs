use super::{
    Model,
    fedavg_cnn::glorot_uniform,
    parts::{conv, dense, max_pool, relu},
};
use lyceum_core::{Init, Network, NetworkError};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The CNN for FEMNIST of LEAF (Caldas et al. 2018, `models/femnist/cnn.py`).
///
/// Convolution 5x5 to 32 channels with borders that keep the size, ReLU, max-pooling 2x2, the same to 64 channels, dense 2048, ReLU,
/// dense to the classes. 6,603,710 parameters for 28x28 and 62 classes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LeafCnn {
    /// How initial weights are drawn; "glorot-uniform" by default.
    #[serde(default = "glorot_uniform")]
    pub init: Init,
}

impl Model for LeafCnn {
    fn network(&self, input: &[usize], classes: usize) -> Result<Network, NetworkError> {
        let layers = vec![
            conv(32, 5, 1, 2),
            relu(),
            max_pool(2),
            conv(64, 5, 1, 2),
            relu(),
            max_pool(2),
            dense(2048),
            relu(),
            dense(classes),
        ];
        Network::new(input, classes, layers, self.init)
    }
}
