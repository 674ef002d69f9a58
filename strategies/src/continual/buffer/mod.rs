//! Buffers of samples: places and tasks, never the samples themselves.

mod budget;
mod class_balanced;
mod herding;
mod logged;
mod policy;
mod reservoir;
mod ring;

pub use budget::{Budget, Room};
pub use class_balanced::ClassBalanced;
pub use herding::herd;
pub(super) use herding::mean_of;
pub use logged::Logged;
pub use policy::{Buffer, Policy};
pub use reservoir::Reservoir;
pub use ring::Ring;
