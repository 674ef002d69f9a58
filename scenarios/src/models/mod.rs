//! Named models: each turns its keys into a stack of layers.

mod cnn;
mod dual_encoder;
mod logistic;
mod mlp;
mod softmax;
mod stack;

pub use cnn::Cnn;
pub use dual_encoder::DualEncoder;
pub use logistic::Logistic;
pub use mlp::Mlp;
pub use softmax::Softmax;
pub use stack::Stack;

use lyceum_core::{Network, NetworkError};

/// A model as a scenario names it.
pub trait Model: Send + Sync {
    /// The network for samples of shape `input` (`[features]` or `[channels, height, width]`).
    fn network(&self, input: &[usize], classes: usize) -> Result<Network, NetworkError>;
}
