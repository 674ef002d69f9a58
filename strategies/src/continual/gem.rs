use super::{
    buffer::{Budget, Ring, Room},
    projection::{into_cone, keep_trainable, weigh},
    task_weights::TaskWeights,
};
use lyceum_core::{
    ContinualMethod, Item, Needs, Site, Sizes, TaskId,
    units::{Count, Misfit, NonNegative},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Gradient episodic memory: the gradient is turned so that the loss on samples of no earlier task increases (Lopez-Paz
/// and Ranzato 2017, algorithm 1).
///
/// Every step goes through the whole memory, in training mode as the authors' code does: each pass has dropout masks of
/// its own, and batch normalisations go by the samples of one task. The memory is filled when a task is over, with random samples of it.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Gem {
    /// Samples that the memory holds at most, in equal shares for the tasks so far.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<Count>,
    /// Bytes of the samples in the memory at most, as the data set stores them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_bytes: Option<Count>,
    /// Samples of one task at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub per_task: Option<Count>,
    /// Least share of each earlier task's gradient where one of them is violated; 0.5 by default.
    #[serde(default = "half")]
    pub margin: NonNegative,
    /// How much each task counts, one number a task in the order of their definition: a preference over the tasks. Those of tasks
    /// beyond the list count nothing; the gradient that is turned is then that of the losses on the step and on the memory of
    /// each earlier task, by their weights; tasks of weight 0 turn nothing, and `margin` counts for a task as its weight does. By default the
    /// gradient is that of the step, and all count equally.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weights: Option<Vec<NonNegative>>,
}

fn half() -> NonNegative {
    NonNegative::new(0.5).expect("0.5 is above 0")
}

/// What a client keeps of earlier tasks.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Memories {
    kept: Ring,
    /// The gradient of each earlier task; made anew in each step.
    #[serde(skip)]
    references: Vec<Vec<f32>>,
}

impl Gem {
    fn budget(&self) -> Budget {
        Budget {
            samples: self.memory,
            bytes: self.memory_bytes,
            each: self.per_task,
        }
    }
}

impl ContinualMethod for Gem {
    type State = Memories;

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

    fn gradient(&self, state: &mut Memories, grad: &mut [f32], site: &mut Site<'_>) {
        let Memories { kept, references } = state;
        let tasks: Vec<Vec<Item>> = kept.by_task().map(|(_, items)| items).collect();
        references.resize_with(tasks.len(), Vec::new);
        for (items, reference) in tasks.iter().zip(&mut *references) {
            reference.resize(grad.len(), 0.0);
            let mode = site.training();
            site.backward(items, mode, reference);
            keep_trainable(reference, site.network.layout());
        }
        let Some(weights) = &self.weights else {
            return into_cone(grad, references, &vec![self.margin.get(); references.len()]);
        };
        let mut tasks: Vec<TaskId> = kept.by_task().map(|(task, _)| task).collect();
        tasks.push(site.task.task);
        let shares = TaskWeights(weights).shares(&tasks);
        weigh(grad, references, &shares);
        let count = tasks.len() as f64;
        let (references, margins): (Vec<&Vec<f32>>, Vec<f64>) = references
            .iter()
            .zip(&shares)
            .filter(|(_, share)| **share > 0.0)
            .map(|(reference, share)| (reference, self.margin.get() * share * count))
            .unzip();
        into_cone(grad, &references, &margins);
    }

    fn end_task(&self, state: &mut Memories, site: &mut Site<'_>) {
        fill(
            &mut state.kept,
            self.budget().room(&site.sight.pool, 0),
            site,
        );
    }
}

