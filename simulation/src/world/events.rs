//! A world: what is in it, and how time passes.

use super::{
    Counters, Faults, Ground, Lab, Outcome, Property,
    checks::Checks,
    damage::foreign_files,
    disk::{Covered, Disk},
    faults::SECOND,
    node::NodeProcess,
    process::Process,
    queue::Queue,
};
use lyceum_client_node::machine::Preparation;
use lyceum_coordinator::{conductor::Ending, dispatch::Peer};
use lyceum_core::{Chain, Fingerprint, Purpose, Seed, Stream, Ticket, Time, UnitKey};
use lyceum_network_model::{Direction, Directions, Link, LinkFaults};
use lyceum_protocol::message::{ToCoordinator, ToNode};
use rand::RngExt;
use std::collections::{BTreeMap, BTreeSet};

/// A world that has not ended so long after the trouble is over does not end.
const PATIENCE: u64 = 3600 * SECOND;
/// Things that may be planned at once.
const PLANNED: usize = 100_000;

/// Something that will happen.
pub(super) enum Happening {
    ToCoordinator(Peer, ToCoordinator),
    ToNode(Peer, ToNode),
    /// A node learns that its connection is over.
    Lost(Peer),
    /// The coordinator's driver learns that a connection is over.
    Gone(Peer),
    Connect {
        node: usize,
        life: u64,
    },
    Loaded {
        node: usize,
        life: u64,
        preparation: Preparation,
    },
    Worked {
        node: usize,
        life: u64,
        worker: usize,
    },
    WakeNode {
        node: usize,
        life: u64,
    },
    WakeCoordinator {
        process: u64,
    },
    Synced {
        process: u64,
        record: u64,
        covered: Covered,
    },
    Partition {
        node: usize,
        directions: Directions,
        on: bool,
    },
    NodeDies(usize),
    NodeStarts(usize),
    CoordinatorDies,
    CoordinatorStarts,
    /// An operator stops the run: at once, or at the end of the round.
    Pause {
        at_once: bool,
    },
    DiskFull(bool),
    ClockJump(u64),
    /// Nothing goes wrong any more.
    Calm,
}

/// A world in which one run is made.
pub struct World<'a> {
    pub(super) ground: &'a Ground,
    pub(super) lab: &'a mut Lab,
    pub(super) faults: Faults,
    pub(super) rng: Stream,
    pub(super) queue: Queue<Happening>,
    pub(super) nodes: Vec<NodeProcess>,
    pub(super) links: Vec<Link>,
    pub(super) disk: Disk,
    /// The files of another run of the same model, by the ends of their names.
    pub(super) foreign: BTreeMap<String, Vec<u8>>,
    pub(super) coordinator: Option<Process>,
    /// Coordinator processes so far.
    pub(super) processes: u64,
    /// Which node's connection each one was, by its number.
    pub(super) peers: Vec<usize>,
    pub(super) ended: BTreeSet<Peer>,
    pub(super) checks: Checks,
    pub(super) counters: Counters,
    trace: Chain,
    pub(super) ending: Option<Ending>,
    pub(super) fingerprint: Option<Fingerprint>,
    #[cfg(feature = "mutants")]
    pub(super) mistakes: Mistakes,
}

/// Mistakes that are built into a world.
#[cfg(feature = "mutants")]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Mistakes {
    /// Into the coordinator.
    pub coordinator: lyceum_coordinator::Mutant,
    /// Into the crews of the nodes.
    pub crew: lyceum_client_node::crew::Mutant,
}

impl<'a> World<'a> {
    /// Runs a scenario in the world of a seed.
    pub fn run(ground: &'a Ground, lab: &'a mut Lab, faults: &Faults, seed: u64) -> Outcome {
        let mut world = Self::new(ground, lab, faults, seed);
        world.populate();
        world.until_the_end()
    }

    /// Runs a scenario with mistakes built in.
    #[cfg(feature = "mutants")]
    pub fn run_mutant(
        ground: &'a Ground,
        lab: &'a mut Lab,
        faults: &Faults,
        seed: u64,
        mistakes: Mistakes,
    ) -> Outcome {
        let mut world = Self::new(ground, lab, faults, seed);
        world.mistakes = mistakes;
        world.populate();
        world.until_the_end()
    }

