//! One run from its first round, or from its last checkpoint, to its end.

use crate::{
    RunError,
    checkpoint::{Checkpoints, Latest},
    driver::Driver,
    model_file::write_durably,
    pool::Pool,
    prelude::{Prepared, prepare, write_expert},
};
use lyceum_client_node::Node;
use lyceum_coordinator::{Plan, RoundMachine};
use lyceum_core::{Event, Probe};
use lyceum_metrics::{EVENTS, EventLog, Status, Summary, SummaryBuilder};
use lyceum_scenarios::{Registry, Scenario};
use std::{
    fs,
    path::{Path, PathBuf},
    sync::{Arc, atomic::AtomicBool},
    thread,
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
    // A folder that is there is locked before it is read, a new one only when the input proved good.
    let held = if settings.resume && settings.out.exists() {
        Some(lock(settings)?)
    } else {
        None
    };
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
    let _lock = held.map_or_else(|| lock(settings), Ok)?;
    if let Some(summary) = finished(&latest, &prepared, scenario, settings) {
        return Ok(summary);
    }
    let (log, builder) = match latest {
        Some(latest) => go_on(&latest, &prepared, &checkpoints, &mut machine, settings)?,
        None => begin(scenario, &prepared, settings, &expert_file)?,
    };
    let driver = Driver {
        scenario,
        settings,
        prepared,
        checkpoints,
        machine,
        pool,
        log,
        unwritten: Vec::new(),
        builder,
        best: None,
        first_round: None,
        observe,
    };
    driver.drive(stop)
}

/// The summary of a run that has nothing left to do.
fn finished(
    latest: &Option<Latest>,
    prepared: &Prepared,
    scenario: &Scenario,
    settings: &Settings,
) -> Option<Summary> {
    let rounds = scenario.run.rounds.get() as u64;
    let done = latest
        .as_ref()
        .is_some_and(|l| l.rounds == rounds && l.scenario == prepared.digest);
    let summary = Summary::read(&settings.out.join("summary.json")).ok()?;
    (done && summary.status == Status::Finished).then_some(summary)
}

const LOCK_TRIES: u32 = 50;
const LOCK_PAUSE: Duration = Duration::from_millis(20);

/// Makes the run's folder this process's own for as long as the file is open.
fn lock(settings: &Settings) -> Result<fs::File, RunError> {
    fs::create_dir_all(&settings.out).map_err(RunError::file(&settings.out))?;
    let path = settings.out.join("lock");
    let file = fs::File::create(&path).map_err(RunError::file(&path))?;
    // A process that is just being started holds its parent's files for a moment, this one among them.
    for _ in 0..LOCK_TRIES {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(fs::TryLockError::WouldBlock) => thread::sleep(LOCK_PAUSE),
            Err(fs::TryLockError::Error(e)) => return Err(RunError::file(path)(e)),
        }
    }
    Err(RunError::damaged(
        &settings.out,
        "another process is running in this folder; choose another --out",
    ))
}

/// Writes the files that a run begins with.
fn begin(
    scenario: &Scenario,
    prepared: &Prepared,
    settings: &Settings,
    expert_file: &Path,
) -> Result<(EventLog, SummaryBuilder), RunError> {
    if settings.out.join(EVENTS).exists() && !settings.resume {
        return Err(RunError::damaged(
            &settings.out,
            "another run has begun in this folder; choose another --out",
        ));
    }
    write_durably(
        &settings.out.join("scenario.toml"),
        toml_text(scenario).as_bytes(),
    )?;
    if let Some(expert) = &prepared.expert {
        write_expert(expert_file, prepared.network.layout(), expert)?;
    }
    let log = EventLog::create(&settings.out.join(EVENTS)).map_err(metrics)?;
    Ok((log, SummaryBuilder::new()))
}

/// Takes machine, log and summary back to the last checkpoint.
fn go_on(
    latest: &Latest,
    prepared: &Prepared,
    checkpoints: &Checkpoints,
    machine: &mut RoundMachine,
    settings: &Settings,
) -> Result<(EventLog, SummaryBuilder), RunError> {
    if latest.scenario != prepared.digest {
        let reason = "the checkpoint belongs to another scenario, engine or data; run without --resume, or with the scenario.toml of this folder";
        return Err(RunError::damaged(&settings.out, reason));
    }
    let snapshot = checkpoints.read(latest, prepared.network.layout())?;
    machine
        .restore(snapshot)
        .map_err(|e| RunError::damaged(&settings.out, e))?;
    let path = settings.out.join(EVENTS);
    let log = EventLog::resume(&path, latest.events_bytes).map_err(metrics)?;
    let builder = SummaryBuilder::from_log(&path).map_err(metrics)?;
    Ok((log, builder))
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

pub(crate) fn metrics(error: impl ToString) -> RunError {
    RunError::Metrics(error.to_string())
}
