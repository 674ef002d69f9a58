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
        let weights = self.weights.as_ref()?;
        let nothing = weights.iter().all(|weight| weight.get() == 0.0);
        nothing.then(|| Misfit {
            key: "weights".into(),
            message: "no task counts".into(),
            expected: "a number above 0 for at least one task".into(),
        })
    }

    /// The mean of the weights of tasks is 1, so that a rate means what it means without them.
    fn rows(&self, (): &mut (), draft: &mut Draft, _: &mut Site<'_>) {
        let Some(weights) = &self.weights else {
            return;
        };
        let sum: f64 = weights.iter().map(|weight| weight.get()).sum();
        let scale = weights.len() as f64 / sum;
        for (item, weight) in draft.items.iter().zip(&mut draft.weights) {
            let own = weights.get(item.task.0 as usize);
            *weight *= own.map_or(0.0, |own| own.get() * scale) as f32;
        }
    }
}
