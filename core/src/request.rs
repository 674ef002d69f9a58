//! What somebody outside asks of a run while it goes on.

use crate::{Probe, TaskDefinition};
use serde::{Deserialize, Serialize};

/// A question or a wish. It is taken between two rounds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// Tells requests of one run apart.
    pub id: String,
    /// What is wanted.
    pub want: Want,
}

/// What is wanted of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Want {
    /// What a weighted sum of models of the book is worth. It changes nothing and is in no chain.
    Judge {
        /// Names and weights.
        of: Vec<(String, f64)>,
    },
    /// What the model is worth that a knowledge base has for a preference over the tasks: one weight a task. It changes nothing
    /// and is in no chain.
    Prefer {
        /// At least 0 each, 1 together.
        weights: Vec<f64>,
    },
    /// A task joins the stream. The round in which it is told is in the chain.
    AddTask(TaskDefinition),
}

/// What a model is worth on a probe.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Worth {
    /// Which samples.
    pub probe: Probe,
    /// Share of hits.
    pub accuracy: f64,
    /// Mean of the scenario's loss in nats.
    pub loss: f64,
    /// Samples.
    pub samples: u64,
}

/// What became of a request.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Answer {
    /// Whose answer it is.
    pub id: String,
    /// Behind which round it was taken.
    pub round: crate::Round,
    /// What the models are worth, where that was asked.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub worth: Vec<Worth>,
    /// The task that joined the stream.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task: Option<TaskDefinition>,
    /// Why nothing was done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<String>,
}
