//! From events to a summary.

use crate::latency::{Latencies, LatencyKind};
use crate::log::EventReader;
use crate::log_error::LogError;
use crate::personal_record::PersonalRecord;
use crate::stream_record::StreamRecord;
use crate::summary::{Status, Summary};
use lyceum_core::{Event, Fingerprint, Probe, Round, all_have_begun};
use std::collections::{BTreeMap, VecDeque};
use std::path::Path;

/// Evaluations that [`Summary::mean_last_10_accuracy`] is taken over.
const LAST: usize = 10;

/// What no event says and only the driver knows.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Conditions {
    /// Threads that train.
    pub threads: u64,
    /// Engine that trains.
    pub engine: String,
    /// From the start of the process to the end of its first round, evaluation included.
    pub seconds_to_first_round: f64,
    /// From the start of the process until now.
    pub seconds_total: f64,
    /// Processor time of the process, over all threads.
    pub cpu_seconds: f64,
    /// Largest resident set of the process.
    pub peak_rss_mib: f64,
}

/// Collects a summary from events, live or from a log, in memory that grows with the clients that are judged alone.
#[derive(Clone, Debug, Default)]
pub struct SummaryBuilder {
    name: String,
    seed: u64,
    clients: u64,
    rounds_planned: u64,
    rounds: u64,
    status: Status,
    fingerprint: Fingerprint,
    last: VecDeque<f64>,
    final_accuracy: Option<f64>,
    best_accuracy: Option<f64>,
    final_loss: Option<f64>,
    /// Of the last evaluation of the test probe, by name.
    further: BTreeMap<String, f64>,
    best_validation: Option<(u64, f64)>,
    bytes_up: u64,
    bytes_down: u64,
    trained: u64,
    scored: u64,
    steps: u64,
    refused: u64,
    dropped_out: u64,
    latencies: Latencies,
    stream: StreamRecord,
    personal: PersonalRecord,
}

impl SummaryBuilder {
    /// Nothing observed yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Observes all events of a log, as on resume. Times of single clients are not in a log.
    pub fn from_log(path: &Path) -> Result<Self, LogError> {
        let mut builder = Self::new();
        for event in EventReader::open(path)? {
            builder.observe(&event?);
        }
        Ok(builder)
    }

    /// Takes the next event.
    pub fn observe(&mut self, event: &Event) {
        self.stream.observe(event);
        self.personal.observe(event);
        match event {
            Event::RunStarted {
                name,
                seed,
                rounds,
                clients,
                ..
            } => {
                self.name.clone_from(name);
                (self.seed, self.clients, self.rounds_planned) = (*seed, *clients, *rounds);
            }
            Event::Evaluated {
                round,
                probe,
                accuracy,
                loss,
                further,
                ..
            } => match probe {
                Probe::Test => {
                    self.tested(*round, *accuracy, *loss);
                    self.further.clone_from(further);
                }
                Probe::Validation => self.validated(*round, *accuracy),
                Probe::Task(_) | Probe::Gate(_) => {}
            },
            Event::RoundClosed { .. } => self.closed(event),
            Event::Timing {
                seconds,
                evaluation_seconds,
                ..
            } => self.timed(*seconds, *evaluation_seconds),
            Event::Paused { rounds } => {
                self.status = Status::Paused;
                // The round in flight may be closed in the log, and given up all the same.
                self.rounds = *rounds;
            }
            Event::Stalled { .. } => self.status = Status::Stalled,
            Event::RunFinished { fingerprint, .. } => {
                self.status = Status::Finished;
                self.fingerprint = *fingerprint;
            }
            // A summary takes what it knows; all else is in the log.
            _ => {}
        }
    }

    /// Records one client's job; rounds and evaluations are recorded with their [`Event::Timing`].
    pub fn client_update(&mut self, micros: u64) {
        self.latencies.record(LatencyKind::ClientUpdate, micros);
    }

