use super::{Ground, ScenarioPlugin, Shift, StreamError};
use lyceum_core::{Stream, Task, units::Count};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Domain-incremental: every task shows the same classes in its own way (van de Ven et al. 2022, domain-incremental
/// learning).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DomainIncremental {
    /// Number of tasks; as many as values are listed by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tasks: Option<Count>,
    /// What sets the tasks apart.
    pub shift: Shift,
}

impl ScenarioPlugin for DomainIncremental {
    fn tasks(&self, ground: &Ground<'_>, rng: &mut Stream) -> Result<Vec<Task>, StreamError> {
        self.shift.tasks(self.tasks, ground, rng)
    }

    fn outputs(&self) -> Option<usize> {
        self.shift.outputs()
    }
}
