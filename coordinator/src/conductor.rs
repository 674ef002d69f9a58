//! One run on many nodes: the round machine, the dispatch and the journal as one.
//!
//! A driver feeds it what nodes say, the time, and what became safe on disk, and does what it orders. It touches nothing
//! but its [`Archive`], and the same inputs give the same orders.
//!
//! **Invariant:** an upload is appended to the journal before it counts; its node may forget it only once that is safe. A
//! round is closed without the late only once the decision is safe, because it depends on the order of things in time. Where
//! rounds may close so, work of a stage goes out only once everything that it follows from is safe: who is late after a crash
//! need not be who was late before. Elsewhere it goes out at once, since what a crash takes back happens again with the same
//! bits.

use crate::{
    Input, RoundMachine, Verdict,
    dispatch::{Dispatch, Notice, Order, Peer, Speaker},
    rounds::{Rounds, Turn, begin_of},
    run::{
        Archive, RunError,
        journal::{JOURNAL, Journal, Opened, Record},
    },
};
use lyceum_core::{Assignment, Event, Fingerprint, Lane, Ticket, Time, UnitId, UnitKey, Upload};
use lyceum_protocol::{
    body::{self, Body},
    message::{NodeName, ToCoordinator, ToNode},
};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

pub use crate::rounds::{Ending, Saving};

/// What a conductor tells its driver.
#[derive(Clone, Debug, PartialEq)]
pub enum Command {
    /// Say this on a connection.
    Send(Peer, ToNode),
    /// End a connection, with the reason.
    Close(Peer, String),
    /// Sync the journal, then call [`Conductor::synced`] with this number.
    Sync(u64),
    /// Something that an operator wants to know.
    Notice(Notice),
    /// The run ended.
    Over(Ending),
}

/// How long nothing has come of what is in flight.
struct Stall {
    since: Time,
    /// Times that it was said.
    said: u32,
}

impl Stall {
    /// Microseconds after which it is said for the first time.
    const FIRST: u64 = 10_000_000;
    /// Doublings of that time between two times.
    const DOUBLINGS: u32 = 5;

    fn new(since: Time) -> Self {
        Self { since, said: 0 }
    }

    /// When it is to be said again: after 10 s, 20 s, 40 s and so on, then every 320 s.
    fn deadline(&self) -> Time {
        let long = Self::FIRST << Self::DOUBLINGS;
        let after = match self.said.checked_sub(Self::DOUBLINGS) {
            None => Self::FIRST << self.said,
            Some(more) => long.saturating_mul(1 + u64::from(more)),
        };
        Time(self.since.0.saturating_add(after))
    }

    /// The seconds to speak of, if it is to be said now.
    fn is_due(&mut self, now: Time) -> Option<u64> {
        if now < self.deadline() {
            return None;
        }
        while self.deadline() <= now {
            self.said += 1;
        }
        Some((now.0 - self.since.0) / 1_000_000)
    }
}

/// What waits for the journal to become safe.
struct Unsafe {
    /// Number of the record.
    record: u64,
    ticket: Ticket,
    units: Vec<UnitId>,
}

/// A run in flight.
pub struct Conductor<A> {
    rounds: Rounds<A>,
    dispatch: Dispatch,
    lanes: Vec<Lane>,
    waiting: VecDeque<Unsafe>,
    /// The bytes of the result that is being heard, if it came as bytes.
    body: Option<Body>,
    /// Work of a stage that has not gone out.
    held_back: Vec<Assignment>,
    /// The last record that a sync was ordered for.
    sync_ordered: u64,
    /// That sync has not returned: what is written meanwhile waits for the next one.
    syncing: bool,
    /// Tickets that are to be closed, with the records that say so, until those are safe.
    closing: BTreeMap<Ticket, u64>,
    /// Since when nothing has come of what is in flight, and how often that was said.
    stall: Stall,
    over: bool,
    commands: VecDeque<Command>,
    #[cfg(feature = "mutants")]
    mutant: crate::Mutant,
}

/// What a conductor is made of.
pub struct Parts<A> {
    /// The machine, as new or restored from the last checkpoint.
    pub machine: RoundMachine,
    /// The dispatch, with nothing to do.
    pub dispatch: Dispatch,
    /// Where the run goes.
    pub archive: A,
    /// Digest of the run.
    pub run: Fingerprint,
    /// Rounds to do.
    pub rounds: u64,
    /// Lanes of the sums.
    pub lanes: Vec<Lane>,
    /// When checkpoints are made.
    pub saving: Saving,
}

