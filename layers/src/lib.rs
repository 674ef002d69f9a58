//! Layers of networks, one file each: what a layer makes of a shape, its tensors and how they start, and what it does on the
//! processor.
//!
//! Any crate may add a layer: see [`LayerKind`](lyceum_core::LayerKind).
//!
//! What it never does: it knows no client, round, strategy or message; it draws no random number of its own; it starts no thread.
//! Unsafe code stands in [`kernel`] alone.

mod activation;
mod attention;
mod cell;
mod contrastive;
mod conv1d;
mod conv2d;
mod convolution;
mod depthwise;
mod embedding;
mod embedding_bag;
mod global_avg_pool;
mod gru;
pub mod kernel;
mod kinds;
mod layer_norm;
mod linear;
mod lstm;
pub mod matrix;
mod nonzero;
mod norm;
mod padding;
mod panels;
mod patched;
mod pool_places;
mod positions;
mod recurrent;
mod rms_norm;
mod rnn;
mod rotary;
mod softmax;
mod sparse_linear;
mod squash;

pub use activation::{Approximate, Gelu, LeakyRelu, Sigmoid, Silu};
pub use attention::Attention;
pub use contrastive::{Contrast, PairRows, to_length_1};
pub use conv1d::Conv1d;
pub use conv2d::{Conv2d, Pad, Pair, Same};
pub use embedding::Embedding;
pub use embedding_bag::{Bag, EmbeddingBag};
pub use global_avg_pool::GlobalAvgPool;
pub use gru::Gru;
pub use kinds::{Takes, give};
pub use layer_norm::LayerNorm;
pub use linear::Linear;
pub use lstm::Lstm;
pub use padding::PaddingMode;
pub use pool_places::{PoolPlaces, Pooled};
pub use positions::Positions;
pub use rms_norm::RmsNorm;
pub use rnn::{Rnn, RnnActivation};
pub use sparse_linear::SparseLinear;

use lyceum_core::{Initial, units::Positive};

/// The first `len` values of a buffer that only ever grows, so that no step fills it anew.
pub fn room<T: Copy + Default>(buffer: &mut Vec<T>, len: usize) -> &mut [T] {
    if buffer.len() < len {
        buffer.resize(len, T::default());
    }
    &mut buffer[..len]
}

/// Size of the last axis; 0 without one.
fn last(shape: &[usize]) -> usize {
    shape.last().copied().unwrap_or(0)
}

/// How weights start: by a deviation of their own, or as the network draws them.
fn weights(deviation: Option<Positive>, fan_in: f64, fan_out: f64) -> Initial {
    match deviation {
        Some(deviation) => Initial::Normal {
            deviation: deviation.get(),
        },
        None => Initial::Weight { fan_in, fan_out },
    }
}

/// Most values that a size of a layer may say, so that shapes can be worked out without overflow.
const LARGEST: usize = 1 << 30;

/// A size within reason, or what is wrong with it.
fn at_least_one(name: &str, size: usize) -> Result<(), String> {
    match size {
        1..=LARGEST => Ok(()),
        _ => Err(format!(
            "{name} {size} is out of range: from 1 to {LARGEST}"
        )),
    }
}

/// Channels, height and width of an image.
fn image(shape: &[usize]) -> Result<[usize; 3], String> {
    shape.try_into().map_err(|_| {
        format!("needs an image (channels x height x width), but its input is {shape:?}")
    })
}

/// Sum over sixteen lanes, which compilers turn into vector code without changing the order.
#[inline(always)]
fn sum(values: impl ExactSizeIterator<Item = f32>) -> f32 {
    let mut lanes = [0.0_f32; 16];
    for (at, value) in values.enumerate() {
        lanes[at % 16] += value;
    }
    lanes.iter().sum()
}
