//! When the next task comes: not at a round, but once the federation's model is competent.

use super::{Ground, StreamError};
use lyceum_core::{
    Gate, Reach, Task, TaskId, Visit,
    units::{Count, Fraction},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// A competence gate: the next task comes to all clients once the global model is competent at the one before. Its name
/// says which tasks are shown.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum CompetenceGate {
    /// Only the task that came last is shown, and must be mastered.
    Replace(Competence),
    /// All tasks that have come are shown; the last one must be mastered, and all of them on average.
    Accumulate(Competence),
    /// The tasks that came last are shown; the last one must be mastered, and they on average.
    Window(Window),
}

/// When a task counts as mastered, by the validation samples of the tasks that are shown.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Competence {
    /// Accuracy that must be exceeded; 0.98 by default. With 1 it is patience alone that brings tasks.
    #[serde(default = "mastery")]
    pub threshold: Fraction,
    /// Rounds that a task lasts at least; 1 by default.
    #[serde(default = "one")]
    pub min_rounds: Count,
    /// Rounds after which the next task comes however good the model is; the run's rounds in equal parts by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub patience: Option<Count>,
    /// Rounds between judgements; `evaluation.every` by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub every: Option<Count>,
    /// Which of the tasks that are left comes next, by the model's loss on their validation samples; "given" by default.
    #[serde(default, skip_serializing_if = "NextTask::is_given")]
    pub next: NextTask,
}

/// As many tasks as are shown, and when one counts as mastered.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Window {
    /// Tasks that are shown: the last one, and those that came before it.
    pub tasks: Count,
    /// Accuracy that must be exceeded; 0.98 by default. With 1 it is patience alone that brings tasks.
    #[serde(default = "mastery")]
    pub threshold: Fraction,
    /// Rounds that a task lasts at least; 1 by default.
    #[serde(default = "one")]
    pub min_rounds: Count,
    /// Rounds after which the next task comes however good the model is; the run's rounds in equal parts by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub patience: Option<Count>,
    /// Rounds between judgements; `evaluation.every` by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub every: Option<Count>,
    /// Which of the tasks that are left comes next, by the model's loss on their validation samples; "given" by default.
    #[serde(default, skip_serializing_if = "NextTask::is_given")]
    pub next: NextTask,
}

/// Which of the tasks that are left comes next. Equals come in the order of the stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum NextTask {
    /// The next one in the order of the stream.
    #[default]
    Given,
    /// The one at which the model's loss is lowest.
    Best,
    /// The one at which its loss is highest, where there is most to gain.
    Worst,
}

impl NextTask {
    fn is_given(&self) -> bool {
        *self == Self::Given
    }

    fn rule(self) -> lyceum_core::NextTask {
        match self {
            Self::Given => lyceum_core::NextTask::Given,
            Self::Best => lyceum_core::NextTask::Best,
            Self::Worst => lyceum_core::NextTask::Worst,
        }
    }
}

fn mastery() -> Fraction {
    Fraction::new(0.98).expect("0.98 is a share")
}

fn one() -> Count {
    Count::new(1).expect("1 is in range")
}

impl CompetenceGate {
    /// Which tasks are shown.
    pub(crate) fn shows(&self) -> Reach {
        match self {
            Self::Replace(_) => Reach::Task,
            Self::Accumulate(_) => Reach::UpToNow,
            Self::Window(window) => {
                Reach::Window(u32::try_from(window.tasks.get()).unwrap_or(u32::MAX))
            }
        }
    }

    /// The key of what it is.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Replace(_) => "replace",
            Self::Accumulate(_) => "accumulate",
            Self::Window(_) => "window",
        }
    }

    /// When a task is mastered, whatever is shown.
    pub(crate) fn competence(&self) -> Competence {
        match *self {
            Self::Replace(competence) | Self::Accumulate(competence) => competence,
            Self::Window(window) => Competence {
                threshold: window.threshold,
                min_rounds: window.min_rounds,
                patience: window.patience,
                every: window.every,
                next: window.next,
            },
        }
    }

    /// The gate over the tasks of a stream, which come in the order of `plan`. `held` are places of the training samples
    /// that are validation samples; `every` are the rounds between judgements unless the gate says otherwise. Errors name keys beside `gate`.
    pub(crate) fn over(
        &self,
        tasks: &[Task],
        plan: &[Visit],
        ground: &Ground<'_>,
        held: &[u32],
        every: Count,
    ) -> Result<Gate, StreamError> {
        let pool = ground.pool("gate")?;
        let probe = |task: &Task| -> Arc<[u32]> {
            let places = (0..).zip(held);
            let own = places.filter(|(_, place)| task.train.contain(pool, **place));
            own.map(|(place, _)| place).collect()
        };
        let probes: Arc<[Arc<[u32]>]> = tasks.iter().map(probe).collect();
        if let Some((task, _)) = tasks.iter().zip(&*probes).find(|(_, p)| p.is_empty()) {
            let message = format!("no validation sample is of task `{}`", task.name);
            let label = "a larger share in `data.validation`";
            return Err(StreamError::new("gate", message, label));
        }
        let sequence: Arc<[TaskId]> = plan.iter().map(|visit| visit.task).collect();
        let Competence {
            threshold,
            min_rounds,
            patience,
            every: own,
            next,
        } = self.competence();
        let min_rounds = min_rounds.get() as u64;
        let equal = ground.rounds / sequence.len().max(1) as u64;
        Ok(Gate {
            sequence,
            next: next.rule(),
            shows: self.shows(),
            threshold: threshold.get(),
            min_rounds,
            patience: patience.map_or(equal.max(min_rounds), |rounds| rounds.get() as u64),
            every: own.unwrap_or(every).get() as u64,
            rounds: ground.rounds,
            probes,
        })
    }
}
