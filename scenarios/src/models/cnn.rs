use super::Model;
use lyceum_core::{Init, Layer, Network, NetworkError};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A list of layers, first to last; the dense layer to the classes is added behind them.
///
/// `layers = [{ conv = { channels = 16, kernel = 3 } }, { relu = {} }, { max_pool = { size = 2 } }]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Cnn {
    /// The layers before the last dense one.
    pub layers: Vec<Layer>,
    /// How initial weights are drawn; "he" by default.
    #[serde(default)]
    pub init: Init,
}

impl Model for Cnn {
    fn network(&self, input: &[usize], classes: usize) -> Result<Network, NetworkError> {
        let mut layers = self.layers.clone();
        layers.push(Layer::Dense { units: classes });
        Network::new(input, classes, layers, self.init)
    }
}
