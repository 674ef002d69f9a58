use super::Model;
use lyceum_core::{Init, Layer, Network, NetworkError, units::Count};
use lyceum_layers::{Bag, Embedding, EmbeddingBag, PoolPlaces, Pooled};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The class of a text by the mean of its words' vectors (Joulin et al. 2017): `embedding_bag` with the mean over counts of words, or
/// `embedding` and the mean of `pool_places` over tokens where `vocabulary` says how many there are; a dense layer and a ReLU for each
/// hidden one; and a dense layer to the classes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TextClassifier {
    /// Values of a word's vector.
    pub width: Count,
    /// Units of each hidden layer, first to last; none by default.
    #[serde(default)]
    pub hidden: Vec<Count>,
    /// Number of tokens, if samples are tokens; without it they are counts, one for each word.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vocabulary: Option<Count>,
    /// How initial weights of dense layers are drawn; "he" by default.
    #[serde(default)]
    pub init: Init,
}

impl TextClassifier {
    /// From a sample to one vector.
    fn words(&self) -> Vec<Layer> {
        let width = self.width.get();
        let Some(vocabulary) = self.vocabulary else {
            let bag = EmbeddingBag {
                width,
                mode: Bag::Mean,
                deviation: 1.0,
            };
            return vec![Layer::open("embedding_bag", bag)];
        };
        let embedding = Embedding {
            size: vocabulary.get(),
            width,
            deviation: 1.0,
        };
        let pool = PoolPlaces { kind: Pooled::Mean };
        vec![
            Layer::open("embedding", embedding),
            Layer::open("pool_places", pool),
        ]
    }
}

impl Model for TextClassifier {
    fn network(&self, input: &[usize], classes: usize) -> Result<Network, NetworkError> {
        let mut layers = self.words();
        for units in &self.hidden {
            layers.extend([Layer::Dense { units: units.get() }, Layer::Relu {}]);
        }
        layers.push(Layer::Dense { units: classes });
        Network::new(input, classes, layers, self.init)
    }
}
