//! The coordinator's process in a world: the real conductor, and a driver of messages, syncs and clocks.

use super::{
    Property,
    disk::Covered,
    events::{Happening, World},
    faults::SECOND,
    process::Process,
    shelf::Shelf,
};
use lyceum_coordinator::{
    conductor::{Conductor, Parts, Saving},
    dispatch::{Dispatch, Pace, Peer, Speaker, Standing},
    run::RunError,
};
use lyceum_core::{Event, Ticket, Time, UnitId, UnitKey};
use lyceum_protocol::message::ToCoordinator;
use std::collections::BTreeSet;

/// Longest time until a driver hears of the end of a connection that the other side closed, in microseconds.
const SOON: u64 = 2 * SECOND;
/// After this time without a packet a driver ends a connection.
const IDLE: u64 = 30 * SECOND;
/// Commands that may come out of one call.
const COMMANDS: usize = 10_000;

impl World<'_> {
    pub(super) fn coordinator_starts(&mut self) {
        if self.coordinator.is_some() {
            return;
        }
        self.processes += 1;
        self.note(1, self.processes);
        self.checks.another_process();
        if self.in_trouble() && self.chance(self.faults.bit_flips.get()) {
            let safe = self.disk.flip(self.faults.rot, &mut self.counters);
            self.checks.rotten |= safe;
        }
        if self.in_trouble() && self.chance(self.faults.damage.get()) {
            self.checks.rotten |= self.disk.damage(&self.foreign, &mut self.counters);
        }
        let clock = self.draw(3600 * SECOND);
        let now = Time(self.queue.now().0 + clock);
        let conductor = self.conductor(now);
        self.disk.heal();
        match conductor {
            Ok(conductor) => {
                let machine = conductor.machine();
                let (pending, opened) = (machine.pending().collect(), machine.units_opened());
                self.checks.resumed(&opened.collect(), &pending);
                self.coordinator = Some(Process {
                    conductor,
                    clock,
                    first_peer: Peer(self.peers.len() as u64),
                    wake: None,
                    sync_free: Time(0),
                });
                self.obey_conductor();
            }
            Err(error) => self.coordinator_failed(&error),
        }
    }

    fn conductor(&mut self, now: Time) -> Result<Conductor<Shelf>, RunError> {
        let ground = self.ground;
        let layout = ground.layout().clone();
        let mut shelf = Shelf::new(
            self.disk.clone(),
            self.post.clone(),
            layout,
            ground.digest(),
            ground.rounds(),
        );
        #[cfg(feature = "mutants")]
        {
            shelf.mutant = self.mistakes.coordinator;
        }
        let incarnation = shelf.incarnation(self.processes)?;
        let mut machine = ground.machine();
        machine.give_tasks(self.given.clone());
        shelf.restore(&mut machine)?;
        let pace = Pace {
            reassign: ground.reassign(),
            nodes: self.nodes.len(),
            ..Pace::default()
        };
        let (admission, contribution) = (ground.admission(), ground.contribution());
        let lanes = contribution.lanes.clone();
        let dispatch = Dispatch::new(pace, admission, contribution, incarnation);
        #[cfg(feature = "mutants")]
        let dispatch = dispatch.mistaken(self.mistakes.coordinator);
        let parts = Parts {
            machine,
            dispatch,
            archive: shelf,
            run: ground.digest(),
            rounds: ground.rounds(),
            lanes,
            saving: Saving {
                every: self.faults.save_micros,
                journal_bytes: self.faults.journal_bytes,
            },
        };
        Conductor::start(now, parts)
    }

    /// What an error of the conductor means here.
    fn coordinator_failed(&mut self, error: &RunError) {
        if self.disk.is_dead() {
            self.counters.crashes_at_write += 1;
        } else if matches!(error, RunError::File { source, .. } if source.kind() == std::io::ErrorKind::StorageFull)
        {
            self.counters.full_disks += 1;
        } else {
            self.violated(Property::Starts, error.to_string());
        }
        self.coordinator_is_gone();
    }

    pub(super) fn coordinator_dies(&mut self) {
        if self.coordinator.is_some() && self.in_trouble() {
            self.coordinator_is_gone();
        }
    }

    pub(super) fn pause(&mut self, at_once: bool) {
        if at_once {
            self.conduct(|conductor, now| conductor.stop_now(now));
        } else if let Some(process) = &mut self.coordinator {
            process.conductor.stop();
        }
        self.obey_conductor();
    }

    pub(super) fn coordinator_is_gone(&mut self) {
        self.note(2, self.processes);
        self.counters.coordinator_crashes += 1;
        self.coordinator = None;
        self.disk.crash(&mut self.counters);
        let peers: Vec<Peer> = self.nodes.iter().filter_map(|n| n.peer).collect();
        for peer in peers {
            self.lose_connection(peer);
        }
        let away = self.draw(self.faults.down_micros);
        self.queue.after(away, Happening::CoordinatorStarts);
    }

    /// A node hears of the end of its connection soon, or never.
    pub(super) fn lose_connection(&mut self, peer: Peer) {
        self.ended.insert(peer);
        if self.chance(0.5) {
            let after = self.draw(SOON);
            self.queue.after(after, Happening::Lost(peer));
        }
    }

    /// The coordinator's driver hears of the end of a connection, sooner or later.
    pub(super) fn end_connection(&mut self, peer: Peer) {
        self.ended.insert(peer);
        let soon = self.chance(0.7);
        let after = self.draw(if soon { SOON } else { IDLE });
        self.queue.after(after, Happening::Gone(peer));
    }

    pub(super) fn coordinator_loses(&mut self, peer: Peer) {
        if let Some(process) = &mut self.coordinator {
            process.conductor.gone(peer);
            self.note(3, peer.0);
            self.obey_conductor();
        }
    }

    pub(super) fn clock_jumps(&mut self, by: u64) {
        if let Some(process) = &mut self.coordinator {
            process.clock += by;
            self.counters.clock_jumps += 1;
            self.obey_conductor();
        }
    }

    pub(super) fn coordinator_hears(&mut self, peer: Peer, message: ToCoordinator) {
        let Some(first) = self.coordinator.as_ref().map(|p| p.first_peer) else {
            return;
        };
        if peer < first || self.ended.contains(&peer) {
            if !self.in_trouble() || !self.chance(self.faults.late_messages.get()) {
                return;
            }
            self.counters.late_messages += 1;
        }
        self.note(4, peer.0);
        let node = self.peers[peer.0 as usize];
        let speaker = Speaker {
            peer,
            name: self.nodes[node].name.clone(),
            standing: Standing::Simulate,
        };
        let offered = match &message {
            ToCoordinator::Offer { upload, .. } => Some((upload.ticket, upload.units.clone())),
            _ => None,
        };
        let offered = offered.filter(|(ticket, units)| self.waits_for(*ticket, units));
        self.conduct(|conductor, now| conductor.hear(now, &speaker, message));
        if let Some((ticket, units)) = offered
            && !self.waits_for(ticket, &units)
        {
            self.counters.uploads += 1;
            self.checks.accepted(node, ticket, &units);
        }
        self.obey_conductor();
    }

    /// Whether all of these units are waited for.
    fn waits_for(&self, ticket: Ticket, units: &[UnitId]) -> bool {
        let Some(process) = &self.coordinator else {
            return true;
        };
        let machine = process.conductor.machine();
        let pending: BTreeSet<UnitKey> = machine.pending().collect();
        units.iter().all(|u| pending.contains(&ticket.unit(*u)))
    }

    pub(super) fn wake_coordinator(&mut self, process: u64) {
        let now = self.queue.now();
        let Some(coordinator) = self.coordinator.as_mut() else {
            return;
        };
        if process != self.processes || coordinator.wake != Some(now) {
            return;
        }
        coordinator.wake = None;
        self.note(5, process);
        self.conduct(|conductor, now| conductor.tick(now));
        if let Some(process) = &self.coordinator {
            let time = Time(now.0 + process.clock);
            let again = process.conductor.deadline();
            if !process.conductor.is_over() && again.is_some_and(|at| at <= time) {
                self.violated(
                    Property::Rests,
                    "the coordinator wakes up for nothing".into(),
                );
            }
        }
        self.obey_conductor();
    }

    pub(super) fn synced(&mut self, process: u64, record: u64, covered: Covered) {
        if self.coordinator.is_none() || process != self.processes {
            return;
        }
        self.note(6, record);
        if let Err(error) = self.disk.synced(covered) {
            let path = std::path::PathBuf::from("journal");
            return self.coordinator_failed(&RunError::file(path)(error));
        }
        self.counters.syncs += 1;
        self.conduct(|conductor, now| conductor.synced(now, record));
        self.obey_conductor();
    }

    fn conduct(&mut self, call: impl FnOnce(&mut Conductor<Shelf>, Time) -> Result<(), RunError>) {
        let now = self.queue.now();
        let Some(process) = self.coordinator.as_mut() else {
            return;
        };
        let time = Time(now.0 + process.clock);
        if let Err(error) = call(&mut process.conductor, time) {
            self.coordinator_failed(&error);
        }
    }

    /// Does what the conductor says, and looks at what happened.
    fn obey_conductor(&mut self) {
        let (now, closing) = (self.queue.now(), !self.ground.waits());
        let Some(process) = self.coordinator.as_mut() else {
            return;
        };
        for event in process.conductor.archive().events.drain(..) {
            if let Event::RoundClosed { dropped_out, .. } = event {
                self.counters.rounds += 1;
                self.counters.closed_early += u64::from(closing && dropped_out > 0);
            }
            self.checks.event(now, &event);
        }
        let mut commands = Vec::new();
        while let Some(command) = process.conductor.poll() {
            commands.push(command);
        }
        if commands.len() > COMMANDS {
            let facts = format!("{} commands at once", commands.len());
            self.violated(Property::Bounded, facts);
        }
        for command in commands {
            self.obey(command);
        }
        self.rearm_coordinator();
    }

    fn rearm_coordinator(&mut self) {
        let (now, process) = (self.queue.now(), self.processes);
        let Some(coordinator) = self.coordinator.as_mut() else {
            return;
        };
        let clock = coordinator.clock;
        let at = coordinator.conductor.deadline();
        // A driver that is woken too early would spin; one microsecond keeps the world going.
        let at = at.map(|at| Time(at.0.saturating_sub(clock)).max(Time(now.0 + 1)));
        if at.is_none() || at == coordinator.wake {
            return;
        }
        coordinator.wake = at;
        self.queue
            .at(at.unwrap_or(now), Happening::WakeCoordinator { process });
    }
}
