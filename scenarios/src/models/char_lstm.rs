use super::Model;
use lyceum_core::{Init, Layer, Network, NetworkError, units::Count};
use lyceum_layers::{Embedding, Lstm};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The next character by long short-term memory, as LEAF does it on Shakespeare (Caldas et al. 2018): `embedding`, `lstm` as often as
/// `layers` says, of which the last gives its last state alone, and a dense layer to the classes. Samples are tokens.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CharLstm {
    /// Values of a token's vector; 8 by default.
    #[serde(default = "eight")]
    pub embedding: Count,
    /// Units of each layer; 256 by default.
    #[serde(default = "many")]
    pub units: Count,
    /// Recurrent layers, at most 100; 2 by default.
    #[serde(default = "two")]
    pub layers: Count,
    /// Number of tokens; that of the classes by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vocabulary: Option<Count>,
    /// How weights of the dense layer are drawn; "fan-in" by default, as in PyTorch.
    #[serde(default = "fan_in")]
    pub init: Init,
}

const MOST_LAYERS: usize = 100;

fn eight() -> Count {
    Count::new(8).expect("8 is in range")
}
fn many() -> Count {
    Count::new(256).expect("256 is in range")
}
fn two() -> Count {
    Count::new(2).expect("2 is in range")
}
fn fan_in() -> Init {
    Init::FanIn
}

impl Model for CharLstm {
    fn network(&self, input: &[usize], classes: usize) -> Result<Network, NetworkError> {
        let count = super::at_most("layers", self.layers.get(), MOST_LAYERS)?;
        let embedding = Embedding {
            size: self.vocabulary.map_or(classes, Count::get),
            width: self.embedding.get(),
            deviation: 1.0,
        };
        let lstm = |at| Lstm {
            units: self.units.get(),
            last: at + 1 == count,
            reverse: false,
        };
        let mut layers = vec![Layer::open("embedding", embedding)];
        layers.extend((0..count).map(|at| Layer::open("lstm", lstm(at))));
        layers.push(Layer::Dense { units: classes });
        Network::new(input, classes, layers, self.init)
    }
}
