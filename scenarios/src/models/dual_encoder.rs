use super::Model;
use lyceum_core::{
    Init, Layer, Network, NetworkError,
    units::{Count, Positive},
};
use lyceum_layers::{Linear, SparseLinear};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A dual encoder of one tower: the same layers over the query and over the candidate, which give an embedding of each (Karpukhin et
/// al. 2020, with shared weights). Layers: for each of `hidden`, linear and ReLU; then linear to `width`. The first of them is an
/// `sparse_linear` where it has no bias.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DualEncoder {
    /// Values of an embedding.
    pub width: Count,
    /// Units of hidden layers; none by default, which makes a linear map.
    #[serde(default)]
    pub hidden: Vec<Count>,
    /// Whether biases are added; false by default.
    #[serde(default)]
    pub bias: bool,
    /// How initial weights are drawn; "he" by default.
    #[serde(default)]
    pub init: Init,
    /// Standard deviation of the normal distribution that initial weights are drawn from instead; as `init` says by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deviation: Option<Positive>,
}

impl DualEncoder {
    fn linear(&self, at: usize, units: usize) -> Layer {
        let (bias, deviation) = (self.bias, self.deviation);
        match at == 0 && !bias {
            true => Layer::open("sparse_linear", SparseLinear { units, deviation }),
            false => Layer::open(
                "linear",
                Linear {
                    units,
                    bias,
                    deviation: deviation.map(Positive::get),
                },
            ),
        }
    }
}

impl Model for DualEncoder {
    fn network(&self, input: &[usize], _: usize) -> Result<Network, NetworkError> {
        let sizes = self.hidden.iter().chain([&self.width]);
        let mut layers = Vec::new();
        for (at, units) in sizes.enumerate() {
            if at > 0 {
                layers.push(Layer::Relu {});
            }
            layers.push(self.linear(at, units.get()));
        }
        layers.push(Layer::Flatten {});
        let [2, _] = input else {
            return Err(NetworkError {
                index: 0,
                layer: "input".into(),
                reason: format!(
                    "samples are {input:?}, but a dual encoder takes pairs: a query over a candidate, as the set lean-premises gives them"
                ),
            });
        };
        Network::new(input, self.width.get().saturating_mul(2), layers, self.init)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_halves_go_through_one_map() {
        let model: DualEncoder = toml::from_str("width = 128\ndeviation = 0.1").expect("read");
        let network = model.network(&[2, 4096], 25).expect("it fits");
        assert_eq!((network.classes(), network.answers()), (256, 1));
        assert_eq!(network.layout().len(), 128 * 4096);
        let first = network.initial(lyceum_core::Seed(1));
        let square: f32 = first.iter().map(|w| w * w).sum();
        let deviation = (square / first.len() as f32).sqrt();
        assert!((deviation - 0.1).abs() < 1e-3, "{deviation}");
        assert!(model.network(&[4096], 25).is_err());
        let deep: DualEncoder = toml::from_str("width = 8\nhidden = [16]").expect("read");
        let network = deep.network(&[2, 10], 3).expect("it fits");
        assert_eq!((network.classes(), network.layout().len()), (16, 288));
    }
}
