//! A run as one: the round machine, the place where the run is kept, and the journal of what the machine was told since the
//! last checkpoint.
//!
//! What a run in one process and a run on nodes have in common: when events are written down and rounds timed, when
//! requests are taken and states saved, when a run pauses and how it ends. A run in one process keeps no journal; it does
//! again what lies behind its last checkpoint.

use crate::{
    Input, Output, RoundMachine, Snapshot,
    run::{
        Archive, RunError, RunFiles,
        journal::{JOURNAL, Journal, Record},
    },
};
use lyceum_core::{Assignment, Event, Fingerprint, Round, Time, Upload};
use lyceum_metrics::Summary;

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

/// Microseconds of a round after which its successor is not waited for when a run is to stop.
const LONG_ROUND: u64 = 500_000;

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

/// What a driver does next.
#[derive(Clone, Debug, PartialEq)]
pub enum Turn {
    /// Have this worked on.
    Assign(Assignment),
    /// A round is over; [`Rounds::begin`] the next one, unless the run pauses.
    RoundOver {
        /// Its state is safe, and the journal begins anew.
        saved: bool,
        /// The run ends here for now.
        paused: bool,
    },
    /// The run ended.
    Ended(Ending),
}

/// A run in flight.
pub struct Rounds<A> {
    pub(crate) machine: RoundMachine,
    pub(crate) archive: A,
    /// The journal, and the digest of the run that it belongs to.
    journal: Option<(Journal, Fingerprint)>,
    rounds: u64,
    saving: Saving,
    saved_at: Time,
    began: Time,
    closed: Option<Time>,
    /// Records that were appended since the process began, to whichever journal.
    written: u64,
    /// Records of the journal are being told again; a save would begin another journal without the rest of them.
    replaying: bool,
    stopping: bool,
    /// A state was saved since the last round began.
    saved: bool,
    /// What the rounds that are over led to.
    past: Past,
    /// Rounds that are over, with their evaluations.
    over: u64,
}

/// What becomes of the rounds that are over where the one in flight is given up.
enum Past {
    /// Nothing is lost: it is saved, or there is none.
    Safe,
    /// It can be saved: a round that took long led to this state.
    Held(Box<Snapshot>),
    /// It is saved behind the round in flight alone, which will not take long.
    Brief,
}

impl<A: Archive> Rounds<A> {
    /// So many rounds, without a journal. The machine is as new, or restored from the last checkpoint.
    pub fn new(now: Time, machine: RoundMachine, archive: A, rounds: u64, saving: Saving) -> Self {
        Self {
            over: machine.rounds_done(),
            machine,
            archive,
            journal: None,
            rounds,
            saving,
            saved_at: now,
            began: now,
            closed: None,
            written: 0,
            replaying: false,
            stopping: false,
            saved: false,
            past: Past::Safe,
        }
    }

    /// With a journal of the run with this digest, which is told again until [`caught_up`](Self::caught_up).
    pub(crate) fn journalled(self, journal: Journal, run: Fingerprint) -> Self {
        Self {
            journal: Some((journal, run)),
            replaying: true,
            ..self
        }
    }

    /// All that the journal held has been told.
    pub(crate) fn caught_up(&mut self) {
        self.replaying = false;
    }

    /// Where the run goes.
    pub fn archive(&mut self) -> &mut A {
        &mut self.archive
    }

    /// Stops at the end of the round in flight.
    pub fn stop(&mut self) {
        self.stopping = true;
    }

    /// Gives the round in flight up, and pauses with the state before it. Nothing happens, and the answer is no, where that
    /// would lose a round that is over: then the round in flight goes on to its end, where a run that was told to
    /// [`stop`](Self::stop) pauses.
    pub fn give_up_round(&mut self) -> Result<bool, RunError> {
        match std::mem::replace(&mut self.past, Past::Safe) {
            Past::Brief => {
                self.past = Past::Brief;
                return Ok(false);
            }
            Past::Held(state) => self.archive.save_held(&state)?,
            Past::Safe => {}
        }
        let rounds = self.over;
        self.archive.event(Event::Paused { rounds })?;
        Ok(true)
    }

    /// Whether there is a journal.
    pub(crate) fn keeps_journal(&self) -> bool {
        self.journal.is_some()
    }

    /// Records that were appended since the process began.
    pub(crate) fn written(&self) -> u64 {
        self.written
    }

    /// Adds to the journal, if there is one.
    pub(crate) fn write(&mut self, record: &Record) -> Result<(), RunError> {
        self.written += 1;
        match &mut self.journal {
            Some((journal, _)) => journal.append(self.archive.storage(), record),
            None => Ok(()),
        }
    }

    /// Begins the next round, with what somebody has asked meanwhile.
    pub fn begin(&mut self, now: Time) -> Result<(), RunError> {
        self.began = now;
        if std::mem::take(&mut self.saved) {
            self.saved_at = now;
        }
        // While the journal is told again, it says what was asked then.
        if !self.replaying && !self.machine.is_complete() {
            self.take_requests(now)?;
        }
        Ok(self.machine.handle(now, Input::NextRound)?)
    }

