use super::Model;
use lyceum_core::{Init, Layer, Network, NetworkError};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Logistic regression: one dense layer from the inputs to one output, for two classes. Half of the parameters of a softmax over
/// both.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Logistic {
    /// How initial weights are drawn; zero by default, since the problem is convex.
    #[serde(default = "zero")]
    pub init: Init,
}

fn zero() -> Init {
    Init::Zero
}

impl Model for Logistic {
    fn network(&self, input: &[usize], classes: usize) -> Result<Network, NetworkError> {
        let layers = vec![Layer::Dense { units: 1 }, Layer::Binary {}];
        Network::new(input, classes, layers, self.init)
    }

    fn unfit(&self, classes: usize) -> Option<(String, String)> {
        (classes != 2).then(|| {
            let message = format!("`logistic` tells two classes apart, and there are {classes}");
            (
                message,
                "`softmax` is the same for any number of classes".into(),
            )
        })
    }
}
