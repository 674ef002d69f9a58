//! What nodes offer: results that count, and those that come too late, too early or from somebody else.

use super::{Dispatch, Notice, Order, check};
use lyceum_core::{Assignment, Time, UnitKey, Upload};
use lyceum_protocol::message::NodeName;

impl Dispatch {
    pub(super) fn offer(&mut self, now: Time, name: &NodeName, upload: Upload) {
        let Some(node) = self.nodes.get_mut(name).filter(|n| n.ready) else {
            return;
        };
        if !self.flights.holds(upload.ticket) {
            let (node, units) = (name.clone(), upload.units.len());
            self.orders
                .push_back(Order::Notice(Notice::Late { node, units }));
            return self.pulse(name, Vec::new());
        }
        let keys = upload.units.iter().map(|unit| upload.ticket.unit(*unit));
        let keys: Vec<UnitKey> = keys.collect();
        let stranger = |key: &&UnitKey| self.units.contains_key(key) && !node.given.contains(key);
        let stranger = keys.iter().find(stranger).map(|key| key.unit);
        let reported = node.reported;
        // It is kept, and offered again when its stage has come.
        if keys.iter().any(|key| self.is_ahead(*key)) {
            return;
        }
        if let Some(unit) = stranger {
            // Given by an earlier process, perhaps: the node's report, which may be on its way, says so. One that was made
            // before this process came to the ticket did not say it, and the work is done again.
            if self.resumed {
                let drop = if reported { keys } else { Vec::new() };
                return self.pulse(name, drop);
            }
            let reason = format!("it answers unit {unit}, which it was not given");
            return self.refuse(name, reason);
        }
        let mine = |key: &UnitKey| self.unsafe_yet.get(key) == Some(name);
        if !keys.is_empty() && keys.iter().all(mine) {
            // It is taken, and being written down.
            return;
        }
        let known = |key: &&UnitKey| self.units.contains_key(key);
        let pending = keys.iter().filter(known).count();
        #[cfg(feature = "mutants")]
        if self.mutant == crate::Mutant::AcceptDuplicates && pending < upload.units.len() {
            return self.orders.push_back(Order::Deliver(upload));
        }
        if pending < keys.len() {
            return self.late(now, name, keys, pending);
        }
        self.accept(now, name, &keys, upload);
    }

    /// Takes an upload of units that all wait for it.
    fn accept(&mut self, now: Time, name: &NodeName, keys: &[UnitKey], upload: Upload) {
        let assignments: Vec<&Assignment> =
            keys.iter().map(|key| &self.units[key].assignment).collect();
        if let Err(reason) = check::answers(&upload, &assignments, &self.contribution) {
            return self.refuse(name, reason);
        }
        for key in keys {
            self.units.remove(key);
            self.unsafe_yet.insert(*key, name.clone());
        }
        let left = self.held_by(name).len();
        if let Some(node) = self.nodes.get_mut(name) {
            node.answered += keys.len() as u64;
            node.open = node.open.min(left);
        }
        let units = &self.units;
        self.waiting.retain(|key| units.contains_key(&key));
        self.orders.push_back(Order::Deliver(upload));
        self.fill(now);
    }

    /// Somebody else was faster with some of the units. Nothing of the upload counts; what is still waited for is
    /// worked on again.
    fn late(&mut self, now: Time, name: &NodeName, keys: Vec<UnitKey>, pending: usize) {
        if pending > 0 {
            for key in &keys {
                self.let_go(*key, name);
            }
        }
        let node = name.clone();
        let units = keys.len() - pending;
        self.orders
            .push_back(Order::Notice(Notice::Late { node, units }));
        let unsafe_yet = &self.unsafe_yet;
        let drop = keys.into_iter();
        let drop = match pending {
            0 => drop.filter(|key| !unsafe_yet.contains_key(key)).collect(),
            _ => drop.collect(),
        };
        self.pulse(name, drop);
        self.fill(now);
    }
}
