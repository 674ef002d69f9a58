//! One run from its first round, or from its last checkpoint, to its end.

use crate::{
    RunError, Settings,
    driver::{Driver, since},
    pool::Pool,
};
use lyceum_client_node::Node;
use lyceum_coordinator::{
    rounds::{Rounds, Saving},
    run::{Expert, Folder, Groundwork, Nowhere, Prepared, Resume, RunFiles},
};
use lyceum_core::{Engine, Event};
use lyceum_metrics::Summary;
use lyceum_scenarios::{Registry, Scenario};
use std::{
    path::PathBuf,
    sync::{Arc, atomic::AtomicBool},
    time::Instant,
};

/// Runs a scenario and leaves its folder complete. `observe` sees every event; when `stop` becomes true
/// the round in flight is given up, or finished where it is short, a checkpoint is written, and the summary says "paused".
pub fn run(
    scenario: &Scenario,
    registry: &Registry,
    settings: &Settings,
    stop: &AtomicBool,
    observe: &mut dyn FnMut(&Event),
) -> Result<Summary, RunError> {
    scenario.without_real_clients()?;
    // A folder that is there is locked before it is read, a new one only when the input proved good.
    let held = match settings.resume && settings.out.exists() {
        true => Some(settings.hold()?),
        false => None,
    };
    let storage = Folder::new(&settings.out);
    let mut resume = match settings.resume {
        true => Resume::look(&storage, scenario)?,
        false => Resume::default(),
    };
    let (prepared, node) =
        prepare(
            scenario,
            registry,
            &settings.folders,
            stop,
            |groundwork| match settings.resume {
                true => groundwork.saved_expert(scenario, &storage, &mut resume.warnings),
                false => Ok(None),
            },
        )?;
    let prepared = prepared.told(scenario, settings.facts.as_deref())?;
    let mut machine = prepared.machine(scenario);
    let pool = Pool::start(&node, settings.threads)?;
    let _held = held.map_or_else(|| settings.hold(), Ok)?;
    if settings.resume {
        resume.find(&storage, scenario, settings, &prepared)?;
        if let Some(summary) = resume.finished(&storage, scenario, settings, &prepared)? {
            return Ok(summary);
        }
    }
    let files = RunFiles::open(scenario, settings, prepared, resume, &mut machine, observe)?;
    let saving = Saving {
        every: u64::try_from(settings.checkpoint_every.as_micros()).unwrap_or(u64::MAX),
        ..Saving::default()
    };
    let now = since(settings.started);
    let driver = Driver {
        rounds: Rounds::new(now, machine, files, scenario.rounds(), saving),
        pool,
        started: settings.started,
        stop,
        asked: None,
    };
    let (ending, rounds) = driver.drive()?;
    rounds.conclude(ending)
}

/// Everything that coordinator and workers of a scenario need. `saved` finds an expert that is trained already.
pub(crate) fn prepare(
    scenario: &Scenario,
    registry: &Registry,
    folders: &[PathBuf],
    stop: &AtomicBool,
    saved: impl FnOnce(&Groundwork) -> Result<Option<Expert>, RunError>,
) -> Result<(Prepared, Arc<Node>), RunError> {
    let engine = engine(scenario, registry)?;
    let groundwork = Groundwork::read(scenario, folders)?;
    (engine.build)(&groundwork.network)
        .map_err(|reason| scenario.fault("training.engine", reason, "cannot be used here"))?;
    let expert = match saved(&groundwork)? {
        None if scenario.needs_expert() => Some(train_expert(scenario, engine, &groundwork, stop)?),
        saved => saved,
    };
    let prepared = groundwork.finish(scenario, expert)?;
    let node = Node::new(
        scenario,
        engine,
        prepared.network.clone(),
        prepared.federation.clone(),
        prepared.expert.as_ref().map(|e| &*e.scores),
    )
    .in_stream(prepared.stream.clone())
    .in_phases(prepared.timetable.phases.clone());
    Ok((prepared, Arc::new(node)))
}

/// The engine that the scenario names.
fn engine(scenario: &Scenario, registry: &Registry) -> Result<Engine, RunError> {
    let engine = registry.engine(&scenario.training.engine).copied();
    Ok(engine.ok_or_else(|| {
        scenario.fault(
            "training.engine",
            "this engine is not known",
            "see `lyceum list`",
        )
    })?)
}

/// The prelude of a run in one process, on one thread: it is one unit.
fn train_expert(
    scenario: &Scenario,
    engine: Engine,
    groundwork: &Groundwork,
    stop: &AtomicBool,
) -> Result<Expert, RunError> {
    let machine = groundwork.prelude(scenario)?;
    let undivided = groundwork
        .loaded
        .undivided()
        .expect("a prelude is made from pooled samples");
    let node = Arc::new(Node::new(
        scenario,
        engine,
        groundwork.network.clone(),
        undivided,
        None,
    ));
    let started = Instant::now();
    let archive = Nowhere::default();
    let driver = Driver {
        rounds: Rounds::new(since(started), machine, archive, 0, Saving::default()),
        pool: Pool::start(&node, 1)?,
        started,
        stop,
        asked: None,
    };
    let (_, mut rounds) = driver.drive()?;
    let found = rounds.archive().expert.take();
    groundwork.expert_of(scenario, found.ok_or(RunError::Stopped)?)
}
