use super::{
    Model,
    parts::{conv, dense, max_pool, relu},
};
use lyceum_core::{Init, Network, NetworkError};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The CNN for MNIST of "Communication-efficient learning of deep networks from decentralized data" (McMahan et al. 2017, section 3),
/// with ReLU after the convolutions as in TensorFlow Federated.
///
/// Convolution 5x5 to 32 channels with borders that keep the size, ReLU, max-pooling 2x2, the same to 64 channels, dense 512, ReLU,
/// dense to the classes. 1,663,370 parameters for MNIST, as the paper says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FedavgCnn {
    /// How initial weights are drawn; "glorot-uniform" by default.
    #[serde(default = "glorot_uniform")]
    pub init: Init,
}

pub(super) fn glorot_uniform() -> Init {
    Init::GlorotUniform
}

impl Model for FedavgCnn {
    fn network(&self, input: &[usize], classes: usize) -> Result<Network, NetworkError> {
        let layers = vec![
            conv(32, 5, 1, 2),
            relu(),
            max_pool(2),
            conv(64, 5, 1, 2),
            relu(),
            max_pool(2),
            dense(512),
            relu(),
            dense(classes),
        ];
        Network::new(input, classes, layers, self.init)
    }
}
