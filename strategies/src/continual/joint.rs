use super::task_weights::TaskWeights;
use lyceum_core::{
    ContinualMethod, Draft, Needs, Reach, Site, Sizes,
    units::{Misfit, NonNegative},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Joint training: goes through the samples of all tasks from the start. The upper reference, and no continual
/// learning.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Joint {
    /// How much the loss of each task's samples counts, one number a task in the order of their definition: a preference over the
    /// tasks. Those of tasks beyond the list count nothing; all count equally by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weights: Option<Vec<NonNegative>>,
}

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

    fn misfit(&self) -> Option<Misfit> {
        TaskWeights(self.weights.as_ref()?).misfit()
    }

    /// The mean of the weights of tasks is 1, so that a rate means what it means without them.
    fn rows(&self, (): &mut (), draft: &mut Draft, _: &mut Site<'_>) {
        let Some(weights) = &self.weights else {
            return;
        };
        let weights = TaskWeights(weights);
        for (item, weight) in draft.items.iter().zip(&mut draft.weights) {
            *weight *= weights.relative(item.task) as f32;
        }
    }
}
