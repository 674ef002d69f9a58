//! A strategy of our own.

use lyceum::core::{Folded, Params, Stall, Strategy, clip_to_norm, units::Positive};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// FedAvg whose mean update is shortened to a largest Euclidean length; counts how often.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct CappedStep {
    /// Largest length of a round's step.
    length: Positive,
}

impl Strategy for CappedStep {
    /// Rounds whose step was shortened.
    type State = u64;

    fn init(&self, _: &Params) -> u64 {
        0
    }

    fn close(
        &self,
        shortened: &mut u64,
        global: &mut Params,
        folded: &Folded<'_>,
    ) -> Result<(), Stall> {
        if folded.sum.terms(0) == 0 {
            return Err(Stall("no update was accepted".into()));
        }
        let mut step = folded.sum.mean(0);
        let before = step.clone();
        clip_to_norm(&mut step, self.length.get() as f32);
        *shortened += u64::from(step != before);
        global
            .make_mut()
            .iter_mut()
            .zip(&step)
            .for_each(|(w, s)| *w += s);
        Ok(())
    }
}
