//! Coordinator and nodes in one process.
//!
//! Drives the round machine with worker threads, writes the run's folder, and resumes it. Threads
//! change how long a run takes and nothing else.

#![forbid(unsafe_code)]

mod checkpoint;
mod driver;
mod error;
mod model_file;
mod pool;
mod prelude;
mod run;

pub use error::RunError;
pub use run::{Settings, run};
