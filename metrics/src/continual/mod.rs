//! Measures of continual learning: pure functions of an [`AccuracyMatrix`] or of a
//! [`lifelong::Lifetime`].
//!
//! R(i, j) is the value on task j after task i was learned, N the number of tasks. Values may be
//! shares or percentages; a measure has the unit of its values unless it is a ratio. A measure is
//! `None` where an entry that it needs was not measured. Definitions differ between papers and
//! libraries, so every name says which definition it is; `docs/METRICS.md` lists them all.

mod accuracy;
mod curriculum;
mod federated;
mod forgetting;
mod matrix;
mod measures;
mod plasticity;
mod transfer;

pub mod lean_agent;
pub mod lifelong;

pub use accuracy::{
    accuracy_so_far, area_under_online_accuracy, final_average_accuracy, learning_accuracy,
    mean_of_curve, mean_online_accuracy,
};
pub use curriculum::{FirstTask, first_task};
pub use federated::{
    ClientMatrix, mean_over_clients, mean_spatial_knowledge_retention,
    mean_temporal_knowledge_retention, spatial_knowledge_retention, temporal_knowledge_retention,
    weighted_matrix,
};
pub use forgetting::{backward_transfer, forgetting_just_learned, forgetting_max};
pub use matrix::{AccuracyMatrix, Scale};
pub use measures::{Measure, TaskValues, measures, out_of_scale};
pub use plasticity::{intransigence, plasticity_difference, plasticity_ratio};
pub use transfer::forward_transfer;

/// The mean of values that all have to be there; `None` if one is missing or there are none.
fn mean_of(values: impl Iterator<Item = Option<f64>>) -> Option<f64> {
    crate::mean(&values.collect::<Option<Vec<f64>>>()?)
}
