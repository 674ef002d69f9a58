//! Who works on what: units on one side, nodes that come, go and lag on the other.
//!
//! A unit waits in a queue, is given to a node, and is answered by the first complete upload that names it. What a
//! node holds is what it reports; whatever is missing there is sent again. A lost node's units go back to the queue.
//!
//! **Invariant:** no input or output, no clock: connections are numbers, time is told.

mod admission;
mod check;
mod giving;
mod missing;
mod node;
mod offers;
mod order;
#[cfg(test)]
mod tests;

pub use admission::{Admission, Standing};
pub use node::NodeStatus;
pub use order::{Notice, Order};

use giving::Waiting;
use lyceum_core::{Assignment, ClientId, Contribution, DataRef, Ticket, Time, UnitId, UnitKey};
use lyceum_protocol::message::{Flights, NodeName, Report, ToCoordinator, ToNode};
use node::Node;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// Characters of a node's words that are shown.
const SHOWN: usize = 200;
/// Why a node is lost that was asked to go.
pub const GOODBYE: &str = "it said goodbye";

/// A connection, numbered by the driver; numbers are not used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Peer(pub u64);

/// Who speaks on a connection, as its certificate says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Speaker {
    /// The connection.
    pub peer: Peer,
    /// The node.
    pub name: NodeName,
    /// What it may do.
    pub standing: Standing,
}

/// What does not depend on the scenario.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// Microseconds between two reports of a node.
    pub heartbeat: u64,
    /// Microseconds without a word after which a node is lost.
    pub lease: u64,
    /// Microseconds after which a unit that a node should hold and does not report is sent again.
    pub resend: u64,
    /// Microseconds after which a unit is given to a second node as well; `None` waits.
    pub reassign: Option<u64>,
    /// Nodes that are admitted at most.
    pub nodes: usize,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            heartbeat: 2_000_000,
            lease: 15_000_000,
            resend: 5_000_000,
            reassign: None,
            nodes: 100_000,
        }
    }
}

/// A unit that is not answered yet.
struct Unit {
    assignment: Assignment,
    /// The one node that may work on it, if its client is a real one.
    owner: Option<NodeName>,
    /// When it was given to whom.
    holders: BTreeMap<NodeName, Time>,
    waiting: bool,
}

/// Gives units to nodes.
pub struct Dispatch {
    pace: Pace,
    admission: Admission,
    contribution: Contribution,
    nodes: BTreeMap<NodeName, Node>,
    peers: BTreeMap<Peer, NodeName>,
    flights: Flights,
    /// Units that the stages of each ticket in flight were cut into so far.
    opened: BTreeMap<Ticket, u64>,
    units: BTreeMap<UnitKey, Unit>,
    waiting: Waiting,
    /// Answered by whom, but not safe on disk yet.
    unsafe_yet: BTreeMap<UnitKey, NodeName>,
    /// Whether units may be held that an earlier process gave out.
    resumed: bool,
    next_session: u64,
    /// Once the run has ended: the nodes that were told so.
    dismissed: Option<BTreeSet<NodeName>>,
    orders: VecDeque<Order>,
    #[cfg(feature = "mutants")]
    pub(crate) mutant: crate::Mutant,
}

impl Dispatch {
    /// Nothing to do and nobody there. `incarnation` counts the processes that have worked on this run, from 1.
    pub fn new(
        pace: Pace,
        admission: Admission,
        contribution: Contribution,
        incarnation: u32,
    ) -> Self {
        Self {
            pace,
            admission,
            contribution,
            nodes: BTreeMap::new(),
            peers: BTreeMap::new(),
            flights: Flights::default(),
            opened: BTreeMap::new(),
            units: BTreeMap::new(),
            waiting: Waiting::default(),
            unsafe_yet: BTreeMap::new(),
            resumed: incarnation > 1,
            next_session: u64::from(incarnation) << 32,
            dismissed: None,
            orders: VecDeque::new(),
            #[cfg(feature = "mutants")]
            mutant: crate::Mutant::None,
        }
    }

    /// Builds a mistake in, here and in the conductor that gets this dispatch.
    #[cfg(feature = "mutants")]
    pub fn mistaken(mut self, mutant: crate::Mutant) -> Self {
        self.mutant = mutant;
        self
    }

    /// The next thing to do, if there is one.
    pub fn poll(&mut self) -> Option<Order> {
        self.orders.pop_front()
    }

