//! Assign, collect, close: one round after the other.

mod book;
mod cohort;
mod evaluation;
mod requests;

use crate::{
    plan::{Closing, Input, InputError, Output, Plan, SelectionPhase},
    round::{Collected, Stage},
    snapshot::{Best, Snapshot},
    updates::Spill,
};
use book::Steered;
use lyceum_core::{
    Assignment, ClientId, ClientReport, ClientState, DataRef, Event, Fingerprint, Grid, Job,
    Outcome, Params, Purpose, Roster, Round, SelectorRun, Slot, SlotName, StrategyRun, Ticket,
    Time, UnitId, Upload, Work, codec,
};
use requests::Desk;
use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
};

/// Units per stage, about; enough for many threads to stay busy to the end.
const UNITS: usize = 128;
/// What a client costs besides its samples, in samples.
const CLIENT_COST: u64 = 8;
/// Sets the ticket of the closing evaluation apart from those of rounds.
const CLOSING: u64 = 1 << 62;
/// Clients per unit, at most, so that an assignment fits into one message.
const UNIT_CLIENTS: usize = 4096;

/// Rounds that begin once a task is over for everybody.
fn task_ends(plan: &Plan) -> BTreeSet<u64> {
    let stream = plan.stream.as_ref().filter(|s| s.gate().is_none());
    let ends = stream.and_then(|stream| stream.ends()).unwrap_or_default();
    ends.into_iter().flatten().collect()
}

/// Runs the rounds of one scenario.
pub struct RoundMachine {
    plan: Plan,
    roster: Arc<dyn Roster>,
    strategy: Box<dyn StrategyRun>,
    selector: Box<dyn SelectorRun>,
    global: Params,
    vectors: Vec<Params>,
    clients: BTreeMap<ClientId, ClientState>,
    fingerprint: Fingerprint,
    /// Of the state that a longer run goes on from, once the run comes to its end.
    before_closing: Option<Fingerprint>,
    best: Option<Best>,
    done: u64,
    /// Rounds that begin once a task is over for everybody.
    task_ends: BTreeSet<u64>,
    /// When the cohort's work went out.
    assigned_at: Time,
    flight: Collected,
    outputs: VecDeque<Output>,
    /// The rule that steers the run, with the models that do not lie open.
    steered: Option<Steered>,
    /// Requests from outside.
    desk: Desk,
    /// Rounds of the run, where that rule has ended it.
    ends: Option<u64>,
    /// Reports of the round in flight, for that rule.
    reported: Vec<ClientReport>,
    #[cfg(feature = "mutants")]
    pub(crate) mutant: crate::Mutant,
}

impl RoundMachine {
    /// A machine before its first round. `origin` is the link that the chain begins with.
    pub fn new(
        plan: Plan,
        roster: Arc<dyn Roster>,
        strategy: Box<dyn StrategyRun>,
        selector: Box<dyn SelectorRun>,
        global: Params,
        origin: Fingerprint,
    ) -> Self {
        let fingerprint = origin.extend().add(global.bytes()).link();
        let flight = Collected::new(Round(0), &plan);
        let steered = plan.steering.as_ref();
        let steered = steered.map(|s| Steered::new(&s.rule, &s.strategy, &global));
        Self {
            steered,
            desk: Desk::default(),
            ends: None,
            reported: Vec::new(),
            task_ends: task_ends(&plan),
            plan,
            roster,
            strategy,
            selector,
            global,
            vectors: Vec::new(),
            clients: BTreeMap::new(),
            fingerprint,
            before_closing: None,
            best: None,
            done: 0,
            assigned_at: Time(0),
            flight,
            outputs: VecDeque::new(),
            #[cfg(feature = "mutants")]
            mutant: crate::Mutant::None,
        }
    }

    /// The machine with a mistake on purpose.
    #[cfg(feature = "mutants")]
    pub(crate) fn mistaken(self, mutant: crate::Mutant) -> Self {
        Self { mutant, ..self }
    }

    /// Keeps at most `budget` bytes of single updates in memory, where the strategy asks for them.
    pub fn spill_to(&mut self, budget: u64, spill: Box<dyn Spill>) {
        self.flight.updates.spill_to(budget, spill);
    }

