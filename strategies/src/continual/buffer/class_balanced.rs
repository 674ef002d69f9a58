use super::Room;
use lyceum_core::{Item, Stream};
use rand::RngExt;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// As many samples of each class as can be had.
///
/// **Invariant:** two classes differ by at most one sample, as far as each was offered enough.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ClassBalanced {
    classes: BTreeMap<u32, Group>,
}

/// The samples of one class.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Group {
    kept: Vec<Item>,
    offered: u64,
}

impl ClassBalanced {
    /// Samples kept.
    pub fn len(&self) -> usize {
        self.classes.values().map(|g| g.kept.len()).sum()
    }

    /// Whether nothing is kept.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What is kept, class by class.
    pub fn items(&self) -> impl Iterator<Item = Item> + '_ {
        self.classes.values().flat_map(|g| g.kept.iter().copied())
    }

    /// Samples kept of each class.
    pub fn counts(&self) -> impl Iterator<Item = (u32, usize)> + '_ {
        self.classes.iter().map(|(&c, g)| (c, g.kept.len()))
    }

    /// Offers a sample that is kept while there is room, and then if its class has less than its share, in the place of
    /// one of the largest class (Prabhu et al. 2020, algorithm 1, which also leaves room unused). Whether it was kept.
    pub fn offer_greedy(&mut self, item: Item, class: u32, room: Room, rng: &mut Stream) -> bool {
        let full = self.len() >= room.total;
        let largest = self.counts().map(|(_, n)| n).max().unwrap_or(0);
        let group = self.classes.entry(class).or_default();
        group.offered += 1;
        let own = group.kept.len();
        if own >= room.each || full && own + 1 >= largest {
            return false;
        }
        group.kept.push(item);
        if full {
            self.drop_one_of_the_largest(rng);
        }
        true
    }

    /// Offers a sample. Where its class has its share already, it takes the place of another so that every sample of
    /// the class is kept with the same probability (Chrysakis and Moens 2020, algorithm 1).
    pub fn offer(&mut self, item: Item, class: u32, room: Room, rng: &mut Stream) -> bool {
        if self.offer_greedy(item, class, room, rng) {
            return true;
        }
        let group = self.classes.entry(class).or_default();
        let place = rng.random_range(0..group.offered.max(1)) as usize;
        match group.kept.get_mut(place) {
            None => false,
            Some(old) => {
                *old = item;
                true
            }
        }
    }

    fn drop_one_of_the_largest(&mut self, rng: &mut Stream) {
        let largest = self.classes.values_mut().max_by_key(|g| g.kept.len());
        if let Some(group) = largest.filter(|g| !g.kept.is_empty()) {
            let place = rng.random_range(0..group.kept.len() as u64) as usize;
            group.kept.swap_remove(place);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lyceum_core::{Purpose, Seed, TaskId};
    use proptest::prelude::*;

    fn item(index: u32) -> Item {
        let task = TaskId(0);
        Item { index, task }
    }

    fn filled(labels: &[u32], room: Room, greedy: bool) -> ClassBalanced {
        let mut rng = Seed(5).once(Purpose::CONTINUAL);
        let mut buffer = ClassBalanced::default();
        for (index, &label) in (0..).zip(labels) {
            match greedy {
                true => buffer.offer_greedy(item(index), label, room, &mut rng),
                false => buffer.offer(item(index), label, room, &mut rng),
            };
            assert!(buffer.len() <= room.total, "above capacity");
        }
        buffer
    }

    proptest! {
        #[test]
        fn classes_differ_by_at_most_one_and_the_buffer_is_never_above_capacity(
            labels in prop::collection::vec(0_u32..6, 0..200),
            total in 0_usize..40,
            greedy: bool,
        ) {
            let buffer = filled(&labels, Room::of(total), greedy);
            let mut seen = std::collections::BTreeSet::new();
            let largest = buffer.counts().map(|(_, n)| n).max().unwrap_or(0);
            for (class, count) in buffer.counts() {
                let offered = labels.iter().filter(|&&l| l == class).count();
                prop_assert!(count + 1 >= largest || count == offered, "{class}: {count} of {largest}");
            }
            for item in buffer.items() {
                prop_assert!(seen.insert(item) && (item.index as usize) < labels.len());
            }
        }

        #[test]
        fn no_class_is_above_its_own_limit(labels in prop::collection::vec(0_u32..4, 0..80), each in 1_usize..9) {
            let room = Room { total: usize::MAX, each };
            let buffer = filled(&labels, room, false);
            for (class, count) in buffer.counts() {
                let offered = labels.iter().filter(|&&l| l == class).count();
                prop_assert_eq!(count, offered.min(each));
            }
        }
    }

    #[test]
    fn late_classes_take_their_share_from_early_ones() {
        let labels: Vec<u32> = (0..100).map(|i| i / 25).collect();
        let buffer = filled(&labels, Room::of(10), true);
        let counts: Vec<_> = buffer.counts().map(|(_, n)| n).collect();
        assert_eq!(counts.iter().sum::<usize>(), 10);
        assert!(counts.iter().all(|n| [2, 3].contains(n)), "{counts:?}");
    }
}
