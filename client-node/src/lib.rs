//! What a node does with an assignment.
//!
//! A node hosts one real client or thousands of virtual ones. It looks up or makes a client's shard,
//! orders its samples, trains a copy of the global model, and adds the update to its unit's sum. The
//! answer to an assignment depends on the assignment alone, so repeating one gives the same bits.

#![forbid(unsafe_code)]

mod course;
mod evaluate;
mod expert;
pub mod machine;
mod node;
mod scores;
mod train;

pub use node::{Node, NodeError, Worker};
