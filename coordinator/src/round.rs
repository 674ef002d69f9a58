//! What is known of the round in flight, and of its tickets.

use crate::{InputError, plan::Plan, schedule::FlightView, updates::UpdateStore};
use lyceum_core::{
    Addend, ClientId, ClientReport, ClientState, DataRef, ExactSum, GLOBAL, Grid, Halves, Harvest,
    Job, Params, Payload, Prior, Probe, Reduction, Round, SumError, Tally, Term, Ticket, Time,
    Trained, UnitId, Upload, Work,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

/// Updates of single clients that are added in one pass: each waits with the bytes of a model.
const SINGLES: usize = 4;

/// Which part of a round is in flight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Between rounds.
    Between,
    /// Before there are rounds: the expert is trained.
    Expert,
    /// Clients are scored for the selector.
    Scoring,
    /// The cohort trains.
    Training,
    /// The new model is judged.
    Evaluating,
    /// The run cannot go on, or is complete.
    Over,
}

/// The round in flight: its stage, its flights, and what belongs to all of them.
pub(crate) struct Current {
    pub(crate) round: Round,
    pub(crate) stage: Stage,
    /// One for each model that is trained, the first of which goes on through all stages. Never empty.
    pub(crate) flights: Vec<Flight>,
    /// Of all flights, once they are closed.
    pub(crate) reports: Vec<ClientReport>,
    pub(crate) scores: Vec<(ClientId, f32)>,
    pub(crate) scored_samples: u64,
    pub(crate) scoring_bytes: u64,
    /// It is the initial model that is judged.
    pub(crate) before: bool,
    /// A gate ended a task with this round, which is therefore judged.
    pub(crate) gate_opened: bool,
    /// It is the last model that is judged, after a round that was not due for it.
    pub(crate) closing: bool,
    tallies: BTreeMap<(Probe, UnitId), Tally>,
    /// What the expert's training found.
    pub(crate) expert: Option<Payload>,
}

/// A ticket in flight: the units that are waited for, and what came of the others.
pub(crate) struct Flight {
    pub(crate) ticket: Ticket,
    /// The model that it trains.
    pub(crate) model: Arc<str>,
    /// Vectors that the strategy sends to every client.
    pub(crate) vectors: Vec<Params>,
    /// The clients' prior, where weights are distributions.
    pub(crate) prior: Option<Params>,
    /// When the work of its stage went out; `None` while it has not.
    pub(crate) since: Option<Time>,
    pub(crate) cohort: u64,
    pub(crate) pending: BTreeSet<UnitId>,
    /// Clients of the units, where a flight may close without them.
    clients: BTreeMap<UnitId, Vec<ClientId>>,
    may_close_early: bool,
    next_unit: u64,
    sum: ExactSum,
    /// Admitted to the sum, which takes several in one pass.
    singles: Vec<Term>,
    /// Single updates, where the strategy asks for them.
    pub(crate) updates: UpdateStore,
    pub(crate) reports: Vec<ClientReport>,
    pub(crate) states: Vec<(ClientId, ClientState)>,
}

impl Current {
    pub(crate) fn new(round: Round, plan: &Plan) -> Self {
        Self {
            round,
            stage: Stage::Between,
            flights: vec![Flight::new(Ticket::of_round(round, 0), plan)],
            reports: Vec::new(),
            scores: Vec::new(),
            scored_samples: 0,
            scoring_bytes: 0,
            before: false,
            gate_opened: false,
            closing: false,
            tallies: BTreeMap::new(),
            expert: None,
        }
    }

    /// Empty again for the next round, whose first flight has this ticket, keeping the memory of its sum.
    pub(crate) fn restart(&mut self, round: Round, ticket: Ticket) -> Result<(), InputError> {
        self.round = round;
        self.flights.truncate(1);
        self.first().restart(ticket)?;
        self.closing = false;
        self.reports.clear();
        self.scores.clear();
        self.tallies.clear();
        self.gate_opened = false;
        (self.scored_samples, self.scoring_bytes) = (0, 0);
        Ok(())
    }

    /// The flight of the round's first model, which is scored and judged in it as well.
    pub(crate) fn first(&mut self) -> &mut Flight {
        &mut self.flights[0]
    }

    /// The flight of a ticket.
    pub(crate) fn flight(&mut self, ticket: Ticket) -> Option<&mut Flight> {
        self.flights.iter_mut().find(|f| f.ticket == ticket)
    }

