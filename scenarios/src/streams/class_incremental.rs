use super::{
    Ground, ScenarioPlugin, StreamError,
    groups::{ClassRef, Groups},
};
use lyceum_core::{Stream, Task, units::Count};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Class-incremental: every task brings classes that no task before it had, and a test asks for all of them
/// (van de Ven et al. 2022, class-incremental learning).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ClassIncremental {
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

impl ClassIncremental {
    fn groups(&self) -> Groups<'_> {
        Groups {
            tasks: self.tasks,
            classes: self.classes.as_deref(),
            shuffled: self.shuffled,
        }
    }
}

impl ScenarioPlugin for ClassIncremental {
    fn tasks(&self, ground: &Ground<'_>, rng: &mut Stream) -> Result<Vec<Task>, StreamError> {
        self.groups().tasks(ground, rng)
    }
}
