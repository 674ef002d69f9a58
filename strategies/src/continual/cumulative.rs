use lyceum_core::{ContinualMethod, Needs, Reach, Sizes};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Cumulative training: goes through the samples of every task that has come so far. The upper reference where later
/// tasks are not known yet.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Cumulative {}

impl ContinualMethod for Cumulative {
    type State = ();

    fn most_bytes(&self, _: &Sizes) -> u64 {
        0
    }

    fn needs(&self) -> Needs {
        Needs {
            reach: Reach::UpToNow,
            ..Needs::default()
        }
    }
}