/// Keeps random samples of a task that is over.
pub(super) fn fill(kept: &mut Ring, room: Room, site: &mut Site<'_>) {
    let items: Vec<Item> = site.sight.items().collect();
    kept.offer_some(&items, room, site.rng);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::continual::replay_testbed::Bed;
    use lyceum_core::Mode;

    fn backward(bed: &mut Bed, items: &[Item], grad: &mut [f32]) -> f32 {
        bed.site().backward(items, Mode::Evaluate, grad)
    }

    #[test]
    fn a_step_never_increases_the_loss_on_the_memory() {
        let points: Vec<_> = (0..40)
            .map(|i| ([0.1 * (i % 20) as f32, 1.0], i / 10))
            .collect();
        let mut bed = Bed::new(&points, 4);
        let rule = Gem {
            memory: Count::new(6),
            memory_bytes: None,
            per_task: None,
            margin: NonNegative::new(0.0).unwrap(),
            weights: None,
        };
        bed.site().learner.params_mut().fill(0.0);
        let mut state = Memories::default();
        rule.end_task(&mut state, &mut bed.site());
        assert_eq!(state.kept.len(), 6);
        let kept: Vec<Item> = state.kept.items().collect();
        bed.come_to(1);
        let new: Vec<Item> = bed.sight.items().collect();
        let len = bed.network.layout().len();
        let (mut grad, mut old) = (vec![0.0; len], vec![0.0; len]);
        let before = backward(&mut bed, &kept, &mut old);
        backward(&mut bed, &new, &mut grad);
        let along = |grad: &[f32]| grad.iter().zip(&old).map(|(a, b)| a * b).sum::<f32>();
        assert!(along(&grad) < 0.0, "the tasks are against each other");
        rule.gradient(&mut state, &mut grad, &mut bed.site());
        assert!(along(&grad) > -1e-3);
        let moves = bed.site().learner.params_mut().iter_mut().zip(&grad);
        moves.for_each(|(w, g)| *w -= 1e-3 * g);
        assert!(backward(&mut bed, &kept, &mut old) <= before + 1e-5);
    }

    #[test]
    fn every_reference_gradient_is_one_of_training_with_masks_of_its_own() {
        let points: Vec<_> = (0..30).map(|i| ([i as f32, 1.0], i / 5)).collect();
        let noises = |seed: u64| {
            let mut bed = Bed::new(&points, 6);
            bed.drop_out(seed);
            let rule = Gem {
                memory: Count::new(8),
                memory_bytes: None,
                per_task: None,
                margin: half(),
                weights: None,
            };
            let mut state = Memories::default();
            for task in 0..2 {
                bed.come_to(task);
                rule.end_task(&mut state, &mut bed.site());
            }
            bed.come_to(2);
            let mut grad = vec![1.0; bed.network.layout().len()];
            for _ in 0..3 {
                rule.gradient(&mut state, &mut grad, &mut bed.site());
            }
            bed.drawn()
        };
        let first = noises(1);
        assert_eq!(first.len(), 6, "two earlier tasks in three steps");
        let distinct: std::collections::BTreeSet<_> = first.iter().collect();
        assert_eq!(distinct.len(), 6);
        assert_eq!(first, noises(1));
        assert!(first.iter().zip(noises(2)).all(|(a, b)| *a != b));
    }

    /// The step's gradient and that on the memory count as 1 to 3; what has no weight turns nothing.
    #[test]
    fn a_preference_weighs_the_step_and_the_memory() {
        let points: Vec<_> = (0..20).map(|i| ([i as f32, 1.0], i / 5)).collect();
        let mut bed = Bed::new(&points, 4);
        let rule = |weights: [f64; 2]| Gem {
            memory: Count::new(8),
            memory_bytes: None,
            per_task: None,
            margin: half(),
            weights: Some(weights.map(|w| NonNegative::new(w).unwrap()).to_vec()),
        };
        let mut state = Memories::default();
        rule([3.0, 1.0]).end_task(&mut state, &mut bed.site());
        let kept: Vec<Item> = state.kept.items().collect();
        let len = bed.network.layout().len();
        let mut old = vec![0.0; len];
        backward(&mut bed, &kept, &mut old);
        bed.come_to(1);
        // Along the memory's gradient nothing is violated.
        let mut grad = old.clone();
        rule([3.0, 1.0]).gradient(&mut state, &mut grad, &mut bed.site());
        let same = |a: &[f32], b: &[f32]| a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-5);
        assert!(same(&grad, &old));
        let mut grad = vec![0.5; len];
        let want: Vec<f32> = old.iter().map(|o| 0.25 * 0.5 + 0.75 * o).collect();
        let along: f32 = want.iter().zip(&old).map(|(a, b)| a * b).sum();
        assert!(along > 0.0);
        rule([3.0, 1.0]).gradient(&mut state, &mut grad, &mut bed.site());
        assert!(same(&grad, &want));
        let mut against: Vec<f32> = old.iter().map(|o| -o).collect();
        rule([0.0, 1.0]).gradient(&mut state, &mut against, &mut bed.site());
        assert!(along > 0.0 && against.iter().zip(&old).all(|(a, o)| *a == -o));
        assert!(rule([0.0, 0.0]).misfit().is_some());
    }
}
