use super::Room;
use lyceum_core::{Item, Stream, TaskId, sample_distinct};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, VecDeque};

/// The last samples of each task, in equal shares (Lopez-Paz and Ranzato 2017, section 3).
///
/// **Invariant:** two tasks differ by at most one sample, as far as each was offered enough.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Ring {
    tasks: BTreeMap<TaskId, VecDeque<Item>>,
}

impl Ring {
    /// Samples kept.
    pub fn len(&self) -> usize {
        self.tasks.values().map(VecDeque::len).sum()
    }

    /// Whether nothing is kept.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What is kept, task by task, the oldest first.
    pub fn items(&self) -> impl Iterator<Item = Item> + '_ {
        self.tasks.values().flatten().copied()
    }

    /// What is kept of each task that something is kept of.
    pub fn by_task(&self) -> impl Iterator<Item = (TaskId, Vec<Item>)> + '_ {
        let some = self.tasks.iter().filter(|(_, items)| !items.is_empty());
        some.map(|(&task, items)| (task, items.iter().copied().collect()))
    }

    /// Keeps a sample; where there is no room, the oldest of its task goes, or of the task that has the most.
    pub fn offer(&mut self, item: Item, room: Room) {
        self.tasks.entry(item.task).or_default().push_back(item);
        if self.tasks[&item.task].len() > room.each {
            self.drop_oldest(item.task);
        }
        while self.len() > room.total {
            let most = self.tasks.values().map(VecDeque::len).max().unwrap_or(0);
            let own = self.tasks[&item.task].len() == most;
            let longest = self.tasks.iter().find(|(_, items)| items.len() == most);
            let from = longest.map_or(item.task, |(&task, _)| task);
            self.drop_oldest(if own { item.task } else { from });
        }
    }

    /// Keeps random samples of `items`, which are of one task, in random order.
    pub fn offer_some(&mut self, items: &[Item], room: Room, rng: &mut Stream) {
        let amount = room.total.min(room.each);
        for place in sample_distinct(items.len() as u64, amount, rng) {
            self.offer(items[place as usize], room);
        }
    }

    fn drop_oldest(&mut self, task: TaskId) {
        if let Some(items) = self.tasks.get_mut(&task) {
            items.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn filled(tasks: &[u32], room: Room) -> Ring {
        let mut ring = Ring::default();
        for (index, &task) in (0..).zip(tasks) {
            let task = TaskId(task);
            ring.offer(Item { index, task }, room);
            assert!(ring.len() <= room.total, "above capacity");
        }
        ring
    }

    proptest! {
        #[test]
        fn tasks_have_equal_shares_of_their_last_samples(
            lengths in prop::collection::vec(0_usize..30, 1..6),
            total in 0_usize..40,
        ) {
            let tasks: Vec<u32> = (0..).zip(&lengths).flat_map(|(t, &n)| vec![t; n]).collect();
            let ring = filled(&tasks, Room::of(total));
            let most = ring.by_task().map(|(_, items)| items.len()).max().unwrap_or(0);
            for (task, items) in ring.by_task() {
                prop_assert!(items.len() + 1 >= most || items.len() == lengths[task.0 as usize]);
                let last: usize = lengths[..=task.0 as usize].iter().sum();
                let want: Vec<u32> = (last - items.len()..last).map(|i| i as u32).collect();
                prop_assert_eq!(items.iter().map(|i| i.index).collect::<Vec<_>>(), want);
            }
        }
    }

    #[test]
    fn a_fixed_quota_does_not_depend_on_the_number_of_tasks() {
        let room = Room {
            total: usize::MAX,
            each: 3,
        };
        let ring = filled(&[0, 0, 0, 0, 0, 1, 1, 1, 1, 2], room);
        let kept: Vec<u32> = ring.items().map(|i| i.index).collect();
        assert_eq!(kept, [2, 3, 4, 6, 7, 8, 9]);
    }
}
