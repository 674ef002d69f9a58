//! Which samples the steps of a local training call see, and in which order.

use lyceum_core::{Purpose, Round, Stream, shuffle};
use lyceum_strategies::ordering::{Order, Ordering, Pace};

/// The plan of one local training call.
pub(crate) struct Course {
    /// Positions in the shard; a prefix of it is visible.
    order: Vec<u32>,
    /// Steps of the whole call.
    pub(crate) steps: u64,
    /// Steps of one pass over everything, for first and last losses.
    pub(crate) epoch: u64,
    pace: Option<(Ordering, Round)>,
    keeps_order: bool,
    batch: usize,
    /// The group of each sample, and most samples of a group in a pass.
    most: Option<(Vec<u32>, u32)>,
    /// What the order of batches is drawn for.
    pub(crate) dice: Purpose,
}

impl Course {
    /// Whole epochs in random order, for scenarios without an `[ordering]`.
    pub(crate) fn epochs(samples: usize, batch: usize, epochs: usize) -> Self {
        let epoch = samples.div_ceil(batch) as u64;
        Self {
            order: (0..samples as u32).collect(),
            steps: epoch.saturating_mul(epochs as u64),
            epoch,
            pace: None,
            keeps_order: false,
            batch,
            most: None,
            dice: Purpose::BATCHES,
        }
    }

    /// Passes over a growing part of an ordered shard.
    ///
    /// The step budget is that of Vahidian et al. 2023, `(floor(n / batch) + 1) * epochs`, the same for every
    /// order. With the cyclical pace it is whole epochs over the round's part instead.
    pub(crate) fn paced(
        ordering: &Ordering,
        order: Vec<u32>,
        round: Round,
        batch: usize,
        epochs: usize,
    ) -> Self {
        let samples = order.len();
        let paced = ordering.order != Order::Vanilla;
        let per_epoch = match ordering.pace {
            Pace::Cyclical(_) if paced => ordering.size(0.0, 1.0, round, samples).div_ceil(batch),
            _ => samples / batch + 1,
        };
        Self {
            steps: (per_epoch as u64).saturating_mul(epochs as u64),
            epoch: samples.div_ceil(batch) as u64,
            pace: paced.then(|| (ordering.clone(), round)),
            keeps_order: matches!(ordering.order, Order::Blocked | Order::Interleaved),
            order,
            batch,
            most: None,
            dice: Purpose::BATCHES,
        }
    }

    /// At most so many samples of each group in a pass, drawn anew for each; whole epochs in random order alone.
    pub(crate) fn at_most(mut self, groups: Vec<u32>, most: u32) -> Self {
        let mut kept: Vec<u32> = self.order.clone();
        at_most(&groups, most, &mut kept);
        let epochs = self.steps.checked_div(self.epoch).unwrap_or(0);
        self.epoch = kept.len().div_ceil(self.batch) as u64;
        self.steps = self.epoch.saturating_mul(epochs);
        self.most = Some((groups, most));
        self
    }

    /// Exactly this many steps, if there is a number.
    pub(crate) fn within(mut self, steps: Option<u64>) -> Self {
        self.steps = steps.filter(|_| self.epoch > 0).unwrap_or(self.steps);
        self
    }

    /// With batches that are drawn for another purpose.
    pub(crate) fn drawn_for(mut self, dice: Purpose) -> Self {
        self.dice = dice;
        self
    }

    /// Calls `step` with the positions of each batch and of the next one of the same pass, until the budget is used up or
    /// it says stop.
    pub(crate) fn walk(
        &self,
        rng: &mut Stream,
        mut step: impl FnMut(u64, (&[u32], &[u32]), &mut Stream) -> bool,
    ) {
        let mut pass = Vec::with_capacity(self.order.len());
        let mut t = 0;
        while t < self.steps {
            pass.clear();
            pass.extend_from_slice(&self.order[..self.visible(t)]);
            if !self.keeps_order {
                shuffle(&mut pass, rng);
            }
            if let Some((groups, most)) = &self.most {
                at_most(groups, *most, &mut pass);
            }
            let mut batches = pass.chunks(self.batch).peekable();
            while let Some(positions) = batches.next() {
                let ahead = batches.peek().copied().unwrap_or_default();
                if t == self.steps || !step(t, (positions, ahead), rng) {
                    return;
                }
                t += 1;
            }
        }
    }

