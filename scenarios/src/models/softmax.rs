use super::Model;
use lyceum_core::{Init, Layer, Network, NetworkError};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Softmax regression: one dense layer from the inputs to the classes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Softmax {
    /// How initial weights are drawn; zero by default, since the problem is convex.
    #[serde(default = "zero")]
    pub init: Init,
}

fn zero() -> Init {
    Init::Zero
}

impl Model for Softmax {
    fn network(&self, input: &[usize], classes: usize) -> Result<Network, NetworkError> {
        Network::new(
            input,
            classes,
            vec![Layer::Dense { units: classes }],
            self.init,
        )
    }
}