impl<A: Archive> Conductor<A> {
    /// Goes on where journal and checkpoint end, and begins the next round.
    pub fn start(now: Time, mut parts: Parts<A>) -> Result<Self, RunError> {
        let begin = begin_of(parts.run, &parts.machine);
        let Opened {
            journal,
            records,
            damage,
        } = Journal::open(parts.archive.storage(), &begin)?;
        if let Some(damage) = damage {
            let path = parts.archive.storage().path(JOURNAL);
            let message = format!(
                "{}: {damage}; the work that it held is done again",
                path.display()
            );
            parts.archive.event(Event::Warned { message })?;
        }
        let mut conductor = Self::journalled(now, parts, journal);
        // What an earlier process appended may be in the system's hands still.
        let storage = conductor.rounds.archive.storage();
        let (synced, path) = (storage.sync(JOURNAL), storage.path(JOURNAL));
        synced.map_err(RunError::file(path))?;
        conductor.catch_up(now, records)?;
        conductor.obey(now)?;
        Ok(conductor)
    }

    fn journalled(now: Time, parts: Parts<A>, journal: Journal) -> Self {
        let machine = parts.machine;
        #[cfg(feature = "mutants")]
        let machine = machine.mistaken(parts.dispatch.mutant);
        let rounds = Rounds::new(now, machine, parts.archive, parts.rounds, parts.saving);
        let rounds = rounds.journalled(journal, parts.run);
        Self::with(now, parts.dispatch, rounds, parts.lanes)
    }

    /// Without a journal: what nodes found is lost with the process. Begins the first round.
    pub fn unjournalled(
        now: Time,
        dispatch: Dispatch,
        rounds: Rounds<A>,
    ) -> Result<Self, RunError> {
        let mut conductor = Self::with(now, dispatch, rounds, Vec::new());
        conductor.rounds.begin(now)?;
        conductor.after_machine(now)?;
        conductor.obey(now)?;
        Ok(conductor)
    }

    fn with(now: Time, dispatch: Dispatch, rounds: Rounds<A>, lanes: Vec<Lane>) -> Self {
        #[cfg(feature = "mutants")]
        let mutant = dispatch.mutant;
        Self {
            rounds,
            dispatch,
            lanes,
            waiting: VecDeque::new(),
            body: None,
            held_back: Vec::new(),
            sync_ordered: 0,
            syncing: false,
            closing: BTreeMap::new(),
            stall: Stall::new(now),
            over: false,
            commands: VecDeque::new(),
            #[cfg(feature = "mutants")]
            mutant,
        }
    }

    /// Begins the next round, and tells the machine again what the journal holds of it and of those behind it.
    fn catch_up(&mut self, now: Time, records: Vec<Record>) -> Result<(), RunError> {
        self.rounds.begin(now)?;
        let mut assignments = self.turn(now)?;
        for record in records {
            let more = self.replay(now, record)?;
            assignments.extend(more);
        }
        self.rounds.caught_up();
        let pending: BTreeSet<UnitKey> = self.rounds.machine.pending().collect();
        assignments.retain(|a| pending.contains(&a.ticket.unit(a.unit)));
        self.give_out(now, assignments);
        for (ticket, units) in self.rounds.machine.units_opened() {
            self.dispatch.has_opened(ticket, units);
        }
        Ok(())
    }

    fn replay(&mut self, now: Time, record: Record) -> Result<Vec<Assignment>, RunError> {
        match record {
            Record::Begin { .. } => {}
            Record::Upload {
                ticket,
                units,
                body,
            } => {
                let grid = self.rounds.machine.grid();
                let upload = body::decode(&body, ticket, units, &self.lanes, &grid);
                let path = self.rounds.archive.storage().path(JOURNAL);
                let upload = upload.map_err(|e| RunError::damaged(path, e))?;
                self.rounds.machine.handle(now, Input::Upload(upload))?;
            }
            Record::Request(request) => self.rounds.machine.handle(now, Input::Request(request))?,
            Record::Close { ticket } => self.rounds.machine.handle(now, Input::Close(ticket))?,
        }
        self.turn(now)
    }

    /// The next thing to do, if there is one.
    pub fn poll(&mut self) -> Option<Command> {
        self.commands.pop_front()
    }

    /// Whether the run has ended.
    pub fn is_over(&self) -> bool {
        self.over
    }

    /// The nodes, for those who watch.
    pub fn dispatch(&self) -> &Dispatch {
        &self.dispatch
    }

    /// The rounds, for those who watch.
    pub fn machine(&self) -> &RoundMachine {
        &self.rounds.machine
    }

    /// Where the run goes.
    pub fn archive(&mut self) -> &mut A {
        &mut self.rounds.archive
    }

    /// The run, once it has ended, and the nodes.
    pub fn into_parts(self) -> (Rounds<A>, Dispatch) {
        (self.rounds, self.dispatch)
    }

    /// Stops at the end of the round in flight.
    pub fn stop(&mut self) {
        self.rounds.stop();
    }

