use super::buffer::{Budget, ClassBalanced};
use lyceum_core::{
    ContinualMethod, Item, Lessons, Site, Sizes, shuffle,
    units::{Count, Misfit},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// GDumb: fills a class-balanced buffer greedily, and trains a new model on the buffer alone in each call (Prabhu et
/// al. 2020).
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GDumb {
    /// Samples that the buffer holds at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<Count>,
    /// Bytes of the samples in the buffer at most, as the data set stores them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_bytes: Option<Count>,
    /// Passes over the buffer in each call; 10 by default.
    #[serde(default = "ten")]
    pub passes: Count,
}

fn ten() -> Count {
    Count::new(10).expect("10 is in range")
}

impl GDumb {
    fn budget(&self) -> Budget {
        Budget {
            samples: self.memory,
            bytes: self.memory_bytes,
            each: None,
        }
    }
}

impl ContinualMethod for GDumb {
    type State = ClassBalanced;

    fn most_bytes(&self, sizes: &Sizes) -> u64 {
        sizes.buffer(self.budget().most(sizes, 0), 0)
    }

    fn misfit(&self) -> Option<Misfit> {
        self.budget().misfit(&["`memory`", "`memory_bytes`"])
    }

    fn cramped(&self, sample: usize, _: usize) -> Option<Misfit> {
        self.budget().cramped(sample, 0)
    }

    fn places(&self, sample: usize, _: usize) -> Option<usize> {
        self.budget().places(sample, 0)
    }

    fn begin_call(&self, buffer: &mut ClassBalanced, site: &mut Site<'_>) -> Lessons {
        let room = self.budget().room(&site.sight.pool, 0);
        let kept: BTreeSet<Item> = buffer.items().collect();
        let new = site.sight.items().filter(|item| !kept.contains(item));
        let mut new: Vec<Item> = new.collect();
        shuffle(&mut new, site.rng);
        for item in new {
            buffer.offer_greedy(item, site.sight.label_of(item), room, site.rng);
        }
        Lessons {
            also: buffer.items().collect(),
            only: true,
            start: Some(site.network.initial(site.seed).into()),
            epochs: Some(self.passes.get()),
            ..Lessons::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::continual::replay_testbed::Bed;

    #[test]
    fn a_new_model_is_trained_on_a_balanced_buffer_alone() {
        let points: Vec<_> = (0..40).map(|i| ([i as f32, 1.0], i / 10)).collect();
        let mut bed = Bed::new(&points, 4);
        let rule = GDumb {
            memory: Count::new(8),
            memory_bytes: None,
            passes: ten(),
        };
        let mut buffer = ClassBalanced::default();
        for task in 0..2 {
            bed.come_to(task);
            // Twice: what a client has already is not offered again.
            rule.begin_call(&mut buffer, &mut bed.site());
            let lessons = rule.begin_call(&mut buffer, &mut bed.site());
            let fresh = lessons.start.as_ref().map(|start| start.to_vec());
            let seed = bed.site().seed;
            assert_eq!(fresh, Some(bed.network.initial(seed)));
            assert!(lessons.only && lessons.epochs == Some(10));
            let distinct: BTreeSet<Item> = lessons.also.iter().copied().collect();
            assert_eq!((lessons.also.len(), distinct.len()), (8, 8));
        }
        let counts: Vec<_> = buffer.counts().collect();
        assert_eq!(counts, [(0, 2), (1, 2), (2, 2), (3, 2)]);
    }
}
