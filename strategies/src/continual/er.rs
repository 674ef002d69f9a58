use super::buffer::Reservoir;
use lyceum_core::{ContinualMethod, Draft, Site, units::Count};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Experience replay: each step also goes through samples drawn from a reservoir (Chaudhry et al. 2019; Riemer et al.
/// 2019). The loss is the mean over new and replayed rows.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Er {
    /// Samples that the buffer holds at most.
    pub memory: Count,
    /// Samples replayed per step; as many as a batch has by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replay: Option<Count>,
}

impl ContinualMethod for Er {
    type State = Reservoir;

    fn rows(&self, buffer: &mut Reservoir, draft: &mut Draft, site: &mut Site<'_>) {
        let own = draft.own();
        let replay = self.replay.map_or(site.rows, |r| r.get());
        let drawn = buffer.draw(replay, site.rng);
        draft.share_with(drawn.len());
        for place in drawn {
            draft.push(buffer.items()[place], 1.0);
        }
        for row in 0..own {
            buffer.offer(draft.items[row], self.memory.get(), site.rng);
        }
    }
}
