//! A node process: the real machine, and the crew that works for it in virtual time.

use lyceum_client_node::{
    crew::{CrewMachine, Handing, Step},
    machine::NodeMachine,
};
use lyceum_coordinator::dispatch::Peer;
use lyceum_core::{Assignment, Time};
use lyceum_protocol::message::NodeName;

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

/// A crew whose units take as long as the world says.
pub(super) struct Crew {
    pub(super) machine: CrewMachine,
    /// What each worker has in hand.
    hands: Vec<Vec<Assignment>>,
    /// Which of them are at a unit.
    busy: Vec<bool>,
}

/// What a worker does.
pub(super) enum Deed {
    /// It begins with a unit.
    Begin(usize, Assignment),
    /// It hands in what these come to.
    HandIn(usize, Vec<Assignment>),
}

impl Crew {
    pub(super) fn new(workers: usize, sums: bool) -> Self {
        Self {
            machine: CrewMachine::new(workers, sums, Handing::Together),
            hands: vec![Vec::new(); workers],
            busy: vec![false; workers],
        }
    }

    #[cfg(feature = "mutants")]
    pub(super) fn mistaken(self, mutant: lyceum_client_node::crew::Mutant) -> Self {
        let machine = self.machine.mistaken(mutant);
        Self { machine, ..self }
    }

    /// The next thing that a worker does that is not at a unit.
    pub(super) fn next(&mut self) -> Option<Deed> {
        (0..self.hands.len()).find_map(|worker| self.next_of(worker))
    }

    fn next_of(&mut self, worker: usize) -> Option<Deed> {
        while !self.busy[worker] {
            let hand = &mut self.hands[worker];
            match self.machine.next(worker) {
                Step::Begin(unit) | Step::Add(unit) => {
                    self.busy[worker] = true;
                    hand.push(unit.clone());
                    return Some(Deed::Begin(worker, unit));
                }
                Step::HandIn => return Some(Deed::HandIn(worker, std::mem::take(hand))),
                Step::LetGo => hand.clear(),
                Step::Wait | Step::Leave => break,
            }
        }
        None
    }

    /// A worker is through with a unit.
    pub(super) fn worked(&mut self, worker: usize) {
        self.busy[worker] = false;
    }

    /// Units in its hands.
    pub(super) fn held(&self) -> usize {
        let in_hand: usize = self.hands.iter().map(Vec::len).sum();
        in_hand + self.machine.waiting()
    }
}
