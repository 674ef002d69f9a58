use super::{
    buffer::{Budget, Buffer, Policy, Room},
    task_weights::TaskWeights,
};
use lyceum_core::{
    ContinualMethod, Draft, Item, Lessons, Needs, Site, Sizes, TaskId, shuffle,
    units::{Count, Misfit, NonNegative},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Experience replay: each step also goes through samples drawn from a buffer (Chaudhry et al. 2019; Riemer et al.
/// 2019).
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Er {
    /// Samples that the buffer holds at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<Count>,
    /// Bytes of the samples in the buffer at most, as the data set stores them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_bytes: Option<Count>,
    /// Samples of one class at most; with the policy "class-balanced" only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub per_class: Option<Count>,
    /// Which samples the buffer keeps; "reservoir" by default.
    #[serde(default)]
    pub policy: Policy,
    /// When samples are offered to the buffer; "steps" by default.
    #[serde(default)]
    pub fill: Fill,
    /// Samples replayed per step; as many as a batch has by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replay: Option<Count>,
    /// How much replayed rows count beside new ones; "rows" by default.
    #[serde(default)]
    pub balance: Balance,
    /// How much each task counts, one number a task in the order of their definition: a preference over the tasks. Those of tasks
    /// beyond the list count nothing; the loss of a step is the mean of the losses of the tasks that it
    /// has rows of, by their weights, in the place of `balance`. By default rows count as `balance` says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weights: Option<Vec<NonNegative>>,
}

/// When samples are offered to a buffer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Fill {
    /// In each step, after the draw: those of the step.
    #[default]
    Steps,
    /// When a task is over: all of the task, in random order. So what is replayed is of earlier tasks alone.
    TaskEnd,
}

/// How much replayed rows count beside new ones.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Balance {
    /// Each as much as a new one: the loss is the mean over all rows.
    #[default]
    Rows,
    /// As much as tasks before: in the t-th task the loss is 1/t times the mean over the new rows, and 1 - 1/t times
    /// that over the replayed ones (van de Ven et al. 2022).
    Tasks,
}

impl Er {
    fn budget(&self) -> Budget {
        Budget {
            samples: self.memory,
            bytes: self.memory_bytes,
            each: self.per_class,
        }
    }

    fn room(&self, site: &Site<'_>) -> Room {
        self.budget().room(&site.sight.pool, 0)
    }

    fn replay(&self, drawn: &[Item], draft: &mut Draft, site: &Site<'_>) {
        if let Some(weights) = &self.weights {
            drawn.iter().for_each(|&item| draft.push(item, 1.0));
            let tasks: Vec<TaskId> = draft.items.iter().map(|item| item.task).collect();
            let each = TaskWeights(weights).of_rows(&tasks);
            let divisor = f64::from(draft.divisor);
            let rows = draft.weights.iter_mut().zip(each);
            return rows.for_each(|(weight, each)| *weight *= (divisor * each) as f32);
        }
        let own = draft.own();
        let weight = match self.balance {
            _ if drawn.is_empty() => return,
            Balance::Rows => {
                draft.share_with(drawn.len());
                1.0
            }
            Balance::Tasks => {
                let new = 1.0 / (site.task.place + 1) as f32;
                let factor = draft.mean_of(own, new);
                draft.weights[..own].iter_mut().for_each(|w| *w *= factor);
                draft.mean_of(drawn.len(), 1.0 - new)
            }
        };
        drawn.iter().for_each(|&item| draft.push(item, weight));
    }
}

impl ContinualMethod for Er {
    type State = Buffer;

    fn most_bytes(&self, sizes: &Sizes) -> u64 {
        sizes.buffer(self.budget().most(sizes, 0), 0)
    }

    fn needs(&self) -> Needs {
        Needs {
            boundaries: self.policy == Policy::Ring
                || self.fill == Fill::TaskEnd
                || self.balance == Balance::Tasks,
            ..Needs::default()
        }
    }

    fn misfit(&self) -> Option<Misfit> {
        if self.per_class.is_some() && self.policy != Policy::ClassBalanced {
            return Some(Misfit {
                key: "per_class".into(),
                message: "only a class-balanced buffer counts classes".into(),
                expected: "`policy = \"class-balanced\"` with it".into(),
            });
        }
        if let Some(weights) = &self.weights {
            let both = || Misfit {
                key: "balance".into(),
                message: "`weights` says what counts".into(),
                expected: "one of `balance` and `weights`".into(),
            };
            let balances = (self.balance == Balance::Tasks).then(both);
            let found = TaskWeights(weights).misfit().or(balances);
            if found.is_some() {
                return found;
            }
        }
        let keys = ["`memory`", "`memory_bytes`", "`per_class`"];
        self.budget().misfit(&keys)
    }

    fn cramped(&self, sample: usize, _: usize) -> Option<Misfit> {
        self.budget().cramped(sample, 0)
    }

    fn places(&self, sample: usize, _: usize) -> Option<usize> {
        self.budget().places(sample, 0)
    }

    fn begin_call(&self, buffer: &mut Buffer, _: &mut Site<'_>) -> Lessons {
        buffer.adopt(self.policy);
        Lessons::default()
    }

    fn rows(&self, buffer: &mut Buffer, draft: &mut Draft, site: &mut Site<'_>) {
        let rows = self.replay.map_or(site.rows, Count::get);
        let drawn = buffer.draw(rows, site.rng);
        self.replay(&drawn, draft, site);
        if self.fill == Fill::Steps {
            let room = self.room(site);
            for &item in &draft.items[..draft.own()] {
                buffer.offer(item, site.sight.label_of(item), room, site.rng);
            }
        }
    }

