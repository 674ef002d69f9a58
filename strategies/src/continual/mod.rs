//! Continual-learning methods: one file each.

mod a_gem;
mod averaged_ewc;
mod cumulative;
mod der;
mod der_pp;
mod er;
mod ewc;
mod freeze;
mod gdumb;
mod gem;
mod icarl;
mod joint;
mod l2;
mod lora;
mod lwf;
mod mas;
mod naive;
mod nearest_mean;
mod projection;
mod si;
mod task_weights;
mod vcl;
mod vcl_coreset;

pub mod buffer;
pub mod fisher;
pub mod importance;

#[cfg(test)]
mod replay_testbed;
#[cfg(test)]
mod testbed;

pub use a_gem::AGem;
pub use averaged_ewc::AveragedEwc;
pub use cumulative::Cumulative;
pub use der::Der;
pub use der_pp::DerPp;
pub use er::{Balance, Er, Fill};
pub use ewc::{Ewc, EwcMode};
pub use freeze::Freeze;
pub use gdumb::GDumb;
pub use gem::Gem;
pub use icarl::Icarl;
pub use joint::Joint;
pub use l2::L2;
pub use lora::Lora;
pub use lwf::{Alpha, Lwf, Mask};
pub use mas::Mas;
pub use naive::Naive;
pub use nearest_mean::NearestMean;
pub use si::Si;
pub use vcl::{Vcl, VclState};
pub use vcl_coreset::{VclCoreset, VclCoresetState};
