//! A node process: the real machine, and the crew that works for it in virtual time.

use lyceum_client_node::machine::NodeMachine;
use lyceum_coordinator::dispatch::Peer;
use lyceum_core::{Assignment, Time};
use lyceum_protocol::message::NodeName;
use std::collections::VecDeque;

/// A node process.
pub(super) struct NodeProcess {
    pub(super) name: NodeName,
    pub(super) machine: NodeMachine,
    /// Counts the processes of this name.
    pub(super) life: u64,
    pub(super) peer: Option<Peer>,
    /// What its clock shows beyond the world's time, in microseconds.
    pub(super) clock: u64,
    pub(super) crew: Crew,
    pub(super) wake: Option<Time>,
    pub(super) down: bool,
}

impl NodeProcess {
    /// The node's time.
    pub(super) fn time(&self, now: Time) -> Time {
        Time(now.0 + self.clock)
    }
}

/// What happens with what a thread has worked through.
pub(super) struct Started {
    pub(super) epoch: u64,
    pub(super) generation: u64,
    pub(super) assignment: Assignment,
}

/// Threads, what waits for them, and what they have summed.
#[derive(Default)]
pub(super) struct Crew {
    threads: usize,
    /// Threads that work on something, be it void.
    busy: usize,
    /// Units that are worked on and not void.
    open: usize,
    /// Counts the times at which everything was thrown away.
    epoch: u64,
    flush: bool,
    waiting: VecDeque<(u64, Assignment)>,
    summed: Vec<(u64, Assignment)>,
}

impl Crew {
    pub(super) fn new(threads: usize) -> Self {
        Self {
            threads,
            ..Self::default()
        }
    }

    pub(super) fn work(&mut self, generation: u64, assignment: Assignment) {
        self.waiting.push_back((generation, assignment));
    }

    pub(super) fn flush(&mut self, on: bool) {
        self.flush = on;
    }

    pub(super) fn clear(&mut self) {
        self.epoch += 1;
        self.open = 0;
        self.flush = false;
        self.waiting.clear();
        self.summed.clear();
    }

    /// The next unit that a free thread begins.
    pub(super) fn begin(&mut self) -> Option<Started> {
        if self.busy >= self.threads {
            return None;
        }
        let (generation, assignment) = self.waiting.pop_front()?;
        self.busy += 1;
        self.open += 1;
        Some(Started {
            epoch: self.epoch,
            generation,
            assignment,
        })
    }

    /// A thread is through with a unit; says whether that still counts.
    pub(super) fn end(&mut self, started: &Started) -> bool {
        self.busy -= 1;
        let counts = started.epoch == self.epoch;
        self.open -= usize::from(counts);
        counts
    }

    pub(super) fn sum(&mut self, started: Started) {
        self.summed.push((started.generation, started.assignment));
    }

    /// What is handed in now: all that was summed, if that is wanted and nothing is left to do.
    pub(super) fn hand_in(&mut self) -> Option<(u64, Vec<Assignment>)> {
        if !self.flush || self.open > 0 || !self.waiting.is_empty() {
            return None;
        }
        let generation = self.summed.first()?.0;
        let units = self.summed.drain(..).map(|(_, unit)| unit).collect();
        Some((generation, units))
    }

    /// Units in its hands.
    pub(super) fn held(&self) -> usize {
        self.open + self.waiting.len() + self.summed.len()
    }
}
