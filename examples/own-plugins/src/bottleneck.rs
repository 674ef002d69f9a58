//! A model of our own.

use lyceum::{
    core::{Init, Layer, Network, NetworkError, units::Count},
    scenarios::models::Model,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Dense layers with tanh, each half as wide as the one before.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Bottleneck {
    /// Units of the first hidden layer.
    width: Count,
    /// Number of hidden layers.
    depth: Count,
}

impl Model for Bottleneck {
    fn network(&self, input: &[usize], classes: usize) -> Result<Network, NetworkError> {
        let hidden = |depth: usize| Layer::Dense {
            units: (self.width.get() >> depth.min(63)).max(1),
        };
        let mut layers: Vec<_> = (0..self.depth.get())
            .flat_map(|d| [hidden(d), Layer::Tanh {}])
            .collect();
        layers.push(Layer::Dense { units: classes });
        Network::new(input, classes, layers, Init::Glorot)
    }
}
