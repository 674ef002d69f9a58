//! Bad networks on purpose.
//!
//! [`Link`] decides the fate of every packet between two places from a seed: pure, no clock, no input or output.
//! [`SimNet`] puts it under real QUIC in virtual time; [`proxy`] puts it between real sockets.

#![forbid(unsafe_code)]

mod faults;
mod link;
mod net;
mod udp;

pub mod proxy;

pub use faults::{Direction, Directions, LinkFaults, Partition};
pub use link::{Arrivals, Link, LinkCounts};
pub use net::SimNet;
pub use udp::{endpoint_config, plain_packets};