    /// Nothing but these tickets, ascending, is in flight: units of others are void from now on.
    pub fn keep(&mut self, open: &[Ticket]) {
        if self.flights.open == open {
            return;
        }
        let turn = self.flights.turn + 1;
        let open = open.to_vec();
        self.flights = Flights { turn, open };
        let flights = &self.flights;
        let lasts = |key: &UnitKey| flights.holds(key.ticket);
        self.opened.retain(|ticket, _| flights.holds(*ticket));
        self.units.retain(|key, _| lasts(key));
        self.waiting.retain(|key| lasts(&key));
        self.unsafe_yet.retain(|key, _| lasts(key));
        for node in self.nodes.values_mut() {
            node.given.retain(lasts);
            node.claims.retain(lasts);
        }
    }

    /// Takes units of tickets in flight.
    pub fn assign(&mut self, now: Time, assignments: Vec<Assignment>) {
        if self.units.is_empty() {
            // What nodes had of the stage before is answered or void, whatever they said last.
            self.nodes.values_mut().for_each(|node| node.open = 0);
        }
        for assignment in assignments {
            let owner = self.admission.owner(client(&assignment)).cloned();
            let key = assignment.ticket.unit(assignment.unit);
            let unit = Unit::new(assignment, owner);
            let opened = self.opened.entry(key.ticket).or_default();
            // The expert's unit has the last number of all, and opens none.
            *opened = (*opened).max(key.unit.0.wrapping_add(1));
            // An earlier process may have been further than its journal, and have given it out already.
            let claims = self.nodes.values_mut().filter(|n| n.claims.contains(&key));
            claims.for_each(|node| {
                node.given.insert(key);
            });
            self.waiting.push(key, unit.owner.as_ref());
            self.units.insert(key, unit);
        }
        self.fill(now);
    }

    /// Stages of a ticket were cut into so many units so far, those included that are answered.
    pub fn has_opened(&mut self, ticket: Ticket, units: u64) {
        self.opened.insert(ticket, units);
    }

    /// Whether a stage to come is cut into this unit, if any: a process before this one was further.
    fn is_ahead(&self, key: UnitKey) -> bool {
        let opened = self.opened.get(&key.ticket).copied().unwrap_or(0);
        // The expert's unit opens none, and is not ahead for that.
        let here = self.units.contains_key(&key) || self.unsafe_yet.contains_key(&key);
        self.resumed && !here && self.flights.holds(key.ticket) && key.unit.0 >= opened
    }

    /// The run has ended for now: says so to every node that is there, and from now on to those that come.
    pub fn dismiss(&mut self) {
        self.units.clear();
        self.waiting.clear();
        let mut told = BTreeSet::new();
        for (name, node) in &self.nodes {
            let session = node.session;
            let send = |peer| Order::Send(peer, ToNode::Finished { session });
            self.orders.extend(node.peer.map(send));
            told.extend(node.peer.map(|_| name.clone()));
        }
        self.dismissed = Some(told);
    }

    /// How many nodes were told that the run has ended, if all that this process knows were.
    pub fn all_dismissed(&self) -> Option<usize> {
        let told = self.dismissed.as_ref()?;
        let all = self.nodes.keys().all(|name| told.contains(name));
        all.then_some(told.len())
    }

    /// The stage of a ticket is closed, and that is safe: nobody needs what was not answered by then.
    pub fn close(&mut self, ticket: Ticket) {
        let lasts = |key: &UnitKey| key.ticket != ticket;
        self.units.retain(|key, _| lasts(key));
        self.waiting.retain(|key| lasts(&key));
        self.unsafe_yet.retain(|key, _| lasts(key));
    }

    /// Answered units are safe: their nodes may forget them, and hear so before they offer them again.
    pub fn safe(&mut self, ticket: Ticket, units: &[UnitId]) {
        let mut safe: BTreeMap<NodeName, Vec<UnitKey>> = BTreeMap::new();
        for key in units.iter().map(|unit| ticket.unit(*unit)) {
            if let Some(name) = self.unsafe_yet.remove(&key) {
                safe.entry(name).or_default().push(key);
            }
        }
        for (name, units) in safe {
            self.pulse(&name, units);
        }
    }

    /// Hears a node.
    pub fn hear(&mut self, now: Time, from: &Speaker, message: ToCoordinator) {
        if let ToCoordinator::Hello(hello) = message {
            return self.hello(now, from, hello);
        }
        let peer = from.peer;
        let Some(name) = self.peers.get(&peer).cloned() else {
            return;
        };
        let Some(node) = self.nodes.get_mut(&name) else {
            return;
        };
        if node.peer != Some(peer) {
            return;
        }
        if message.session() != Some(node.session) {
            if !std::mem::replace(&mut node.unheard, true) {
                let node = name.clone();
                self.orders
                    .push_back(Order::Notice(Notice::Unheard { node }));
            }
            return;
        }
        node.heard = now;
        match message {
            ToCoordinator::Hello(_) => {}
            ToCoordinator::Ready(ready) => self.ready(now, &name, ready),
            ToCoordinator::Report(report) => self.report(now, &name, &report),
            ToCoordinator::Offer { upload, .. } => self.offer(now, &name, upload),
            ToCoordinator::Goodbye { .. } => {
                self.lose(&name, GOODBYE);
                self.fill(now);
            }
            ToCoordinator::Failed { reason, .. } => {
                let shown = reason.chars().filter(|c| !c.is_control()).take(SHOWN);
                let shown: String = shown.collect();
                self.lose(&name, &format!("it cannot go on: {shown}"));
                self.fill(now);
            }
        }
    }