    /// Stops at once: the round in flight goes on when the run is resumed, with what the journal holds.
    pub fn stop_now(&mut self, now: Time) -> Result<(), RunError> {
        if !self.over {
            self.rounds.pause()?;
            self.end(Ending::Paused);
        }
        self.obey(now)
    }

    /// When something happens although nobody says a word.
    pub fn deadline(&self) -> Option<Time> {
        let machine = &self.rounds.machine;
        let closing = |ticket: &Ticket| self.closing.contains_key(ticket);
        let flights = machine.deadlines();
        let flights = flights.filter(|(ticket, _)| !closing(ticket));
        let flights = flights.map(|(_, at)| at);
        let stall = (!self.over && machine.work().is_some()).then(|| self.stall.deadline());
        flights.chain(self.dispatch.deadline()).chain(stall).min()
    }

    /// Hears a node.
    pub fn hear(
        &mut self,
        now: Time,
        from: &Speaker,
        message: ToCoordinator,
    ) -> Result<(), RunError> {
        self.dispatch.hear(now, from, message);
        self.obey(now)
    }

    /// Hears a node's offer, whose result came as these bytes; they go into the journal as they are.
    pub fn hear_offer(
        &mut self,
        now: Time,
        from: &Speaker,
        offer: ToCoordinator,
        body: Body,
    ) -> Result<(), RunError> {
        self.body = Some(body);
        let result = self.hear(now, from, offer);
        self.body = None;
        result
    }

    /// A connection ended.
    pub fn gone(&mut self, peer: Peer) {
        self.dispatch.gone(peer);
    }

    /// A node may not take part any more.
    pub fn banish(&mut self, now: Time, peer: Peer, node: &NodeName) -> Result<(), RunError> {
        self.dispatch.banish(now, peer, node);
        self.obey(now)
    }

    /// Lets time pass.
    pub fn tick(&mut self, now: Time) -> Result<(), RunError> {
        self.dispatch.tick(now);
        self.obey(now)
    }

    /// The journal is safe up to this record.
    pub fn synced(&mut self, now: Time, record: u64) -> Result<(), RunError> {
        self.syncing = false;
        while let Some(done) = self.waiting.pop_front_if(|w| w.record <= record) {
            self.dispatch.safe(done.ticket, &done.units);
        }
        let safe = self.closing.extract_if(.., |_, at| *at <= record);
        let safe: Vec<Ticket> = safe.map(|(ticket, _)| ticket).collect();
        for ticket in safe {
            self.dispatch.close(ticket);
            self.rounds.machine.handle(now, Input::Close(ticket))?;
            self.after_machine(now)?;
        }
        self.obey(now)
    }

    /// Does what the dispatch orders, until nothing is left to do.
    fn obey(&mut self, now: Time) -> Result<(), RunError> {
        loop {
            while let Some(order) = self.dispatch.poll() {
                self.obey_order(now, order)?;
            }
            let waits = !self.waiting.is_empty() && self.rounds.machine.may_close_early();
            #[cfg(feature = "mutants")]
            let waits = waits && self.mutant != crate::Mutant::HurryStages;
            if self.held_back.is_empty() || waits {
                break;
            }
            let assignments = std::mem::take(&mut self.held_back);
            self.give_out(now, assignments);
        }
        self.close_if_due(now)?;
        self.say_what_is_missing(now);
        self.order_sync();
        Ok(())
    }

    /// Work for nodes, and with it the end of what is not in flight any more.
    fn give_out(&mut self, now: Time, assignments: Vec<Assignment>) {
        let open: Vec<Ticket> = self.rounds.machine.tickets().collect();
        self.dispatch.keep(&open);
        self.dispatch.assign(now, assignments);
        self.stall = Stall::new(now);
    }

    /// Says what is waited for, and from whom, once nothing has come for a while.
    fn say_what_is_missing(&mut self, now: Time) {
        let machine = &self.rounds.machine;
        let Some(work) = machine.work().filter(|_| !self.over) else {
            return;
        };
        if let Some(seconds) = self.stall.is_due(now) {
            let missing = match self.dispatch.missing(now) {
                nothing if nothing.is_empty() => "what has come is being written to disk".into(),
                missing => missing,
            };
            let round = machine.round();
            let notice = Notice::Waits {
                round,
                work,
                seconds,
                missing,
            };
            self.commands.push_back(Command::Notice(notice));
        }
    }

    fn obey_order(&mut self, now: Time, order: Order) -> Result<(), RunError> {
        match order {
            Order::Send(peer, message) => self.commands.push_back(Command::Send(peer, message)),
            Order::Close(peer, reason) => self.commands.push_back(Command::Close(peer, reason)),
            Order::Notice(notice) => self.commands.push_back(Command::Notice(notice)),
            Order::Deliver(upload) => self.take(now, upload)?,
        }
        Ok(())
    }

