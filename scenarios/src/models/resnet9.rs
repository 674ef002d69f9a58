use super::{
    Model,
    lenet5::fan_in,
    parts::{Norm, dense, max_pool, relu, sides},
};
use lyceum_core::{Init, Layer, Network, NetworkError, units::Count};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// ResNet-9: the network of Page, "How to train your ResNet" (2018), for DAWNBench, as it is commonly implemented: its last layer has
/// a bias, and nothing is scaled before the softmax.
///
/// With `block(c)` for a convolution 3x3 to c channels that keeps the size, its normalisation and ReLU, and w for the width: block(w);
/// block(2 w), max-pooling 2x2, residual of two block(2 w); block(4 w), max-pooling 2x2; block(8 w), max-pooling 2x2, residual of two
/// block(8 w); the largest value of each channel (of windows as wide as what is left of the shorter side); dense to the classes.
///
/// 6,575,370 trainable parameters for CIFAR-10 with a width of 64, of which 2,240 are biases of convolutions, which the normalisation
/// after them makes idle.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Resnet9 {
    /// Channels of the first convolution; 64 by default.
    #[serde(default = "sixty_four")]
    pub width: Count,
    /// The normalisation after each convolution; "batch" by default.
    #[serde(default)]
    pub norm: Norm,
    /// How initial weights are drawn; "fan-in" by default.
    #[serde(default = "fan_in")]
    pub init: Init,
}

fn sixty_four() -> Count {
    Count::new(64).expect("64 is a count")
}

impl Resnet9 {
    /// A block to so many times the width.
    fn block(&self, times: usize) -> impl Iterator<Item = Layer> {
        let channels = self.width.get().saturating_mul(times);
        self.norm.after(channels, 3, 1).into_iter().chain([relu()])
    }

    fn residual(&self, times: usize) -> Layer {
        Layer::Residual {
            layers: self.block(times).chain(self.block(times)).collect(),
            projection: Vec::new(),
        }
    }
}

impl Model for Resnet9 {
    fn network(&self, input: &[usize], classes: usize) -> Result<Network, NetworkError> {
        let left = sides(input).iter().min().map_or(1, |side| side / 8);
        let mut layers: Vec<Layer> = self.block(1).collect();
        layers.extend(self.block(2).chain([max_pool(2), self.residual(2)]));
        layers.extend(self.block(4).chain([max_pool(2)]));
        layers.extend(self.block(8).chain([max_pool(2), self.residual(8)]));
        layers.extend([max_pool(left.max(1)), dense(classes)]);
        Network::new(input, classes, layers, self.init)
    }
}
