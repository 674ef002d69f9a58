//! The nodes' processes in a world: the real machines, and drivers of messages, work and clocks.

use super::{
    Property,
    events::{Happening, World},
    faults::SECOND,
    node::{Crew, Deed, NodeProcess},
};
use lyceum_client_node::{
    crew::{CrewEvent, Failure},
    machine::{NodeMachine, Order, Preparation, Prepared},
};
use lyceum_coordinator::dispatch::Peer;
use lyceum_core::{Assignment, Fingerprint, Time};
use lyceum_network_model::Direction;
use lyceum_protocol::message::{Hello, PROTOCOL, ToCoordinator, ToNode};
use rand::RngExt;
use std::fmt::Display;

/// Longest time before a node connects again, in microseconds.
const BACK_OFF: u64 = 3 * SECOND;
/// Results that a node may hold on to.
const OFFERS: usize = 1000;

impl World<'_> {
    /// A process with no memory.
    pub(super) fn node_process(&mut self, node: usize, life: u64) -> NodeProcess {
        let threads = 1 + node as u32 % self.faults.threads.max(1);
        let hello = Hello {
            protocol: PROTOCOL,
            attempt: 0,
            session: Default::default(),
            threads,
            registry: Fingerprint::default(),
        };
        let crew = Crew::new(threads as usize, self.ground.node().sums_units());
        #[cfg(feature = "mutants")]
        let crew = crew.mistaken(self.mistakes.crew);
        NodeProcess {
            name: format!("node-{node}").into(),
            machine: NodeMachine::new(hello),
            life,
            peer: None,
            clock: self.draw(3600 * SECOND),
            crew,
            wake: None,
            down: false,
        }
    }

    pub(super) fn node_dies(&mut self, node: usize) {
        if self.nodes[node].down || !self.in_trouble() {
            return;
        }
        self.note(20, node as u64);
        self.counters.node_crashes += 1;
        if let Some(peer) = self.nodes[node].peer.take() {
            self.end_connection(peer);
        }
        self.nodes[node].down = true;
        self.nodes[node].life += 1;
        let away = self.draw(self.faults.down_micros);
        self.queue.after(away, Happening::NodeStarts(node));
    }

    pub(super) fn node_starts(&mut self, node: usize) {
        self.note(21, node as u64);
        let life = self.nodes[node].life;
        self.nodes[node] = self.node_process(node, life);
        self.queue.after(0, Happening::Connect { node, life });
    }

    fn is_there(&self, node: usize, life: u64) -> bool {
        !self.nodes[node].down && self.nodes[node].life == life
    }

    pub(super) fn connect(&mut self, node: usize, life: u64) {
        if !self.is_there(node, life) || self.nodes[node].peer.is_some() {
            return;
        }
        let peer = Peer(self.peers.len() as u64);
        self.note(22, peer.0);
        self.peers.push(node);
        let now = self.queue.now();
        let process = &mut self.nodes[node];
        process.peer = Some(peer);
        process.machine.connected(process.time(now));
        self.obey_node(node);
        if self.coordinator.is_none() {
            self.lose_connection(peer);
        }
    }

    pub(super) fn node_loses(&mut self, peer: Peer) {
        let node = self.peers[peer.0 as usize];
        if self.nodes[node].peer != Some(peer) {
            return;
        }
        self.note(23, peer.0);
        self.nodes[node].peer = None;
        self.nodes[node].machine.disconnected();
        self.connect_again(node);
        self.obey_node(node);
    }

    fn connect_again(&mut self, node: usize) {
        let (life, after) = (self.nodes[node].life, self.draw(BACK_OFF));
        self.queue.after(after, Happening::Connect { node, life });
    }

    pub(super) fn node_hears(&mut self, peer: Peer, message: ToNode) {
        let node = self.peers[peer.0 as usize];
        if self.nodes[node].down {
            return;
        }
        if self.nodes[node].peer != Some(peer) {
            if !self.in_trouble() || !self.chance(self.faults.late_messages.get()) {
                return;
            }
            self.counters.late_messages += 1;
        }
        self.note(24, peer.0);
        let time = self.nodes[node].time(self.queue.now());
        self.nodes[node].machine.hear(time, message);
        self.obey_node(node);
    }

    pub(super) fn wake_node(&mut self, node: usize, life: u64) {
        let now = self.queue.now();
        if !self.is_there(node, life) || self.nodes[node].wake != Some(now) {
            return;
        }
        self.note(25, node as u64);
        let process = &mut self.nodes[node];
        process.wake = None;
        let time = process.time(now);
        process.machine.tick(time);
        if process.machine.deadline().is_some_and(|at| at <= time) {
            self.violated(Property::Rests, format!("node {node} wakes up for nothing"));
        }
        self.obey_node(node);
    }

    pub(super) fn loaded(&mut self, node: usize, life: u64, preparation: &Preparation) {
        if !self.is_there(node, life) {
            return;
        }
        self.note(26, node as u64);
        let loaded = Prepared {
            scenario: self.ground.digest(),
            data: Some(self.ground.data()),
            profile: "world".into(),
            own: None,
        };
        let time = self.nodes[node].time(self.queue.now());
        self.nodes[node]
            .machine
            .prepared(time, preparation, Ok(loaded));
        self.obey_node(node);
    }

    pub(super) fn worked(&mut self, node: usize, life: u64, worker: usize) {
        if !self.is_there(node, life) {
            return;
        }
        self.note(27, node as u64);
        self.nodes[node].crew.worked(worker);
        self.obey_node(node);
    }

    fn work_failed(&mut self, node: usize, reason: &dyn Display) {
        self.violated(Property::Trusted, format!("node {node}: {reason}"));
    }

    /// Does what a node's machine says, and lets its workers do what they can.
    fn obey_node(&mut self, node: usize) {
        loop {
            while let Some(order) = self.nodes[node].machine.poll() {
                self.obey_order(node, order);
            }
            let deed = self.nodes[node].crew.next();
            let rests = deed.is_none();
            match deed {
                Some(Deed::Begin(worker, unit)) => self.begin(node, worker, &unit),
                Some(Deed::HandIn(worker, units)) => self.hand_in(node, worker, &units),
                None => {}
            }
            if !self.crew_speaks(node) && rests {
                break;
            }
        }
        if self.nodes[node].machine.offers().len() > OFFERS {
            self.violated(Property::Bounded, format!("node {node} holds too much"));
        }
        self.rearm_node(node);
    }

    fn begin(&mut self, node: usize, worker: usize, unit: &Assignment) {
        self.checks.begun(self.queue.now(), node, unit);
        let life = self.nodes[node].life;
        let took = self.draw(self.faults.unit_micros);
        let worked = Happening::Worked { node, life, worker };
        self.queue.after(took, worked);
    }

    fn hand_in(&mut self, node: usize, worker: usize, units: &[Assignment]) {
        let crew = &mut self.nodes[node].crew.machine;
        match self.lab.batch(units) {
            Ok(upload) => crew.hand_in(worker, upload),
            Err(error) => crew.fail(worker, Failure::Unit(error.to_string())),
        }
    }

    /// The node's machine hears its crew; says whether there was anything to hear.
    fn crew_speaks(&mut self, node: usize) -> bool {
        let time = self.nodes[node].time(self.queue.now());
        let mut spoke = false;
        while let Some(event) = self.nodes[node].crew.machine.poll() {
            spoke = true;
            let machine = &mut self.nodes[node].machine;
            match event {
                CrewEvent::Summed {
                    generation,
                    unit,
                    clients,
                } => machine.summed(time, generation, unit, clients),
                CrewEvent::Finished { generation, upload } => {
                    machine.finished(time, generation, upload);
                }
                CrewEvent::Failed(failure) => self.work_failed(node, &failure),
            }
        }
        spoke
    }

    fn obey_order(&mut self, node: usize, order: Order) {
        match order {
            Order::Send(message) => self.send_to_coordinator(node, message),
            Order::Reconnect => {
                if let Some(peer) = self.nodes[node].peer.take() {
                    self.end_connection(peer);
                }
                self.connect_again(node);
            }
            Order::Prepare(preparation) => {
                let (life, after) = (
                    self.nodes[node].life,
                    self.rng.random_range(1..=self.faults.load_micros.max(1)),
                );
                let loaded = Happening::Loaded {
                    node,
                    life,
                    preparation,
                };
                self.queue.after(after, loaded);
            }
            Order::Work {
                generation,
                assignment,
            } => self.nodes[node].crew.machine.work(generation, assignment),
            Order::Flush { generation, on } => {
                self.nodes[node].crew.machine.flush(generation, on);
            }
            Order::Clear { generation } => self.nodes[node].crew.machine.clear(generation),
            Order::Finished => {}
            Order::Stop(reason) | Order::Unfit(reason) | Order::Fail(reason) => {
                self.violated(Property::Trusted, format!("node {node} stops: {reason}"));
                self.nodes[node].peer = None;
                self.nodes[node].down = true;
                self.nodes[node].life += 1;
                self.queue.after(SECOND, Happening::NodeStarts(node));
            }
        }
    }

    fn send_to_coordinator(&mut self, node: usize, message: ToCoordinator) {
        let Some(peer) = self.nodes[node].peer else {
            return;
        };
        self.note_word(message.name(), peer.0);
        let now = self.queue.now();
        for at in self.links[node].send(now, Direction::AToB, 0) {
            self.queue
                .at(at, Happening::ToCoordinator(peer, message.clone()));
        }
    }

    fn rearm_node(&mut self, node: usize) {
        let now = self.queue.now();
        let process = &mut self.nodes[node];
        let clock = process.clock;
        let at = process.machine.deadline();
        let at = at.map(|at| Time(at.0.saturating_sub(clock)).max(Time(now.0 + 1)));
        if at.is_none() || at == process.wake || process.down {
            return;
        }
        process.wake = at;
        let life = process.life;
        self.queue
            .at(at.unwrap_or(now), Happening::WakeNode { node, life });
    }
}
