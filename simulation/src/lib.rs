//! Coordinator and nodes in one process.
//!
//! Drives the round machine with worker threads, writes the run's folder, and resumes it. Threads
//! change how long a run takes and nothing else.

#![forbid(unsafe_code)]

mod driver;
mod pool;
mod run;
pub mod stack;
pub mod world;

pub use lyceum_coordinator::run::{RunError, Settings};
pub use run::run;