    fn end_task(&self, buffer: &mut Buffer, site: &mut Site<'_>) {
        if self.fill == Fill::TaskEnd {
            let room = self.room(site);
            let mut items: Vec<Item> = site.sight.items().collect();
            shuffle(&mut items, site.rng);
            for item in items {
                buffer.offer(item, site.sight.label_of(item), room, site.rng);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::continual::replay_testbed::{Bed, item};
    use lyceum_core::{ALL_CLASSES, Match, MatchKind};

    fn bed() -> Bed {
        let points: Vec<_> = (0..40).map(|i| ([i as f32, 1.0], i / 10)).collect();
        Bed::new(&points, 4)
    }

    fn rule() -> Er {
        Er {
            memory: None,
            memory_bytes: None,
            per_class: Count::new(3),
            policy: Policy::ClassBalanced,
            fill: Fill::TaskEnd,
            replay: Count::new(4),
            balance: Balance::Tasks,
            weights: None,
        }
    }

    /// Three new rows of task 1, of which one replayed row is as well; three of task 0 weigh three times as much together.
    #[test]
    fn a_preference_weighs_tasks_and_not_rows() {
        let weights = [3.0, 1.0].map(|w| NonNegative::new(w).unwrap()).to_vec();
        let rule = Er {
            weights: Some(weights),
            balance: Balance::Rows,
            ..rule()
        };
        let mut bed = bed();
        bed.come_to(1);
        let mut draft = bed.draft(&[0, 1, 2]);
        let drawn = [(0, 0), (1, 0), (2, 0), (25, 1)].map(|(index, task)| item(index, task));
        rule.replay(&drawn, &mut draft, &bed.site());
        let each = [0.1875, 0.1875, 0.1875, 0.75, 0.75, 0.75, 0.1875];
        assert_eq!((&draft.weights[..], draft.divisor), (&each[..], 3.0));
        let both = Er {
            balance: Balance::Tasks,
            ..rule
        };
        assert_eq!(both.misfit().unwrap().key, "balance");
    }

    #[test]
    fn tasks_weigh_by_their_number_and_only_earlier_ones_are_replayed() {
        let (rule, mut bed) = (rule(), bed());
        let mut buffer = Buffer::default();
        rule.begin_call(&mut buffer, &mut bed.site());
        let mut first = bed.draft(&[0, 1]);
        rule.rows(&mut buffer, &mut first, &mut bed.site());
        assert_eq!(first.weights, [1.0, 1.0], "nothing to replay yet");
        rule.end_task(&mut buffer, &mut bed.site());
        assert_eq!(buffer.items().len(), 6);
        bed.come_to(1);
        let mut draft = bed.draft(&[0, 1]);
        rule.rows(&mut buffer, &mut draft, &mut bed.site());
        // Half the mean of two rows, half the mean of four, in a sum that is divided by two.
        assert_eq!(draft.weights, [0.5, 0.5, 0.25, 0.25, 0.25, 0.25]);
        assert_eq!(draft.divisor, 2.0);
        assert!(draft.items[2..].iter().all(|i| i.task.0 == 0));
    }

    #[test]
    fn the_defaults_are_a_reservoir_that_is_filled_in_each_step_after_the_draw() {
        let mut bed = bed();
        let rule = Er {
            memory: Count::new(3),
            per_class: None,
            policy: Policy::default(),
            fill: Fill::default(),
            balance: Balance::default(),
            ..rule()
        };
        let mut buffer = Buffer::default();
        rule.begin_call(&mut buffer, &mut bed.site());
        let mut draft = bed.draft(&[0, 1]);
        rule.rows(&mut buffer, &mut draft, &mut bed.site());
        assert_eq!((draft.rows(), buffer.items().len()), (2, 2));
        let mut draft = bed.draft(&[2, 3]);
        rule.rows(&mut buffer, &mut draft, &mut bed.site());
        assert_eq!(
            (draft.rows(), draft.divisor, buffer.items().len()),
            (4, 4.0, 3)
        );
    }

    #[test]
    fn what_another_method_matches_counts_the_same_beside_replay() {
        let mut bed = bed();
        let rule = Er {
            fill: Fill::Steps,
            balance: Balance::Rows,
            ..rule()
        };
        let mut buffer = Buffer::default();
        rule.begin_call(&mut buffer, &mut bed.site());
        let mut first = bed.draft(&[0, 1, 2, 3]);
        rule.rows(&mut buffer, &mut first, &mut bed.site());
        let mut draft = bed.draft(&[4, 5]);
        let aim = Match {
            kind: MatchKind::Logits,
            weight: draft.mean_of(2, 0.5),
            open: ALL_CLASSES,
        };
        (0..2).for_each(|row| draft.matched(row, aim, &[0.0; 4]));
        rule.rows(&mut buffer, &mut draft, &mut bed.site());
        let count: f32 = draft.matches.iter().map(|m| m.weight).sum();
        assert_eq!((draft.rows(), count / draft.divisor), (5, 0.5));
    }

    #[test]
    fn boundaries_are_needed_only_where_they_are_used() {
        let needs = |rule: Er| ContinualMethod::needs(&rule).boundaries;
        assert!(needs(rule()));
        let plain = Er {
            fill: Fill::Steps,
            balance: Balance::Rows,
            ..rule()
        };
        assert!(!needs(plain.clone()));
        assert!(needs(Er {
            policy: Policy::Ring,
            ..plain.clone()
        }));
        let misplaced = Er {
            policy: Policy::Reservoir,
            ..plain
        };
        assert_eq!(misplaced.misfit().unwrap().key, "per_class");
    }
}