    /// Takes back a saved state. The machine must be as [`RoundMachine::new`] made it.
    pub fn restore(&mut self, snapshot: Snapshot) -> Result<(), codec::CodecError> {
        if snapshot.global.len() != self.global.len() {
            let (had, has) = (snapshot.global.len(), self.global.len());
            return Err(codec::CodecError(format!(
                "the saved model has {had} parameters, the scenario's has {has}"
            )));
        }
        self.strategy.restore(&snapshot.strategy)?;
        let past = |phase: &&SelectionPhase| phase.from.0 < snapshot.rounds;
        let phases: Vec<_> = self.plan.phases.iter().filter(past).cloned().collect();
        phases.into_iter().for_each(|phase| self.enter(phase));
        self.selector.restore(&snapshot.selector)?;
        self.global = snapshot.global;
        self.clients = snapshot.clients;
        self.fingerprint = snapshot.fingerprint;
        self.best = snapshot.best;
        self.done = snapshot.rounds;
        self.ends = snapshot.ends;
        self.plan.rounds = snapshot.ends.unwrap_or(self.plan.rounds);
        self.take_pages(snapshot.book, &snapshot.steering)?;
        let told = self.learn(&snapshot.facts);
        told.map_err(|e| codec::CodecError(e.to_string()))
    }

    /// The state to save; only between rounds.
    pub fn snapshot(&self) -> Option<Snapshot> {
        (self.flight.stage == Stage::Between).then(|| Snapshot {
            rounds: self.done,
            global: self.first_model().0,
            strategy: self.first_model().1,
            book: self.pages().0,
            steering: self.pages().1,
            ends: self.ends,
            selector: self.selector.save(),
            clients: self.clients.clone(),
            fingerprint: self.fingerprint,
            best: self.best,
            facts: self.facts(),
        })
    }

    /// Rounds that are done.
    pub fn rounds_done(&self) -> u64 {
        self.done
    }

    /// Whether all rounds are done.
    pub fn is_complete(&self) -> bool {
        self.done >= self.plan.rounds
    }

    /// The global model.
    pub fn global(&self) -> &Params {
        &self.global
    }

    /// What the values of updates may be.
    pub(crate) fn grid(&self) -> Grid {
        Grid::from(&self.plan.contribution.layout)
    }

    /// Last link of the chain.
    pub fn fingerprint(&self) -> Fingerprint {
        self.fingerprint
    }

    /// Last link of the chain of the state that is saved: without the closing evaluation.
    pub fn saved_fingerprint(&self) -> Fingerprint {
        self.before_closing.unwrap_or(self.fingerprint)
    }

    /// When [`is_due`](Self::is_due) may become true although nothing arrived.
    pub fn deadline(&self) -> Option<Time> {
        let closing = self.closing()?;
        let answered = self.flight.answered();
        let after = match closing.enough_clients {
            Some(enough) if answered >= enough => closing.min.min(closing.after),
            _ if answered >= closing.min_clients => closing.after,
            _ => closing.give_up,
        };
        Some(Time(self.assigned_at.0.saturating_add(after)))
    }

    /// Whether the round should close without everybody now. The driver decides when that is done: what it depends on
    /// is the order of things in time, so it has to be written down first.
    pub fn is_due(&self, now: Time) -> bool {
        self.deadline().is_some_and(|deadline| deadline <= now)
    }

    /// Why a round that is due cannot be closed: too few clients have answered.
    pub fn short_of_clients(&self) -> Option<String> {
        let closing = self.closing()?;
        let answered = self.flight.answered();
        (answered < closing.min_clients).then(|| {
            format!(
                "after {} s only {answered} clients had answered, deadline.close.min_clients is {}",
                closing.give_up / 1_000_000,
                closing.min_clients
            )
        })
    }

    /// Whether rounds may close without everybody.
    pub fn may_close_early(&self) -> bool {
        self.plan.closing.is_some()
    }

    fn closing(&self) -> Option<Closing> {
        self.plan
            .closing
            .filter(|_| self.flight.stage == Stage::Training)
    }

