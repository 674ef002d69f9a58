//! One run from its first round, or from its last checkpoint, to its end.

use crate::{
    RunError,
    checkpoint::Checkpoints,
    model_file::write_durably,
    pool::Pool,
    prelude::{Prepared, prepare, write_expert},
};
use lyceum_client_node::Node;
use lyceum_coordinator::{Input, Output, Plan, RoundMachine};
use lyceum_core::{ClientId, Event, Params, Probe, Round, Time, Upload};
use lyceum_metrics::{
    Conditions, EVENTS, EventLog, Summary, SummaryBuilder, peak_rss_mib, write_tables,
};
use lyceum_scenarios::{Registry, Scenario};
use std::{
    collections::BTreeSet,
    fs,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

/// What does not change the answer.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Worker threads.
    pub threads: usize,
    /// The run's folder.
    pub out: PathBuf,
    /// Where data sets are looked for.
    pub folders: Vec<PathBuf>,
    /// Go on from the folder's checkpoint.
    pub resume: bool,
    /// Least time between checkpoints; zero saves after every round.
    pub checkpoint_every: Duration,
    /// When the process started.
    pub started: Instant,
}

/// Runs a scenario and leaves its folder complete. `observe` sees every event; when `stop` becomes true
/// the round in flight is finished, a checkpoint is written, and the summary says "paused".
pub fn run(
    scenario: &Scenario,
    registry: &Registry,
    settings: &Settings,
    stop: &AtomicBool,
    observe: &mut dyn FnMut(&Event),
) -> Result<Summary, RunError> {
    let checkpoints = Checkpoints::of(&settings.out);
    let latest = if settings.resume {
        checkpoints.latest()?
    } else {
        None
    };
    let expert_file = settings.out.join("expert.safetensors");
    let saved_expert = latest.is_some().then_some(expert_file.as_path());
    let prepared = prepare(scenario, registry, &settings.folders, saved_expert)?;
    let node = Arc::new(Node::new(
        scenario,
        prepared.engine,
        prepared.network.clone(),
        prepared.federation.clone(),
        prepared.expert.as_ref().map(|e| &e.scores),
    ));
    let mut machine = machine(scenario, &prepared, &node);
    let pool = Pool::start(&node, settings.threads)?;
    fs::create_dir_all(&settings.out).map_err(RunError::file(&settings.out))?;
    let log_path = settings.out.join(EVENTS);
    let mut builder = SummaryBuilder::new();
    let log = match latest {
        Some(latest) => {
            if latest.scenario != prepared.digest {
                let reason = "the checkpoint belongs to another scenario, engine or data; run without --resume, or with the scenario.toml of this folder";
                return Err(RunError::damaged(&settings.out, reason));
            }
            let snapshot = checkpoints.read(&latest, prepared.network.layout())?;
            machine
                .restore(snapshot)
                .map_err(|e| RunError::damaged(&settings.out, e))?;
            let log = EventLog::resume(&log_path, latest.events_bytes).map_err(metrics)?;
            builder = SummaryBuilder::from_log(&log_path).map_err(metrics)?;
            log
        }
        None => {
            let resolved = toml_text(scenario);
            write_durably(&settings.out.join("scenario.toml"), resolved.as_bytes())?;
            if let Some(expert) = &prepared.expert {
                write_expert(&expert_file, prepared.network.layout(), expert)?;
            }
            EventLog::create(&log_path).map_err(metrics)?
        }
    };
    let mut driver = Driver {
        scenario,
        settings,
        prepared,
        checkpoints,
        machine,
        pool,
        log,
        builder,
        best: None,
        first_round: None,
        observe,
    };
    driver.announce()?;
    driver.rounds(stop)?;
    driver.conclude()
}

fn machine(scenario: &Scenario, prepared: &Prepared, node: &Node) -> RoundMachine {
    let probes = [Probe::Validation, Probe::Test].into_iter();
    let size = |probe| Some((probe, prepared.federation.probe(probe)?.len() as u32));
    let rounds = scenario.run.rounds.get() as u64;
    let plan = Plan {
        rounds,
        seed: scenario.seed(),
        dropout: scenario.availability.dropout.get(),
        evaluate_every: scenario.evaluation.every.get() as u64,
        probes: probes.filter_map(size).collect(),
        classes: prepared.network.classes(),
        lanes: node.lanes(),
    };
    let roster: Arc<dyn lyceum_core::Roster> = prepared.federation.clone();
    let strategy = scenario.strategy.plugin.clone().start(&prepared.initial);
    let selector = scenario
        .selection
        .plugin
        .clone()
        .start(roster.clone(), rounds);
    RoundMachine::new(
        plan,
        roster,
        strategy,
        selector,
        prepared.initial.clone(),
        prepared.digest,
    )
}