    /// A connection ended. The node may come back and go on with what it holds, within its lease.
    pub fn gone(&mut self, peer: Peer) {
        let node = self
            .peers
            .remove(&peer)
            .and_then(|n| self.nodes.get_mut(&n));
        if let Some(node) = node.filter(|n| n.peer == Some(peer)) {
            node.peer = None;
            node.ready = false;
        }
    }

    /// A node may not take part any more: its work goes to others at once. That its connection has ended may have been
    /// heard before; one that has come back on another connection stays.
    pub fn banish(&mut self, now: Time, peer: Peer, name: &NodeName) {
        let back = |node: &Node| node.peer.is_some_and(|p| p != peer);
        if self.nodes.get(name).is_some_and(|node| !back(node)) {
            self.lose(name, "it may not take part any more");
            self.fill(now);
        }
    }

    /// When something happens although nobody says a word.
    pub fn deadline(&self) -> Option<Time> {
        let leases = self
            .nodes
            .values()
            .filter(|n| n.is_counted())
            .map(|n| Time(n.heard.0.saturating_add(self.pace.lease)));
        let slow = self.pace.reassign.into_iter().flat_map(|after| {
            let given = |unit: &Unit| unit.given_last().map(|t| Time(t.0.saturating_add(after)));
            self.units
                .values()
                .filter(|u| !u.waiting)
                .filter_map(given)
                .collect::<Vec<_>>()
        });
        leases.chain(slow).min()
    }

    /// Lets time pass: loses nodes that are silent, gives units of slow ones to others too.
    pub fn tick(&mut self, now: Time) {
        let lease = self.pace.lease;
        let silent = |n: &Node| n.is_counted() && n.heard.0.saturating_add(lease) <= now.0;
        let lost: Vec<NodeName> = self
            .nodes
            .iter()
            .filter(|(_, n)| silent(n))
            .map(|(name, _)| name.clone())
            .collect();
        for name in &lost {
            self.lose(name, "it was silent for too long");
        }
        if let Some(after) = self.pace.reassign {
            self.give_again(now, after);
        }
        self.fill(now);
    }

    fn give_again(&mut self, now: Time, after: u64) {
        let slow = |unit: &Unit| {
            let given = unit.given_last();
            !unit.waiting && given.is_some_and(|t| t.0.saturating_add(after) <= now.0)
        };
        let late: Vec<UnitKey> = self
            .units
            .iter()
            .filter(|(_, unit)| slow(unit))
            .map(|(id, _)| *id)
            .collect();
        for id in late {
            self.requeue(id);
        }
    }

    fn requeue(&mut self, id: UnitKey) {
        if let Some(unit) = self.units.get_mut(&id).filter(|u| !u.waiting) {
            unit.waiting = true;
            self.waiting.push(id, unit.owner.as_ref());
        }
    }

    /// Takes a node's work away from it.
    fn lose(&mut self, name: &NodeName, reason: &str) {
        let Some(node) = self.nodes.get_mut(name) else {
            return;
        };
        let peer = node.peer.take();
        node.ready = false;
        node.holds_work = false;
        node.open = 0;
        if let Some(peer) = peer {
            self.peers.remove(&peer);
            self.orders.push_back(Order::Close(peer, reason.into()));
        }
        let mut units = 0;
        let held: Vec<UnitKey> = self.held_by(name);
        for id in held {
            units += usize::from(self.let_go(id, name));
        }
        let node = name.clone();
        self.orders.push_back(Order::Notice(Notice::Lost {
            node,
            units,
            reason: reason.into(),
        }));
    }

    fn held_by(&self, name: &NodeName) -> Vec<UnitKey> {
        self.units
            .iter()
            .filter(|(_, unit)| unit.holders.contains_key(name))
            .map(|(id, _)| *id)
            .collect()
    }

    /// A node does not hold a unit any more; says whether the unit waits again for that.
    fn let_go(&mut self, id: UnitKey, name: &NodeName) -> bool {
        let Some(unit) = self.units.get_mut(&id) else {
            return false;
        };
        unit.holders.remove(name);
        if unit.holders.is_empty() && !unit.waiting {
            self.requeue(id);
            return true;
        }
        false
    }

