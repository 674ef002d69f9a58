//! Named models: each turns its keys into a stack of layers.

mod cnn;
mod fedavg_cnn;
mod leaf_cnn;
mod lenet5;
mod logistic;
mod mlp;
mod parts;
mod pfl_cnn;
mod resnet20;
mod resnet9;
mod softmax;
#[cfg(test)]
mod tests;

pub use cnn::Cnn;
pub use fedavg_cnn::FedavgCnn;
pub use leaf_cnn::LeafCnn;
pub use lenet5::{Lenet5, Lenet5Variant};
pub use logistic::Logistic;
pub use mlp::Mlp;
pub use parts::{Batch, Group, Norm};
pub use pfl_cnn::PflCnn;
pub use resnet9::Resnet9;
pub use resnet20::Resnet20;
pub use softmax::Softmax;

use lyceum_core::{Network, NetworkError};

/// A model as a scenario names it.
pub trait Model: Send + Sync {
    /// The network for samples of shape `input` (`[features]` or `[channels, height, width]`).
    fn network(&self, input: &[usize], classes: usize) -> Result<Network, NetworkError>;
}
