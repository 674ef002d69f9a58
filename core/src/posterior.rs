//! What is known of a posterior that was learned for a task.

use crate::TaskId;
use serde::{Deserialize, Serialize};

/// A posterior of a task, and what became of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Posterior {
    /// Of which task.
    pub task: TaskId,
    /// With which of the priors, from 0.
    pub prior: u32,
    /// Name of the model in the book that it began as a prior with.
    pub prior_model: String,
    /// Name of the model in the book that stands for it: its own, or that of a posterior that is near enough.
    pub model: String,
    /// Whether it was given up for the one that stands for it.
    pub reused: bool,
    /// Distance to the nearest of those that were there; `None` for the first.
    pub distance: Option<f64>,
    /// Divergence from that prior, in nats.
    pub divergence: f64,
    /// Rounds that it was trained in.
    pub rounds: u64,
    /// Posteriors that are kept from now on.
    pub kept: u64,
    /// Bytes that they take.
    pub bytes: u64,
}
