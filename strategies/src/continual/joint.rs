use lyceum_core::{ContinualMethod, Needs, Reach, Sizes};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Joint training: goes through the samples of all tasks from the start. The upper reference, and no continual
/// learning.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Joint {}

impl ContinualMethod for Joint {
    type State = ();

    fn most_bytes(&self, _: &Sizes) -> u64 {
        0
    }

    fn needs(&self) -> Needs {
        Needs {
            reach: Reach::Everything,
            ..Needs::default()
        }
    }
}