    fn new(ground: &'a Ground, lab: &'a mut Lab, faults: &Faults, seed: u64) -> Self {
        let link = |node| Link::new(Seed(seed), u64::from(node), faults.link.clone());
        Self {
            ground,
            lab,
            faults: faults.clone(),
            rng: Seed(seed).stream(Purpose::named("lyceum.world"), Ticket(0), None),
            queue: Queue::new(),
            nodes: Vec::new(),
            links: (0..faults.nodes).map(link).collect(),
            disk: Disk::new(seed, faults.crash_at_write),
            foreign: match faults.damage.get() > 0.0 {
                true => foreign_files(ground),
                false => BTreeMap::new(),
            },
            coordinator: None,
            processes: 0,
            peers: Vec::new(),
            ended: BTreeSet::new(),
            checks: Checks::default(),
            counters: Counters::default(),
            trace: Fingerprint::default().extend(),
            ending: None,
            fingerprint: None,
            #[cfg(feature = "mutants")]
            mistakes: Mistakes::default(),
        }
    }

    /// Draws a number of microseconds from 1 to `most`.
    pub(super) fn draw(&mut self, most: u64) -> u64 {
        self.rng.random_range(1..=most.max(1))
    }

    /// Whether something happens that happens that often.
    pub(super) fn chance(&mut self, share: f64) -> bool {
        self.rng.random::<f64>() < share
    }

    pub(super) fn in_trouble(&self) -> bool {
        self.queue.now().0 < self.faults.trouble_micros
    }

    fn populate(&mut self) {
        for node in 0..self.faults.nodes as usize {
            let process = self.node_process(node, 1);
            self.nodes.push(process);
            let life = 1;
            let after = self.draw(SECOND);
            self.queue.after(after, Happening::Connect { node, life });
        }
        let after = self.draw(SECOND);
        self.queue.after(after, Happening::CoordinatorStarts);
        self.plan_trouble();
    }

    fn plan_trouble(&mut self) {
        let trouble = self.faults.trouble_micros;
        for _ in 0..self.faults.partitions {
            let node = self.rng.random_range(0..self.nodes.len() as u64) as usize;
            let ways = [Directions::Both, Directions::AToB, Directions::BToA];
            let directions = ways[self.rng.random_range(0..3)];
            let partition = |on| Happening::Partition {
                node,
                directions,
                on,
            };
            self.plan(trouble, self.faults.partition_micros, partition);
        }
        for _ in 0..self.faults.full_disks {
            self.plan(trouble, self.faults.full_micros, Happening::DiskFull);
        }
        for _ in 0..self.faults.node_crashes {
            let node = self.rng.random_range(0..self.nodes.len() as u64) as usize;
            let at = Time(self.draw(trouble));
            self.queue.at(at, Happening::NodeDies(node));
        }
        for _ in 0..self.faults.coordinator_crashes {
            let at = Time(self.draw(trouble));
            self.queue.at(at, Happening::CoordinatorDies);
        }
        for _ in 0..self.faults.pauses {
            let at = Time(self.draw(trouble));
            let at_once = self.rng.random();
            self.queue.at(at, Happening::Pause { at_once });
        }
        for _ in 0..self.faults.clock_jumps {
            let (at, by) = (
                Time(self.draw(trouble)),
                self.draw(self.faults.clock_jump_micros),
            );
            self.queue.at(at, Happening::ClockJump(by));
        }
        self.queue.at(Time(trouble), Happening::Calm);
    }

    fn plan(&mut self, trouble: u64, longest: u64, what: impl Fn(bool) -> Happening) {
        let from = self.draw(trouble);
        let until = from + self.draw(longest);
        self.queue.at(Time(from), what(true));
        self.queue.at(Time(until), what(false));
    }

    fn until_the_end(mut self) -> Outcome {
        let bound = self.faults.trouble_micros + PATIENCE;
        while self.ending.is_none() {
            let happens = self.queue.pop();
            let now = self.queue.now();
            match happens {
                Some(what) if now.0 <= bound => self.happen(what),
                _ => {
                    let facts = self.standstill();
                    self.violated(Property::Ends, facts);
                    break;
                }
            }
            if self.queue.len() > PLANNED {
                self.violated(Property::Bounded, "messages without end".into());
                break;
            }
        }
        self.outcome()
    }

