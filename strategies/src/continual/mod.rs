//! Continual-learning methods: one file each.

mod cumulative;
mod er;
mod ewc;
mod freeze;
mod joint;
mod lora;
mod lwf;
mod mas;
mod naive;
mod si;

pub mod buffer;
pub mod fisher;
pub mod importance;

#[cfg(test)]
mod testbed;

pub use cumulative::Cumulative;
pub use er::Er;
pub use ewc::{Ewc, EwcMode};
pub use freeze::Freeze;
pub use joint::Joint;
pub use lora::Lora;
pub use lwf::{Alpha, Lwf, Mask};
pub use mas::Mas;
pub use naive::Naive;
pub use si::Si;