    /// What the units in flight are asked to do.
    pub(crate) fn work(&self) -> Option<Work> {
        match self.stage {
            Stage::Expert => Some(Work::Expert),
            Stage::Scoring => Some(Work::Score),
            Stage::Training => Some(Work::Train),
            Stage::Evaluating => Some(Work::Evaluate),
            Stage::Between | Stage::Over => None,
        }
    }

    /// What a schedule sees of a flight, while something is in flight.
    pub(crate) fn view(&self, flight: &Flight) -> Option<FlightView> {
        let work = self.work()?;
        let accepted = flight.reports.iter().filter(|r| r.accepted()).count();
        let answered = match work {
            Work::Score => self.scores.len(),
            _ => accepted,
        };
        Some(FlightView {
            work,
            pending: flight.pending.len(),
            answered,
        })
    }

    /// Takes a result that is [expected](Self::expects).
    pub(crate) fn absorb(&mut self, upload: Upload) -> Result<(), InputError> {
        let round = self.round;
        let Upload {
            ticket,
            units,
            payload,
            ..
        } = upload;
        match payload {
            Payload::Scored { scores, samples } => {
                self.scores.extend(scores);
                self.scored_samples += samples;
            }
            Payload::Evaluated { probe, tally } => {
                if let [unit] = units[..] {
                    self.tallies.insert((probe, unit), tally);
                }
            }
            Payload::Trained(trained) => {
                let unit = units.first().copied().unwrap_or_default();
                if let Some(flight) = self.flight(ticket) {
                    flight.take(round, unit, trained)?;
                }
            }
            expert @ Payload::Expert { .. } => self.expert = Some(expert),
        }
        if let Some(flight) = self.flight(ticket) {
            units.iter().for_each(|unit| {
                flight.pending.remove(unit);
            });
        }
        Ok(())
    }

    /// Whether an upload answers units that are waited for, each once, with what the stage in flight asks for.
    pub(crate) fn expects(&self, upload: &Upload) -> bool {
        let Some(flight) = self.flights.iter().find(|f| f.ticket == upload.ticket) else {
            return false;
        };
        let distinct: BTreeSet<_> = upload.units.iter().collect();
        let known = !distinct.is_empty()
            && distinct.len() == upload.units.len()
            && distinct.iter().all(|unit| flight.pending.contains(unit));
        let one = distinct.len() == 1;
        let fits = match (self.stage, &upload.payload) {
            (Stage::Expert, Payload::Expert { .. }) => one,
            (Stage::Scoring, Payload::Scored { .. }) => true,
            (Stage::Training, Payload::Trained(_)) => true,
            // Sums of losses depend on the order of addition, so probes are judged unit by unit.
            (Stage::Evaluating, Payload::Evaluated { .. }) => one,
            _ => false,
        };
        known && fits
    }

    /// Puts the reports of a flight into client order; a client that was scored for the selector reports that score,
    /// unless its own ordering scored its samples.
    pub(crate) fn finish_reports(&mut self, place: usize) {
        let reports = &mut self.flights[place].reports;
        reports.sort_by_cached_key(|r| r.client);
        for report in reports {
            let scored = self
                .scores
                .binary_search_by_key(&report.client, |(client, _)| *client);
            let score = scored
                .ok()
                .map(|i| self.scores[i].1)
                .filter(|s| s.is_finite());
            report.difficulty = report.difficulty.or(score);
        }
    }

    /// As [`tallies`](Self::tallies), and forgets them.
    pub(crate) fn take_tallies(&mut self, classes: usize) -> BTreeMap<Probe, Tally> {
        let merged = self.tallies(classes);
        self.tallies.clear();
        merged
    }

    /// The tally of each probe, its units merged in ascending order.
    pub(crate) fn tallies(&self, classes: usize) -> BTreeMap<Probe, Tally> {
        let mut merged = BTreeMap::new();
        for ((probe, _), tally) in &self.tallies {
            merged
                .entry(*probe)
                .or_insert_with(|| Tally::new(classes))
                .merge(tally);
        }
        merged
    }
}

