//! In which order the tasks of a stream come: curricula over tasks.

use lyceum_core::{Stream, shuffle};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The order of tasks.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TaskOrder {
    /// As the stream defines them.
    Defined(Defined),
    /// Drawn from the seed.
    Seeded(Seeded),
    /// Listed by position in the stream's definition.
    Given(Given),
}

/// As the stream defines them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Defined {}

/// Drawn from the seed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Seeded {}

/// Listed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Given {
    /// Positions in the stream's definition, from 0; each at least once.
    pub tasks: Vec<u32>,
}

impl Default for TaskOrder {
    fn default() -> Self {
        Self::Defined(Defined {})
    }
}

impl TaskOrder {
    /// The order, or what is wrong with it.
    pub(crate) fn of(&self, tasks: usize, rng: &mut Stream) -> Result<Vec<u32>, String> {
        let mut order: Vec<u32> = (0..tasks as u32).collect();
        match self {
            Self::Defined(_) => {}
            Self::Seeded(_) => shuffle(&mut order, rng),
            Self::Given(given) => {
                let missing = order.iter().find(|t| !given.tasks.contains(t));
                if let Some(missing) = missing {
                    return Err(format!("task {missing} is not in the list"));
                }
                if let Some(beyond) = given.tasks.iter().find(|t| **t as usize >= tasks) {
                    return Err(format!(
                        "there is no task {beyond}: there are {tasks}, from 0"
                    ));
                }
                order = given.tasks.clone();
            }
        }
        Ok(order)
    }
}