    /// What is asked is written down and safe before it counts: after a crash it would be taken behind another round, while
    /// nodes hold work that follows from it.
    fn take_requests(&mut self, now: Time) -> Result<(), RunError> {
        let mut requests = self.archive.requests()?;
        requests.retain(|request| !self.machine.knows(&request.id));
        if self.keeps_journal() && !requests.is_empty() {
            for request in &requests {
                self.write(&Record::Request(request.clone()))?;
            }
            let storage = self.archive.storage();
            let (synced, path) = (storage.sync(JOURNAL), storage.path(JOURNAL));
            synced.map_err(RunError::file(path))?;
        }
        for request in requests {
            self.machine.handle(now, Input::Request(request))?;
        }
        Ok(())
    }

    /// Takes a result.
    pub fn take(&mut self, now: Time, upload: Upload) -> Result<(), RunError> {
        self.archive.clients_took(&upload.micros);
        Ok(self.machine.handle(now, Input::Upload(upload))?)
    }

    /// What follows from what was taken; `None` when nothing is left to do for the moment. The rounds' times end with `now`.
    pub fn poll(&mut self, now: Time) -> Result<Option<Turn>, RunError> {
        while let Some(output) = self.machine.poll() {
            match output {
                Output::Assign(assignment) => return Ok(Some(Turn::Assign(assignment))),
                Output::Event(event) => {
                    if matches!(event, Event::RoundClosed { .. }) {
                        self.closed = Some(now);
                    }
                    self.archive.event(event)?;
                }
                Output::Best(params) => self.archive.best(params),
                Output::Expert(found) => self.archive.expert(found),
                Output::RoundOver(round) => return self.end_round(now, round).map(Some),
                Output::Finished => return Ok(Some(Turn::Ended(Ending::Finished))),
                Output::Stalled(reason) => {
                    let passing = false;
                    let ending = Ending::Stalled { reason, passing };
                    return Ok(Some(Turn::Ended(ending)));
                }
            }
        }
        Ok(None)
    }

    fn end_round(&mut self, now: Time, round: Round) -> Result<Turn, RunError> {
        self.over = self.machine.rounds_done();
        let since = |time: Time| now.0.saturating_sub(time.0);
        let total = since(self.began);
        let evaluation = self.closed.take().map_or(0, since);
        let training = total.saturating_sub(evaluation);
        self.archive.round_took(round, total, training)?;
        let last = self.machine.rounds_done() >= self.rounds || self.machine.is_complete();
        let due = since(self.saved_at) >= self.saving.every;
        let bytes = self.journal.as_ref().map(|(journal, _)| journal.bytes());
        let full = bytes.is_some_and(|bytes| bytes >= self.saving.journal_bytes);
        let mut saved = last || (!self.replaying && (due || full || self.stopping));
        #[cfg(feature = "mutants")]
        if self.machine.mutant == crate::Mutant::SaveInReplay {
            saved = saved || due || full;
        }
        if saved {
            saved = self.save()?;
        }
        if self.journal.is_none() {
            self.past = self.past(saved, total)?;
        }
        let paused = self.stopping && !last;
        if paused {
            self.pause()?;
        }
        Ok(Turn::RoundOver { saved, paused })
    }

    /// What the round that is over led to. Nothing is kept in memory where rounds are so short that the next one can be
    /// waited for.
    fn past(&mut self, saved: bool, micros: u64) -> Result<Past, RunError> {
        if saved {
            return Ok(Past::Safe);
        }
        let state = (micros >= LONG_ROUND).then(|| self.machine.snapshot());
        let Some(state) = state.flatten() else {
            return Ok(Past::Brief);
        };
        self.archive.hold()?;
        Ok(Past::Held(Box::new(state)))
    }

    /// Says that the run pauses.
    pub(crate) fn pause(&mut self) -> Result<(), RunError> {
        let rounds = self.machine.rounds_done();
        self.archive.event(Event::Paused { rounds })
    }

    fn save(&mut self) -> Result<bool, RunError> {
        let Some(snapshot) = self.machine.snapshot() else {
            return Ok(false);
        };
        self.archive.save(&snapshot)?;
        self.saved = true;
        if let Some((journal, run)) = &mut self.journal {
            // What the old journal held is in the checkpoint.
            *journal = Journal::begin(self.archive.storage(), &begin_of(*run, &self.machine))?;
        }
        Ok(true)
    }
}

impl Rounds<RunFiles<'_>> {
    /// Leaves the run's folder complete.
    pub fn conclude(mut self, ending: Ending) -> Result<Summary, RunError> {
        if let Ending::Stalled { reason, passing } = ending {
            self.archive.stalled(&self.machine, reason, passing)?;
        }
        self.archive.summarise()
    }
}

/// What the journal begins with behind the state of a machine between rounds.
pub(crate) fn begin_of(run: Fingerprint, machine: &RoundMachine) -> Record {
    Record::Begin {
        run,
        rounds: machine.rounds_done(),
        fingerprint: machine.fingerprint(),
    }
}
