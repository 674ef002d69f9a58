use super::buffer::{Budget, Logged};
use lyceum_core::{
    ContinualMethod, Draft, Needs, Site, Sizes, Step,
    units::{Count, Misfit, NonNegative},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Dark experience replay: replayed samples are matched to the logits that they had when they came (Buzzega et al.
/// 2020, equation 6).
///
/// A reservoir keeps each sample with the logits of the step that offered it.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Der {
    /// Samples that the buffer holds at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<Count>,
    /// Bytes of the buffer at most: those of its samples as the data set stores them, and 4 for each of their logits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_bytes: Option<Count>,
    /// Times the mean squared distance to the logits, added to the loss.
    pub alpha: NonNegative,
    /// Samples replayed per step; as many as a batch has by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replay: Option<Count>,
}

impl Der {
    fn budget(&self) -> Budget {
        Budget {
            samples: self.memory,
            bytes: self.memory_bytes,
            each: None,
        }
    }
}

impl ContinualMethod for Der {
    type State = Logged;

    fn most_bytes(&self, sizes: &Sizes) -> u64 {
        let samples = self.budget().most(sizes, sizes.classes);
        sizes.buffer(samples, sizes.classes)
    }

    fn needs(&self) -> Needs {
        Needs {
            logits: true,
            ..Needs::default()
        }
    }

    fn misfit(&self) -> Option<Misfit> {
        self.budget().misfit(&["`memory`", "`memory_bytes`"])
    }

    fn cramped(&self, sample: usize, logits: usize) -> Option<Misfit> {
        self.budget().cramped(sample, logits)
    }

    fn places(&self, sample: usize, logits: usize) -> Option<usize> {
        self.budget().places(sample, logits)
    }

    fn rows(&self, buffer: &mut Logged, draft: &mut Draft, site: &mut Site<'_>) {
        let rows = self.replay.map_or(site.rows, Count::get);
        buffer.replay_logits(draft, rows, self.alpha.get() as f32, site.rng);
    }

    fn after_step(&self, buffer: &mut Logged, step: &Step<'_>, site: &mut Site<'_>) {
        let room = self.budget().room(&site.sight.pool, step.draft.classes);
        buffer.offer(step, room.total, site.rng);
    }
}