impl Flight {
    /// A ticket with nothing in flight.
    pub(crate) fn new(ticket: Ticket, plan: &Plan) -> Self {
        let summed = match plan.contribution.reduction {
            Reduction::Sum => Grid::from(&plan.contribution.layout),
            Reduction::EachUpdate => Grid::default(),
        };
        Self {
            ticket,
            model: GLOBAL.into(),
            vectors: Vec::new(),
            prior: None,
            since: None,
            cohort: 0,
            pending: BTreeSet::new(),
            clients: BTreeMap::new(),
            may_close_early: plan.schedule.may_close_early(),
            next_unit: 0,
            sum: ExactSum::new(&plan.contribution.lanes, summed),
            singles: Vec::new(),
            updates: UpdateStore::default(),
            reports: Vec::new(),
            states: Vec::new(),
        }
    }

    fn restart(&mut self, ticket: Ticket) -> Result<(), InputError> {
        self.ticket = ticket;
        self.since = None;
        self.sum.clear();
        self.singles.clear();
        self.updates.clear().map_err(|e| InputError::spill(&e))?;
        self.reports.clear();
        self.states.clear();
        self.pending.clear();
        self.clients.clear();
        (self.next_unit, self.cohort) = (0, 0);
        Ok(())
    }

    /// A unit of its own, waited for from now on.
    pub(crate) fn open_unit(&mut self, jobs: &[Job]) -> UnitId {
        let unit = UnitId(self.next_unit);
        self.next_unit += 1;
        self.since = None;
        self.pending.insert(unit);
        if !self.may_close_early {
            return unit;
        }
        let client = |job: &Job| match job.data {
            DataRef::Shard(client) => Some(client),
            DataRef::Probe { .. } | DataRef::Pool => None,
        };
        self.clients
            .insert(unit, jobs.iter().filter_map(client).collect());
        unit
    }

    /// Units so far.
    pub(crate) fn units_opened(&self) -> u64 {
        self.next_unit
    }

    /// Waits for no unit any more; the clients that were waited for.
    pub(crate) fn give_up_pending(&mut self) -> Vec<ClientId> {
        let pending = std::mem::take(&mut self.pending);
        let clients = pending.iter().filter_map(|unit| self.clients.get(unit));
        clients.flatten().copied().collect()
    }

    /// Takes what came of training.
    fn take(&mut self, round: Round, unit: UnitId, trained: Trained) -> Result<(), InputError> {
        let refused = |e: SumError| InputError::Sum {
            unit: unit.0,
            round: round.0,
            reason: e.to_string(),
        };
        match trained.sum {
            Addend::Each(terms) => terms
                .into_iter()
                .try_for_each(|term| self.updates.put(term))
                .map_err(|e| InputError::spill(&e))?,
            Addend::Single(parts) => {
                self.singles.push(self.sum.admit(parts).map_err(refused)?);
                if self.singles.len() >= SINGLES {
                    self.fold().map_err(refused)?;
                }
            }
            sum => sum.add_to(&mut self.sum).map_err(refused)?,
        }
        self.reports.extend(trained.reports);
        self.states.extend(trained.states);
        Ok(())
    }

    /// Adds what waits.
    pub(crate) fn fold(&mut self) -> Result<(), SumError> {
        self.sum.fold(&self.singles)?;
        self.singles.clear();
        Ok(())
    }

    /// All that was added, to be closed.
    pub(crate) fn harvest(&mut self, population: u64, halves: Option<Halves>) -> Harvest<'_> {
        let prior = self.prior.as_ref().zip(halves);
        Harvest {
            sum: &mut self.sum,
            updates: &self.updates,
            population,
            prior: prior.map(|(values, halves)| Prior { values, halves }),
        }
    }
}

#[cfg(feature = "mutants")]
impl Current {
    /// Whether a mistaken machine would add a result that it has, or should not take.
    pub(crate) fn adds_again(&self, upload: &Upload) -> bool {
        let training =
            self.stage == Stage::Training && matches!(upload.payload, Payload::Trained(_));
        training && upload.ticket.0 == self.round.0 && !self.expects(upload)
    }
}

#[cfg(feature = "mutants")]
impl Flight {
    /// Rounds the sum to single precision.
    pub(crate) fn round_sum(&mut self, contribution: &lyceum_core::Contribution) {
        self.fold().expect("few terms fit");
        let lanes = &contribution.lanes;
        let mut rounded = ExactSum::new(lanes, Grid::from(&contribution.layout));
        for lane in 0..lanes.len() {
            let weight = self.sum.weight(lane);
            if weight > 0.0 {
                let added = rounded.add(lane, weight, &self.sum.mean(lane));
                added.expect("a mean of finite values is finite");
            }
        }
        self.sum = rounded;
    }
}
