//! What the suite may be asked to do differently.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Which performance maintenance is computed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Maintenance {
    /// Against the most recent evaluation right after learning.
    #[default]
    Mrlep,
    /// Against the terminal performance of the most recent learning.
    Mrtlp,
    /// Both.
    Both,
}

/// How transfer compares an evaluation after with one before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Transfer {
    /// after / before.
    #[default]
    Ratio,
    /// (after - before) / (after + before).
    Contrast,
    /// Both.
    Both,
}

/// On which scale performances are put.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Normalization {
    /// Each task's range, over lifetime and experts, becomes 1..101.
    #[default]
    PerTask,
    /// The range of all tasks together becomes 1..101.
    Run,
    /// As they are. Ratios then depend on the unit.
    Off,
}

/// How learning curves are smoothed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Smoothing {
    /// Mean of a window, reflected at both ends. Without a length, or where a block is shorter than it:
    /// a fifth of the block, at most 100.
    Flat(Option<usize>),
    /// Not at all. Saturation, of sample efficiency, is still read off a smoothed curve.
    Off,
}

/// How several experts of a task count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ExpertAveraging {
    /// A value against each, then the mean of the values.
    #[default]
    Metrics,
    /// One value against their mean curve, cut to the shortest.
    Time,
}

/// How values of tasks become a value of the lifetime.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Aggregation {
    /// Arithmetic mean.
    #[default]
    Mean,
    /// Median.
    Median,
}

/// Least and largest performance.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Range {
    /// Least.
    pub min: f64,
    /// Largest.
    pub max: f64,
}

/// Ranges to clamp and normalise by, instead of those of the data.
#[derive(Clone, Debug, PartialEq)]
pub enum GivenRange {
    /// The same for all tasks.
    All(Range),
    /// One for each task.
    Tasks(BTreeMap<String, Range>),
}

impl GivenRange {
    pub(crate) fn of(&self, task: &str) -> Option<Range> {
        match self {
            Self::All(range) => Some(*range),
            Self::Tasks(ranges) => ranges.get(task).copied(),
        }
    }
}

/// Everything that can be chosen; the default is the reference's.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// Performance maintenance.
    pub maintenance: Maintenance,
    /// Transfer.
    pub transfer: Transfer,
    /// Scale.
    pub normalization: Normalization,
    /// Smoothing of learning blocks and experts.
    pub smoothing: Smoothing,
    /// Whether evaluation blocks are smoothed like learning blocks.
    pub smooth_evaluations: bool,
    /// Whether performances are clamped, after smoothing: to the given range, or else to the task's 10 %
    /// and 90 % quantiles over lifetime and experts.
    pub clamp: bool,
    /// Ranges instead of those of the data.
    pub range: Option<GivenRange>,
    /// Several experts of one task.
    pub expert_averaging: ExpertAveraging,
    /// Tasks to lifetime.
    pub aggregation: Aggregation,
    /// Whether variants of a task, named after an underscore, are tasks of their own.
    pub variants: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            maintenance: Maintenance::default(),
            transfer: Transfer::default(),
            normalization: Normalization::default(),
            smoothing: Smoothing::Flat(None),
            smooth_evaluations: false,
            clamp: false,
            range: None,
            expert_averaging: ExpertAveraging::default(),
            aggregation: Aggregation::default(),
            variants: true,
        }
    }
}

/// Why a lifetime cannot be measured.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum LifelongError {
    /// There is nothing in it.
    #[error("the lifetime has no experiences")]
    Empty,
    /// Ranges were given, but not for this task.
    #[error("no range is given for task `{0}`; give one for every task, or one for all")]
    NoRange(String),
    /// A given range cannot be one.
    #[error(
        "the range {min} to {max} of task `{task}` is none: the least has to be below the largest"
    )]
    BadRange {
        /// The task.
        task: String,
        /// Its least.
        min: f64,
        /// Its largest.
        max: f64,
    },
}