    fn take(&mut self, now: Time, upload: Upload) -> Result<(), RunError> {
        // What comes while the round is being closed comes too late.
        if self.over || self.closing.contains_key(&upload.ticket) {
            return Ok(());
        }
        self.stall = Stall::new(now);
        let body = self.body.take();
        if self.rounds.keeps_journal() {
            self.write_down(&upload, body)?;
        }
        self.rounds.take(now, upload)?;
        self.after_machine(now)
    }

    /// Appends a result to the journal; its node may forget it once that is safe.
    fn write_down(&mut self, upload: &Upload, body: Option<Body>) -> Result<(), RunError> {
        let encode = || body::encode(&upload.payload, &upload.micros);
        let record = Record::Upload {
            ticket: upload.ticket,
            units: upload.units.clone(),
            body: body.unwrap_or_else(encode),
        };
        self.rounds.write(&record)?;
        self.waiting.push_back(Unsafe {
            record: self.rounds.written(),
            ticket: upload.ticket,
            units: upload.units.clone(),
        });
        #[cfg(feature = "mutants")]
        if self.mutant == crate::Mutant::ForgetFlush {
            self.waiting.clear();
            self.dispatch.safe(upload.ticket, &upload.units);
        }
        Ok(())
    }

    fn close_if_due(&mut self, now: Time) -> Result<(), RunError> {
        let tickets: Vec<Ticket> = self.rounds.machine.tickets().collect();
        for ticket in tickets {
            if self.over || self.closing.contains_key(&ticket) {
                continue;
            }
            match self.rounds.machine.verdict(ticket, now) {
                Verdict::Wait => {}
                Verdict::Close => {
                    self.rounds.write(&Record::Close { ticket })?;
                    self.closing.insert(ticket, self.rounds.written());
                }
                Verdict::GiveUp(reason) => self.give_up(now, reason)?,
            }
        }
        Ok(())
    }

    /// Ends the process's part in the run. Nothing of it is written down: the round begins to wait anew when the run is gone
    /// on with.
    fn give_up(&mut self, now: Time, reason: String) -> Result<(), RunError> {
        let missing = self.dispatch.missing(now);
        let reason = match missing.is_empty() {
            true => reason,
            false => format!("{reason}; {missing}"),
        };
        let stalled = Event::Stalled {
            round: self.rounds.machine.round(),
            reason: reason.clone(),
        };
        self.rounds.archive.event(stalled)?;
        let passing = true;
        self.end(Ending::Stalled { reason, passing });
        while let Some(order) = self.dispatch.poll() {
            self.obey_order(now, order)?;
        }
        Ok(())
    }

    fn order_sync(&mut self) {
        let wanted = !self.waiting.is_empty() || !self.closing.is_empty();
        let written = self.rounds.written();
        if wanted && !self.syncing && written > self.sync_ordered {
            self.syncing = true;
            self.sync_ordered = written;
            self.commands.push_back(Command::Sync(written));
        }
    }

    fn after_machine(&mut self, now: Time) -> Result<(), RunError> {
        let assignments = self.turn(now)?;
        self.held_back.extend(assignments);
        Ok(())
    }

    /// Does what the machine says; what it wants worked on comes back.
    fn turn(&mut self, now: Time) -> Result<Vec<Assignment>, RunError> {
        let mut assignments = Vec::new();
        while let Some(turn) = self.rounds.poll(now)? {
            match turn {
                Turn::Assign(assignment) => assignments.push(assignment),
                Turn::RoundOver { saved, paused } => {
                    assignments.clear();
                    if saved {
                        self.all_is_safe();
                    }
                    match paused {
                        true => self.end(Ending::Paused),
                        false => self.rounds.begin(now)?,
                    }
                }
                Turn::Ended(ending) => self.end(ending),
            }
        }
        Ok(assignments)
    }

    /// What the old journal held is in the checkpoint.
    fn all_is_safe(&mut self) {
        while let Some(done) = self.waiting.pop_front() {
            self.dispatch.safe(done.ticket, &done.units);
        }
    }

    fn end(&mut self, ending: Ending) {
        self.over = true;
        match ending {
            // The nodes stay, for the rounds.
            Ending::Finished if self.rounds.machine.is_prelude() => {}
            // The nodes keep what they hold, and come back.
            Ending::Paused => self
                .rounds
                .machine
                .tickets()
                .for_each(|ticket| self.dispatch.close(ticket)),
            Ending::Finished | Ending::Stalled { .. } => self.dispatch.dismiss(),
        }
        self.commands.push_back(Command::Over(ending));
    }
}
