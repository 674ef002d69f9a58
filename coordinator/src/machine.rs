//! Assign, collect, close: one round after the other.

mod book;
mod closing;
mod cohort;
mod evaluation;
mod prelude;
mod requests;

use crate::{
    plan::{Input, InputError, Output, Plan, SelectionPhase},
    round::{Current, Flight, Stage},
    schedule::{FlightView, Verdict},
    snapshot::{Best, Snapshot},
    updates::Spill,
};
use book::Steered;
use lyceum_core::{
    Assignment, ClientId, ClientReport, ClientState, DataRef, Event, Facts, Fingerprint, Grid, Job,
    Params, Purpose, Roster, Round, SelectorRun, Slot, SlotName, StrategyRun, TaskDefinition,
    Ticket, Time, UnitKey, Upload, Work, codec,
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
    clients: BTreeMap<ClientId, ClientState>,
    fingerprint: Fingerprint,
    /// Of the state that a longer run goes on from, once the run comes to its end.
    before_closing: Option<Fingerprint>,
    best: Option<Best>,
    done: u64,
    /// Rounds that begin once a task is over for everybody.
    task_ends: BTreeSet<u64>,
    current: Current,
    outputs: VecDeque<Output>,
    /// The rule that steers the run, with the models that do not lie open.
    steered: Option<Steered>,
    /// Requests from outside.
    desk: Desk,
    /// Rounds of the run, where that rule has ended it.
    ends: Option<u64>,
    /// An expert is to be trained, and nothing else.
    expert: Option<Assignment>,
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
        let current = Current::new(Round(0), &plan);
        let steered = plan.steering.as_ref();
        let halves = plan.contribution.layout.halves();
        let steered = steered.map(|s| Steered::new(&s.rule, &s.strategy, &global, halves));
        Self {
            steered,
            desk: Desk::default(),
            ends: None,
            expert: None,
            task_ends: task_ends(&plan),
            plan,
            roster,
            strategy,
            selector,
            global,
            clients: BTreeMap::new(),
            fingerprint,
            before_closing: None,
            best: None,
            done: 0,
            current,
            outputs: VecDeque::new(),
            #[cfg(feature = "mutants")]
            mutant: crate::Mutant::None,
        }
    }

    /// The machine steered by a rule.
    #[cfg(test)]
    pub(crate) fn steer_by(&mut self, plan: crate::SteeringPlan) {
        self.steered = Some(Steered::new(&plan.rule, &plan.strategy, &self.global, None));
        self.plan.steering = Some(plan);
    }

    /// The machine with another schedule.
    #[cfg(test)]
    pub(crate) fn close_by(&mut self, schedule: Arc<dyn crate::Schedule>) {
        self.plan.schedule = schedule;
        self.current = Current::new(Round(0), &self.plan);
    }

    /// The machine with a mistake on purpose.
    #[cfg(feature = "mutants")]
    pub(crate) fn mistaken(self, mutant: crate::Mutant) -> Self {
        Self { mutant, ..self }
    }

    /// Has the run told of tasks in these rounds, as another one was that somebody asked; before the first round.
    pub fn give_tasks(&mut self, tasks: Vec<(Round, TaskDefinition)>) {
        self.plan.given = tasks;
    }

    /// Keeps at most `budget` bytes of single updates in memory, where the strategy asks for them.
    pub fn spill_to(&mut self, budget: u64, spill: Box<dyn Spill>) {
        self.current.first().updates.spill_to(budget, spill);
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
        (self.current.stage == Stage::Between).then(|| Snapshot {
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
            facts: self.facts_to_keep(),
        })
    }

    #[cfg(not(feature = "mutants"))]
    fn facts_to_keep(&self) -> Facts {
        self.facts()
    }

    #[cfg(feature = "mutants")]
    fn facts_to_keep(&self) -> Facts {
        let facts = self.facts();
        match (self.mutant, facts.all()) {
            (crate::Mutant::ForgetFact, [first @ .., _]) => {
                let all = first.iter().cloned();
                all.fold(Facts::default(), |facts, fact| facts.with(fact))
            }
            _ => facts,
        }
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

    /// When a [`verdict`](Self::verdict) may change although nothing arrived, by ticket.
    pub fn deadlines(&self) -> impl Iterator<Item = (Ticket, Time)> + '_ {
        let deadline = |flight: &Flight| {
            let (since, view) = (flight.since?, self.current.view(flight)?);
            let after = self.plan.schedule.deadline(&view)?;
            Some((flight.ticket, Time(since.0.saturating_add(after))))
        };
        let waits = |flight: &&Flight| !flight.pending.is_empty();
        let flights = self.current.flights.iter().filter(waits);
        flights.filter_map(deadline)
    }

    /// What is to be done with a ticket as time passes. The driver decides when that is done: what it depends on
    /// is the order of things in time, so it has to be written down first.
    pub fn verdict(&self, ticket: Ticket, now: Time) -> Verdict {
        let flight = self.current.flights.iter().find(|f| f.ticket == ticket);
        let waits = flight.filter(|flight| !flight.pending.is_empty());
        let seen = waits.and_then(|f| Some((f.since?, self.current.view(f)?)));
        let verdict = |(since, view): (Time, FlightView)| {
            let elapsed = now.0.saturating_sub(since.0);
            self.plan.schedule.verdict(elapsed, &view)
        };
        seen.map_or(Verdict::Wait, verdict)
    }

    /// Whether flights may close without everybody.
    pub fn may_close_early(&self) -> bool {
        self.plan.schedule.may_close_early()
    }

    /// The next thing to do, if there is one.
    pub fn poll(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// Takes an input at time `now`, on which nothing but deadlines depends.
    pub fn handle(&mut self, now: Time, input: Input) -> Result<(), InputError> {
        let result = match input {
            Input::NextRound => self.begin(),
            Input::Upload(upload) => self.absorb(upload),
            Input::Request(request) => {
                self.ask(request);
                Ok(())
            }
            Input::Close(ticket) => {
                self.close_without_the_late(ticket);
                Ok(())
            }
        };
        for flight in &mut self.current.flights {
            flight.since.get_or_insert(now);
        }
        result
    }

    /// The clients of units that were not answered count as dropped out, or have no score.
    fn close_without_the_late(&mut self, ticket: Ticket) {
        let (down, stage) = (self.model_bytes(), self.current.stage);
        if !self.may_close_early() || !matches!(stage, Stage::Scoring | Stage::Training) {
            return;
        }
        let Some(flight) = self.current.flight(ticket) else {
            return;
        };
        let late = flight.give_up_pending();
        if stage == Stage::Scoring {
            return self.close_scoring();
        }
        let down = down * (1 + flight.vectors.len() as u64);
        let roster = &self.roster;
        let dropped = |client| {
            let samples = roster.samples(client) as u64;
            ClientReport::dropped_out(client, samples, down)
        };
        flight.reports.extend(late.into_iter().map(dropped));
        self.close_if_full();
    }

    /// The round is closed once all of its flights are full.
    fn close_if_full(&mut self) {
        let current = &self.current;
        let full = |flight| {
            let view = current.view(flight);
            view.is_none_or(|view| self.plan.schedule.is_full(&view))
        };
        if current.flights.iter().all(full) {
            self.close_round();
        }
    }

    /// Tickets of the round in flight, ascending. The closing evaluation has one of its own, which no round of a longer run
    /// has.
    pub fn tickets(&self) -> impl Iterator<Item = Ticket> + '_ {
        self.current.flights.iter().map(|flight| flight.ticket)
    }

    /// The round in flight.
    pub fn round(&self) -> Round {
        self.current.round
    }

    /// What the units in flight are asked to do; `None` between rounds and when all is over.
    pub fn work(&self) -> Option<Work> {
        self.current.work()
    }

    /// Units of the round in flight that are not answered.
    pub fn pending(&self) -> impl Iterator<Item = UnitKey> + '_ {
        let flights = self.current.flights.iter();
        flights.flat_map(|f| f.pending.iter().map(|unit| f.ticket.unit(*unit)))
    }

    /// Units that the stages of each ticket in flight were cut into so far.
    pub fn units_opened(&self) -> impl Iterator<Item = (Ticket, u64)> + '_ {
        let flights = self.current.flights.iter();
        flights.map(|flight| (flight.ticket, flight.units_opened()))
    }

    fn begin(&mut self) -> Result<(), InputError> {
        if self.current.stage != Stage::Between {
            return Err(InputError::NotBetween);
        }
        if let Some(assignment) = self.expert.clone() {
            return self.begin_prelude(assignment);
        }
        if self.is_complete() {
            return self.conclude();
        }
        let round = Round(self.done);
        let ticket = Ticket::of_round(round, 0);
        self.current.restart(round, ticket)?;
        if self.plan.judges_before && self.done == 0 {
            self.current.before = true;
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
        let (plan, round) = (&self.plan, self.current.round);
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
        let round = self.current.round;
        let now = |phase: &&SelectionPhase| phase.from == round;
        let phases: Vec<_> = self.plan.phases.iter().filter(now).cloned().collect();
        phases.into_iter().for_each(|phase| self.enter(phase));
        let wanted = match self.selects() {
            true => self.wanted_scores(),
            false => Vec::new(),
        };
        match wanted.is_empty() {
            false => self.assign_scoring(&wanted),
            true => self.depart(),
        }
    }

    fn wanted_scores(&mut self) -> Vec<ClientId> {
        let round = self.current.round;
        let mut rng = self
            .plan
            .seed
            .stream(Purpose::SELECTION, Ticket(2 * round.0), None);
        let wanted = self.selector.wants_scores(round, &mut rng);
        let mut wanted = wanted.unwrap_or_default();
        wanted.retain(|&client| self.is_present(round, client));
        wanted
    }

    fn absorb(&mut self, upload: Upload) -> Result<(), InputError> {
        #[cfg(feature = "mutants")]
        let mutant = self.mutant;
        let current = &mut self.current;
        #[cfg(feature = "mutants")]
        if mutant == crate::Mutant::AcceptDuplicates && current.adds_again(&upload) {
            let _ = current.absorb(upload);
            return Ok(());
        }
        if !current.expects(&upload) {
            return Ok(());
        }
        current.absorb(upload)?;
        #[cfg(feature = "mutants")]
        if mutant == crate::Mutant::ArrivalOrder {
            current.first().round_sum(&self.plan.contribution);
        }
        let all = current.first().pending.is_empty();
        match current.stage {
            Stage::Training => self.close_if_full(),
            Stage::Expert if all => self.end_prelude(),
            Stage::Scoring if all => self.close_scoring(),
            Stage::Evaluating if all => self.close_evaluation(),
            _ => {}
        }
        Ok(())
    }

    fn assign_scoring(&mut self, clients: &[ClientId]) {
        self.current.stage = Stage::Scoring;
        self.current.scoring_bytes = clients.len() as u64 * self.model_bytes();
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
            self.assign(0, Work::Score, jobs);
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
        self.current
            .scores
            .sort_unstable_by_key(|(client, _)| *client);
        self.outputs.push_back(Output::Event(Event::ClientsScored {
            round: self.current.round,
            clients: self.current.scores.len() as u64,
            samples: self.current.scored_samples,
            bytes_down: self.current.scoring_bytes,
        }));
        self.depart();
    }

    fn end_round(&mut self) {
        self.end_steered();
    }

    fn finish(&mut self) {
        self.current.stage = Stage::Over;
        let event = Event::RunFinished {
            rounds: self.done,
            fingerprint: self.fingerprint,
        };
        self.outputs.push_back(Output::Event(event));
        self.outputs.push_back(Output::Finished);
    }

    fn stall(&mut self, reason: String) {
        self.current.stage = Stage::Over;
        let event = Event::Stalled {
            round: self.current.round,
            reason: reason.clone(),
        };
        self.outputs.push_back(Output::Event(event));
        self.outputs.push_back(Output::Stalled(reason));
    }

    fn model_bytes(&self) -> u64 {
        let local = self.plan.contribution.layout.local_len();
        4 * (self.global.len() - local) as u64
    }

    /// Puts a unit of a flight out.
    fn assign(&mut self, place: usize, work: Work, jobs: Vec<Job>) {
        let (facts, model) = (self.facts(), self.name_at_work());
        let global = self.model_at_work().clone();
        let flight = &mut self.current.flights[place];
        let assignment = Assignment {
            ticket: flight.ticket,
            round: self.current.round,
            unit: flight.open_unit(&jobs),
            work,
            facts,
            model,
            global,
            vectors: match work {
                Work::Train => flight.vectors.clone(),
                _ => Vec::new(),
            },
            jobs,
        };
        self.outputs.push_back(Output::Assign(assignment));
    }
}
