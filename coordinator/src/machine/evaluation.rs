//! How the machine judges models: the initial one, and those of rounds; on probes, or on the tasks of a stream.

use super::RoundMachine;
use crate::{plan::Output, round::Stage, snapshot::Best};
use lyceum_core::{ClientState, DataRef, Event, Job, Probe, Tally, TaskId, Work};
use std::collections::BTreeMap;

/// Probe samples per unit.
const PROBE_UNIT: u32 = 512;

impl RoundMachine {
    pub(super) fn assign_evaluation(&mut self) {
        self.flight.stage = Stage::Evaluating;
        for (probe, samples) in self.probes() {
            for start in (0..samples).step_by(PROBE_UNIT as usize) {
                let data = DataRef::Probe {
                    probe,
                    start,
                    end: samples.min(start + PROBE_UNIT),
                };
                self.assign(
                    Work::Evaluate,
                    vec![Job {
                        data,
                        state: ClientState::default(),
                    }],
                );
            }
        }
    }

    /// What is judged after the round in flight. In a stream every task takes the place of the test set.
    fn probes(&self) -> Vec<(Probe, u32)> {
        let mut probes = self.plan.probes.clone();
        let Some(stream) = &self.plan.stream else {
            return probes;
        };
        probes.retain(|(probe, _)| *probe != Probe::Test);
        let begun = stream.begun(self.roster.clients(), self.flight.round);
        for (task, entry) in (0..).map(TaskId).zip(stream.tasks()) {
            if self.plan.judges_ahead || begun.contains(&task) {
                probes.push((Probe::Task(task), entry.probe.len() as u32));
            }
        }
        probes
    }

    /// What the tasks that some client has begun add up to.
    fn merged(&self, tallies: &BTreeMap<Probe, Tally>) -> Option<Tally> {
        let stream = self.plan.stream.as_ref()?;
        let begun = stream.begun(self.roster.clients(), self.flight.round);
        let mut merged = Tally::new(self.plan.classes);
        for task in begun {
            if let Some(tally) = tallies.get(&Probe::Task(task)) {
                merged.merge(tally);
            }
        }
        Some(merged)
    }

    /// What the initial model is worth; the first round goes on behind it.
    fn close_evaluation_before(&mut self) {
        self.flight.before = false;
        for (probe, tally) in self.flight.take_tallies(self.plan.classes) {
            self.outputs
                .push_back(Output::Event(Event::EvaluatedBefore {
                    probe,
                    accuracy: tally.accuracy(),
                    loss: tally.mean_loss(),
                    samples: tally.samples(),
                }));
        }
        self.begin_training();
    }

    pub(super) fn close_evaluation(&mut self) {
        if self.flight.before {
            return self.close_evaluation_before();
        }
        let round = self.flight.round;
        let mut chain = self.fingerprint.extend();
        let mut tallies = self.flight.tallies(self.plan.classes);
        if let Some(merged) = self.merged(&tallies) {
            tallies.insert(Probe::Test, merged);
        }
        for (probe, tally) in tallies {
            tally.correct.iter().chain(&tally.count).for_each(|&n| {
                chain.number(n);
            });
            if probe == Probe::Validation && self.best.is_none_or(|b| tally.accuracy() > b.accuracy)
            {
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
                correct: tally.correct,
                count: tally.count,
            }));
        }
        self.fingerprint = chain.link();
        self.end_round();
    }
}
