//! What the conductor orders, done in a world.

use super::{
    Property,
    events::{Happening, World},
};
use lyceum_coordinator::{
    conductor::{Command, Ending},
    dispatch::{Notice, Peer},
};
use lyceum_core::Time;
use lyceum_network_model::Direction;
use lyceum_protocol::message::ToNode;

impl World<'_> {
    pub(super) fn obey(&mut self, command: Command) {
        match command {
            Command::Send(peer, message) => self.send_to_node(peer, message),
            Command::Close(peer, _) => {
                self.note(7, peer.0);
                self.lose_connection(peer);
            }
            Command::Sync(record) => self.order_sync(record),
            Command::Notice(notice) => self.notice(&notice),
            Command::Over(ending) => self.over(ending),
        }
    }

    fn notice(&mut self, notice: &Notice) {
        match notice {
            Notice::Joined { .. } | Notice::Unheard { .. } | Notice::Waits { .. } => {}
            Notice::Lost { .. } => self.counters.lost_nodes += 1,
            Notice::Late { .. } => self.counters.late_uploads += 1,
            Notice::Refused { node, reason } => {
                self.violated(Property::Trusted, format!("{node}: {reason}"));
            }
        }
    }

    fn order_sync(&mut self, record: u64) {
        let took = self.draw(self.faults.sync_micros);
        let (now, covered) = (self.queue.now(), self.disk.covered());
        let Some(coordinator) = self.coordinator.as_mut() else {
            return;
        };
        let done = Time(coordinator.sync_free.max(now).0 + took);
        coordinator.sync_free = done;
        let process = self.processes;
        self.queue.at(
            done,
            Happening::Synced {
                process,
                record,
                covered,
            },
        );
    }

    fn send_to_node(&mut self, peer: Peer, message: ToNode) {
        let (now, node) = (self.queue.now(), self.peers[peer.0 as usize]);
        match &message {
            ToNode::Assign { assignment, .. } => self.checks.assigned(now, node, assignment),
            ToNode::Pulse(pulse) => self.checks.pulse(node, pulse),
            _ => {}
        }
        self.note_word(message.name(), peer.0);
        for at in self.links[node].send(now, Direction::BToA, 0) {
            self.queue.at(at, Happening::ToNode(peer, message.clone()));
        }
    }

    fn over(&mut self, ending: Ending) {
        let Some(process) = self.coordinator.as_mut() else {
            return;
        };
        if ending == Ending::Finished {
            let machine = process.conductor.machine();
            self.fingerprint = Some(machine.fingerprint());
            let result = machine.saved_fingerprint();
            let kept = process.conductor.archive().kept().ok().flatten();
            if kept != Some(result) {
                let facts = format!("{kept:?} is on disk, {result} is the result");
                self.violated(Property::Kept, facts);
            }
        }
        if ending == Ending::Paused {
            self.counters.pauses += 1;
            return self.coordinator_is_gone();
        }
        self.ending = Some(ending);
    }
}
