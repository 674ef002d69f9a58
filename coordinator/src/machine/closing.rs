//! How a round is closed: what came of its flights moves their models, and goes into chain, states and log.

use super::RoundMachine;
use crate::{plan::Output, round::Flight};
use lyceum_core::{ClientReport, Event, Outcome};

impl RoundMachine {
    /// Closes the flights in the order of their tickets, whatever the order in which they became full.
    pub(super) fn close_round(&mut self) {
        for place in 0..self.current.flights.len() {
            if let Err(reason) = self.close_flight(place) {
                let reason = self.with_first_refusal(place, reason);
                self.gather_reports();
                self.tell_reports();
                return self.stall(reason);
            }
        }
        let trained = self.trained_events();
        self.gather_reports();
        self.selector
            .observe(self.current.round, &self.current.reports);
        self.done += 1;
        let closed = self.closing_event();
        self.tell_reports();
        self.outputs.extend(trained.into_iter().map(Output::Event));
        self.outputs.push_back(Output::Event(closed));
        let first = self.current.first().model.clone();
        self.lay_open(&first);
        match self.probes() {
            probes if probes.is_empty() => self.end_round(),
            probes => self.assign_evaluation(&probes),
        }
    }

    /// Moves a flight's model by what came of it; an error is the end of the run.
    fn close_flight(&mut self, place: usize) -> Result<(), String> {
        let model = self.current.flights[place].model.clone();
        self.lay_open(&model);
        self.current.finish_reports(place);
        let (accepted, refused) = taken(&self.current.flights[place].reports);
        if let Some(reason) = self.short_of_updates(accepted) {
            self.skip(reason);
        } else if accepted + refused > 0
            && let Err(reason) = self.aggregate(place)
        {
            if accepted == 0 || !self.answers_are_empty(place) {
                return Err(reason);
            }
            self.skip("the clients that answered have no samples".into());
        }
        self.extend_chain(place);
        let states = std::mem::take(&mut self.current.flights[place].states);
        self.clients.extend(states);
        Ok(())
    }

    /// What came of each model, where a round trains several.
    fn trained_events(&self) -> Vec<Event> {
        let flights = &self.current.flights;
        if flights.len() < 2 {
            return Vec::new();
        }
        let event = |flight: &Flight| {
            let (accepted, refused) = taken(&flight.reports);
            Event::ModelTrained {
                round: self.current.round,
                model: flight.model.to_string(),
                cohort: flight.cohort,
                accepted,
                refused,
                dropped_out: flight.reports.len() as u64 - accepted - refused,
                train_loss: train_loss(&flight.reports),
            }
        };
        flights.iter().map(event).collect()
    }

    /// Puts the reports of all flights together, in client order.
    fn gather_reports(&mut self) {
        if let Some(steered) = &mut self.steered {
            let flights = self.current.flights.iter();
            steered.reported = flights
                .map(|f| (f.model.clone(), f.reports.clone()))
                .collect();
        }
        let current = &mut self.current;
        for flight in &mut current.flights {
            current.reports.append(&mut flight.reports);
        }
        if current.flights.len() > 1 {
            current.reports.sort_by_cached_key(|r| r.client);
        }
    }

    /// Hands the reports on, which nobody needs here any more.
    fn tell_reports(&mut self) {
        let round = self.current.round;
        let reports = self.current.reports.drain(..);
        let event = |report| Output::Event(Event::Client { round, report });
        self.outputs.extend(reports.map(event));
    }

    /// Why the clients that answered are too few for the strategy.
    fn short_of_updates(&self, accepted: u64) -> Option<String> {
        let some = Some(accepted as usize).filter(|accepted| *accepted > 0)?;
        self.strategy.short_of(some).map(|misfit| misfit.message)
    }

    /// Whether nobody who answered has a sample.
    fn answers_are_empty(&self, place: usize) -> bool {
        let reports = &self.current.flights[place].reports;
        let mut answered = reports.iter().filter(|r| r.accepted());
        answered.all(|report| report.samples == 0)
    }

    /// The model stays as it is, as in a round in which nobody answers. What clients keep for themselves goes on.
    fn skip(&mut self, reason: String) {
        let round = self.current.round;
        self.outputs
            .push_back(Output::Event(Event::RoundSkipped { round, reason }));
    }

    fn aggregate(&mut self, place: usize) -> Result<(), String> {
        let mut next = self.global.clone();
        let flight = &mut self.current.flights[place];
        flight.updates.sort();
        flight.fold().map_err(|e| e.to_string())?;
        let (plan, ticket) = (&self.plan, flight.ticket);
        let halves = plan.contribution.layout.halves();
        let mut harvest = flight.harvest(self.roster.clients(), halves);
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
    fn with_first_refusal(&self, place: usize, reason: String) -> String {
        let refusal = |r: &ClientReport| match &r.outcome {
            Outcome::Refused(why) => Some(format!("{reason}; client {}: {why}", r.client)),
            Outcome::Accepted | Outcome::DroppedOut => None,
        };
        let reports = &self.current.flights[place].reports;
        reports.iter().find_map(refusal).unwrap_or(reason)
    }

    fn extend_chain(&mut self, place: usize) {
        let flight = &mut self.current.flights[place];
        flight.states.sort_unstable_by_key(|(client, _)| *client);
        let mut chain = self.fingerprint.extend();
        chain
            .number(self.current.round.0)
            .add(self.global.bytes())
            .add(&self.strategy.save());
        for (client, state) in &self.current.flights[place].states {
            chain.number(client.0);
            self.plan.contribution.slots.chain(state, &mut chain);
        }
        self.fingerprint = chain.link();
    }

    fn closing_event(&self) -> Event {
        let reports = &self.current.reports;
        let (accepted, refused) = taken(reports);
        let total = |field: fn(&ClientReport) -> u64| reports.iter().map(field).sum::<u64>();
        Event::RoundClosed {
            round: self.current.round,
            cohort: self.current.flights.iter().map(|f| f.cohort).sum(),
            accepted,
            refused,
            dropped_out: reports.len() as u64 - accepted - refused,
            train_loss: train_loss(reports),
            trained: total(|r| r.trained),
            scored: total(|r| r.scored) + self.current.scored_samples,
            steps: total(|r| r.steps),
            bytes_down: total(|r| r.bytes_down) + self.current.scoring_bytes,
            bytes_up: total(|r| r.bytes_up),
            fingerprint: self.fingerprint,
        }
    }
}

/// Clients whose work counts, and those whose work was refused.
fn taken(reports: &[ClientReport]) -> (u64, u64) {
    let accepted = reports.iter().filter(|r| r.accepted()).count() as u64;
    let refused = |r: &&ClientReport| matches!(r.outcome, Outcome::Refused(_));
    (accepted, reports.iter().filter(refused).count() as u64)
}

/// Mean of the accepted clients' last losses, weighted by samples.
fn train_loss(reports: &[ClientReport]) -> Option<f64> {
    let losses = || {
        reports
            .iter()
            .filter(|r| r.accepted())
            .filter_map(|r| Some((r.samples as f64, r.last_loss?)))
    };
    let weight: f64 = losses().map(|(n, _)| n).sum();
    let loss: f64 = losses().map(|(n, loss)| n * f64::from(loss)).sum();
    (weight > 0.0).then(|| loss / weight)
}
