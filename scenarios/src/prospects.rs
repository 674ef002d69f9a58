//! What a scenario would never do although every key is right, and rounds that come to little: found before the first
//! round.

use crate::{
    deadline::Deadline,
    diagnostic::Diagnostic,
    registry::Chosen,
    scenario::{Scenario, Sized, Wrong},
    timeline::{Moment, Phase},
};
use lyceum_core::{AnySelector, Attendance, ClientId, Round};
use std::collections::BTreeSet;

/// Rounds that are looked through for one that a strategy can close, at most.
const SIZES: usize = 100_000;

/// Clients that a selector asks for; very many if it asks for all.
fn wanted(selection: &Chosen<dyn AnySelector>) -> usize {
    let everybody = Sized {
        clients: u64::MAX >> 1,
    };
    selection.plugin.cohort(&everybody)
}

impl Scenario {
    /// What can never happen in this run.
    pub(crate) fn prospects(&self) -> Vec<Wrong> {
        let phases: Vec<Phase> = [self.phase(Round(0))]
            .into_iter()
            .chain(self.phases.iter().map(|(_, phase)| phase.clone()))
            .collect();
        let clients = self.clients() as usize;
        let cohorts = phases.iter().map(|p| wanted(&p.selection).min(clients));
        let most = cohorts.max().unwrap_or(0);
        let thin = phases.iter().any(|phase| phase.dropout > 0.0);
        let mut wrong = Vec::new();
        wrong.extend(self.never_enough(most, thin));
        wrong.extend(self.never_closes(most));
        wrong.extend(self.never_judged());
        wrong
    }

    /// A strategy for which no round has enough updates.
    fn never_enough(&self, most: usize, thin: bool) -> Option<Wrong> {
        let short = |updates: usize| self.strategy.plugin.short_of(updates);
        let early = matches!(self.deadline, Some(Deadline::Close(_)));
        let varies = thin || early || self.stream.is_some() || !self.timeline.is_empty();
        let misfit = short(most)?;
        if varies && (1..=most.min(SIZES)).any(|updates| short(updates).is_none()) {
            return None;
        }
        let path = format!("strategy.{}.{}", self.strategy.name, misfit.key);
        Some((path, misfit.message, misfit.expected))
    }

    /// A deadline that waits for more clients than there are.
    fn never_closes(&self, most: usize) -> Option<Wrong> {
        let Some(Deadline::Close(close)) = &self.deadline else {
            return None;
        };
        let enough = close.enough_clients.map(|n| ("enough_clients", n));
        let keys = [Some(("min_clients", close.min_clients)), enough];
        let wrong = |(key, clients): (&str, lyceum_core::units::Count)| {
            (clients.get() > most).then(|| {
                let message = format!("{} clients never answer", clients.get());
                let label = format!("at most {most}, which take part in a round");
                (format!("deadline.close.{key}"), message, label)
            })
        };
        keys.into_iter().flatten().find_map(wrong)
    }

    /// Evaluations that never come.
    fn never_judged(&self) -> Vec<Wrong> {
        let (rounds, evaluation) = (self.rounds(), &self.evaluation);
        let late = evaluation
            .clients_every
            .filter(|every| every.get() as u64 > rounds);
        let late = late.map(|_| {
            let message = "clients would never be judged".to_owned();
            let label = format!("at most {rounds}, the rounds of the run");
            ("evaluation.clients_every".to_owned(), message, label)
        });
        let idle = |key: &str, given: bool| {
            (given && self.stream.is_none()).then(|| {
                let message = "only in a stream of tasks does this say anything".to_owned();
                let label = "leave it out, or add a table `[scenario.*]`".to_owned();
                (format!("evaluation.{key}"), message, label)
            })
        };
        let all = [late, idle("ahead", !evaluation.ahead)];
        all.into_iter().flatten().collect()
    }