    /// The summary of what was observed so far.
    pub fn summary(&self, conditions: Conditions) -> Summary {
        let latency = self.latencies.report();
        let mut measures = self.stream.measures();
        measures.extend(self.personal.measures());
        measures.extend(self.further.clone());
        let last = self.last.iter().sum::<f64>() / self.last.len() as f64;
        Summary {
            name: self.name.clone(),
            seed: self.seed,
            status: self.status,
            rounds: self.rounds,
            rounds_planned: self.rounds_planned,
            clients: self.clients,
            threads: conditions.threads,
            engine: conditions.engine,
            fingerprint: self.fingerprint,
            final_accuracy: self.final_accuracy,
            mean_last_10_accuracy: (!self.last.is_empty()).then_some(last),
            mean_last_10_evaluations: self.last.len() as u64,
            best_accuracy: self.best_accuracy,
            final_loss: self.final_loss,
            measures,
            unmeasured: self.stream.unmeasured(),
            best_round: self.best_validation.map(|(round, _)| round),
            best_validation_accuracy: self.best_validation.map(|(_, accuracy)| accuracy),
            seconds_to_first_round: conditions.seconds_to_first_round,
            seconds_per_round_median: latency.round.p50 / 1000.0,
            seconds_total: conditions.seconds_total,
            cpu_seconds: conditions.cpu_seconds,
            peak_rss_mib: conditions.peak_rss_mib,
            bytes_up: self.bytes_up,
            bytes_down: self.bytes_down,
            samples_trained: self.trained,
            samples_scored: self.scored,
            steps: self.steps,
            refused: self.refused,
            dropped_out: self.dropped_out,
            latency,
        }
    }

    /// Whether the model of a round counts for the mean of the last evaluations and may be the best: in a stream, not before
    /// all tasks have come.
    fn counts(&self, round: Round) -> bool {
        let (tasks, order) = (self.stream.tasks().len(), self.stream.order());
        tasks == 0 || all_have_begun(order, tasks, round)
    }

    fn tested(&mut self, round: Round, accuracy: f64, loss: f64) {
        self.final_accuracy = Some(accuracy);
        if self.counts(round) {
            if self.last.len() == LAST {
                self.last.pop_front();
            }
            self.last.push_back(accuracy);
            let best = self.best_accuracy;
            self.best_accuracy = Some(best.map_or(accuracy, |best| best.max(accuracy)));
        }
        self.final_loss = Some(loss).filter(|loss| loss.is_finite());
    }

    fn validated(&mut self, round: Round, accuracy: f64) {
        let better = self.best_validation.is_none_or(|(_, best)| accuracy > best);
        if better && self.counts(round) {
            self.best_validation = Some((round.0, accuracy));
        }
    }

    fn closed(&mut self, event: &Event) {
        if let Event::RoundClosed {
            refused,
            dropped_out,
            trained,
            scored,
            steps,
            bytes_down,
            bytes_up,
            fingerprint,
            ..
        } = event
        {
            self.rounds += 1;
            self.refused += refused;
            self.dropped_out += dropped_out;
            self.trained += trained;
            self.scored += scored;
            self.steps += steps;
            self.bytes_down += bytes_down;
            self.bytes_up += bytes_up;
            self.fingerprint = *fingerprint;
        }
    }

