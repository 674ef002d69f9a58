use super::Model;
use lyceum_core::{Init, Layer, Network, NetworkError};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A list of layers, first to last, of any kind; what the last one gives are the logits, unless a dense layer is asked for.
///
/// `layers = [{ embedding = { size = 90, width = 8 } }, { lstm = { units = 256 } }]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Stack {
    /// The layers.
    pub layers: Vec<Layer>,
    /// Whether a dense layer to the classes is added behind them; true by default.
    #[serde(default = "yes")]
    pub head: bool,
    /// How initial weights are drawn; "he" by default.
    #[serde(default)]
    pub init: Init,
}

fn yes() -> bool {
    true
}

impl Model for Stack {
    fn network(&self, input: &[usize], classes: usize) -> Result<Network, NetworkError> {
        let mut layers = self.layers.clone();
        layers.extend(self.head.then_some(Layer::Dense { units: classes }));
        Network::new(input, classes, layers, self.init)
    }
}
