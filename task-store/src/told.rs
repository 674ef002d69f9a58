//! What a store was told: the facts of its log.

use crate::sample::Columns;
use lyceum_core::Fingerprint;
use serde::{Deserialize, Serialize};

/// A part of what was added: a file that is named by its content.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Part {
    /// BLAKE3 of the file.
    pub hash: Fingerprint,
    /// Records in it.
    pub records: u64,
}

/// What a delivery holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Samples of the task.
    Samples,
    /// Pieces that tasks share, such as premises or a corpus.
    Pieces,
}

/// Samples or pieces for a task.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Added {
    /// Name of the task; a new one, or one that grows.
    pub task: String,
    /// What the task is, in words of its owner.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub definition: String,
    /// Where it is from.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub provenance: String,
    /// What it holds.
    pub kind: Kind,
    /// How its records are read.
    pub columns: Columns,
    /// Name of the rule that decides where the store has another version already.
    pub rule: String,
    /// Its content, all parts together.
    pub content: Fingerprint,
    /// Where the content is.
    pub parts: Vec<Part>,
}

/// Tasks that become one more task.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Merged {
    /// Name of the new task.
    pub task: String,
    /// Names of the tasks that it is made of; the last one is the latest.
    pub of: Vec<String>,
    /// Name of the rule that decides where they hold one sample in different versions.
    pub rule: String,
}

/// Samples that somebody has solved.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Solved {
    /// Who solved them.
    pub by: String,
    /// In which round of a run, where it was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub round: Option<u64>,
    /// How the solved versions are read.
    pub columns: Columns,
    /// The solved versions.
    pub parts: Vec<Part>,
}

/// One thing that a store was told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Told {
    /// Samples or pieces came.
    Added(Added),
    /// Tasks were merged.
    Merged(Merged),
    /// Samples were solved.
    Solved(Solved),
}

impl Told {
    /// Parts that hold what it tells of.
    pub fn parts(&self) -> &[Part] {
        match self {
            Self::Added(added) => &added.parts,
            Self::Merged(_) => &[],
            Self::Solved(solved) => &solved.parts,
        }
    }
}
