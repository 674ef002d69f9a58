//! Who takes part in a round, and in which units.

use super::{CLIENT_COST, RoundMachine, UNIT_CLIENTS, UNITS};
use crate::{
    plan::Output,
    round::{Flight, Stage},
};
use lyceum_core::{
    ClientId, ClientReport, DataRef, Event, Job, ModelTraining, Purpose, Round, Stream, TaskStream,
    Ticket, Work, sample_distinct,
};
use rand::RngExt;
use std::{cmp::Reverse, collections::BTreeSet, sync::Arc};

impl RoundMachine {
    /// Sends the cohort of each model out.
    pub(super) fn depart(&mut self) {
        self.current.stage = Stage::Training;
        let cohorts = self.cohorts();
        for (place, (model, cohort)) in cohorts.iter().enumerate() {
            self.open_flight(place, model, cohort.len() as u64);
        }
        let round = self.current.round;
        let cohort = cohorts.iter().map(|(_, cohort)| cohort.len() as u64).sum();
        if cohort == 0 {
            let all = (0..self.roster.clients()).map(ClientId);
            let present = all.filter(|&client| self.is_present(round, client)).count() as u64;
            let nobody = Event::NobodySelected { round, present };
            self.outputs.push_back(Output::Event(nobody));
        }
        self.outputs.push_back(Output::Event(Event::RoundStarted {
            round,
            cohort,
            model: self.trained_name(),
        }));
        for (place, (model, cohort)) in cohorts.into_iter().enumerate() {
            self.lay_open(&model);
            self.send_out(place, cohort);
        }
        if self.pending().next().is_none() {
            self.close_round();
        }
    }

    /// The models of the round and who trains each.
    fn cohorts(&mut self) -> Vec<(Arc<str>, Vec<ClientId>)> {
        let plan = self.trainings();
        let named = plan.iter().flat_map(|t| t.clients.iter().flatten());
        let named: BTreeSet<ClientId> = named.copied().collect();
        let round = self.current.round;
        let mut cohorts = Vec::with_capacity(plan.len());
        for ModelTraining { model, clients, .. } in plan {
            let cohort = match clients {
                Some(mut clients) => {
                    clients.retain(|&client| self.is_present(round, client));
                    clients
                }
                None => {
                    let mut selected = self.select();
                    selected.retain(|client| !named.contains(client));
                    selected
                }
            };
            cohorts.push((model.into(), cohort));
        }
        cohorts
    }

    fn select(&mut self) -> Vec<ClientId> {
        let round = self.current.round;
        let mut rng = self
            .plan
            .seed
            .stream(Purpose::SELECTION, Ticket(2 * round.0 + 1), None);
        let mut cohort = self.selector.select(round, &self.current.scores, &mut rng);
        self.replace_absent(&mut cohort, &mut rng);
        cohort
    }

    /// A flight for the model at a place of the round.
    fn open_flight(&mut self, place: usize, model: &Arc<str>, cohort: u64) {
        if place >= self.current.flights.len() {
            let ticket = Ticket::of_round(self.current.round, place);
            let mut flight = Flight::new(ticket, &self.plan);
            flight.updates = self.current.first().updates.beside(place);
            self.current.flights.push(flight);
        }
        let flight = &mut self.current.flights[place];
        flight.model = model.clone();
        flight.cohort = cohort;
    }

    /// Puts out the units of a flight, whose model lies open.
    fn send_out(&mut self, place: usize, cohort: Vec<ClientId>) {
        let round = self.current.round;
        let mut vectors = self.strategy.broadcast();
        let given = self.prior_of(&self.current.flights[place].model);
        vectors.extend(given.clone());
        let prior = given.or_else(|| self.plan.prior.clone());
        let down = self.model_bytes() * (1 + vectors.len() as u64);
        let (silent, active): (Vec<_>, Vec<_>) =
            cohort.into_iter().partition(|&c| self.drops_out(round, c));
        let roster = &self.roster;
        let dropped = |client| {
            let samples = roster.samples(client) as u64;
            ClientReport::dropped_out(client, samples, down)
        };
        let flight = &mut self.current.flights[place];
        (flight.vectors, flight.prior) = (vectors, prior);
        flight.reports.extend(silent.into_iter().map(dropped));
        for clients in self.by_cost(active) {
            let job = |&client: &ClientId| Job {
                data: DataRef::Shard(client),
                state: self.clients.get(&client).cloned().unwrap_or_default(),
            };
            let jobs = clients.iter().map(job).collect();
            self.assign(place, Work::Train, jobs);
        }
    }

    /// Units of about equal cost, the most expensive clients first, so that all workers end at about the same time.
    /// A client costs its samples, and a little for itself.
    fn by_cost(&self, clients: Vec<ClientId>) -> Vec<Vec<ClientId>> {
        let cost = |client: ClientId| self.roster.samples(client) as u64 + CLIENT_COST;
        let mut costs: Vec<_> = clients.into_iter().map(|c| (cost(c), c)).collect();
        costs.sort_unstable_by_key(|&(cost, client)| (Reverse(cost), client));
        let share = costs
            .iter()
            .map(|(cost, _)| cost)
            .sum::<u64>()
            .div_ceil(UNITS as u64);
        let (mut units, mut unit, mut filled) = (Vec::new(), Vec::new(), 0);
        for (cost, client) in costs {
            if client >= self.plan.alone_from {
                units.push(vec![client]);
                continue;
            }
            let full = filled + cost > share || unit.len() == UNIT_CLIENTS;
            if full && !unit.is_empty() {
                units.push(std::mem::take(&mut unit));
                filled = 0;
            }
            unit.push(client);
            filled += cost;
        }
        units.push(unit);
        units.retain(|unit| !unit.is_empty());
        units
    }

    /// Clients whose first task has not come give their places to others, drawn uniformly.
    fn replace_absent(&self, cohort: &mut Vec<ClientId>, rng: &mut Stream) {
        let (round, wanted) = (self.current.round, cohort.len());
        cohort.retain(|&client| self.is_present(round, client));
        let missing = wanted - cohort.len();
        if missing == 0 {
            return;
        }
        let picked: BTreeSet<ClientId> = cohort.iter().copied().collect();
        let all = (0..self.roster.clients()).map(ClientId);
        let others: Vec<ClientId> = all
            .filter(|&client| self.is_present(round, client) && !picked.contains(&client))
            .collect();
        let drawn = sample_distinct(others.len() as u64, missing, rng);
        cohort.extend(drawn.into_iter().map(|place| others[place as usize]));
    }

    /// Whether a client's first task has come.
    pub(super) fn is_present(&self, round: Round, client: ClientId) -> bool {
        let stream = self.plan.stream.as_ref();
        let has_task = |stream: &Arc<TaskStream>| stream.calendar().at(client, round).is_some();
        self.plan.attendance.is_present(client, round) && stream.is_none_or(has_task)
    }

    fn drops_out(&self, round: Round, client: ClientId) -> bool {
        let plan = &self.plan;
        let unlucky = || {
            let ticket = Ticket(round.0);
            let mut rng = plan
                .seed
                .stream(Purpose::AVAILABILITY, ticket, Some(client));
            rng.random::<f64>() < plan.dropout
        };
        plan.attendance.is_silent(client, round) || plan.dropout > 0.0 && unlucky()
    }
}
