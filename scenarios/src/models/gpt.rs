use super::Model;
use lyceum_core::{
    Init, Layer, Network, NetworkError,
    units::{Count, Decay},
};
use lyceum_layers::{Approximate, Attention, Embedding, Gelu, LayerNorm, Linear, Positions};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A transformer that answers at every place and sees none behind it, built and started as GPT-2 (Radford et al. 2019). Samples are
/// tokens, as many as the context is long.
///
/// `embedding`; `positions`, unless they are rotary; `dropout`; as often as `layers` says a residual block of `layer_norm`,
/// `attention`, `dropout`, and one of `layer_norm`, `linear` to 4 times the width, `gelu` (by tanh), `linear` back, `dropout`;
/// `layer_norm`; `linear` to the classes, without a bias and with weights of its own. Weights start normal with deviation 0.02, those
/// that end a block with 0.02 / sqrt(2 layers); biases at zero.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Gpt {
    /// Pairs of residual blocks, at most 1000.
    pub layers: Count,
    /// Heads of attention; divides the width.
    pub heads: Count,
    /// Values of a place.
    pub width: Count,
    /// Share of values that training zeroes, behind the embedding and in front of each sum; 0 by default.
    #[serde(default = "none")]
    pub dropout: Decay,
    /// Whether queries and keys turn with their place in the stead of learned positions; false by default.
    #[serde(default)]
    pub rotary: bool,
    /// Number of tokens; that of the classes by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vocabulary: Option<Count>,
}

const MOST_LAYERS: usize = 1000;
const DEVIATION: f64 = 0.02;

fn none() -> Decay {
    Decay::new(0.0).expect("0 is in range")
}

impl Gpt {
    fn norm() -> Layer {
        Layer::open("layer_norm", LayerNorm { epsilon: 1e-5 })
    }

    fn linear(units: usize, bias: bool, deviation: f64) -> Layer {
        let linear = Linear {
            units,
            bias,
            deviation: Some(deviation),
        };
        Layer::open("linear", linear)
    }

    fn dropout(&self) -> Option<Layer> {
        let share = self.dropout.get();
        (share > 0.0).then_some(Layer::Dropout { share })
    }

    /// Layers that something is added to.
    fn block(&self, layers: Vec<Layer>) -> Layer {
        let layers = std::iter::once(Self::norm()).chain(layers);
        Layer::Residual {
            layers: layers.chain(self.dropout()).collect(),
            projection: Vec::new(),
        }
    }

    fn pair(&self, last: f64) -> [Layer; 2] {
        let attention = Attention {
            rotary: self.rotary,
            deviation: Some(DEVIATION),
            output_deviation: Some(last),
            ..Attention::new(self.heads.get())
        };
        let gelu = Gelu {
            approximate: Approximate::Tanh,
        };
        let width = self.width.get();
        let dense = vec![
            Self::linear(width.saturating_mul(4), true, DEVIATION),
            Layer::open("gelu", gelu),
            Self::linear(width, true, last),
        ];
        [
            self.block(vec![Layer::open("attention", attention)]),
            self.block(dense),
        ]
    }
}

impl Model for Gpt {
    fn network(&self, input: &[usize], classes: usize) -> Result<Network, NetworkError> {
        let count = super::at_most("layers", self.layers.get(), MOST_LAYERS)?;
        let embedding = Embedding {
            size: self.vocabulary.map_or(classes, Count::get),
            width: self.width.get(),
            deviation: DEVIATION,
        };
        let positions = Positions {
            deviation: DEVIATION,
        };
        let mut layers = vec![Layer::open("embedding", embedding)];
        layers.extend((!self.rotary).then(|| Layer::open("positions", positions)));
        layers.extend(self.dropout());
        let last = DEVIATION / (2.0 * count as f64).sqrt();
        layers.extend((0..count).flat_map(|_| self.pair(last)));
        layers.push(Self::norm());
        layers.push(Self::linear(classes, false, DEVIATION));
        // Every layer says itself how it starts.
        Network::new(input, classes, layers, Init::He)
    }
}
