//! What is known of the round in flight.

use crate::{InputError, plan::Plan, updates::UpdateStore};
use lyceum_core::{
    Addend, ClientId, ClientReport, ClientState, DataRef, ExactSum, Grid, Harvest, Job, Payload,
    Probe, Reduction, Round, SumError, Tally, Term, UnitId, Upload,
};
use std::collections::{BTreeMap, BTreeSet};

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

/// Everything collected in the round in flight.
pub(crate) struct Collected {
    pub(crate) round: Round,
    pub(crate) stage: Stage,
    pub(crate) cohort: u64,
    pub(crate) pending: BTreeSet<UnitId>,
    /// Clients of the units, where a round may close without them.
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

impl Collected {
    pub(crate) fn new(round: Round, plan: &Plan) -> Self {
        let summed = match plan.contribution.reduction {
            Reduction::Sum => Grid::from(&plan.contribution.layout),
            Reduction::EachUpdate => Grid::default(),
        };
        Self {
            round,
            stage: Stage::Between,
            cohort: 0,
            pending: BTreeSet::new(),
            clients: BTreeMap::new(),
            may_close_early: plan.closing.is_some(),
            next_unit: 0,
            sum: ExactSum::new(&plan.contribution.lanes, summed),
            singles: Vec::new(),
            updates: UpdateStore::default(),
            reports: Vec::new(),
            states: Vec::new(),
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

    /// Empty again for the next round, keeping the memory of the sum.
    pub(crate) fn restart(&mut self, round: Round) -> Result<(), InputError> {
        self.round = round;
        self.closing = false;
        self.sum.clear();
        self.singles.clear();
        self.updates.clear().map_err(|e| InputError::spill(&e))?;
        self.reports.clear();
        self.states.clear();
        self.scores.clear();
        self.pending.clear();
        self.clients.clear();
        self.tallies.clear();
        self.gate_opened = false;
        (
            self.next_unit,
            self.cohort,
            self.scored_samples,
            self.scoring_bytes,
        ) = (0, 0, 0, 0);
        Ok(())
    }

    /// A unit of its own, waited for from now on.
    pub(crate) fn open_unit(&mut self, jobs: &[Job]) -> UnitId {
        let unit = UnitId(self.next_unit);
        self.next_unit += 1;
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

    /// Clients whose work counts so far.
    pub(crate) fn answered(&self) -> usize {
        self.reports.iter().filter(|r| r.accepted()).count()
    }

    /// Takes a unit's result. The unit must be pending and the payload of the stage's kind.
    pub(crate) fn absorb(&mut self, upload: Upload) -> Result<(), InputError> {
        match upload.payload {
            Payload::Trained(trained) => {
                let (round, unit) = (self.round.0, upload.units[0].0);
                let refused = |e: SumError| InputError::Sum {
                    unit,
                    round,
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
            }
            Payload::Scored { scores, samples } => {
                self.scores.extend(scores);
                self.scored_samples += samples;
            }
            Payload::Evaluated { probe, tally } => {
                if let [unit] = upload.units[..] {
                    self.tallies.insert((probe, unit), tally);
                }
            }
            expert @ Payload::Expert { .. } => self.expert = Some(expert),
        }
        upload.units.iter().for_each(|unit| {
            self.pending.remove(unit);
        });
        Ok(())
    }

    /// Adds what waits.
    pub(crate) fn fold(&mut self) -> Result<(), SumError> {
        self.sum.fold(&self.singles)?;
        self.singles.clear();
        Ok(())
    }

    /// All that was added, to be closed.
    pub(crate) fn harvest(&mut self, population: u64) -> Harvest<'_> {
        Harvest {
            sum: &mut self.sum,
            updates: &self.updates,
            population,
        }
    }

    /// Puts reports into client order; a client that was scored for the selector reports that score, unless
    /// its own ordering scored its samples.
    pub(crate) fn finish_reports(&mut self) {
        self.reports.sort_by_cached_key(|r| r.client);
        for report in &mut self.reports {
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

    /// Whether an upload answers units that are waited for, each once, with what the stage in flight asks for.
    pub(crate) fn expects(&self, upload: &Upload) -> bool {
        let distinct: BTreeSet<_> = upload.units.iter().collect();
        let known = !distinct.is_empty()
            && distinct.len() == upload.units.len()
            && distinct.iter().all(|unit| self.pending.contains(unit));
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

#[cfg(feature = "mutants")]
impl Collected {
    /// Whether a mistaken machine would add a result that it has, or should not take.
    pub(crate) fn adds_again(&self, upload: &Upload) -> bool {
        let training =
            self.stage == Stage::Training && matches!(upload.payload, Payload::Trained(_));
        training && upload.ticket.0 == self.round.0 && !self.expects(upload)
    }

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
