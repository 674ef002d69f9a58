use super::Reservoir;
use lyceum_core::{Draft, MatchKind, Step, Stream};
use serde::{Deserialize, Serialize};

/// A reservoir that keeps, with each sample, the logits of the step that offered it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Logged {
    kept: Reservoir,
    /// samples x classes.
    logits: Vec<f32>,
}

impl Logged {
    /// The samples.
    pub fn kept(&self) -> &Reservoir {
        &self.kept
    }

    /// The logits of the sample at a place; `classes` of them.
    pub fn logits(&self, place: usize, classes: usize) -> &[f32] {
        &self.logits[place * classes..][..classes]
    }

    /// Offers the rows that the course brought to a step.
    pub fn offer(&mut self, step: &Step<'_>, capacity: usize, rng: &mut Stream) {
        let classes = step.draft.classes;
        let own = &step.draft.items[..step.draft.own()];
        for (&item, logits) in own.iter().zip(step.logits.chunks_exact(classes)) {
            let Some(place) = self.kept.offer(item, capacity, rng) else {
                continue;
            };
            let end = (place + 1) * classes;
            self.logits.resize(self.logits.len().max(end), 0.0);
            self.logits[end - classes..end].copy_from_slice(logits);
        }
    }

    /// Adds to the loss `factor` times the mean, over rows drawn, of their distance to the logits kept.
    pub fn replay_logits(&self, draft: &mut Draft, rows: usize, factor: f32, rng: &mut Stream) {
        let drawn = self.kept.draw(rows, rng);
        let weight = draft.mean_of(drawn.len(), factor);
        for place in drawn {
            let target = self.logits(place, draft.classes);
            let item = self.kept.items()[place];
            draft.push_matched(item, MatchKind::Logits, weight, target);
        }
    }

    /// Adds to the loss `factor` times the mean label loss of rows drawn.
    pub fn replay_labels(&self, draft: &mut Draft, rows: usize, factor: f32, rng: &mut Stream) {
        let drawn = self.kept.draw(rows, rng);
        let weight = draft.mean_of(drawn.len(), factor);
        for place in drawn {
            draft.push(self.kept.items()[place], weight);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lyceum_core::{Item, Purpose, Seed, TaskId};

    /// Row `i` of every step has the logits (i, -i).
    #[test]
    fn logits_stay_with_the_sample_that_they_were_seen_with() {
        let mut rng = Seed(1).once(Purpose::CONTINUAL);
        let mut buffer = Logged::default();
        for first in (0..60_u32).step_by(3) {
            let item = |index| Item {
                index,
                task: TaskId(0),
            };
            let own = (first..first + 3).map(item);
            let draft = Draft {
                positions: vec![0, 1, 2],
                items: own.chain([item(999)]).collect(),
                classes: 2,
                ..Draft::default()
            };
            let of = |i: u32| [i as f32, -(i as f32)];
            let logits: Vec<f32> = (first..first + 4).flat_map(of).collect();
            let step = Step {
                draft: &draft,
                grad: &[],
                before: &[],
                logits: &logits,
            };
            buffer.offer(&step, 10, &mut rng);
        }
        assert_eq!((buffer.kept.items().len(), buffer.kept.offered()), (10, 60));
        for (place, item) in buffer.kept.items().iter().enumerate() {
            let want = item.index as f32;
            assert_eq!(buffer.logits(place, 2), [want, -want]);
        }
    }

    #[test]
    fn each_mean_is_over_its_own_rows() {
        let mut rng = Seed(1).once(Purpose::CONTINUAL);
        let mut buffer = Logged::default();
        for index in 0..4 {
            let task = TaskId(0);
            buffer.kept.offer(Item { index, task }, 4, &mut rng);
            buffer.logits.extend([index as f32, 0.0]);
        }
        let mut draft = Draft {
            positions: vec![0, 1],
            items: vec![buffer.kept.items()[0]; 2],
            weights: vec![1.0; 2],
            divisor: 2.0,
            classes: 2,
            ..Draft::default()
        };
        buffer.replay_logits(&mut draft, 4, 0.5, &mut rng);
        buffer.replay_labels(&mut draft, 1, 0.25, &mut rng);
        // 0.5 times a mean of four rows, 0.25 times a mean of one, in a sum that is divided by two.
        assert_eq!(draft.weights, [1.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.5]);
        assert!(draft.matches[2..].iter().all(|m| m.weight == 0.25));
        for row in 2..6 {
            let label = draft.items[row].index as f32;
            assert_eq!(draft.targets[row * 2..][..2], [label, 0.0]);
        }
    }
}
