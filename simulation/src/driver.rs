//! The loop around the round machine: workers, events, files.

use crate::{
    RunError, Settings, checkpoint::Checkpoints, model_file, pool::Pool, prelude::Prepared,
    run::metrics,
};
use lyceum_coordinator::{Input, Output, RoundMachine};
use lyceum_core::{ClientId, Event, Params, Probe, Round, Time, Upload};
use lyceum_metrics::{
    Conditions, EventLog, Summary, SummaryBuilder, cpu_seconds, peak_rss_mib, write_tables,
};
use lyceum_scenarios::Scenario;
use std::{
    collections::BTreeSet,
    fs,
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};

/// A run in flight: the machine, its workers and its files.
pub(crate) struct Driver<'a> {
    pub(crate) scenario: &'a Scenario,
    pub(crate) settings: &'a Settings,
    pub(crate) prepared: Prepared,
    pub(crate) checkpoints: Checkpoints,
    pub(crate) machine: RoundMachine,
    pub(crate) pool: Pool,
    pub(crate) log: EventLog,
    /// Events that are not in the log yet.
    pub(crate) unwritten: Vec<Event>,
    pub(crate) builder: SummaryBuilder,
    pub(crate) best: Option<Params>,
    pub(crate) first_round: Option<f64>,
    pub(crate) observe: &'a mut dyn FnMut(&Event),
}

/// How a round ended.
enum Ending {
    Over,
    Finished,
    Stalled(String),
}

