//! How the machine judges models: the initial one, and those of rounds; on probes, or on the tasks of a stream.

use super::{CLOSING, RoundMachine, task_ends};
use crate::{InputError, plan::Output, round::Stage, snapshot::Best};
use lyceum_core::{
    ClientState, DataRef, Event, Fact, FactError, Facts, Gate, Job, Opening, Probe, Round, Tally,
    TaskId, TaskStream, Ticket, Work, all_have_begun,
};
use std::{collections::BTreeMap, sync::Arc};

/// Probe samples per unit.
const PROBE_UNIT: u32 = 512;

impl RoundMachine {
    pub(super) fn assign_evaluation(&mut self, probes: &[(Probe, u32)]) {
        self.current.stage = Stage::Evaluating;
        self.current.flights.truncate(1);
        for &(probe, samples) in probes {
            for start in (0..samples).step_by(PROBE_UNIT as usize) {
                let data = DataRef::Probe {
                    probe,
                    start,
                    end: samples.min(start + PROBE_UNIT),
                };
                self.assign(
                    0,
                    Work::Evaluate,
                    vec![Job {
                        data,
                        state: ClientState::default(),
                    }],
                );
            }
        }
    }

    /// Whether the model of a round is judged however many rounds there are: as often as the scenario says, and when a
    /// task is over.
    fn is_judged(&self, round: Round) -> bool {
        let next = round.0 + 1;
        let task_is_over = self.current.gate_opened || self.task_ends.contains(&next);
        task_is_over || next.is_multiple_of(self.plan.evaluate_every)
    }

    /// Ends the run. The last model is always judged; where that is not due, it happens now, after the state that a longer
    /// run goes on from, so that nothing of it is in that run's chain.
    pub(super) fn conclude(&mut self) -> Result<(), InputError> {
        self.before_closing = Some(self.fingerprint);
        let last = self.done.checked_sub(1).map(Round);
        let owed = last.filter(|last| !self.is_judged(*last) && !self.plan.probes.is_empty());
        let Some(last) = owed else {
            self.finish();
            return Ok(());
        };
        self.current.restart(last, Ticket(CLOSING | last.0))?;
        self.current.closing = true;
        match self.judged() {
            nothing if nothing.is_empty() => self.finish(),
            probes => self.assign_evaluation(&probes),
        }
        Ok(())
    }

    /// What must be judged after the round in flight.
    pub(super) fn probes(&self) -> Vec<(Probe, u32)> {
        let due = self.is_judged(self.current.round) && !self.plan.probes.is_empty();
        let mut probes = match due {
            true => self.judged(),
            false => Vec::new(),
        };
        if let Some(gate) = self.gate() {
            let tasks = gate.judges(&self.facts().stages(), self.current.round);
            let samples = |task: &TaskId| gate.probes[task.0 as usize].len() as u32;
            probes.extend(tasks.iter().map(|task| (Probe::Gate(*task), samples(task))));
        }
        probes
    }

    fn gate(&self) -> Option<&Gate> {
        self.plan.stream.as_ref()?.gate()
    }

    /// What the stream was told.
    pub fn facts(&self) -> Facts {
        let stream = self.plan.stream.as_ref();
        stream.map_or_else(Facts::default, |stream| stream.facts().clone())
    }

    /// Tells the stream one thing more.
    pub(super) fn tell(&mut self, fact: Fact) -> Result<(), FactError> {
        self.learn(&self.facts().with(fact))
    }

    /// Takes the stream to where it is once it was told these facts.
    pub(super) fn learn(&mut self, facts: &Facts) -> Result<(), FactError> {
        if let Some(stream) = &self.plan.stream {
            self.plan.stream = Some(stream.told(facts)?);
            self.task_ends = task_ends(&self.plan);
        }
        Ok(())
    }

    /// The stage that begins behind the round in flight.
    fn opening(&self, tallies: &BTreeMap<Probe, Tally>) -> Option<Opening> {
        let accuracy = |task| tallies.get(&Probe::Gate(task)).map_or(0.0, Tally::accuracy);
        let begins = self.facts().stages();
        let loss = |task| {
            tallies
                .get(&Probe::Gate(task))
                .map_or(0.0, Tally::mean_loss)
        };
        self.gate()?
            .opens(&begins, self.current.round, accuracy, loss)
    }

