use lyceum_core::{Item, Stream};
use rand::RngExt;
use serde::{Deserialize, Serialize};

/// Every sample that was offered is kept with the same probability (Vitter 1985, algorithm R).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Reservoir {
    kept: Vec<Item>,
    offered: u64,
}

impl Reservoir {
    /// What is kept.
    pub fn items(&self) -> &[Item] {
        &self.kept
    }

    /// Samples offered so far.
    pub fn offered(&self) -> u64 {
        self.offered
    }

    /// Offers a sample to a buffer of `capacity`; the place where it was put, if it was kept.
    pub fn offer(&mut self, item: Item, capacity: usize, rng: &mut Stream) -> Option<usize> {
        self.offered += 1;
        if self.kept.len() < capacity {
            self.kept.push(item);
            return Some(self.kept.len() - 1);
        }
        let place = rng.random_range(0..self.offered);
        let place = usize::try_from(place).ok().filter(|p| *p < capacity)?;
        self.kept[place] = item;
        Some(place)
    }

    /// `amount` distinct places of the buffer in random order, or all where there are fewer.
    pub fn draw(&self, amount: usize, rng: &mut Stream) -> Vec<usize> {
        let drawn = lyceum_core::sample_distinct(self.kept.len() as u64, amount, rng);
        drawn.into_iter().map(|p| p as usize).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lyceum_core::{Purpose, Seed, TaskId};

    #[test]
    fn every_sample_is_kept_with_the_same_probability() {
        let mut rng = Seed(3).once(Purpose::CONTINUAL);
        let mut kept = [0_u32; 50];
        for _ in 0..2000 {
            let mut buffer = Reservoir::default();
            for index in 0..50 {
                let item = Item {
                    index,
                    task: TaskId(0),
                };
                buffer.offer(item, 10, &mut rng);
            }
            buffer
                .items()
                .iter()
                .for_each(|i| kept[i.index as usize] += 1);
        }
        // 400 expected each, with a deviation of 18.
        assert!(kept.iter().all(|&n| (310..490).contains(&n)), "{kept:?}");
    }

    #[test]
    fn draws_are_distinct_and_at_most_what_is_there() {
        let mut rng = Seed(3).once(Purpose::CONTINUAL);
        let mut buffer = Reservoir::default();
        assert!(buffer.draw(3, &mut rng).is_empty());
        (0..5).for_each(|index| {
            buffer.offer(
                Item {
                    index,
                    task: TaskId(0),
                },
                9,
                &mut rng,
            );
        });
        let mut drawn = buffer.draw(9, &mut rng);
        drawn.sort_unstable();
        assert_eq!(drawn, [0, 1, 2, 3, 4]);
    }
}
