//! A run as one of a group.

use crate::summary::Summary;

/// A run and the group that it belongs to.
#[derive(Clone, Debug, PartialEq)]
pub struct Labelled {
    /// Name of the group; the runs of a group differ in their seeds.
    pub label: String,
    /// Root of all randomness.
    pub seed: u64,
    /// What sets the group apart: dotted keys with their values, in the order of columns.
    pub settings: Vec<(String, String)>,
    /// Where it lies, as a person calls it.
    pub folder: Option<String>,
    /// The run, or why it failed.
    pub outcome: Result<Summary, String>,
}

impl Labelled {
    /// A run that is labelled by its name.
    pub fn named(summary: Summary) -> Self {
        Self {
            label: summary.name.clone(),
            seed: summary.seed,
            settings: Vec::new(),
            folder: None,
            outcome: Ok(summary),
        }
    }
}
