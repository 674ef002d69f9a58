//! The folder of a run: its event log, checkpoints, tables and summary.

use super::{
    RunError,
    archive::{Archive, Durable, Syncing},
    checkpoint::{self, Checkpoints, Manifest},
    desk::Letters,
    finished::Finished,
    prepared::Prepared,
    resume::Resume,
    settings::Settings,
    spill::SpillFile,
    storage::{Folder, Storage, replace},
};
use crate::{RoundMachine, Snapshot};
use lyceum_core::{ClientId, Event, Params, Probe, Request, Round};
use lyceum_metrics::{
    Conditions, EVENTS, EventLog, Extent, Status, Summary, SummaryBuilder, cpu_seconds,
    peak_rss_mib, write_tables,
};
use lyceum_scenarios::Scenario;
use std::{collections::BTreeSet, error::Error, path::PathBuf, time::Duration};

/// The layers of the model, for whoever uses it elsewhere.
const NETWORK: &str = "network.json";

const RESOLVED: &str = "# Resolved: every key with its value. `lyceum run` reads it back.\n\n";

/// Sees every event.
pub type Observer<'a> = dyn FnMut(&Event) + 'a;

/// The files of a run in flight.
pub struct RunFiles<'a> {
    /// What is run.
    pub scenario: &'a Scenario,
    /// Where and how.
    pub settings: &'a Settings,
    /// What it stands on.
    pub prepared: Prepared,
    /// The run's folder.
    pub storage: Folder,
    log: EventLog,
    /// Events that nobody has seen yet.
    unwritten: Vec<Event>,
    /// Microseconds of clients that are not counted yet.
    uncounted: Vec<u64>,
    builder: SummaryBuilder,
    best: Option<Params>,
    /// How far the log went when a state was held, and what was best then.
    held: Option<(Extent, Option<Params>)>,
    checkpoints: Checkpoints,
    first_round: Option<f64>,
    observe: &'a mut Observer<'a>,
    letters: Letters,
    rounds_closed: u64,
}

impl<'a> RunFiles<'a> {
    /// Writes what a run begins with or, where there is a checkpoint, takes machine, log and summary back to it.
    pub fn open(
        scenario: &'a Scenario,
        settings: &'a Settings,
        prepared: Prepared,
        resume: Resume,
        machine: &mut RoundMachine,
        observe: &'a mut Observer<'a>,
    ) -> Result<Self, RunError> {
        let mut storage = Folder::new(&settings.out);
        machine.spill_to(
            settings.updates_bytes,
            Box::new(SpillFile::new(&settings.out)),
        );
        for message in [resume.warnings, prepared.warnings.clone()].concat() {
            observe(&Event::Warned { message });
        }
        let opening = prepared.opening(scenario);
        Finished::remove(&mut storage)?;
        let (log, builder, last) = match resume.checkpoint {
            Some(found) => {
                let (log, builder) = go_on(
                    scenario,
                    &prepared,
                    &found,
                    &mut storage,
                    machine,
                    settings,
                    &opening,
                )?;
                (log, builder, Some(found.0))
            }
            None => {
                let (log, builder) = begin(scenario, &prepared, &mut storage, settings)?;
                (log, builder, None)
            }
        };
        let checkpoints = checkpoints(scenario, &prepared, last);
        let mut files = Self {
            scenario,
            settings,
            prepared,
            storage,
            log,
            unwritten: Vec::new(),
            uncounted: Vec::new(),
            builder,
            best: None,
            held: None,
            checkpoints,
            first_round: None,
            observe,
            letters: Letters::default(),
            rounds_closed: 0,
        };
        files.announce(machine.rounds_done(), opening)?;
        Ok(files)
    }

    fn announce(&mut self, rounds_done: u64, opening: Vec<Event>) -> Result<(), RunError> {
        if rounds_done > 0 {
            (self.observe)(&opening[0]);
            return Ok(());
        }
        opening.into_iter().for_each(|event| self.record(event));
        self.write_out()?;
        self.log.opened().map_err(metrics)?;
        if let Some(expert) = &self.prepared.expert {
            let losses = &expert.scores.losses;
            let samples = losses.len() as u64;
            let mean_loss =
                losses.iter().map(|&l| f64::from(l)).sum::<f64>() / samples.max(1) as f64;
            self.record(Event::ExpertTrained { samples, mean_loss });
        }
        Ok(())
    }

    /// Takes an event, which everybody sees with the next [`write_out`](Self::write_out).
    pub fn record(&mut self, event: Event) {
        self.unwritten.push(event);
    }

