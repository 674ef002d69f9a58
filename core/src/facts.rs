//! What a stream of tasks was told while the run went on.
//!
//! **Invariant:** facts are only appended. The stream of a round is a function of the scenario, the seed and the facts before
//! it, so whoever has the log can make the stream again.

use crate::{
    Fingerprint, Round, Task, TaskId,
    codec::{self, CodecError},
};
use serde::{Deserialize, Serialize};
use std::{fmt, sync::Arc};

/// Bytes of a log on the wire, at most.
const MOST: usize = 16 << 20;

/// One thing that a stream was told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fact {
    /// The next stage of a gated stream begins with a round.
    Stage {
        /// Its first round.
        round: Round,
    },
    /// Of the tasks that a gate has left, this one comes with the next stage.
    Chosen {
        /// The task.
        task: TaskId,
    },
    /// A task joins the stream.
    Task {
        /// The first round in which clients meet it, where nothing else begins.
        round: Round,
        /// What it shows.
        task: TaskDefinition,
    },
}

/// A task as data: what is needed to make it of the samples that are there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TaskDefinition {
    /// For tables and events.
    pub name: String,
    /// Classes of the data whose samples it shows, each once.
    pub classes: Vec<u32>,
}

/// Makes tasks of their definitions, the same on the coordinator and on every node.
pub trait TaskMaker: Send + Sync + fmt::Debug {
    /// The task; an error says why the data do not have it.
    fn task(&self, definition: &TaskDefinition) -> Result<Task, FactError>;
}

/// Why a stream cannot take a fact.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct FactError(pub String);

/// All that a stream was told, in order. Cheap to clone.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Facts(Arc<[Fact]>);

impl Facts {
    /// The log with one more fact behind it.
    pub fn with(&self, fact: Fact) -> Self {
        Self(self.0.iter().cloned().chain([fact]).collect())
    }

    /// In the order in which they were told.
    pub fn all(&self) -> &[Fact] {
        &self.0
    }

    /// Whether nothing was told.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether both are one log, without looking into it.
    pub fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// First rounds of the stages of a gate, that of the first stage included.
    pub fn stages(&self) -> Vec<Round> {
        let later = self.0.iter().filter_map(|fact| match fact {
            Fact::Stage { round } => Some(*round),
            _ => None,
        });
        [Round(0)].into_iter().chain(later).collect()
    }

    /// Names the log by what it holds.
    pub fn hash(&self) -> Fingerprint {
        Fingerprint::of(&self.to_bytes())
    }

    /// The log as it crosses a network.
    pub fn to_bytes(&self) -> Vec<u8> {
        codec::encode(self)
    }

    /// Reads [`to_bytes`](Self::to_bytes).
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, CodecError> {
        codec::decode_within::<Self, MOST>(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_grows_and_is_read_back() {
        let task = TaskDefinition {
            name: "late".into(),
            classes: vec![3, 1],
        };
        let log = Facts::default()
            .with(Fact::Stage { round: Round(4) })
            .with(Fact::Task {
                round: Round(6),
                task,
            })
            .with(Fact::Stage { round: Round(9) });
        assert_eq!(log.stages(), [0, 4, 9].map(Round));
        assert_eq!(Facts::from_bytes(&log.to_bytes()), Ok(log.clone()));
        assert_ne!(log.hash(), Facts::default().hash());
        assert!(Facts::from_bytes(&log.to_bytes()[1..]).is_err());
        assert!(Facts::default().is_empty() && log.is_same(&log.clone()));
    }
}
