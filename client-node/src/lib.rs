//! What a node does with an assignment.
//!
//! A node hosts one real client or thousands of virtual ones. It looks up or makes a client's shard,
//! orders its samples, trains a copy of the global model, and adds the update to its unit's sum. The
//! answer to an assignment depends on the assignment alone, so repeating one gives the same bits.

#![forbid(unsafe_code)]

mod call;
mod continual;
mod course;
pub mod crew;
mod error;
mod evaluate;
mod expert;
pub mod machine;
mod memory;
mod node;
mod passes;
mod plan;
pub mod quic;
mod retrieval;
mod scores;
mod steps;
mod trace;
mod train;
mod unit;
pub mod workshop;

pub use error::NodeError;
pub use node::{Node, Worker};
