use super::{
    Model,
    parts::{Norm, dense, relu},
};
use lyceum_core::{Init, Layer, Network, NetworkError};
use lyceum_layers::GlobalAvgPool;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// ResNet-20 for CIFAR-10 (He et al. 2016, section 4.2), with projections where the shape changes (option B of section 4.1).
///
/// Convolution 3x3 to 16 channels, normalisation, ReLU; three stages of three blocks with 16, 32 and 64 channels; the mean of each
/// channel; dense to the classes. A block: convolution 3x3, normalisation, ReLU, convolution 3x3, normalisation, added to what went in,
/// ReLU. The first block of the second and of the third stage has a step of 2, and what went in passes a convolution 1x1 of that step
/// and a normalisation.
///
/// 273,258 trainable parameters for CIFAR-10: the paper's 0.27 million (269,722, with shortcuts of option A), 2,752 of projections, and
/// 784 biases of convolutions, which the normalisation after them makes idle.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Resnet20 {
    /// The normalisation after each convolution; "batch" by default.
    #[serde(default)]
    pub norm: Norm,
    /// How initial weights are drawn; "he" by default.
    #[serde(default)]
    pub init: Init,
}

impl Resnet20 {
    fn block(&self, channels: usize, stride: usize) -> [Layer; 2] {
        let first = self.norm.after(channels, 3, stride);
        let second = self.norm.after(channels, 3, 1);
        let projection = match stride {
            1 => Vec::new(),
            _ => self.norm.after(channels, 1, stride).into(),
        };
        let block = Layer::Residual {
            layers: first.into_iter().chain([relu()]).chain(second).collect(),
            projection,
        };
        [block, relu()]
    }
}

impl Model for Resnet20 {
    fn network(&self, input: &[usize], classes: usize) -> Result<Network, NetworkError> {
        let mut layers: Vec<Layer> = self.norm.after(16, 3, 1).into();
        layers.push(relu());
        for (channels, step) in [(16, 1), (32, 2), (64, 2)] {
            for stride in [step, 1, 1] {
                layers.extend(self.block(channels, stride));
            }
        }
        layers.push(Layer::open("global_avg_pool", GlobalAvgPool {}));
        layers.push(dense(classes));
        Network::new(input, classes, layers, self.init)
    }
}
