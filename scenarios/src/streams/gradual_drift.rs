use super::{
    Ground, ScenarioPlugin, Shift, StreamError,
    groups::{ClassRef, Groups},
};
use lyceum_core::{
    Stream, StreamRules, Task,
    units::{Count, PositiveFraction},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Gradual drift: at its end every task fades into the next one, sample by sample, and nobody is told (Gama et al. 2014,
/// gradual concept drift). Groups of classes, or the same classes in other ways.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GradualDrift {
    /// Number of tasks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tasks: Option<Count>,
    /// Classes of each task, by number or name, instead of a number of tasks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub classes: Option<Vec<Vec<ClassRef>>>,
    /// Deal the classes to the tasks in an order drawn from the seed; false by default.
    #[serde(default)]
    pub shuffled: bool,
    /// What sets the tasks apart, where each shows all classes; groups of classes by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shift: Option<Shift>,
    /// Share of a task's rounds, at its end, over which the next one fades in; 1, all of them, by default.
    #[serde(default = "all")]
    pub fade: PositiveFraction,
}

fn all() -> PositiveFraction {
    PositiveFraction::new(1.0).expect("1 is in range")
}

impl ScenarioPlugin for GradualDrift {
    fn tasks(&self, ground: &Ground<'_>, rng: &mut Stream) -> Result<Vec<Task>, StreamError> {
        let groups = Groups {
            tasks: self.tasks,
            classes: self.classes.as_deref(),
            shuffled: self.shuffled,
        };
        match &self.shift {
            None => groups.tasks(ground, rng),
            Some(_) if self.classes.is_some() || self.shuffled => {
                let message = "both groups of classes and a `shift` are asked for";
                let error = StreamError::new("shift", message, "keep only one of them");
                Err(error.beside("classes").beside("shuffled"))
            }
            Some(shift) => shift.tasks(self.tasks, ground, rng),
        }
    }

    fn rules(&self) -> StreamRules {
        StreamRules {
            fade: self.fade.get(),
            ..StreamRules::default()
        }
    }

    fn outputs(&self) -> Option<usize> {
        self.shift.as_ref().and_then(Shift::outputs)
    }
}