    fn visible(&self, t: u64) -> usize {
        let n = self.order.len();
        match &self.pace {
            None => n,
            Some((ordering, round)) => ordering.size(t as f64, self.steps as f64, *round, n),
        }
    }
}

/// Keeps the first samples of each group.
fn at_most(groups: &[u32], most: u32, pass: &mut Vec<u32>) {
    let last = groups.iter().max().map_or(0, |&last| last as usize + 1);
    let mut met = vec![0; last];
    pass.retain(|&place| {
        let met = &mut met[groups[place as usize] as usize];
        *met += 1;
        *met <= most
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use lyceum_core::{Purpose, Seed};

    fn walked(course: &Course) -> Vec<Vec<u32>> {
        let mut steps = Vec::new();
        course.walk(
            &mut Seed(1).once(Purpose::BATCHES),
            |_, (positions, _), _| {
                steps.push(positions.to_vec());
                true
            },
        );
        steps
    }

    fn ordering(order: Order) -> Ordering {
        let pace = Pace::Linear(lyceum_strategies::ordering::Ramp::default());
        Ordering {
            order,
            pace,
            ..Ordering::default()
        }
    }

    #[test]
    fn every_order_takes_the_same_number_of_steps() {
        for order in [
            Order::Curriculum,
            Order::Random,
            Order::Vanilla,
            Order::Blocked,
            Order::Interleaved,
        ] {
            let course = Course::paced(&ordering(order), (0..100).collect(), Round(0), 10, 3);
            assert_eq!(walked(&course).len(), 33, "{order:?}");
        }
    }

    #[test]
    fn a_paced_call_starts_with_the_first_of_the_order_and_ends_with_all() {
        let order: Vec<u32> = (0..200).rev().collect();
        let course = Course::paced(&ordering(Order::Curriculum), order, Round(0), 10, 10);
        let steps = walked(&course);
        assert!(
            steps[..4].iter().flatten().all(|&p| p >= 160),
            "{:?}",
            &steps[..4]
        );
        let late: std::collections::BTreeSet<_> = steps[170..].iter().flatten().collect();
        assert_eq!(late.len(), 200);
    }

    #[test]
    fn plain_epochs_see_every_sample_once_each() {
        let mut seen: Vec<u32> = walked(&Course::epochs(25, 10, 2)).concat();
        seen.sort_unstable();
        assert_eq!(seen, (0..25).flat_map(|p| [p, p]).collect::<Vec<_>>());
    }

    /// Groups of 9, 1 and 2 samples, of which 3, 1 and 2 are seen in a pass, and not always the same.
    #[test]
    fn a_pass_sees_so_many_of_a_group_and_draws_them_anew() {
        let groups: Vec<u32> = (0..12)
            .map(|at| [0, 1, 2, 2][usize::max(at, 8) - 8])
            .collect();
        let course = Course::epochs(12, 4, 20).at_most(groups.clone(), 3);
        let steps = walked(&course);
        assert_eq!((course.epoch, steps.len()), (2, 40));
        let mut seen = std::collections::BTreeSet::new();
        for pass in steps.chunks(2) {
            let pass = pass.concat();
            let of = |group| {
                pass.iter()
                    .filter(|&&at| groups[at as usize] == group)
                    .count()
            };
            assert_eq!([of(0), of(1), of(2)], [3, 1, 2]);
            seen.extend(pass);
        }
        assert_eq!(seen.len(), 12);
    }

    #[test]
    fn blocked_orders_are_not_shuffled() {
        let course = Course::paced(
            &ordering(Order::Blocked),
            (0..40).collect(),
            Round(0),
            10,
            1,
        );
        assert_eq!(walked(&course)[0], (0..10).collect::<Vec<_>>());
    }
}