    fn outcome(mut self) -> Outcome {
        for link in &self.links {
            for direction in [Direction::AToB, Direction::BToA] {
                let counts = link.counts(direction);
                self.counters.messages += counts.sent;
                self.counters.lost += counts.lost;
                self.counters.doubled += counts.duplicated;
                self.counters.held_back += counts.reordered;
                self.counters.stopped += counts.dropped_by_partition;
            }
        }
        self.counters.writes = self.disk.writes();
        Outcome {
            ending: self.ending,
            fingerprint: self.fingerprint,
            violations: self.checks.violations,
            counters: self.counters,
            trace: self.trace.link(),
            ended: self.queue.now(),
        }
    }

    pub(super) fn violated(&mut self, property: Property, facts: String) {
        self.checks.violated(self.queue.now(), property, facts);
    }

    /// As [`note`](Self::note), of a message.
    pub(super) fn note_word(&mut self, word: &str, subject: u64) {
        self.trace.add(word.as_bytes());
        self.note(0, subject);
    }

    /// Adds to the hash of everything that happened.
    pub(super) fn note(&mut self, kind: u64, subject: u64) {
        self.trace
            .number(self.queue.now().0)
            .number(kind)
            .number(subject);
    }

    fn happen(&mut self, what: Happening) {
        self.counters.steps += 1;
        match what {
            Happening::ToCoordinator(peer, message) => self.coordinator_hears(peer, message),
            Happening::ToNode(peer, message) => self.node_hears(peer, message),
            Happening::Lost(peer) => self.node_loses(peer),
            Happening::Gone(peer) => self.coordinator_loses(peer),
            Happening::Connect { node, life } => self.connect(node, life),
            Happening::Loaded {
                node,
                life,
                preparation,
            } => self.loaded(node, life, &preparation),
            Happening::Worked { node, life, worker } => self.worked(node, life, worker),
            Happening::WakeNode { node, life } => self.wake_node(node, life),
            Happening::WakeCoordinator { process } => self.wake_coordinator(process),
            Happening::Synced {
                process,
                record,
                covered,
            } => self.synced(process, record, covered),
            Happening::NodeDies(node) => self.node_dies(node),
            Happening::NodeStarts(node) => self.node_starts(node),
            Happening::CoordinatorDies => self.coordinator_dies(),
            Happening::CoordinatorStarts => self.coordinator_starts(),
            Happening::Pause { at_once } => self.pause(at_once),
            Happening::ClockJump(by) => self.clock_jumps(by),
            Happening::Partition {
                node,
                directions,
                on,
            } => self.partition(node, directions, on),
            Happening::DiskFull(full) => self.disk.fill(full && self.in_trouble()),
            Happening::Calm => self.calm(),
        }
    }

    fn partition(&mut self, node: usize, directions: Directions, on: bool) {
        let on = on && self.in_trouble();
        self.counters.partitions += u64::from(on);
        self.links[node].cut(directions, on);
    }

    fn calm(&mut self) {
        let link = LinkFaults {
            delay_micros: self.faults.link.delay_micros,
            ..LinkFaults::default()
        };
        for at in &mut self.links {
            at.set_faults(link.clone());
            at.cut(Directions::Both, false);
        }
        self.disk.fill(false);
    }

    /// Where things stand in a world that does not end.
    fn standstill(&self) -> String {
        let Some(process) = &self.coordinator else {
            return "no coordinator runs".into();
        };
        let machine = process.conductor.machine();
        let key = |key: UnitKey| (key.ticket.0, key.unit.0);
        let pending: Vec<(u64, u64)> = machine.pending().map(key).collect();
        let waiting = process.conductor.dispatch().waiting();
        let held: Vec<usize> = self.nodes.iter().map(|n| n.crew.held()).collect();
        format!(
            "tickets and units {pending:?} are waited for, {waiting} of them for a node; nodes hold {held:?}"
        )
    }
}
