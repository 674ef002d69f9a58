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
    Input, Output, RoundMachine, Verdict,
    dispatch::{Dispatch, Notice, Order, Peer, Speaker},
    run::{
        Archive, RunError,
        journal::{JOURNAL, Journal, Opened, Record},
    },
};
use lyceum_core::{
    Assignment, Event, Fingerprint, Lane, Round, Ticket, Time, UnitId, UnitKey, Upload,
};
use lyceum_protocol::{
    body::{self, Body},
    message::{NodeName, ToCoordinator, ToNode},
};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

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

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ending {
    /// All rounds are done.
    Finished,
    /// It was asked to stop, and can be resumed.
    Paused,
    /// It cannot go on.
    Stalled {
        /// Why.
        reason: String,
        /// Whether it may go on when it is resumed: it waited for somebody who did not come.
        passing: bool,
    },
}

/// When checkpoints are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Saving {
    /// Least microseconds between two of them; 0 saves after every round.
    pub every: u64,
    /// Bytes of the journal after which the next round's end is saved, whatever the time.
    pub journal_bytes: u64,
}

impl Default for Saving {
    fn default() -> Self {
        Self {
            every: 10_000_000,
            journal_bytes: 256 << 20,
        }
    }
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
    machine: RoundMachine,
    dispatch: Dispatch,
    archive: A,
    journal: Journal,
    run: Fingerprint,
    rounds: u64,
    lanes: Vec<Lane>,
    saving: Saving,
    saved_at: Time,
    round_began: Time,
    round_closed: Option<Time>,
    waiting: VecDeque<Unsafe>,
    /// The bytes of the result that is being heard, if it came as bytes.
    body: Option<Body>,
    /// Work of a stage that has not gone out.
    held_back: Vec<Assignment>,
    /// Records that were appended since the process began, to whichever journal.
    written: u64,
    /// The last record that a sync was ordered for.
    sync_ordered: u64,
    /// That sync has not returned: what is written meanwhile waits for the next one.
    syncing: bool,
    /// Tickets that are to be closed, with the records that say so, until those are safe.
    closing: BTreeMap<Ticket, u64>,
    /// Since when nothing has come of what is in flight, and how often that was said.
    stall: Stall,
    /// Records of the journal are being told again; a save would begin another journal without the rest of them.
    replaying: bool,
    stopping: bool,
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
        let mut conductor = Self::with(now, parts, journal);
        // What an earlier process appended may be in the system's hands still.
        let synced = conductor.archive.storage().sync(JOURNAL);
        let path = conductor.archive.storage().path(JOURNAL);
        synced.map_err(RunError::file(path))?;
        conductor.catch_up(now, records)?;
        conductor.obey(now)?;
        Ok(conductor)
    }

    fn with(now: Time, parts: Parts<A>, journal: Journal) -> Self {
        #[cfg(feature = "mutants")]
        let mutant = parts.dispatch.mutant;
        let machine = parts.machine;
        #[cfg(feature = "mutants")]
        let machine = machine.mistaken(mutant);
        Self {
            machine,
            dispatch: parts.dispatch,
            archive: parts.archive,
            journal,
            run: parts.run,
            rounds: parts.rounds,
            lanes: parts.lanes,
            saving: parts.saving,
            saved_at: now,
            round_began: now,
            round_closed: None,
            waiting: VecDeque::new(),
            body: None,
            held_back: Vec::new(),
            written: 0,
            sync_ordered: 0,
            syncing: false,
            closing: BTreeMap::new(),
            stall: Stall::new(now),
            replaying: true,
            stopping: false,
            over: false,
            commands: VecDeque::new(),
            #[cfg(feature = "mutants")]
            mutant,
        }
    }

    /// Begins the next round, and tells the machine again what the journal holds of it and of those behind it.
    fn catch_up(&mut self, now: Time, records: Vec<Record>) -> Result<(), RunError> {
        self.machine.handle(now, Input::NextRound)?;
        let mut assignments = self.turn(now)?;
        for record in records {
            let more = self.replay(now, record)?;
            assignments.extend(more);
        }
        self.replaying = false;
        let pending: BTreeSet<UnitKey> = self.machine.pending().collect();
        assignments.retain(|a| pending.contains(&a.ticket.unit(a.unit)));
        self.give_out(now, assignments);
        for (ticket, units) in self.machine.units_opened() {
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
                let grid = self.machine.grid();
                let upload = body::decode(&body, ticket, units, &self.lanes, &grid);
                let path = self.archive.storage().path(JOURNAL);
                let upload = upload.map_err(|e| RunError::damaged(path, e))?;
                self.machine.handle(now, Input::Upload(upload))?;
            }
            Record::Request(request) => self.machine.handle(now, Input::Request(request))?,
            Record::Close { ticket } => self.machine.handle(now, Input::Close(ticket))?,
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
        &self.machine
    }

    /// Where the run goes.
    pub fn archive(&mut self) -> &mut A {
        &mut self.archive
    }

    /// Machine and archive, once the run has ended.
    pub fn into_parts(self) -> (RoundMachine, A) {
        (self.machine, self.archive)
    }

    /// Stops at the end of the round in flight.
    pub fn stop(&mut self) {
        self.stopping = true;
    }

    /// Stops at once: the round in flight goes on when the run is resumed, with what the journal holds.
    pub fn stop_now(&mut self, now: Time) -> Result<(), RunError> {
        if !self.over {
            let rounds = self.machine.rounds_done();
            self.archive.event(Event::Paused { rounds })?;
            self.end(Ending::Paused);
        }
        self.obey(now)
    }

    /// When something happens although nobody says a word.
    pub fn deadline(&self) -> Option<Time> {
        let closing = |ticket: &Ticket| self.closing.contains_key(ticket);
        let flights = self.machine.deadlines();
        let flights = flights.filter(|(ticket, _)| !closing(ticket));
        let flights = flights.map(|(_, at)| at);
        let stall = (!self.over && self.machine.work().is_some()).then(|| self.stall.deadline());
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
            self.machine.handle(now, Input::Close(ticket))?;
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
            let waits = !self.waiting.is_empty() && self.machine.may_close_early();
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
        let open: Vec<Ticket> = self.machine.tickets().collect();
        self.dispatch.keep(&open);
        self.dispatch.assign(now, assignments);
        self.stall = Stall::new(now);
    }

    /// Says what is waited for, and from whom, once nothing has come for a while.
    fn say_what_is_missing(&mut self, now: Time) {
        let Some(work) = self.machine.work().filter(|_| !self.over) else {
            return;
        };
        if let Some(seconds) = self.stall.is_due(now) {
            let missing = match self.dispatch.missing(now) {
                nothing if nothing.is_empty() => "what has come is being written to disk".into(),
                missing => missing,
            };
            let round = self.machine.round();
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
        let encode = || body::encode(&upload.payload, &upload.micros);
        let record = Record::Upload {
            ticket: upload.ticket,
            units: upload.units.clone(),
            body: body.unwrap_or_else(encode),
        };
        self.write(&record)?;
        self.waiting.push_back(Unsafe {
            record: self.written,
            ticket: upload.ticket,
            units: upload.units.clone(),
        });
        #[cfg(feature = "mutants")]
        if self.mutant == crate::Mutant::ForgetFlush {
            self.waiting.clear();
            self.dispatch.safe(upload.ticket, &upload.units);
        }
        self.archive.clients_took(&upload.micros);
        self.machine.handle(now, Input::Upload(upload))?;
        self.after_machine(now)
    }

    fn write(&mut self, record: &Record) -> Result<(), RunError> {
        self.written += 1;
        self.journal.append(self.archive.storage(), record)
    }

    fn close_if_due(&mut self, now: Time) -> Result<(), RunError> {
        let tickets: Vec<Ticket> = self.machine.tickets().collect();
        for ticket in tickets {
            if self.over || self.closing.contains_key(&ticket) {
                continue;
            }
            match self.machine.verdict(ticket, now) {
                Verdict::Wait => {}
                Verdict::Close => {
                    self.write(&Record::Close { ticket })?;
                    self.closing.insert(ticket, self.written);
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
            round: self.machine.round(),
            reason: reason.clone(),
        };
        self.archive.event(stalled)?;
        self.end(Ending::Stalled {
            reason,
            passing: true,
        });
        while let Some(order) = self.dispatch.poll() {
            self.obey_order(now, order)?;
        }
        Ok(())
    }

    fn order_sync(&mut self) {
        let wanted = !self.waiting.is_empty() || !self.closing.is_empty();
        if wanted && !self.syncing && self.written > self.sync_ordered {
            self.syncing = true;
            self.sync_ordered = self.written;
            self.commands.push_back(Command::Sync(self.written));
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
        while let Some(output) = self.machine.poll() {
            match output {
                Output::Assign(assignment) => assignments.push(assignment),
                Output::Event(event) => {
                    if matches!(event, Event::RoundClosed { .. }) {
                        self.round_closed = Some(now);
                    }
                    self.archive.event(event)?;
                }
                Output::Best(params) => self.archive.best(params),
                Output::RoundOver(round) => {
                    assignments.clear();
                    self.next_round(now, round)?;
                }
                Output::Finished => self.end(Ending::Finished),
                Output::Stalled(reason) => self.end(Ending::Stalled {
                    reason,
                    passing: false,
                }),
            }
        }
        Ok(assignments)
    }

    fn next_round(&mut self, now: Time, round: Round) -> Result<(), RunError> {
        let since = |time: Time| now.0.saturating_sub(time.0);
        let total = since(self.round_began);
        let evaluation = self.round_closed.take().map_or(0, since);
        self.archive
            .round_took(round, total, total.saturating_sub(evaluation))?;
        self.round_began = now;
        let last = self.machine.rounds_done() >= self.rounds || self.machine.is_complete();
        let due = since(self.saved_at) >= self.saving.every;
        let full = self.journal.bytes() >= self.saving.journal_bytes;
        #[cfg(feature = "mutants")]
        let last = last || self.mutant == crate::Mutant::SaveInReplay && (due || full);
        if last || (!self.replaying && (due || full || self.stopping)) {
            self.save(now)?;
        }
        if self.stopping && !last {
            let rounds = self.machine.rounds_done();
            self.archive.event(Event::Paused { rounds })?;
            self.end(Ending::Paused);
            return Ok(());
        }
        self.take_requests(now)?;
        Ok(self.machine.handle(now, Input::NextRound)?)
    }

    /// What is asked is written down before it counts.
    fn take_requests(&mut self, now: Time) -> Result<(), RunError> {
        // While the journal is told again, it says what was asked then.
        if self.replaying || self.machine.is_complete() {
            return Ok(());
        }
        for request in self.archive.requests()? {
            if !self.machine.knows(&request.id) {
                self.write(&Record::Request(request.clone()))?;
                self.machine.handle(now, Input::Request(request))?;
            }
        }
        Ok(())
    }

    fn save(&mut self, now: Time) -> Result<(), RunError> {
        let Some(snapshot) = self.machine.snapshot() else {
            return Ok(());
        };
        self.archive.save(&snapshot)?;
        let begin = begin_of(self.run, &self.machine);
        self.journal = Journal::begin(self.archive.storage(), &begin)?;
        // What the old journal held is in the checkpoint.
        while let Some(done) = self.waiting.pop_front() {
            self.dispatch.safe(done.ticket, &done.units);
        }
        self.saved_at = now;
        Ok(())
    }

    fn end(&mut self, ending: Ending) {
        self.over = true;
        match ending {
            // The nodes keep what they hold, and come back.
            Ending::Paused => self
                .machine
                .tickets()
                .for_each(|ticket| self.dispatch.close(ticket)),
            Ending::Finished | Ending::Stalled { .. } => self.dispatch.dismiss(),
        }
        self.commands.push_back(Command::Over(ending));
    }
}

/// What the journal begins with behind the state of a machine between rounds.
fn begin_of(run: Fingerprint, machine: &RoundMachine) -> Record {
    Record::Begin {
        run,
        rounds: machine.rounds_done(),
        fingerprint: machine.fingerprint(),
    }
}
