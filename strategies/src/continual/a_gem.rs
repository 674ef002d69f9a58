use super::{
    buffer::{Budget, Ring},
    gem::fill,
    projection::{away_from, keep_trainable, weigh},
    task_weights::TaskWeights,
};
use lyceum_core::{
    ContinualMethod, Item, Needs, Site, Sizes, TaskId, sample_distinct,
    units::{Count, Misfit, NonNegative},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Averaged gradient episodic memory: the gradient loses its part against that of a batch of earlier samples (Chaudhry
/// et al. 2019, equation 11).
///
/// The memory is filled when a task is over, with random samples of it. The reference gradient is taken in training mode,
/// with dropout masks of its own (the authors' code normalises by the batch there as well, but drops nothing).
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AGem {
    /// Samples that the memory holds at most, in equal shares for the tasks so far.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<Count>,
    /// Bytes of the samples in the memory at most, as the data set stores them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_bytes: Option<Count>,
    /// Samples of one task at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub per_task: Option<Count>,
    /// Samples drawn for the reference gradient of a step; as many as a batch has by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reference: Option<Count>,
    /// How much each task counts, one number a task in the order of their definition: a preference over the tasks. Those of tasks
    /// beyond the list count nothing; the reference gradient is then that of the losses on the tasks drawn from, by their weights,
    /// and what loses its part against it is the mean of it and the gradient of the step, by weight. By default all rows drawn count
    /// equally, and the gradient is that of the step.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weights: Option<Vec<NonNegative>>,
}

/// What a client keeps of earlier tasks.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Memory {
    kept: Ring,
    /// The gradient of the batch drawn; made anew in each step.
    #[serde(skip)]
    reference: Vec<f32>,
}

impl AGem {
    fn budget(&self) -> Budget {
        Budget {
            samples: self.memory,
            bytes: self.memory_bytes,
            each: self.per_task,
        }
    }
}

impl ContinualMethod for AGem {
    type State = Memory;

    fn most_bytes(&self, sizes: &Sizes) -> u64 {
        sizes.buffer(self.budget().most(sizes, 0), 0)
    }

    fn needs(&self) -> Needs {
        Needs {
            boundaries: true,
            gradient: true,
            ..Needs::default()
        }
    }

    fn misfit(&self) -> Option<Misfit> {
        let wrong = (self.weights.as_ref()).and_then(|weights| TaskWeights(weights).misfit());
        if wrong.is_some() {
            return wrong;
        }
        let keys = ["`memory`", "`memory_bytes`", "`per_task`"];
        self.budget().misfit(&keys)
    }

    fn cramped(&self, sample: usize, _: usize) -> Option<Misfit> {
        self.budget().cramped(sample, 0)
    }

    fn places(&self, sample: usize, _: usize) -> Option<usize> {
        self.budget().places(sample, 0)
    }

    fn gradient(&self, state: &mut Memory, grad: &mut [f32], site: &mut Site<'_>) {
        let Memory { kept, reference } = state;
        if kept.is_empty() {
            return;
        }
        let all: Vec<Item> = kept.items().collect();
        let rows = self.reference.map_or(site.rows, Count::get);
        let drawn = sample_distinct(all.len() as u64, rows, site.rng);
        let drawn: Vec<Item> = drawn.into_iter().map(|p| all[p as usize]).collect();
        reference.resize(grad.len(), 0.0);
        let mode = site.training();
        site.pack(&drawn);
        let own = self.weights.as_ref().map(|weights| {
            let weights = TaskWeights(weights);
            let tasks: Vec<TaskId> = drawn.iter().map(|item| item.task).collect();
            let each = weights.of_rows(&tasks).into_iter();
            let each = each.map(|each| (each * tasks.len() as f64) as f32);
            site.batch.weights.extend(each);
            let mut seen: Vec<TaskId> = kept.by_task().map(|(task, _)| task).collect();
            seen.push(site.task.task);
            weights.shares(&seen).last().copied().unwrap_or(1.0)
        });
        site.learner.backward(site.batch, mode, reference);
        keep_trainable(reference, site.network.layout());
        if let Some(own) = own {
            weigh(grad, &[&*reference], &[1.0 - own, own]);
        }
        away_from(grad, reference);
    }

    fn end_task(&self, state: &mut Memory, site: &mut Site<'_>) {
        fill(
            &mut state.kept,
            self.budget().room(&site.sight.pool, 0),
            site,
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::continual::replay_testbed::Bed;

    #[test]
    fn every_step_drops_other_values_out_of_its_reference() {
        let points: Vec<_> = (0..20).map(|i| ([i as f32, 1.0], i / 5)).collect();
        let mut bed = Bed::new(&points, 4);
        bed.drop_out(1);
        let rule = AGem {
            memory: Count::new(8),
            memory_bytes: None,
            per_task: None,
            reference: None,
            weights: None,
        };
        let mut state = Memory::default();
        rule.end_task(&mut state, &mut bed.site());
        bed.come_to(1);
        let mut grad = vec![1.0; bed.network.layout().len()];
        for _ in 0..3 {
            rule.gradient(&mut state, &mut grad, &mut bed.site());
        }
        let drawn = bed.drawn();
        let distinct: std::collections::BTreeSet<_> = drawn.iter().collect();
        assert_eq!((drawn.len(), distinct.len()), (3, 3));
    }
}
