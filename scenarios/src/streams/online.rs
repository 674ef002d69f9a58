use super::{
    Ground, ScenarioPlugin, StreamError,
    groups::{ClassRef, Groups},
};
use lyceum_core::{Stream, StreamRules, Task, units::Count};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Online class-incremental: every task is passed through once, an equal portion of it in each of its rounds, each sample in
/// one of them (Lopez-Paz & Ranzato 2017; Aljundi et al. 2019). `training.epochs` must be 1.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Online {
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

impl Online {
    fn groups(&self) -> Groups<'_> {
        Groups {
            tasks: self.tasks,
            classes: self.classes.as_deref(),
            shuffled: self.shuffled,
        }
    }
}

impl ScenarioPlugin for Online {
    fn tasks(&self, ground: &Ground<'_>, rng: &mut Stream) -> Result<Vec<Task>, StreamError> {
        self.groups().tasks(ground, rng)
    }

    fn rules(&self) -> StreamRules {
        StreamRules {
            signals: true,
            once: true,
            ..StreamRules::default()
        }
    }
}
