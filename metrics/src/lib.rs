//! Measures of a run and the files they are written to.
//!
//! A run's only record is its event log, `events.jsonl` ([`EventLog`], [`EventReader`]). Tables
//! ([`write_tables`]) and the summary ([`SummaryBuilder`]) are functions of it, apart from what only
//! the driver can know ([`Conditions`], [`Latencies`] of single clients). Nothing here has a clock.
//!
//! [`continual`] holds the measures of continual learning as pure functions, [`l2log`] and
//! [`read_matrices`] the files they are computed from, [`ranks`] statistics of rankings.

#![forbid(unsafe_code)]

mod client_line;
mod compare;
pub mod continual;
mod effects;
mod extent;
mod hypervolume;
pub mod l2log;
mod labelled;
mod latency;
mod log;
mod log_error;
mod matrix_file;
mod measure;
mod memory;
mod parquet_table;
mod personal_record;
pub mod ranks;
mod replacement;
mod rows;
mod run_table;
mod span;
mod statistics;
mod stream_record;
mod summary;
mod summary_builder;
mod tables;
mod text_table;
mod unreadable;

#[cfg(test)]
mod small_run;

pub use compare::{Comparison, Row, compare};
pub use effects::effects;
pub use extent::Extent;
pub use hypervolume::hypervolume;
pub use labelled::Labelled;
pub use latency::{Latencies, LatencyKind, LatencyReport, Quantiles};
pub use log::{EventLog, EventReader};
pub use log_error::LogError;
pub use matrix_file::{Setup, read_matrices, read_task_values};
pub use measure::{Measure, Unit};
pub use memory::{available_mib, cpu_seconds, peak_rss_mib, rss_mib};
pub use replacement::write_whole;
pub use run_table::write_runs;
pub use span::Latency;
pub use statistics::{Interval, holm, interval, mean, median, p_value, paired, t_quantile_95};
pub use stream_record::{Curve, Learned, StreamRecord};
pub use summary::{Status, Summary, SummaryError};
pub use summary_builder::{Conditions, SummaryBuilder};
pub use tables::{CLIENTS_PARQUET, EVENTS, ROUNDS_CSV, ROUNDS_PARQUET, TableError, write_tables};
pub use text_table::InputError;
pub use unreadable::unreadable;