    /// The next thing to do, if there is one.
    pub fn poll(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// Takes an input at time `now`, on which nothing but the deadline depends.
    pub fn handle(&mut self, now: Time, input: Input) -> Result<(), InputError> {
        let before = self.flight.stage;
        let result = match input {
            Input::NextRound => self.begin(),
            Input::Upload(upload) => self.absorb(upload),
            Input::Request(request) => {
                self.ask(request);
                Ok(())
            }
            Input::Close => {
                self.close_without_the_late();
                Ok(())
            }
        };
        if before != Stage::Training && self.flight.stage == Stage::Training {
            self.assigned_at = now;
        }
        result
    }

    /// The clients of units that were not answered count as dropped out.
    fn close_without_the_late(&mut self) {
        if self.closing().is_none() {
            return;
        }
        if let Some(reason) = self.short_of_clients() {
            return self.stall(reason);
        }
        let down = self.model_bytes() * (1 + self.vectors.len() as u64);
        for client in self.flight.give_up_pending() {
            let samples = self.roster.samples(client) as u64;
            self.flight
                .reports
                .push(ClientReport::dropped_out(client, samples, down));
        }
        self.close_round();
    }

    /// Units of the round in flight that are not answered.
    pub fn pending(&self) -> impl Iterator<Item = UnitId> + '_ {
        self.flight.pending.iter().copied()
    }

    /// Units that the stages of the round in flight were cut into so far.
    pub fn units_opened(&self) -> u64 {
        self.flight.units_opened()
    }

    /// The round in flight. The closing evaluation has a ticket of its own, which no round of a longer run has.
    pub fn ticket(&self) -> Ticket {
        match self.flight.closing {
            false => Ticket(self.flight.round.0),
            true => Ticket(CLOSING | self.flight.round.0),
        }
    }

    fn begin(&mut self) -> Result<(), InputError> {
        if self.flight.stage != Stage::Between {
            return Err(InputError::NotBetween);
        }
        if self.is_complete() {
            return self.conclude();
        }
        let round = Round(self.done);
        self.flight.restart(round)?;
        if self.plan.judges_before && self.done == 0 {
            self.flight.before = true;
            self.assign_evaluation(&self.judged());
            return Ok(());
        }
        self.begin_training();
        Ok(())
    }

    /// From now on cohorts are found in another way.
    fn enter(&mut self, phase: SelectionPhase) {
        self.plan.dropout = phase.dropout;
        if let Some(selector) = phase.selector {
            self.selector = selector.start(self.roster.clone(), self.plan.rounds);
        }
    }

    /// What the timeline does with the round in flight, for the log.
    fn tell_timeline(&mut self) {
        let (plan, round) = (&self.plan, self.flight.round);
        let people = plan.attendance.changes(round, self.roster.clients());
        let settings = plan.changes.iter().filter(|(from, _)| *from == round);
        let settings = settings.map(|(_, set)| Event::SettingsChanged {
            round,
            set: set.clone(),
        });
        let events = people.into_iter().chain(settings);
        self.outputs.extend(events.map(Output::Event));
    }

    fn begin_training(&mut self) {
        if let Err(reason) = self.follow_plan() {
            return self.stall(format!("the rule that steers the run: {reason}"));
        }
        self.tell_timeline();
        let round = self.flight.round;
        let now = |phase: &&SelectionPhase| phase.from == round;
        let phases: Vec<_> = self.plan.phases.iter().filter(now).cloned().collect();
        phases.into_iter().for_each(|phase| self.enter(phase));
        self.vectors = self.strategy.broadcast();
        let mut rng = self
            .plan
            .seed
            .stream(Purpose::SELECTION, Ticket(2 * round.0), None);
        let mut wanted = self
            .selector
            .wants_scores(round, &mut rng)
            .unwrap_or_default();
        wanted.retain(|&client| self.is_present(round, client));
        match wanted.is_empty() {
            false => self.assign_scoring(&wanted),
            true => self.select(),
        }
    }

    fn absorb(&mut self, upload: Upload) -> Result<(), InputError> {
        #[cfg(feature = "mutants")]
        let mutant = self.mutant;
        let ticket = self.ticket();
        let flight = &mut self.flight;
        #[cfg(feature = "mutants")]
        if mutant == crate::Mutant::AcceptDuplicates && flight.adds_again(&upload) {
            let _ = flight.absorb(upload);
            return Ok(());
        }
        if upload.ticket != ticket || !flight.expects(&upload) {
            return Ok(());
        }
        flight.absorb(upload)?;
        #[cfg(feature = "mutants")]
        if mutant == crate::Mutant::ArrivalOrder {
            flight.round_sum(&self.plan.contribution);
        }
        if flight.pending.is_empty() {
            match flight.stage {
                Stage::Scoring => self.close_scoring(),
                Stage::Training => self.close_round(),
                Stage::Evaluating => self.close_evaluation(),
                Stage::Between | Stage::Over => {}
            }
        }
        Ok(())
    }

