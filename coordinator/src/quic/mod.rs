//! A coordinator on the network: nodes connect over QUIC and work on one run.

mod accept;
mod catalogue;
mod connection;
mod health;
mod http;
mod hub;
mod incoming;
mod metering;
mod outlet;
mod service;
mod status;

pub use metering::Meter;
pub use service::{Network, Service, Stay, Work, admission, conduct};
pub use status::{NodeLine, Status, Watch};