    fn timed(&mut self, seconds: f64, evaluation_seconds: f64) {
        // A cast of a float saturates, and takes NaN to 0.
        let micros = |seconds: f64| (seconds * 1e6).round() as u64;
        self.latencies.record(LatencyKind::Round, micros(seconds));
        if evaluation_seconds > 0.0 {
            let micros = micros(evaluation_seconds);
            self.latencies.record(LatencyKind::Evaluation, micros);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::EventLog;
    use crate::small_run::{evaluated, run};
    use lyceum_core::{TaskId, TaskInfo, Visit};

    fn conditions() -> Conditions {
        Conditions {
            threads: 2,
            engine: "cpu".to_owned(),
            seconds_to_first_round: 0.25,
            seconds_total: 3.5,
            cpu_seconds: 5.5,
            peak_rss_mib: 12.0,
        }
    }

    fn summary_of(events: &[Event]) -> Summary {
        let mut builder = SummaryBuilder::new();
        events.iter().for_each(|event| builder.observe(event));
        builder.summary(conditions())
    }

    #[test]
    fn a_run_is_summed_up() {
        let summary = summary_of(&run());
        assert_eq!((summary.name.as_str(), summary.seed), ("small", 3));
        assert_eq!(summary.status, Status::Finished);
        assert_eq!((summary.rounds, summary.rounds_planned), (2, 2));
        assert_eq!((summary.clients, summary.threads), (9, 2));
        assert_eq!(summary.fingerprint, Fingerprint::of(&1_u64.to_le_bytes()));
        assert_eq!(summary.final_accuracy, Some(0.75));
        assert_eq!(summary.final_loss, Some(0.125));
        assert_eq!(summary.best_round, Some(0));
        assert_eq!(summary.best_validation_accuracy, Some(0.5));
        assert_eq!((summary.bytes_up, summary.bytes_down), (160, 400));
        assert_eq!((summary.samples_trained, summary.samples_scored), (80, 60));
        assert_eq!((summary.steps, summary.refused), (8, 2));
        assert_eq!(summary.dropped_out, 2);
        assert_eq!(summary.seconds_per_round_median, 0.001);
        assert_eq!(summary.latency.round.count, 2);
        assert_eq!(summary.latency.evaluation.max, 0.5);
        assert_eq!(summary.latency.evaluation.count, 1);
    }

    #[test]
    fn the_mean_is_over_the_last_ten_evaluations() {
        let events: Vec<_> = (0..12)
            .map(|i| evaluated(i, Probe::Test, if i < 2 { 1.0 } else { 0.5 }, 1.0))
            .chain([evaluated(12, Probe::Test, 0.25, f64::NAN)])
            .collect();
        let summary = summary_of(&events);
        assert_eq!(summary.final_accuracy, Some(0.25));
        assert_eq!(summary.mean_last_10_accuracy, Some(0.475));
        assert_eq!(summary.best_accuracy, Some(1.0));
        assert_eq!(summary.final_loss, None);
        assert_eq!(summary.best_round, None);
    }

    #[test]
    fn the_best_round_is_the_first_of_equals() {
        let events = [0.5, 0.75, 0.75, 0.25]
            .iter()
            .zip(3..)
            .map(|(&accuracy, round)| evaluated(round, Probe::Validation, accuracy, 1.0))
            .collect::<Vec<_>>();
        let summary = summary_of(&events);
        assert_eq!(summary.best_round, Some(4));
        assert_eq!(summary.best_validation_accuracy, Some(0.75));
        assert_eq!(summary.final_accuracy, None);
        assert_eq!(summary.mean_last_10_accuracy, None);
        assert_eq!(summary.mean_last_10_evaluations, 0);
    }

    /// A second task comes in round 2: what the model makes of the first one alone is no best of the stream.
    #[test]
    fn the_best_of_a_stream_is_not_its_first_tasks() {
        let task = |name: &str| TaskInfo {
            name: name.into(),
            classes: vec![0],
            probe: 1,
        };
        let visit = |place: u32| Visit {
            task: TaskId(place),
            place,
            begins: 2 * u64::from(place),
            ends: 2 * u64::from(place) + 2,
        };
        let started = Event::StreamStarted {
            tasks: vec![task("a"), task("b")],
            order: vec![visit(0), visit(1)],
            ends: None,
        };
        let judged = [1.0, 0.875, 0.5, 0.625]
            .into_iter()
            .zip(0..)
            .flat_map(|(a, round)| {
                [Probe::Validation, Probe::Test].map(|probe| evaluated(round, probe, a, 1.0))
            });
        let events: Vec<_> = [started].into_iter().chain(judged).collect();
        let over = summary_of(&events);
        assert_eq!(
            (over.best_accuracy, over.best_round),
            (Some(0.625), Some(3))
        );
        assert_eq!(over.best_validation_accuracy, Some(0.625));
        assert_eq!(over.mean_last_10_accuracy, Some(0.5625));
        assert_eq!(over.mean_last_10_evaluations, 2);
        let early = summary_of(&events[..5]);
        assert_eq!((early.best_accuracy, early.best_round), (None, None));
        assert_eq!(early.final_accuracy, Some(0.875));
        assert_eq!(early.mean_last_10_accuracy, None);
    }

    #[test]
    fn a_log_gives_the_summary_of_the_live_run() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("events.jsonl");
        let mut log = EventLog::create(&path).unwrap();
        run().iter().for_each(|event| log.write(event).unwrap());
        log.sync().unwrap();
        let rebuilt = SummaryBuilder::from_log(&path)
            .unwrap()
            .summary(conditions());
        assert_eq!(rebuilt, summary_of(&run()));
    }

    #[test]
    fn the_last_word_on_the_status_counts() {
        let mut events = run();
        events.pop();
        assert_eq!(summary_of(&events).status, Status::Paused);
        events.push(Event::Stalled {
            round: lyceum_core::Round(2),
            reason: "nobody left".to_owned(),
        });
        assert_eq!(summary_of(&events).status, Status::Stalled);
    }
}