    fn assign_scoring(&mut self, clients: &[ClientId]) {
        self.flight.stage = Stage::Scoring;
        self.flight.scoring_bytes = clients.len() as u64 * self.model_bytes();
        let job = |&client: &ClientId| Job {
            data: DataRef::Shard(client),
            state: self.local_of(client),
        };
        let jobs = |chunk: &[ClientId]| chunk.iter().map(job).collect::<Vec<Job>>();
        let (simulated, real) =
            clients.split_at(clients.partition_point(|c| *c < self.plan.alone_from));
        let unit = simulated.len().div_ceil(UNITS).clamp(1, UNIT_CLIENTS);
        let units = simulated.chunks(unit).chain(real.chunks(1));
        let units: Vec<Vec<Job>> = units.map(jobs).collect();
        for jobs in units {
            self.assign(Work::Score, jobs);
        }
    }

    /// What of the model stays with a client, to be judged with it.
    fn local_of(&self, client: ClientId) -> ClientState {
        let state = self.clients.get(&client);
        let own = state.and_then(|state| state.get(SlotName::LOCAL));
        let slot = |slot: &Slot| (SlotName::new(SlotName::LOCAL), slot.clone());
        own.map(slot).into_iter().collect()
    }

    fn close_scoring(&mut self) {
        self.flight
            .scores
            .sort_unstable_by_key(|(client, _)| *client);
        self.outputs.push_back(Output::Event(Event::ClientsScored {
            round: self.flight.round,
            clients: self.flight.scores.len() as u64,
            samples: self.flight.scored_samples,
            bytes_down: self.flight.scoring_bytes,
        }));
        self.select();
    }

    fn close_round(&mut self) {
        self.flight.finish_reports();
        let round = self.flight.round;
        let accepted = self.flight.reports.iter().filter(|r| r.accepted()).count() as u64;
        let refused = self
            .flight
            .reports
            .iter()
            .filter(|r| matches!(r.outcome, Outcome::Refused(_)))
            .count() as u64;
        if let Some(reason) = self.short_of_updates(accepted) {
            self.skip(reason);
        } else if accepted + refused > 0
            && let Err(reason) = self.aggregate()
        {
            if accepted == 0 || !self.answers_are_empty() {
                let reason = self.with_first_refusal(reason);
                self.tell_reports();
                return self.stall(reason);
            }
            self.skip("the clients that answered have no samples".into());
        }
        self.extend_chain();
        for (client, state) in std::mem::take(&mut self.flight.states) {
            self.clients.insert(client, state);
        }
        self.selector.observe(round, &self.flight.reports);
        self.done += 1;
        let closed = self.closing_event(accepted, refused);
        self.tell_reports();
        self.outputs.push_back(Output::Event(closed));
        match self.probes() {
            probes if probes.is_empty() => self.end_round(),
            probes => self.assign_evaluation(&probes),
        }
    }

    /// Hands the reports on, which nobody needs here any more.
    fn tell_reports(&mut self) {
        let round = self.flight.round;
        if self.steered.is_some() {
            self.reported.clone_from(&self.flight.reports);
        }
        let reports = self.flight.reports.drain(..);
        let event = |report| Output::Event(Event::Client { round, report });
        self.outputs.extend(reports.map(event));
    }

    /// Why the clients that answered are too few for the strategy.
    fn short_of_updates(&self, accepted: u64) -> Option<String> {
        let some = Some(accepted as usize).filter(|accepted| *accepted > 0)?;
        self.strategy.short_of(some).map(|misfit| misfit.message)
    }

    /// Whether nobody who answered has a sample.
    fn answers_are_empty(&self) -> bool {
        let mut answered = self.flight.reports.iter().filter(|r| r.accepted());
        answered.all(|report| report.samples == 0)
    }

    /// The model stays as it is, as in a round in which nobody answers. What clients keep for themselves goes on.
    fn skip(&mut self, reason: String) {
        let round = self.flight.round;
        self.outputs
            .push_back(Output::Event(Event::RoundSkipped { round, reason }));
    }