    /// Takes the wall time of clients.
    pub fn time_clients(&mut self, micros: &[u64]) {
        self.uncounted.extend_from_slice(micros);
    }

    /// Records how long a round took: `total`, of which `training` was before its close.
    pub fn time_round(&mut self, round: Round, total: Duration, training: Duration) {
        self.first_round
            .get_or_insert(self.settings.started.elapsed().as_secs_f64());
        self.record(Event::Timing {
            round,
            seconds: training.as_secs_f64(),
            evaluation_seconds: total.saturating_sub(training).as_secs_f64(),
        });
    }

    /// Keeps the parameters that the validation set likes best, until the next checkpoint.
    pub fn best(&mut self, params: Params) {
        self.best = Some(params);
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

    /// Shows and writes down what has happened, and what follows from it. Done while workers are busy, so that no round
    /// waits for it; what a crash loses lies behind the last checkpoint and happens again.
    pub fn write_out(&mut self) -> Result<(), RunError> {
        for micros in self.uncounted.drain(..) {
            self.builder.client_update(micros);
        }
        let mut events = std::mem::take(&mut self.unwritten);
        for event in events.drain(..) {
            self.see(&event)?;
            for event in self.client_accuracies(&event) {
                self.see(&event)?;
            }
        }
        self.unwritten = events;
        Ok(())
    }

    fn see(&mut self, event: &Event) -> Result<(), RunError> {
        self.builder.observe(event);
        (self.observe)(event);
        match event {
            Event::RoundClosed { round, .. } => self.rounds_closed = round.0,
            Event::Answered(answer) => self.letters.answer(&mut self.storage, answer)?,
            _ => {}
        }
        match event {
            Event::Warned { .. } => Ok(()),
            event => self.log.write(event).map_err(metrics),
        }
    }

    /// Makes everything up to this state safe.
    pub fn save(&mut self, snapshot: &Snapshot) -> Result<(), RunError> {
        let best = self.best.take();
        self.write_out()?;
        let events = self.log.sync().map_err(metrics)?;
        self.save_at(snapshot, best.as_ref(), events)?;
        self.letters.clear(&mut self.storage)
    }

    fn save_at(
        &mut self,
        snapshot: &Snapshot,
        best: Option<&Params>,
        events: Extent,
    ) -> Result<(), RunError> {
        let layout = self.prepared.network.layout();
        let checkpoints = &mut self.checkpoints;
        checkpoints.save(&mut self.storage, layout, snapshot, best, events)
    }

    /// The last good model is the one before the round that failed; it is kept before anything else.
    /// A stall that is `passing` may be over when the run is gone on with.
    pub fn stalled(
        &mut self,
        machine: &RoundMachine,
        reason: String,
        passing: bool,
    ) -> Result<(), RunError> {
        let round = machine.rounds_done();
        checkpoint::write_model(
            &mut self.storage,
            "checkpoint/last_good.safetensors",
            self.prepared.network.layout(),
            machine.global(),
        )?;
        self.summarise()?;
        Err(RunError::Stalled {
            round,
            reason,
            passing,
        })
    }

    /// Writes tables and summary.
    pub fn summarise(&mut self) -> Result<Summary, RunError> {
        self.write_out()?;
        if let Some(best) = self.best.take() {
            let layout = self.prepared.network.layout();
            checkpoint::write_best(&mut self.storage, layout, &best)?;
        }
        let events = self.log.sync().map_err(metrics)?;
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
        if summary.status == Status::Finished {
            let lines = self.prepared.opening(self.scenario).len();
            Finished::write(
                &mut self.storage,
                self.prepared.digest,
                &summary,
                lines,
                events,
            )?;
        }
        Ok(summary)
    }
}

impl RunFiles<'_> {
    /// What somebody outside has asked since the last time.
    pub fn requests(&mut self) -> Result<Vec<Request>, RunError> {
        let round = Round(self.rounds_closed);
        self.letters.new_ones(&mut self.storage, round)
    }
}

