//! A continual-learning method of our own.

use lyceum::core::{ContinualMethod, Params, Site, units::Fraction};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Keeps a slowly moving copy of what the client came to, and hands in a mixture of both.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SlowCopy {
    /// Share of the copy in what is handed in.
    share: Fraction,
}

impl ContinualMethod for SlowCopy {
    /// The copy; `None` before the first call.
    type State = Option<Params>;

    fn end_call(&self, copy: &mut Option<Params>, site: &mut Site<'_>) {
        let share = self.share.get() as f32;
        if let Some(copy) = copy {
            let values = site.learner.params_mut().iter_mut().zip(copy.iter());
            values.for_each(|(w, c)| *w += share * (c - *w));
        }
        *copy = Some(site.learner.params().to_vec().into());
    }
}
