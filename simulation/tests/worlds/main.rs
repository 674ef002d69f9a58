//! Promise: whatever happens to network, processes, disks and clocks, a run ends with its result.

#[cfg(feature = "mutants")]
mod mutants;
mod promises;
mod stack;

use lyceum_core::{Event, Fingerprint};
use lyceum_scenarios::{Registry, Scenario};
use lyceum_simulation::{
    Settings, run,
    world::{Ground, Lab},
};
use std::{sync::atomic::AtomicBool, time::Instant};

/// Small enough for thousands of runs, with states, scores and several kinds of units in it.
const SCENARIO: &str = r#"
[run]
name = "world"
rounds = 3

[data]
set = "digits"
clients = 10
validation = 0.1
[data.partition.dirichlet]
alpha = 0.5

[model.softmax]

[training]
epochs = 1
batch = 20
rate = 0.1
[training.optimizer.sgd]

[selection.uniform]
per_round = 6

[strategy.fed_avg]
"#;

/// Two tasks come one after the other; more may join.
const STREAM: &[&str] = &[
    "run.rounds=6",
    "data.partition=\"iid\"",
    "scenario.class_incremental={classes=[[0,1],[2,3,4]],arrival={rounds_per_task=3},method={er={memory=10}}}",
];

fn registry() -> Registry {
    let mut registry = Registry::default();
    registry.engines.extend(lyceum_learner::engines());
    registry
}

/// The scenario with overrides.
fn read(overrides: &[&str]) -> Scenario {
    let overrides: Vec<String> = overrides.iter().map(|s| s.to_string()).collect();
    Scenario::read(&registry(), "world.toml", SCENARIO, &overrides)
        .unwrap_or_else(|e| panic!("{e}"))
}

fn ground(scenario: &Scenario) -> (Ground, Lab) {
    let ground = Ground::new(scenario, &registry(), &[]).unwrap_or_else(|e| panic!("{e}"));
    let lab = Lab::new(&ground).unwrap_or_else(|e| panic!("{e}"));
    (ground, lab)
}

/// The fingerprint of a run in one process.
fn in_process(scenario: &Scenario) -> Fingerprint {
    let folder = tempfile::tempdir().expect("a folder for the run");
    let settings = Settings {
        threads: 2,
        out: folder.path().join("run"),
        folders: vec![],
        resume: false,
        checkpoint_every: std::time::Duration::from_secs(3600),
        updates_bytes: 0,
        facts: None,
        started: Instant::now(),
    };
    let mut last = Fingerprint::default();
    let observe = &mut |event: &Event| {
        if let Event::RunFinished { fingerprint, .. } = event {
            last = *fingerprint;
        }
    };
    let stop = AtomicBool::new(false);
    run(scenario, &registry(), &settings, &stop, observe).unwrap_or_else(|e| panic!("{e}"));
    last
}
