//! Continual-learning methods: one file each.

mod a_gem;
mod der;
mod der_pp;
mod er;
mod gdumb;
mod gem;
mod icarl;
mod naive;
mod projection;
#[cfg(test)]
mod replay_testbed;

pub mod buffer;

pub use a_gem::AGem;
pub use der::Der;
pub use der_pp::DerPp;
pub use er::{Balance, Er, Fill};
pub use gdumb::GDumb;
pub use gem::Gem;
pub use icarl::Icarl;
pub use naive::Naive;