    /// Probes of an evaluation. In a stream every task takes the place of the test set.
    pub(super) fn judged(&self) -> Vec<(Probe, u32)> {
        let mut probes = self.plan.probes.clone();
        let Some(stream) = &self.plan.stream else {
            return probes;
        };
        probes.retain(|(probe, _)| *probe != Probe::Test);
        let begun = stream.begun(self.roster.clients(), self.current.round);
        for (task, entry) in (0..).map(TaskId).zip(stream.tasks()) {
            if self.plan.judges_ahead || begun.contains(&task) {
                probes.push((Probe::Task(task), entry.probe.len() as u32));
            }
        }
        let validated = stream.validated(self.current.round);
        probes.extend(validated.map(|(task, samples)| (Probe::Gate(task), samples)));
        probes
    }

    /// What the tasks that some client has begun add up to.
    pub(super) fn merged(&self, tallies: &BTreeMap<Probe, Tally>) -> Option<Tally> {
        let stream = self.plan.stream.as_ref()?;
        let begun = stream.begun(self.roster.clients(), self.current.round);
        let mut merged = Tally::new(self.plan.classes);
        for task in begun {
            if let Some(tally) = tallies.get(&Probe::Task(task)) {
                merged.merge(tally);
            }
        }
        Some(merged)
    }

    /// Whether a model of this round may be the best. In a stream, one that has not met all tasks is not: it is good at
    /// what little there was.
    fn may_be_best(&self) -> bool {
        let all = |stream: &Arc<TaskStream>| {
            let tasks = stream.tasks().len();
            all_have_begun(stream.reference(), tasks, self.current.round)
        };
        self.plan.stream.as_ref().is_none_or(all)
    }

    /// What the initial model is worth; the first round goes on behind it.
    fn close_evaluation_before(&mut self) {
        self.current.before = false;
        for (probe, tally) in self.current.take_tallies(self.plan.classes) {
            self.outputs
                .push_back(Output::Event(Event::EvaluatedBefore {
                    probe,
                    accuracy: tally.accuracy(),
                    loss: tally.mean_loss(),
                    samples: tally.samples(),
                    further: tally.further(),
                }));
        }
        self.begin_training();
    }

    /// Tells what the model is worth on a probe, and keeps it in mind if it is the best so far.
    fn tell_worth(&mut self, probe: Probe, tally: Tally) {
        let round = self.current.round;
        let better = || self.best.is_none_or(|b| tally.accuracy() > b.accuracy);
        if probe == Probe::Validation && self.may_be_best() && better() {
            self.best = Some(Best {
                round: round.0,
                accuracy: tally.accuracy(),
            });
            self.outputs.push_back(Output::Best(self.global.clone()));
        }
        self.outputs.push_back(Output::Event(Event::Evaluated {
            round,
            probe,
            accuracy: tally.accuracy(),
            loss: tally.mean_loss(),
            samples: tally.samples(),
            further: tally.further(),
            correct: tally.correct,
            count: tally.count,
        }));
    }

    pub(super) fn close_evaluation(&mut self) {
        if self.close_answer() || self.close_judging() {
            return;
        }
        if self.current.before {
            return self.close_evaluation_before();
        }
        let round = self.current.round;
        let mut tallies = self.current.tallies(self.plan.classes);
        let opening = match self.current.closing {
            true => None,
            false => self.opening(&tallies),
        };
        if opening.is_some() && !self.is_judged(round) && !self.plan.probes.is_empty() {
            self.current.gate_opened = true;
            return self.assign_evaluation(&self.judged());
        }
        let mut chain = self.fingerprint.extend();
        let whole = self.current.closing || self.is_judged(round);
        if let Some(merged) = self.merged(&tallies).filter(|_| whole) {
            tallies.insert(Probe::Test, merged);
        }
        if whole && !self.current.closing {
            self.judged_open(&tallies);
        }
        for (probe, tally) in tallies {
            tally.chained(&mut chain);
            self.tell_worth(probe, tally);
        }
        if let Some(opening) = opening {
            let round = opening.round;
            chain.number(round.0);
            let Opening { task, place, .. } = opening;
            self.outputs
                .push_back(Output::Event(Event::TaskBegan(opening)));
            if self
                .gate()
                .is_some_and(|gate| gate.sequence[place as usize] != task)
            {
                chain.number(task.0.into());
                let told = self.tell(Fact::Chosen { task });
                told.expect("the gate chose a task that is left");
            }
            let told = self.tell(Fact::Stage { round });
            told.expect("a stage needs nothing but its round");
        }
        self.fingerprint = chain.link();
        if self.current.closing {
            self.finish();
        } else if !self.judge_next() {
            self.end_round();
        }
    }
}
