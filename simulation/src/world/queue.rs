//! What will happen, in the order of time.

use lyceum_core::Time;
use std::{cmp::Ordering, collections::BinaryHeap};

/// Things that will happen. What is due at the same moment happens in the order in which it was planned.
pub(super) struct Queue<T> {
    now: Time,
    planned: u64,
    heap: BinaryHeap<Entry<T>>,
}

struct Entry<T> {
    at: Time,
    number: u64,
    what: T,
}

impl<T> Queue<T> {
    pub(super) fn new() -> Self {
        Self {
            now: Time(0),
            planned: 0,
            heap: BinaryHeap::new(),
        }
    }

    pub(super) fn now(&self) -> Time {
        self.now
    }

    pub(super) fn len(&self) -> usize {
        self.heap.len()
    }

    /// Plans something; what should have happened before now happens now.
    pub(super) fn at(&mut self, at: Time, what: T) {
        let (at, number) = (at.max(self.now), self.planned);
        self.planned += 1;
        self.heap.push(Entry { at, number, what });
    }

    pub(super) fn after(&mut self, micros: u64, what: T) {
        self.at(Time(self.now.0.saturating_add(micros)), what);
    }

    /// Lets time go on to the next thing.
    pub(super) fn pop(&mut self) -> Option<T> {
        let entry = self.heap.pop()?;
        self.now = entry.at;
        Some(entry.what)
    }
}

impl<T> Ord for Entry<T> {
    fn cmp(&self, other: &Self) -> Ordering {
        (other.at, other.number).cmp(&(self.at, self.number))
    }
}

impl<T> PartialOrd for Entry<T> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<T> PartialEq for Entry<T> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl<T> Eq for Entry<T> {}
