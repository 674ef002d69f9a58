//! Continual-learning methods: one file each.

mod er;
mod naive;

pub mod buffer;

pub use er::Er;
pub use naive::Naive;