fn toml_text(scenario: &Scenario) -> String {
    format!(
        "# Resolved: every key with its value. `lyceum run` reads it back.\n\n{}",
        scenario.resolved()
    )
}

fn metrics(error: impl ToString) -> RunError {
    RunError::Metrics(error.to_string())
}

/// A run in flight: the machine, its workers and its files.
struct Driver<'a> {
    scenario: &'a Scenario,
    settings: &'a Settings,
    prepared: Prepared,
    checkpoints: Checkpoints,
    machine: RoundMachine,
    pool: Pool,
    log: EventLog,
    builder: SummaryBuilder,
    best: Option<Params>,
    first_round: Option<f64>,
    observe: &'a mut dyn FnMut(&Event),
}

/// How a round ended.
enum Ending {
    Over,
    Finished,
    Stalled(String),
}

impl Driver<'_> {
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
        self.record(&started)?;
        if let Some(expert) = &self.prepared.expert {
            let losses = &expert.scores.losses;
            let samples = losses.len() as u64;
            let mean_loss =
                losses.iter().map(|&l| f64::from(l)).sum::<f64>() / samples.max(1) as f64;
            self.record(&Event::ExpertTrained { samples, mean_loss })?;
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
                    self.record(&Event::Paused {
                        rounds: self.machine.rounds_done(),
                    })?;
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
                        self.record(&event)?;
                        self.client_accuracies(&event)?;
                    }
                    Output::Best(params) => self.best = Some(params),
                    Output::RoundOver(round) => {
                        self.time_round(round, start, closed)?;
                        return Ok(Ending::Over);
                    }
                    Output::Finished => return Ok(Ending::Finished),
                    Output::Stalled(reason) => return Ok(Ending::Stalled(reason)),
                }
            }
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

    fn time_round(
        &mut self,
        round: Round,
        start: Instant,
        closed: Option<Duration>,
    ) -> Result<(), RunError> {
        let total = start.elapsed();
        let training = closed.unwrap_or(total);
        let evaluation = total - training;
        self.first_round
            .get_or_insert(self.settings.started.elapsed().as_secs_f64());
        self.record(&Event::Timing {
            round,
            seconds: training.as_secs_f64(),
            evaluation_seconds: evaluation.as_secs_f64(),
        })
    }

    /// Each client's accuracy on the test samples of its classes follows from the tally per class.
    fn client_accuracies(&mut self, event: &Event) -> Result<(), RunError> {
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
            return Ok(());
        };
        if !(round.0 + 1).is_multiple_of(every.get() as u64) {
            return Ok(());
        }
        for client in (0..self.scenario.data.clients.get() as u64).map(ClientId) {
            let shard = self.prepared.federation.shard(client);
            let classes: BTreeSet<usize> =
                (0..shard.len()).map(|p| shard.label(p) as usize).collect();
            let hits: u64 = classes.iter().map(|&c| correct[c]).sum();
            let all: u64 = classes.iter().map(|&c| count[c]).sum();
            if all > 0 {
                let accuracy = hits as f64 / all as f64;
                self.record(&Event::ClientAccuracy {
                    round: *round,
                    client,
                    accuracy,
                })?;
            }
        }
        Ok(())
    }

    fn record(&mut self, event: &Event) -> Result<(), RunError> {
        self.log.write(event).map_err(metrics)?;
        self.builder.observe(event);
        (self.observe)(event);
        Ok(())
    }

    fn save(&mut self) -> Result<(), RunError> {
        if let Some(best) = self.best.take() {
            self.checkpoints
                .write_best(self.prepared.network.layout(), &best)?;
        }
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
        crate::model_file::write(&path, self.prepared.network.layout(), self.machine.global())?;
        self.summarise()?;
        Err(RunError::Stalled { round, reason })
    }

    fn conclude(mut self) -> Result<Summary, RunError> {
        self.summarise()
    }

    fn summarise(&mut self) -> Result<Summary, RunError> {
        self.log.sync().map_err(metrics)?;
        write_tables(&self.settings.out).map_err(metrics)?;
        let conditions = Conditions {
            threads: self.settings.threads as u64,
            engine: self.scenario.training.engine.clone(),
            seconds_to_first_round: self.first_round.unwrap_or(0.0),
            seconds_total: self.settings.started.elapsed().as_secs_f64(),
            peak_rss_mib: peak_rss_mib(),
        };
        let summary = self.builder.summary(conditions);
        summary
            .write(&self.settings.out.join("summary.json"))
            .map_err(metrics)?;
        Ok(summary)
    }
}