impl Archive for RunFiles<'_> {
    fn requests(&mut self) -> Result<Vec<Request>, RunError> {
        Self::requests(self)
    }

    fn event(&mut self, event: Event) -> Result<(), RunError> {
        self.record(event);
        Ok(())
    }

    fn best(&mut self, params: Params) {
        Self::best(self, params);
    }

    fn clients_took(&mut self, micros: &[u64]) {
        self.time_clients(micros);
    }

    fn round_took(&mut self, round: Round, total: u64, training: u64) -> Result<(), RunError> {
        let micros = Duration::from_micros;
        self.time_round(round, micros(total), micros(training));
        Ok(())
    }

    fn save(&mut self, snapshot: &Snapshot) -> Result<(), RunError> {
        Self::save(self, snapshot)
    }

    fn hold(&mut self) -> Result<(), RunError> {
        self.write_out()?;
        let events = self.log.extent().map_err(metrics)?;
        self.held = Some((events, self.best.clone()));
        Ok(())
    }

    /// Requests stay: some may have been answered after that state, and are taken again when the run goes on.
    fn save_held(&mut self, snapshot: &Snapshot) -> Result<(), RunError> {
        let Some((events, best)) = self.held.take() else {
            return Ok(());
        };
        self.write_out()?;
        self.log.sync().map_err(metrics)?;
        self.save_at(snapshot, best.as_ref(), events)
    }

    fn storage(&mut self) -> &mut dyn Storage {
        &mut self.storage
    }
}

impl Durable for RunFiles<'_> {
    fn syncing(&mut self) -> Syncing {
        let file = self.storage.appended();
        Box::pin(async move {
            let sync = move || file.map_or(Ok(()), |file| file?.sync_data());
            let done = tokio::task::spawn_blocking(sync).await;
            done.unwrap_or_else(|e| Err(std::io::Error::other(e)))
        })
    }

    fn idle(&mut self) -> Result<(), RunError> {
        self.write_out()
    }
}

fn checkpoints(scenario: &Scenario, prepared: &Prepared, last: Option<Manifest>) -> Checkpoints {
    Checkpoints {
        run: prepared.digest,
        scenario: scenario.lineage(),
        planned: scenario.run.rounds.get() as u64,
        last,
    }
}

/// Writes the files that a run begins with.
fn begin(
    scenario: &Scenario,
    prepared: &Prepared,
    storage: &mut Folder,
    settings: &Settings,
) -> Result<(EventLog, SummaryBuilder), RunError> {
    if settings.out.join(EVENTS).exists() && !settings.resume {
        return Err(RunError::misused(
            &settings.out,
            "another run has begun in this folder; choose another --out",
        ));
    }
    let text = file_text(prepared, &settings.folders);
    replace(storage, "scenario.toml", text.as_bytes())?;
    let network = serde_json::to_vec_pretty(&prepared.network.parts());
    let network = network.map_err(|e| RunError::damaged(storage.path(NETWORK), e))?;
    replace(storage, NETWORK, &network)?;
    prepared.save_expert(scenario, storage)?;
    let log = EventLog::create(&settings.out.join(EVENTS)).map_err(metrics)?;
    Ok((log, SummaryBuilder::new()))
}

/// Takes machine, log and summary back to a checkpoint. The run may have another name or number of rounds now.
fn go_on(
    scenario: &Scenario,
    prepared: &Prepared,
    (manifest, snapshot): &(Manifest, Snapshot),
    storage: &mut Folder,
    machine: &mut RoundMachine,
    settings: &Settings,
    opening: &[Event],
) -> Result<(EventLog, SummaryBuilder), RunError> {
    machine
        .restore(snapshot.clone())
        .map_err(|e| RunError::damaged(&settings.out, e))?;
    checkpoint::restore_best(storage, manifest, snapshot)?;
    prepared.save_expert(scenario, storage)?;
    let text = file_text(prepared, &settings.folders);
    let there = storage.read("scenario.toml").ok().flatten();
    if there.as_deref() != Some(text.as_bytes()) {
        replace(storage, "scenario.toml", text.as_bytes())?;
    }
    let path = settings.out.join(EVENTS);
    let log = EventLog::resume(&path, opening, &manifest.events).map_err(metrics)?;
    let builder = SummaryBuilder::from_log(&path).map_err(metrics)?;
    Ok((log, builder))
}

/// What `scenario.toml` holds: the resolved scenario as a file that can be run again from anywhere, with what was learned of
/// its data, and the hash of the file that it starts from.
fn file_text(prepared: &Prepared, folders: &[PathBuf]) -> String {
    let mut scenario = prepared.settled.clone();
    scenario.run.start_from_blake3 = prepared.start_from.map(|hash| hash.to_string());
    format!("{RESOLVED}{}", scenario.placed(folders))
}

/// The resolved scenario, without where its files lie: what nodes are sent.
pub fn toml_text(scenario: &Scenario) -> String {
    format!("{RESOLVED}{}", scenario.resolved())
}

fn metrics(error: impl Error + 'static) -> RunError {
    RunError::of_log(error)
}