    fn aggregate(&mut self) -> Result<(), String> {
        let mut next = self.global.clone();
        self.flight.updates.sort();
        self.flight.fold().map_err(|e| e.to_string())?;
        let (plan, ticket) = (&self.plan, self.ticket());
        let mut harvest = self.flight.harvest(self.roster.clients());
        plan.transforms.on_server(plan.seed, ticket, &mut harvest);
        self.strategy
            .close(&mut next, harvest)
            .map_err(|stall| stall.0)?;
        if let Some(index) = next.first_not_finite() {
            let entry = self.plan.contribution.layout.entry_at(index);
            return Err(format!(
                "the strategy made `{}` of the global model {}; training diverged: lower training.rate or the strategy's own rate",
                entry.map_or("a value", |e| &e.name),
                next[index]
            ));
        }
        self.global = next;
        Ok(())
    }

    /// A stall's reason with the first client that was refused, so that somebody can look into it.
    fn with_first_refusal(&self, reason: String) -> String {
        let refusal = |r: &ClientReport| match &r.outcome {
            Outcome::Refused(why) => Some(format!("{reason}; client {}: {why}", r.client)),
            Outcome::Accepted | Outcome::DroppedOut => None,
        };
        self.flight
            .reports
            .iter()
            .find_map(refusal)
            .unwrap_or(reason)
    }

    fn extend_chain(&mut self) {
        self.flight
            .states
            .sort_unstable_by_key(|(client, _)| *client);
        let mut chain = self.fingerprint.extend();
        chain
            .number(self.flight.round.0)
            .add(self.global.bytes())
            .add(&self.strategy.save());
        for (client, state) in &self.flight.states {
            chain.number(client.0);
            self.plan.contribution.slots.chain(state, &mut chain);
        }
        self.fingerprint = chain.link();
    }

    fn closing_event(&self, accepted: u64, refused: u64) -> Event {
        let reports = &self.flight.reports;
        let total = |field: fn(&ClientReport) -> u64| reports.iter().map(field).sum::<u64>();
        let losses = || {
            reports
                .iter()
                .filter(|r| r.accepted())
                .filter_map(|r| Some((r.samples as f64, r.last_loss?)))
        };
        let weight: f64 = losses().map(|(n, _)| n).sum();
        let loss: f64 = losses().map(|(n, loss)| n * f64::from(loss)).sum();
        Event::RoundClosed {
            round: self.flight.round,
            cohort: self.flight.cohort,
            accepted,
            refused,
            dropped_out: reports.len() as u64 - accepted - refused,
            train_loss: (weight > 0.0).then(|| loss / weight),
            trained: total(|r| r.trained),
            scored: total(|r| r.scored) + self.flight.scored_samples,
            steps: total(|r| r.steps),
            bytes_down: total(|r| r.bytes_down) + self.flight.scoring_bytes,
            bytes_up: total(|r| r.bytes_up),
            fingerprint: self.fingerprint,
        }
    }

    fn end_round(&mut self) {
        self.end_steered();
    }

    fn finish(&mut self) {
        self.flight.stage = Stage::Over;
        let event = Event::RunFinished {
            rounds: self.done,
            fingerprint: self.fingerprint,
        };
        self.outputs.push_back(Output::Event(event));
        self.outputs.push_back(Output::Finished);
    }

    fn stall(&mut self, reason: String) {
        self.flight.stage = Stage::Over;
        let event = Event::Stalled {
            round: self.flight.round,
            reason: reason.clone(),
        };
        self.outputs.push_back(Output::Event(event));
        self.outputs.push_back(Output::Stalled(reason));
    }

    fn model_bytes(&self) -> u64 {
        let local = self.plan.contribution.layout.local_len();
        4 * (self.global.len() - local) as u64
    }

    fn assign(&mut self, work: Work, jobs: Vec<Job>) {
        let assignment = Assignment {
            ticket: self.ticket(),
            round: self.flight.round,
            unit: self.flight.open_unit(&jobs),
            work,
            facts: self.facts(),
            global: self.model_at_work().clone(),
            vectors: if work == Work::Train {
                self.vectors.clone()
            } else {
                Vec::new()
            },
            jobs,
        };
        self.outputs.push_back(Output::Assign(assignment));
    }
}
