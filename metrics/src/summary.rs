//! A run in a few numbers.

use crate::latency::LatencyReport;
use crate::replacement::Replacement;
use crate::unreadable;
use lyceum_core::Fingerprint;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// A run in a few numbers, written as `summary.json`. Losses are in nats, accuracies are shares.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// From the scenario.
    pub name: String,
    /// Root of all randomness.
    pub seed: u64,
    /// How the run ended.
    pub status: Status,
    /// Rounds done.
    pub rounds: u64,
    /// Rounds planned.
    pub rounds_planned: u64,
    /// Clients in the federation.
    pub clients: u64,
    /// Threads that trained.
    pub threads: u64,
    /// Engine that trained.
    pub engine: String,
    /// The last link of the chain; of a run that has not ended, that after its last round, and that of nothing before the first.
    pub fingerprint: Fingerprint,
    /// Of the last evaluation of the test probe.
    pub final_accuracy: Option<f64>,
    /// Mean over the last 10 evaluations of the test probe, or over all where there are fewer. The
    /// last 10 rounds only where every round is evaluated.
    pub mean_last_10_accuracy: Option<f64>,
    /// Evaluations that this mean is of.
    #[serde(default)]
    pub mean_last_10_evaluations: u64,
    /// Largest over the evaluations of the test probe; in a stream, of those after all tasks have come. Optimistic: it is
    /// a choice by the test set.
    pub best_accuracy: Option<f64>,
    /// Of the last evaluation of the test probe, where it is finite.
    pub final_loss: Option<f64>,
    /// Measures beyond these, by name, such as `average accuracy` of a run over a stream of tasks. How they are
    /// shown follows from the name ([`crate::Measure::named`]).
    #[serde(default)]
    pub measures: BTreeMap<String, f64>,
    /// Which of those are missing because nobody was judged at the right time, and why, as sentences.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unmeasured: Vec<String>,
    /// First round after which the validation probe had its best accuracy; in a stream, after all tasks have come.
    pub best_round: Option<u64>,
    /// Largest over the evaluations of the validation probe.
    pub best_validation_accuracy: Option<f64>,
    /// From the start of the process to the end of its first round, evaluation included.
    pub seconds_to_first_round: f64,
    /// Median over the rounds, evaluation left out, to a thousandth of itself.
    pub seconds_per_round_median: f64,
    /// From the start of the process to the summary.
    pub seconds_total: f64,
    /// Processor time of the process so far, over all threads.
    #[serde(default)]
    pub cpu_seconds: f64,
    /// Largest resident set of the process.
    pub peak_rss_mib: f64,
    /// Bytes of parameters received from clients.
    pub bytes_up: u64,
    /// Bytes of parameters sent to clients.
    pub bytes_down: u64,
    /// Samples that went through training, repeats counted.
    pub samples_trained: u64,
    /// Samples that went through the model only to be scored.
    pub samples_scored: u64,
    /// Optimizer steps.
    pub steps: u64,
    /// Clients whose work was refused, over all rounds.
    pub refused: u64,
    /// Clients that never answered, over all rounds.
    pub dropped_out: u64,
    /// How long things took.
    pub latency: LatencyReport,
}

/// How a run ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// All rounds are done.
    Finished,
    /// It can be resumed. Also of a log that just ends.
    #[default]
    Paused,
    /// It cannot go on.
    Stalled,
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Finished => "finished",
            Self::Paused => "paused",
            Self::Stalled => "stalled",
        })
    }
}

/// Why a summary could not be written or read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SummaryError {
    /// The file could not be written or read.
    #[error("summary {path}: {source}")]
    File {
        /// Of the summary.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file is not a summary.
    #[error(
        "summary {path} is damaged: {}; `lyceum run` with --resume makes it again",
        unreadable(.source)
    )]
    Content {
        /// Of the summary.
        path: PathBuf,
        /// Why.
        source: serde_json::Error,
    },
}

impl Summary {
    /// Writes the summary as JSON; the file appears whole or not at all.
    pub fn write(&self, path: &Path) -> Result<(), SummaryError> {
        let mut text = serde_json::to_vec_pretty(self).map_err(|source| content(path, source))?;
        text.push(b'\n');
        Replacement::begin(path)
            .and_then(|(replacement, mut file)| {
                file.write_all(&text)?;
                replacement.commit(file)
            })
            .map_err(|source| at(path, source))
    }

    /// Reads a summary.
    pub fn read(path: &Path) -> Result<Self, SummaryError> {
        let text = std::fs::read(path).map_err(|source| at(path, source))?;
        serde_json::from_slice(&text).map_err(|source| content(path, source))
    }
}

fn at(path: &Path, source: io::Error) -> SummaryError {
    let path = path.to_path_buf();
    SummaryError::File { path, source }
}

fn content(path: &Path, source: serde_json::Error) -> SummaryError {
    let path = path.to_path_buf();
    SummaryError::Content { path, source }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::small_run::run;
    use crate::{Conditions, SummaryBuilder};

    #[test]
    fn a_written_summary_is_read_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("summary.json");
        let mut builder = SummaryBuilder::new();
        run().iter().for_each(|event| builder.observe(event));
        builder.client_update(1500);
        let summary = builder.summary(Conditions::default());
        summary.write(&path).unwrap();
        assert_eq!(Summary::read(&path).unwrap(), summary);
        assert_eq!(summary.latency.client_update.p50, 1.5);
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.contains("\"status\": \"finished\""), "{text}");
        std::fs::write(&path, "{}").unwrap();
        assert!(matches!(
            Summary::read(&path),
            Err(SummaryError::Content { .. })
        ));
    }
}
