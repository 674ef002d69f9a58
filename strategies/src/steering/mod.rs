//! Rules that steer a run: which model a round trains, and what becomes of models.

mod average;
mod progress;

pub use average::Average;
pub use progress::{Begin, Best, Progress};
