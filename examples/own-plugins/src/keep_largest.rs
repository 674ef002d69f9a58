//! A transform of our own.

use lyceum::core::{Outgoing, Transform, units::Fraction};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Sends the largest values of an update; the others are added to the client's next one.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct KeepLargest {
    /// Share of the values that is sent.
    share: Fraction,
}

impl Transform for KeepLargest {
    /// What was not sent yet.
    type Memory = Vec<f32>;

    fn wants_change_alone(&self) -> bool {
        true
    }

    fn on_client(&self, unsent: &mut Vec<f32>, update: &mut Outgoing<'_>) {
        let values = update.lanes[0].1.make_mut();
        unsent.resize(values.len(), 0.0);
        let pairs = values.iter_mut().zip(unsent.iter());
        pairs.for_each(|(value, unsent)| *value += unsent);
        let mut sizes: Vec<f32> = values.iter().map(|value| value.abs()).collect();
        sizes.sort_unstable_by(|a, b| b.total_cmp(a));
        let sent = (self.share.get() * values.len() as f64) as usize;
        let least = sizes.get(sent).copied().unwrap_or(0.0);
        for (value, unsent) in values.iter_mut().zip(unsent) {
            let stays = value.abs() <= least;
            *unsent = if stays { *value } else { 0.0 };
            *value -= *unsent;
        }
    }
}
