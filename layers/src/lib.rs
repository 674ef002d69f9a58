//! Layers of networks, one file each: what a layer makes of a shape, its tensors and how they start, and what it does on the
//! processor.
//!
//! Any crate may add a layer: see [`LayerKind`](lyceum_core::LayerKind).
//!
//! What it never does: it knows no client, round, strategy or message; it draws no random number of its own; it starts no thread.
//! Unsafe code stands in [`kernel`] alone.

mod contrastive;
mod embedding_bag;
pub mod kernel;
mod kinds;
mod layer_norm;
mod linear;
pub mod matrix;
mod nonzero;
mod norm;
mod rms_norm;

pub use contrastive::{Contrast, PairRows, to_length_1};
pub use embedding_bag::EmbeddingBag;
pub use kinds::{Takes, give};
pub use layer_norm::LayerNorm;
pub use linear::Linear;
pub use rms_norm::RmsNorm;

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
