//! Streams of tasks: what clients see when. One file per kind of stream; when tasks come to clients (`arrival`) and
//! in which order (`order`) goes with every kind.

mod arrival;
mod class_incremental;
mod order;

pub use arrival::{Arrival, Sequence};
pub use class_incremental::ClassIncremental;
pub use order::TaskOrder;

use lyceum_core::{Bits, Head, Members, Samples, Stream, StreamRules, Task};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// A kind of stream. A plugin cuts the data into tasks, and says how the stream deals with boundaries; when its tasks
/// come to whom is the framework's.
pub trait ScenarioPlugin: Send + Sync + 'static {
    /// The tasks, in the order of their definition. `rng` is the stream's own.
    fn tasks(&self, ground: &Ground<'_>, rng: &mut Stream) -> Result<Vec<Task>, StreamError>;

    /// How the stream deals with time, boundaries and logits.
    fn rules(&self) -> StreamRules {
        StreamRules {
            signals: true,
            ..StreamRules::default()
        }
    }

    /// Number of logits, where it is not the number of classes of the data.
    fn outputs(&self) -> Option<usize> {
        None
    }
}

/// What a stream is cut from.
#[derive(Clone, Copy, Debug)]
pub struct Ground<'a> {
    /// Training samples, where they lie in one place.
    pub train: Option<&'a Samples>,
    /// Test samples.
    pub test: &'a Samples,
    /// The label that stands for each class of the data.
    pub names: &'a [u32],
    /// Rounds of the run.
    pub rounds: u64,
}

/// Why data cannot be cut into a stream: what is wrong with which key of the plugin.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct StreamError {
    /// Key within the plugin's table; empty for the table.
    pub key: String,
    /// What is wrong.
    pub message: String,
    /// What would be right.
    pub expected: String,
}

impl StreamError {
    /// An error at a key.
    pub fn new(key: &str, message: impl Into<String>, expected: impl Into<String>) -> Self {
        Self {
            key: key.into(),
            message: message.into(),
            expected: expected.into(),
        }
    }
}

impl Ground<'_> {
    /// Number of classes of the data.
    pub fn classes(&self) -> usize {
        self.test.classes
    }

    /// A task that shows all samples of some classes of the data.
    pub fn task_of_classes(&self, name: String, classes: &[u32]) -> Task {
        let mut flags = vec![false; self.classes()];
        classes.iter().for_each(|&c| flags[c as usize] = true);
        let mut labels: Vec<u32> = classes.iter().map(|&c| self.names[c as usize]).collect();
        labels.sort_unstable();
        labels.dedup();
        Task {
            name,
            probe: self.probe(|class| flags[class as usize]),
            train: Members::Classes(flags.into()),
            classes: labels.into(),
            lens: Default::default(),
        }
    }

    /// A task that shows all samples.
    pub fn task_of_all(&self, name: String) -> Task {
        let mut labels = self.names.to_vec();
        labels.sort_unstable();
        Task {
            name,
            probe: self.probe(|_| true),
            train: Members::All,
            classes: labels.into(),
            lens: Default::default(),
        }
    }

    /// Places of the test samples of some classes of the data.
    pub fn probe(&self, of: impl Fn(u32) -> bool) -> Arc<[u32]> {
        let places = (0..).zip(&self.test.labels);
        places.filter(|(_, l)| of(**l)).map(|(p, _)| p).collect()
    }

    /// Places of the training samples that a rule picks by place and class of the data.
    pub fn places(&self, of: impl Fn(u32, u32) -> bool) -> Members {
        let labels = self.train.map_or(&[][..], |train| &train.labels);
        let places = (0..)
            .zip(labels)
            .filter(|(place, label)| of(*place, **label));
        Members::Places(Arc::new(places.map(|(place, _)| place).collect::<Bits>()))
    }
}

/// Which index of the model's outputs stands for which class of the data.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Labels {
    /// The data's own numbers.
    #[default]
    AsTheyAre,
    /// A permutation drawn from the seed, so that no class is label 0 in every run.
    Shuffled,
}

/// Which logits count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum HeadChoice {
    /// All, in training and in tests.
    Shared,
    /// Those of the classes that have been seen, in training and in tests: the head grows with the classes.
    Seen,
    /// All in training, those of the sample's task in tests.
    Masked,
    /// Those of the sample's task, in training and in tests: a head for each task.
    MultiHead,
}

impl HeadChoice {
    /// As the core knows it.
    pub fn head(self) -> Head {
        match self {
            Self::Shared => Head::Shared,
            Self::Seen => Head::Seen,
            Self::Masked => Head::Masked,
            Self::MultiHead => Head::Multi,
        }
    }
}
