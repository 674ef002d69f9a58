use super::{
    Ground, ScenarioPlugin, StreamError,
    groups::{ClassRef, Groups},
};
use lyceum_core::{Head, Stream, StreamRules, Task, units::Count};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Task-incremental: every task brings classes of its own, and a test says of which task a sample is (van de Ven et al.
/// 2022, task-incremental learning). A head for each task by default; `head = "masked"` trains all logits and tests those of
/// the task.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TaskIncremental {
    /// Number of tasks, each with as many classes; the classes in equal parts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tasks: Option<Count>,
    /// Classes of each task, by number or name, instead of a number of tasks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub classes: Option<Vec<Vec<ClassRef>>>,
    /// Deal the classes to the tasks in an order drawn from the seed; false by default.
    #[serde(default)]
    pub shuffled: bool,
}

impl TaskIncremental {
    fn groups(&self) -> Groups<'_> {
        Groups {
            tasks: self.tasks,
            classes: self.classes.as_deref(),
            shuffled: self.shuffled,
        }
    }
}

impl ScenarioPlugin for TaskIncremental {
    fn tasks(&self, ground: &Ground<'_>, rng: &mut Stream) -> Result<Vec<Task>, StreamError> {
        self.groups().tasks(ground, rng)
    }

    fn rules(&self) -> StreamRules {
        StreamRules {
            signals: true,
            head: Head::Multi,
            ..StreamRules::default()
        }
    }
}
