//! Named models: each turns its keys into a stack of layers.

mod char_lstm;
mod cnn;
mod dual_encoder;
mod fedavg_cnn;
#[cfg(test)]
mod golden;
mod gpt;
mod leaf_cnn;
mod lenet5;
mod logistic;
mod mlp;
mod parts;
mod pfl_cnn;
mod resnet20;
mod resnet9;
mod softmax;
mod stack;
#[cfg(test)]
mod tests;
mod text_classifier;

pub use char_lstm::CharLstm;
pub use cnn::Cnn;
pub use dual_encoder::DualEncoder;
pub use fedavg_cnn::FedavgCnn;
pub use gpt::Gpt;
pub use leaf_cnn::LeafCnn;
pub use lenet5::{Lenet5, Lenet5Variant};
pub use logistic::Logistic;
pub use mlp::Mlp;
pub use parts::{Batch, Group, Norm};
pub use pfl_cnn::PflCnn;
pub use resnet9::Resnet9;
pub use resnet20::Resnet20;
pub use softmax::Softmax;
pub use stack::Stack;
pub use text_classifier::TextClassifier;

use lyceum_core::{Network, NetworkError};

/// A model as a scenario names it.
pub trait Model: Send + Sync {
    /// The network for samples of shape `input` (`[features]` or `[channels, height, width]`).
    fn network(&self, input: &[usize], classes: usize) -> Result<Network, NetworkError>;

    /// Why it cannot tell so many classes apart, and what would be right, where that does not depend on its layers.
    fn unfit(&self, _classes: usize) -> Option<(String, String)> {
        None
    }
}

/// A number of layers within reason, or what is wrong with it.
fn at_most(key: &str, count: usize, most: usize) -> Result<usize, NetworkError> {
    match count <= most {
        true => Ok(count),
        false => Err(NetworkError {
            index: 0,
            layer: "model".into(),
            reason: format!("{key} {count} is out of range: from 1 to {most}"),
        }),
    }
}