    /// Refuses entries of the timeline that come when the run is over.
    pub(crate) fn within_run(&self, times: &[Round]) -> Result<(), Diagnostic> {
        let rounds = self.rounds();
        let late = times.iter().position(|time| time.0 >= rounds);
        let Some(index) = late else { return Ok(()) };
        let key = match self.timeline[index].task {
            Some(_) => "task",
            None => "round",
        };
        let message = format!("round {} comes after the end of the run", times[index]);
        let label = format!("of {rounds} rounds the last one is round {}", rounds - 1);
        Err(self.fault(&format!("timeline.{index}.{key}"), message, label))
    }

    /// Rounds that come to little, or to nothing since nobody is there, in sentences.
    pub(crate) fn outlook(
        &self,
        attendance: &Attendance,
        phases: &[Phase],
        times: &[Round],
    ) -> Vec<String> {
        let comes_or_goes = |m: &Moment| m.drop_clients.is_some() || m.add_clients.is_some();
        let moments = times.iter().zip(&self.timeline);
        let changes = moments.filter(|(_, m)| comes_or_goes(m)).map(|(t, _)| *t);
        let points: BTreeSet<Round> = changes.chain(phases.iter().map(|p| p.from)).collect();
        let clients = self.clients();
        let present = |round: Round| match attendance.is_full() {
            true => clients as usize,
            false => (0..clients)
                .filter(|client| attendance.is_present(ClientId(*client), round))
                .count(),
        };
        let mut warnings = Vec::new();
        for from in points {
            let phase = phases.iter().rfind(|phase| phase.from <= from);
            match (present(from), phase) {
                (0, _) => warnings.push(format!("from round {from} on no client is there")),
                (present, Some(phase)) => warnings.extend(self.little(from, phase, present)),
                _ => {}
            }
        }
        warnings.extend(self.silenced(attendance, times));
        warnings
    }

    /// Rounds in which everybody who is there is silent.
    fn silenced(&self, attendance: &Attendance, times: &[Round]) -> Vec<String> {
        let begins = times.iter().zip(&self.timeline);
        let begins =
            begins.filter_map(|(time, moment)| Some((*time, moment.silence?.rounds.get())));
        let nobody = |round: Round| {
            let mut there = (0..self.clients())
                .map(ClientId)
                .filter(|client| attendance.is_present(*client, round))
                .peekable();
            there.peek().is_some() && there.all(|client| attendance.is_silent(client, round))
        };
        let silent = begins.filter(|(time, _)| nobody(*time));
        let told = silent.map(|(from, rounds)| {
            let last = from.0.saturating_add(rounds as u64 - 1).min(self.rounds() - 1);
            format!("from round {from} to {last} every client is silent: such rounds leave the model as it is")
        });
        told.collect()
    }

    /// What is too little in the rounds from one on, with so many clients.
    fn little(&self, from: Round, phase: &Phase, present: usize) -> Vec<String> {
        let wanted = wanted(&phase.selection);
        let cohort = wanted.min(present);
        let answer = (1.0 - phase.dropout) * cohort as f64;
        let mut warnings = Vec::new();
        if wanted > present && wanted < usize::MAX >> 2 {
            let there = match present {
                1 => "there is 1 client".to_owned(),
                _ => format!("there are {present} clients"),
            };
            warnings.push(format!(
                "from round {from} on {there}, and selection.{} wants {wanted} a round",
                phase.selection.name
            ));
        }
        if phase.dropout >= 1.0 {
            let every = "no client ever answers: availability.dropout = 1";
            warnings.push(format!("from round {from} on {every}"));
        } else if let Some(misfit) = self.strategy.plugin.short_of((answer as usize).max(1)) {
            let (needs, _) = misfit
                .message
                .split_once(", a round has")
                .unwrap_or((&misfit.message, ""));
            let average = (10.0 * answer).round() / 10.0;
            let answers = match phase.dropout > 0.0 {
                true => format!("{average} of {cohort} clients answer a round on average"),
                false => format!("{cohort} clients answer a round"),
            };
            warnings.push(format!(
                "from round {from} on {answers}, and {needs}: rounds with fewer leave the model as it is"
            ));
        }
        warnings
    }
}
