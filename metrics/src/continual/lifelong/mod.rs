//! The lifelong-learning suite: how one learner fares over a lifetime of blocks.
//!
//! Baker et al. 2023 (*A domain-agnostic approach for characterization of lifelong learning systems*,
//! arXiv 2301.07799), metrics of arXiv 2201.08278. A lifetime is a sequence of blocks, each on one task:
//! learning blocks of learning experiences (LX) and evaluation blocks of evaluation experiences (EX). A
//! single-task expert is the same learner, trained on one task only. [`evaluate`] smooths, clamps and
//! normalises ([`Settings`]), then measures:
//!
//! | field | what |
//! |---|---|
//! | `perf_maintenance_mrlep` | evaluation later minus evaluation right after the latest learning |
//! | `perf_maintenance_mrtlp` | evaluation later minus terminal performance of the latest learning |
//! | `forward_transfer_*` | evaluation after against before a block of another task, before this one was learned |
//! | `backward_transfer_*` | the same, after this one was learned |
//! | `ste_rel_perf` | sum of learning performance against an expert's over the same number of experiences |
//! | `sample_efficiency` | saturation against an expert's, times its experiences to saturation against ours |
//! | `perf_recovery` | minus the Theil-Sen slope of the recovery times |
//! | `avg_train_perf`, `avg_eval_perf` | mean over blocks of the mean within |
//!
//! Names of fields and numbers are those of l2metrics 3.1, whose example lifetime is reproduced. Where it
//! surprises, the item's documentation says so.

mod block_statistics;
mod experts;
mod lifetime;
mod maintenance;
mod prepare;
mod recovery;
mod report;
mod settings;
mod smooth;
mod transfer;

#[cfg(test)]
mod golden;

pub use lifetime::{Block, BlockKind, Experience, Expert, Lifetime};
pub use report::{LifelongReport, TaskReport, evaluate};
pub use settings::{
    Aggregation, ExpertAveraging, GivenRange, LifelongError, Maintenance, Normalization, Range,
    Settings, Smoothing, Transfer,
};
pub use smooth::smooth;
