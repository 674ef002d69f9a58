use super::{ClassBalanced, Reservoir, Ring, Room};
use lyceum_core::{Item, Stream, sample_distinct};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Which of the samples that are offered a buffer keeps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Policy {
    /// Each with the same probability (Vitter 1985).
    #[default]
    Reservoir,
    /// As many of each class, each of a class with the same probability (Chrysakis and Moens 2020).
    ClassBalanced,
    /// As many of each task, the last ones of each (Lopez-Paz and Ranzato 2017).
    Ring,
}

/// A buffer of any policy.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Buffer {
    /// See [`Policy::Reservoir`].
    Reservoir(Reservoir),
    /// See [`Policy::ClassBalanced`].
    ClassBalanced(ClassBalanced),
    /// See [`Policy::Ring`].
    Ring(Ring),
}

impl Default for Buffer {
    fn default() -> Self {
        Self::Reservoir(Reservoir::default())
    }
}

impl Buffer {
    /// An empty buffer.
    pub fn new(policy: Policy) -> Self {
        match policy {
            Policy::Reservoir => Self::default(),
            Policy::ClassBalanced => Self::ClassBalanced(ClassBalanced::default()),
            Policy::Ring => Self::Ring(Ring::default()),
        }
    }

    /// Becomes an empty buffer of a policy, unless it has that policy.
    pub fn adopt(&mut self, policy: Policy) {
        if self.policy() != policy {
            *self = Self::new(policy);
        }
    }

    fn policy(&self) -> Policy {
        match self {
            Self::Reservoir(_) => Policy::Reservoir,
            Self::ClassBalanced(_) => Policy::ClassBalanced,
            Self::Ring(_) => Policy::Ring,
        }
    }

    /// What is kept.
    pub fn items(&self) -> Vec<Item> {
        match self {
            Self::Reservoir(buffer) => buffer.items().to_vec(),
            Self::ClassBalanced(buffer) => buffer.items().collect(),
            Self::Ring(buffer) => buffer.items().collect(),
        }
    }

    /// Offers a sample of a class.
    pub fn offer(&mut self, item: Item, class: u32, room: Room, rng: &mut Stream) {
        match self {
            Self::Reservoir(buffer) => {
                buffer.offer(item, room.total, rng);
            }
            Self::ClassBalanced(buffer) => {
                buffer.offer(item, class, room, rng);
            }
            Self::Ring(buffer) => buffer.offer(item, room),
        }
    }

    /// `amount` distinct samples in random order, or all where there are fewer.
    pub fn draw(&self, amount: usize, rng: &mut Stream) -> Vec<Item> {
        let kept;
        let items = match self {
            Self::Reservoir(buffer) => buffer.items(),
            _ => {
                kept = self.items();
                &kept
            }
        };
        let drawn = sample_distinct(items.len() as u64, amount, rng);
        drawn.into_iter().map(|p| items[p as usize]).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lyceum_core::{Purpose, Seed, TaskId};

    #[test]
    fn every_policy_keeps_what_it_was_offered_and_no_more_than_it_may() {
        for policy in [Policy::Reservoir, Policy::ClassBalanced, Policy::Ring] {
            let mut rng = Seed(2).once(Purpose::CONTINUAL);
            let mut buffer = Buffer::default();
            buffer.adopt(policy);
            assert!(buffer.draw(3, &mut rng).is_empty());
            for index in 0..90 {
                let task = TaskId(index / 30);
                buffer.offer(Item { index, task }, index / 10, Room::of(20), &mut rng);
            }
            let same = buffer.clone();
            buffer.adopt(policy);
            assert_eq!(buffer, same);
            let mut drawn = buffer.draw(99, &mut rng);
            drawn.sort_unstable();
            drawn.dedup();
            assert_eq!(drawn.len(), 20, "{policy:?}");
            assert!(drawn.iter().all(|i| i.task.0 == i.index / 30));
        }
    }
}