    fn report(&mut self, now: Time, name: &NodeName, report: &Report) {
        // Whoever has not shown that it has the scenario and the samples is only alive.
        if self.nodes.get(name).is_some_and(|n| n.ready) {
            self.adopt(now, name, report);
            self.send_missing(now, name, report);
        }
        let ahead = |key: &UnitKey| self.is_ahead(*key);
        let claims = report.held.iter().copied().filter(ahead).collect();
        // What a node holds that has not heard of the last change may be void.
        let knows = report.turn == self.flights.turn;
        let Some(node) = self.nodes.get_mut(name) else {
            return;
        };
        node.claims = claims;
        node.steps = report.steps;
        node.open = if knows { report.open as usize } else { 0 };
        let in_flight = |(key, unit): &(&UnitKey, &Unit)| {
            unit.holders.contains_key(name) && report.held.binary_search(key).is_err()
        };
        node.open += self.units.iter().filter(in_flight).count();
        self.fill(now);
        // Units of a ticket that is over go with it, and are not named.
        let open =
            |key: &UnitKey| self.units.contains_key(key) || self.unsafe_yet.contains_key(key);
        let done =
            |key: &&UnitKey| self.flights.holds(key.ticket) && !open(key) && !self.is_ahead(**key);
        let drop = report.held.iter().filter(done).copied().collect();
        self.pulse(name, drop);
    }

    /// After a restart nobody knows who was given what; nodes that still hold a unit keep it. Where another node was
    /// faster to get it, both may answer.
    fn adopt(&mut self, now: Time, name: &NodeName, report: &Report) {
        if !self.resumed {
            return;
        }
        let worker = self.nodes.get(name).is_some_and(Node::is_worker);
        for id in &report.held {
            let unit = self.units.get_mut(id);
            let Some(unit) = unit.filter(|u| u.is_open_to(name, worker)) else {
                continue;
            };
            if let Some(node) = self.nodes.get_mut(name) {
                node.given.insert(*id);
            }
            if unit.holders.is_empty() {
                unit.holders.insert(name.clone(), now);
                unit.waiting = false;
                self.waiting.retain(|waiting| waiting != *id);
            }
        }
    }

    fn send_missing(&mut self, now: Time, name: &NodeName, report: &Report) {
        #[cfg(feature = "mutants")]
        if self.mutant == crate::Mutant::ForgetResend {
            return;
        }
        // Work shows a node that it is known to be ready; one that is not has to say so first.
        let Some(node) = self.nodes.get_mut(name).filter(|n| n.ready) else {
            return;
        };
        let first = !std::mem::replace(&mut node.reported, true);
        let (peer, session, since) = (node.peer, node.session, node.ready_at);
        for (key, unit) in &mut self.units {
            let Some(given) = unit.holders.get_mut(name) else {
                continue;
            };
            // What it was given before this session, it may never have got.
            let before = first && *given < since;
            let overdue = before || given.0.saturating_add(self.pace.resend) <= now.0;
            if report.held.binary_search(key).is_err() && overdue {
                *given = now;
                let (flights, assignment) = (self.flights.clone(), unit.assignment.clone());
                let message = ToNode::Assign {
                    session,
                    flights,
                    assignment,
                };
                self.orders
                    .extend(peer.map(|peer| Order::Send(peer, message)));
            }
        }
    }

    /// What a node sent cannot be taken: it is shut out, and others do its work.
    fn refuse(&mut self, name: &NodeName, reason: String) {
        let node = name.clone();
        let peer = self.nodes.get(name).and_then(|n| n.peer);
        self.orders.push_back(Order::Notice(Notice::Refused {
            node,
            reason: reason.clone(),
        }));
        if let Some(peer) = peer {
            self.orders
                .push_back(Order::Send(peer, ToNode::Refuse(reason)));
        }
        self.lose(name, "what it sent was refused");
    }
}

/// The client that decides who may work on a unit; real clients stand alone in theirs.
fn client(assignment: &Assignment) -> Option<ClientId> {
    match assignment.jobs.first()?.data {
        DataRef::Shard(client) => Some(client),
        DataRef::Probe { .. } | DataRef::Pool => None,
    }
}

impl Unit {
    fn new(assignment: Assignment, owner: Option<NodeName>) -> Self {
        Self {
            assignment,
            owner,
            holders: BTreeMap::new(),
            waiting: true,
        }
    }

    /// Whether this node may work on it.
    fn is_open_to(&self, name: &NodeName, worker: bool) -> bool {
        match &self.owner {
            Some(owner) => owner == name,
            None => worker,
        }
    }

    fn given_last(&self) -> Option<Time> {
        self.holders.values().max().copied()
    }
}
