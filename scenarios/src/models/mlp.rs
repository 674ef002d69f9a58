use super::Model;
use lyceum_core::{
    Init, Layer, Network, NetworkError,
    units::{Count, Decay},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Dense layers with an activation between them, and a dense layer to the classes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Mlp {
    /// Units of each hidden layer, first to last.
    pub hidden: Vec<Count>,
    /// Activation behind each hidden layer; ReLU by default.
    #[serde(default)]
    pub activation: Activation,
    /// Share of hidden values that training zeroes; 0 by default.
    #[serde(default = "none")]
    pub dropout: Decay,
    /// One output for two classes, whose logits are 0 and it; false by default.
    #[serde(default, skip_serializing_if = "is_false")]
    pub binary: bool,
    /// How initial weights are drawn; "he" by default.
    #[serde(default)]
    pub init: Init,
}

/// What stands behind a hidden layer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Activation {
    /// `max(x, 0)`.
    #[default]
    Relu,
    /// Hyperbolic tangent.
    Tanh,
}

fn is_false(value: &bool) -> bool {
    !value
}

fn none() -> Decay {
    Decay::new(0.0).expect("0 is in range")
}

impl Model for Mlp {
    fn network(&self, input: &[usize], classes: usize) -> Result<Network, NetworkError> {
        let mut layers = Vec::new();
        for units in &self.hidden {
            layers.push(Layer::Dense { units: units.get() });
            layers.push(match self.activation {
                Activation::Relu => Layer::Relu {},
                Activation::Tanh => Layer::Tanh {},
            });
            if self.dropout.get() > 0.0 {
                layers.push(Layer::Dropout {
                    share: self.dropout.get(),
                });
            }
        }
        match self.binary {
            true => layers.extend([Layer::Dense { units: 1 }, Layer::Binary {}]),
            false => layers.push(Layer::Dense { units: classes }),
        }
        Network::new(input, classes, layers, self.init)
    }
}