impl Driver<'_> {
    /// Runs to the end, or to where it is stopped.
    pub(crate) fn drive(mut self, stop: &AtomicBool) -> Result<Summary, RunError> {
        self.announce()?;
        self.rounds(stop)?;
        self.summarise()
    }

    fn announce(&mut self) -> Result<(), RunError> {
        let started = Event::RunStarted {
            name: self.scenario.run.name.clone(),
            seed: self.scenario.run.seed,
            rounds: self.scenario.run.rounds.get() as u64,
            clients: self.scenario.data.clients.get() as u64,
            parameters: self.prepared.network.layout().len() as u64,
            scenario: self.prepared.digest,
        };
        if self.machine.rounds_done() > 0 {
            (self.observe)(&started);
            return Ok(());
        }
        self.record(started);
        if let Some(expert) = &self.prepared.expert {
            let losses = &expert.scores.losses;
            let samples = losses.len() as u64;
            let mean_loss =
                losses.iter().map(|&l| f64::from(l)).sum::<f64>() / samples.max(1) as f64;
            self.record(Event::ExpertTrained { samples, mean_loss });
        }
        Ok(())
    }

    fn rounds(&mut self, stop: &AtomicBool) -> Result<(), RunError> {
        let mut saved = Instant::now();
        loop {
            match self.round()? {
                Ending::Finished => return Ok(()),
                Ending::Stalled(reason) => return self.stalled(reason),
                Ending::Over if self.last_round_done() => self.save()?,
                Ending::Over if stop.load(Ordering::Relaxed) => {
                    self.save()?;
                    self.record(Event::Paused {
                        rounds: self.machine.rounds_done(),
                    });
                    return Ok(());
                }
                Ending::Over if saved.elapsed() >= self.settings.checkpoint_every => {
                    self.save()?;
                    saved = Instant::now();
                }
                Ending::Over => {}
            }
        }
    }

    fn last_round_done(&self) -> bool {
        self.machine.rounds_done() >= self.scenario.run.rounds.get() as u64
    }

    /// One round with its evaluation.
    fn round(&mut self) -> Result<Ending, RunError> {
        let start = Instant::now();
        let mut closed = None;
        self.machine.handle(self.time(), Input::NextRound)?;
        loop {
            while let Some(output) = self.machine.poll() {
                match output {
                    Output::Assign(assignment) => self.pool.assign(assignment),
                    Output::Event(event) => {
                        if matches!(event, Event::RoundClosed { .. }) {
                            closed = Some(start.elapsed());
                        }
                        let accuracies = self.client_accuracies(&event);
                        self.record(event);
                        accuracies.into_iter().for_each(|event| self.record(event));
                    }
                    Output::Best(params) => self.best = Some(params),
                    Output::RoundOver(round) => {
                        self.time_round(round, start, closed);
                        return Ok(Ending::Over);
                    }
                    Output::Finished => return Ok(Ending::Finished),
                    Output::Stalled(reason) => return Ok(Ending::Stalled(reason)),
                }
            }
            self.write_out()?;
            match self.pool.wait() {
                Some(result) => self.upload(result?)?,
                None => {
                    return Err(RunError::Panic(
                        "a round has neither work nor an end".into(),
                    ));
                }
            }
        }
    }

    fn upload(&mut self, upload: Upload) -> Result<(), RunError> {
        for &micros in &upload.micros {
            self.builder.client_update(micros);
        }
        Ok(self.machine.handle(self.time(), Input::Upload(upload))?)
    }

    fn time(&self) -> Time {
        Time(self.settings.started.elapsed().as_micros() as u64)
    }

    fn time_round(&mut self, round: Round, start: Instant, closed: Option<Duration>) {
        let total = start.elapsed();
        let training = closed.unwrap_or(total);
        let evaluation = total - training;
        self.first_round
            .get_or_insert(self.settings.started.elapsed().as_secs_f64());
        self.record(Event::Timing {
            round,
            seconds: training.as_secs_f64(),
            evaluation_seconds: evaluation.as_secs_f64(),
        });
    }

    /// Each client's accuracy on the test samples of its classes follows from the tally per class.
    fn client_accuracies(&self, event: &Event) -> Vec<Event> {
        let (
            Some(every),
            Event::Evaluated {
                round,
                probe: Probe::Test,
                correct,
                count,
                ..
            },
        ) = (self.scenario.evaluation.clients_every, event)
        else {
            return Vec::new();
        };
        if !(round.0 + 1).is_multiple_of(every.get() as u64) {
            return Vec::new();
        }
        let mut events = Vec::new();
        for client in (0..self.scenario.data.clients.get() as u64).map(ClientId) {
            let shard = self.prepared.federation.shard(client);
            let classes: BTreeSet<usize> =
                (0..shard.len()).map(|p| shard.label(p) as usize).collect();
            let hits: u64 = classes.iter().map(|&c| correct[c]).sum();
            let all: u64 = classes.iter().map(|&c| count[c]).sum();
            if all > 0 {
                let accuracy = hits as f64 / all as f64;
                events.push(Event::ClientAccuracy {
                    round: *round,
                    client,
                    accuracy,
                });
            }
        }
        events
    }

    /// Shows an event to everybody; the log gets it with the next [`write_out`](Self::write_out).
    fn record(&mut self, event: Event) {
        self.builder.observe(&event);
        (self.observe)(&event);
        self.unwritten.push(event);
    }

    /// Writes down what has happened. Done while workers are busy, so that no round waits for it; what a crash
    /// loses lies behind the last checkpoint and happens again.
    fn write_out(&mut self) -> Result<(), RunError> {
        for event in self.unwritten.drain(..) {
            self.log.write(&event).map_err(metrics)?;
        }
        Ok(())
    }

    fn save(&mut self) -> Result<(), RunError> {
        if let Some(best) = self.best.take() {
            self.checkpoints
                .write_best(self.prepared.network.layout(), &best)?;
        }
        self.write_out()?;
        let events = self.log.sync().map_err(metrics)?;
        let Some(snapshot) = self.machine.snapshot() else {
            return Ok(());
        };
        self.checkpoints.write(
            self.prepared.network.layout(),
            &snapshot,
            events,
            self.prepared.digest,
        )
    }

    /// The last good model is the one before the round that failed; it is kept before anything else.
    fn stalled(&mut self, reason: String) -> Result<(), RunError> {
        let round = self.machine.rounds_done();
        let path = self
            .settings
            .out
            .join("checkpoint")
            .join("last_good.safetensors");
        fs::create_dir_all(self.settings.out.join("checkpoint")).map_err(RunError::file(&path))?;
        model_file::write(&path, self.prepared.network.layout(), self.machine.global())?;
        self.summarise()?;
        Err(RunError::Stalled { round, reason })
    }

    fn summarise(&mut self) -> Result<Summary, RunError> {
        self.write_out()?;
        self.log.sync().map_err(metrics)?;
        write_tables(&self.settings.out).map_err(metrics)?;
        let conditions = Conditions {
            threads: self.settings.threads as u64,
            engine: self.scenario.training.engine.clone(),
            seconds_to_first_round: self.first_round.unwrap_or(0.0),
            seconds_total: self.settings.started.elapsed().as_secs_f64(),
            cpu_seconds: cpu_seconds(),
            peak_rss_mib: peak_rss_mib(),
        };
        let summary = self.builder.summary(conditions);
        summary
            .write(&self.settings.out.join("summary.json"))
            .map_err(metrics)?;
        Ok(summary)
    }
}
