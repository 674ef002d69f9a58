//! The nodes' processes in a world: the real machines, and drivers of messages, work and clocks.

use super::{
    Property,
    events::{Happening, World},
    faults::SECOND,
    node::{Crew, NodeProcess, Started},
};
use lyceum_client_node::machine::{NodeMachine, Order, Preparation, Prepared};
use lyceum_coordinator::{dispatch::Peer, run::RunError};
use lyceum_core::{Fingerprint, Time, Work};
use lyceum_network_model::Direction;
use lyceum_protocol::message::{Hello, PROTOCOL, ToCoordinator, ToNode};
use rand::RngExt;

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
            threads,
            registry: Fingerprint::default(),
        };
        NodeProcess {
            name: format!("node-{node}").into(),
            machine: NodeMachine::new(hello),
            life,
            peer: None,
            clock: self.draw(3600 * SECOND),
            crew: Crew::new(threads as usize),
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

    pub(super) fn worked(&mut self, node: usize, life: u64, started: Started) {
        if !self.is_there(node, life) {
            return;
        }
        self.note(27, node as u64);
        let steps = match self.lab.steps(&started.assignment) {
            Ok(steps) => steps,
            Err(error) => return self.work_failed(node, &error),
        };
        let time = self.nodes[node].time(self.queue.now());
        let process = &mut self.nodes[node];
        let counts = process.crew.end(&started);
        let (generation, unit) = (started.generation, started.assignment.unit);
        if started.assignment.work == Work::Train && self.ground.node().sums_units() {
            process.machine.summed(time, generation, unit, steps);
            if counts {
                process.crew.sum(started);
            }
        } else if counts {
            let upload = self.lab.batch(std::slice::from_ref(&started.assignment));
            match upload {
                Ok(upload) => process.machine.finished(time, generation, upload),
                Err(error) => return self.work_failed(node, &error),
            }
        }
        self.obey_node(node);
    }

    fn work_failed(&mut self, node: usize, error: &RunError) {
        self.violated(Property::Trusted, format!("node {node}: {error}"));
    }

    /// Does what a node's machine says, lets its threads begin what waits, and hands in what is complete.
    fn obey_node(&mut self, node: usize) {
        loop {
            while let Some(order) = self.nodes[node].machine.poll() {
                self.obey_order(node, order);
            }
            while let Some(started) = self.nodes[node].crew.begin() {
                self.begin(node, started);
            }
            let Some((generation, units)) = self.nodes[node].crew.hand_in() else {
                break;
            };
            let time = self.nodes[node].time(self.queue.now());
            match self.lab.batch(&units) {
                Ok(upload) => self.nodes[node].machine.finished(time, generation, upload),
                Err(error) => self.work_failed(node, &error),
            }
        }
        if self.nodes[node].machine.offers().len() > OFFERS {
            self.violated(Property::Bounded, format!("node {node} holds too much"));
        }
        self.rearm_node(node);
    }

    fn begin(&mut self, node: usize, started: Started) {
        self.checks
            .begun(self.queue.now(), node, &started.assignment);
        let life = self.nodes[node].life;
        let took = self.draw(self.faults.unit_micros);
        let worked = Happening::Worked {
            node,
            life,
            started,
        };
        self.queue.after(took, worked);
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
            } => self.nodes[node].crew.work(generation, assignment),
            Order::Flush(on) => self.nodes[node].crew.flush(on),
            Order::Clear => self.nodes[node].crew.clear(),
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
        let kind = match &message {
            ToCoordinator::Hello(_) => 30,
            ToCoordinator::Ready(_) => 31,
            ToCoordinator::Report(_) => 32,
            ToCoordinator::Offer { .. } => 33,
            ToCoordinator::Goodbye { .. } => 34,
        };
        self.note(kind, peer.0);
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
