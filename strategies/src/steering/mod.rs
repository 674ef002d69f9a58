//! Rules that steer a run: which model a round trains, and what becomes of models.

mod average;

pub use average::Average;
