//! Which waiting unit goes to which node, and which nodes are to hand in what they have.

use super::{Dispatch, Node, Order};
use lyceum_core::{Time, UnitKey};
use lyceum_protocol::message::{NodeName, Pulse, ToNode};
use std::collections::{BTreeMap, VecDeque};

/// Units that nobody works on: those that any worker may have, and those of each real client.
#[derive(Default)]
pub(super) struct Waiting {
    shared: VecDeque<UnitKey>,
    own: BTreeMap<NodeName, VecDeque<UnitKey>>,
}

impl Waiting {
    pub(super) fn push(&mut self, id: UnitKey, owner: Option<&NodeName>) {
        match owner {
            None => self.shared.push_back(id),
            Some(owner) => self.own.entry(owner.clone()).or_default().push_back(id),
        }
    }

    pub(super) fn clear(&mut self) {
        self.shared.clear();
        self.own.clear();
    }

    pub(super) fn len(&self) -> usize {
        self.shared.len() + self.own.values().map(VecDeque::len).sum::<usize>()
    }

    pub(super) fn retain(&mut self, keep: impl Fn(UnitKey) -> bool) {
        self.shared.retain(|id| keep(*id));
        self.own.retain(|_, units| {
            units.retain(|id| keep(*id));
            !units.is_empty()
        });
    }
}

impl Dispatch {
    pub(super) fn pulse(&mut self, name: &NodeName, drop: Vec<UnitKey>) {
        let Some(node) = self.nodes.get(name) else {
            return;
        };
        let flush = !self.has_work_for(name, node);
        let pulse = Pulse {
            session: node.session,
            flights: self.flights.clone(),
            flush,
            drop,
        };
        if let Some(peer) = node.peer {
            self.orders
                .push_back(Order::Send(peer, ToNode::Pulse(pulse)));
        }
        if let Some(node) = self.nodes.get_mut(name) {
            node.flushes = flush;
        }
    }

    /// Whether a unit waits that this node can be given.
    fn has_work_for(&self, name: &NodeName, node: &Node) -> bool {
        let open = |id: &UnitKey| !self.units[id].holders.contains_key(name);
        let own = self.waiting.own.get(name).into_iter().flatten();
        let shared = node.is_worker().then_some(&self.waiting.shared);
        node.ready && (own.chain(shared.into_iter().flatten())).any(open)
    }

    /// Gives waiting units to nodes with room.
    pub(super) fn fill(&mut self, now: Time) {
        let owners: Vec<NodeName> = self.waiting.own.keys().cloned().collect();
        for name in &owners {
            self.give_own(now, name);
        }
        if self.waiting.shared.is_empty() {
            return;
        }
        let workers: Vec<NodeName> = self
            .nodes
            .iter()
            .filter(|(_, node)| node.is_worker())
            .map(|(name, _)| name.clone())
            .collect();
        let threads: usize = workers
            .iter()
            .map(|name| self.nodes[name].threads as usize)
            .sum();
        for name in &workers {
            self.fill_worker(now, name, threads.max(1));
        }
        for name in &workers {
            self.pulse_if_changed(name);
        }
    }

    fn pulse_if_changed(&mut self, name: &NodeName) {
        let changed = |node: &Node| node.flushes == self.has_work_for(name, node);
        if self.nodes.get(name).is_some_and(changed) {
            self.pulse(name, Vec::new());
        }
    }

    /// A real client gets all that is its own.
    fn give_own(&mut self, now: Time, name: &NodeName) {
        if !self.nodes.get(name).is_some_and(|node| node.ready) {
            return;
        }
        let Some(units) = self.waiting.own.remove(name) else {
            return;
        };
        let (held, open): (VecDeque<_>, VecDeque<_>) = units
            .into_iter()
            .partition(|id| self.units[id].holders.contains_key(name));
        if !held.is_empty() {
            self.waiting.own.insert(name.clone(), held);
        }
        for id in open {
            self.give(now, name, id);
        }
        self.pulse_if_changed(name);
    }

    /// Half of its share of what waits, so that all end at about the same time, and never less than keeps its threads
    /// busy while it asks for more.
    fn fill_worker(&mut self, now: Time, name: &NodeName, all_threads: usize) {
        let Some(node) = self.nodes.get(name) else {
            return;
        };
        let threads = node.threads as usize;
        let share = (self.waiting.shared.len() * threads).div_ceil(2 * all_threads);
        let room = share.max(threads + 1).saturating_sub(node.open);
        for _ in 0..room {
            let open = |id: &UnitKey| !self.units[id].holders.contains_key(name);
            let place = self.waiting.shared.iter().position(open);
            let Some(id) = place.and_then(|place| self.waiting.shared.remove(place)) else {
                return;
            };
            self.give(now, name, id);
        }
    }

    fn give(&mut self, now: Time, name: &NodeName, id: UnitKey) {
        let (Some(node), Some(unit)) = (self.nodes.get_mut(name), self.units.get_mut(&id)) else {
            return;
        };
        unit.waiting = false;
        unit.holders.insert(name.clone(), now);
        node.given.insert(id);
        node.open += 1;
        let (session, assignment) = (node.session, unit.assignment.clone());
        let message = ToNode::Assign {
            session,
            flights: self.flights.clone(),
            assignment,
        };
        self.orders
            .extend(node.peer.map(|peer| Order::Send(peer, message)));
    }
}
