//! Streams of tasks: what clients see when. One file per kind of stream; when tasks come to clients (`arrival`) and
//! in which order (`order`) goes with every kind.

pub mod designer;

mod arrival;
mod blurry;
mod class_incremental;
mod composed;
mod difficulty;
mod domain_incremental;
mod gate;
mod gradual_drift;
mod groups;
mod ibcl;
mod joining_task;
#[cfg(test)]
mod laws;
mod online;
mod order;
mod progressive;
mod shift;
mod task_free;
mod task_incremental;

pub(crate) use arrival::Span;
pub use arrival::{Arrival, Joining, Repeated, Sequence, Stay};
pub use blurry::Blurry;
pub use class_incremental::ClassIncremental;
pub use composed::Composed;
pub use difficulty::{
    Bins, ByColumn, ByData, ByLength, ByLoss, Endless, Hardness, Limits, Unknown,
};
pub use domain_incremental::DomainIncremental;
pub use gate::{Competence, CompetenceGate, NextTask, Window};
pub use gradual_drift::GradualDrift;
pub use groups::ClassRef;
pub use ibcl::Ibcl;
pub(crate) use joining_task::ByClasses;
pub use online::Online;
pub use order::{
    Defined, Designed, Difficulty, Ease, End, Extent, Given, Repeats, Seeded, Size, TaskOrder,
};
pub use progressive::{Beginning, On, Progressive};
pub use shift::{
    Brightness, FeatureSkew, Grain, LabelGroups, LabelShift, Noise, Permuted, Rotated, Shift,
};
pub use task_free::TaskFree;
pub use task_incremental::TaskIncremental;

use crate::data::{Items, listed};
use lyceum_core::{
    AnySteering, AnyStrategy, Bits, Head, Members, Reach, Samples, Stream, StreamRules, Task,
    units::Misfit,
};
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

    /// Keys that are in range each, but do not go together.
    fn misfit(&self) -> Option<Misfit> {
        None
    }

    /// Rounds that each task must last where it comes to all at once.
    fn least_rounds(&self) -> u64 {
        1
    }

    /// Which tasks' samples a client may train on.
    fn reach(&self) -> Reach {
        Reach::Task
    }

    /// Whether a task is judged by validation samples of its own while it is learned, where there are any.
    fn validates(&self) -> bool {
        false
    }

    /// The rule that steers the run, where the stream brings one.
    fn steering(&self, strategy: &dyn AnyStrategy) -> Option<Arc<dyn AnySteering>> {
        let _ = strategy;
        None
    }
}

/// What a stream is cut from.
#[derive(Clone, Copy, Debug)]
pub struct Ground<'a> {
    /// Training samples, where they lie in one place.
    pub train: Option<&'a Samples>,
    /// Places of the training samples that are not validation samples, ascending.
    pub kept: &'a [u32],
    /// Places of those that are, ascending.
    pub held: &'a [u32],
    /// An expert's loss on each of the training samples that are kept, where one was trained.
    pub losses: Option<&'a [f32]>,
    /// What the data set says of the things that its tasks are made of.
    pub items: Option<&'a Items>,
    /// Names of the features; empty where they have none.
    pub features: &'a [String],
    /// Test samples.
    pub test: &'a Samples,
    /// The label that stands for each class of the data.
    pub names: &'a [u32],
    /// What the classes of the data are called; empty where they are numbers.
    pub called: &'a [String],
    /// Rounds of the run.
    pub rounds: u64,
}

/// Why data cannot be cut into a stream: what is wrong with which key of the plugin.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct StreamError {
    /// Key within the plugin's table; empty for the table.
    pub key: String,
    /// Other keys of the table that take part in it.
    pub beside: Vec<String>,
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
            beside: Vec::new(),
            message: message.into(),
            expected: expected.into(),
        }
    }

    /// The same error, in which another key takes part: it is shown at the one that was given last.
    #[must_use]
    pub fn beside(mut self, key: &str) -> Self {
        self.beside.push(key.into());
        self
    }
}

impl Ground<'_> {
    /// Number of classes of the data.
    pub fn classes(&self) -> usize {
        self.test.classes
    }

    /// A name such as `0+1` for a task of these classes.
    pub fn name_of(&self, classes: &[u32]) -> String {
        let called = match (self.called, self.items) {
            ([], Some(items)) => &items.names,
            (called, _) => called,
        };
        let name = |class: &u32| match called.get(*class as usize) {
            Some(name) => name.clone(),
            None => class.to_string(),
        };
        let names: Vec<_> = classes.iter().map(name).collect();
        names.join("+")
    }

    /// The training samples, for what can be said of each only where they lie in one place.
    pub fn pool(&self, key: &str) -> Result<&Samples, StreamError> {
        self.train.ok_or_else(|| {
            let message = "the data set makes its clients on demand";
            let label = "this needs a data set that lies in one place";
            StreamError::new(key, message, label)
        })
    }

    /// The feature of a name, for what is said of a column.
    pub fn column(&self, name: &str, key: &str) -> Result<usize, StreamError> {
        let found = self.features.iter().position(|feature| feature == name);
        found.ok_or_else(|| {
            let message = format!("there is no feature `{name}`");
            let label = match self.features {
                [] => "a table whose features have names".into(),
                names => format!("one of {}", listed(names.iter())),
            };
            StreamError::new(key, message, label)
        })
    }

    /// The labels, ascending, of the training samples at the places that a rule picks.
    pub fn shown(&self, pool: &Samples, of: impl Fn(u32) -> bool) -> Arc<[u32]> {
        let mut shown = vec![false; pool.classes];
        let picked = (0..).zip(&pool.labels).filter(|(place, _)| of(*place));
        picked.for_each(|(_, &label)| shown[label as usize] = true);
        let classes = (0..).zip(shown).filter(|(_, shown)| *shown);
        let mut labels: Vec<u32> = classes.map(|(c, _): (usize, _)| self.names[c]).collect();
        labels.sort_unstable();
        labels.into()
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

    /// A task that shows the training samples at some places, and is judged by the test samples at others, which ascend.
    pub fn task_of_places(&self, name: String, train: Vec<u32>, probe: Vec<u32>) -> Task {
        let train = Members::Places(Arc::new(train.into_iter().collect::<Bits>()));
        let classes = self.train.map(|pool| {
            let own = |place| train.contain(pool, place);
            self.shown(pool, own)
        });
        Task {
            name,
            classes: classes.unwrap_or_default(),
            train,
            probe: probe.into(),
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
