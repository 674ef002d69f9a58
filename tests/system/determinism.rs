//! Promise: threads change how long a run takes and nothing else.

use crate::catalogue::{self, read};
use lyceum_core::{Event, Fingerprint};
use lyceum_metrics::{Status, Summary};
use lyceum_scenarios::Scenario;
use lyceum_simulation::{Settings, run};
use std::{
    path::Path,
    process::{Command, Stdio},
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};

/// Runs a scenario in process, into a folder that need not exist.
pub(crate) fn run_in(folder: &Path, scenario: &Scenario, threads: usize, resume: bool) -> Summary {
    run_until(folder, scenario, threads, resume, u64::MAX)
}

/// Runs a scenario on a data set that lies in a folder.
pub(crate) fn run_with_data(
    folder: &Path,
    scenario: &Scenario,
    threads: usize,
    data: &Path,
) -> Summary {
    let settings = Settings {
        folders: vec![data.to_path_buf()],
        ..settings(folder, threads, false)
    };
    run(
        scenario,
        &lyceum::registry(),
        &settings,
        &AtomicBool::new(false),
        &mut |_| {},
    )
    .unwrap_or_else(|e| panic!("{e}"))
}

fn settings(folder: &Path, threads: usize, resume: bool) -> Settings {
    Settings {
        threads,
        out: folder.to_path_buf(),
        folders: vec![],
        resume,
        checkpoint_every: Duration::ZERO,
        // Less than one update, so that all of them are spilt.
        updates_bytes: 1000,
        facts: None,
        started: Instant::now(),
    }
}

/// Runs until `rounds` rounds are closed, then stops as Ctrl-C would.
pub(crate) fn run_until(
    folder: &Path,
    scenario: &Scenario,
    threads: usize,
    resume: bool,
    rounds: u64,
) -> Summary {
    let settings = settings(folder, threads, resume);
    let over =
        |event: &Event| matches!(event, Event::RoundClosed { round, .. } if round.0 + 1 >= rounds);
    run_with(&settings, scenario, &over)
}

/// Runs from the first round until an event, then stops as Ctrl-C would. No checkpoint is due before.
pub(crate) fn run_until_event(
    folder: &Path,
    scenario: &Scenario,
    last: &dyn Fn(&Event) -> bool,
) -> Summary {
    let settings = Settings {
        checkpoint_every: Duration::from_secs(3600),
        ..settings(folder, 2, false)
    };
    run_with(&settings, scenario, last)
}

fn run_with(settings: &Settings, scenario: &Scenario, last: &dyn Fn(&Event) -> bool) -> Summary {
    let stop = AtomicBool::new(false);
    let observe = &mut |event: &Event| {
        if last(event) {
            stop.store(true, Ordering::Relaxed);
        }
    };
    run(scenario, &lyceum::registry(), settings, &stop, observe).unwrap_or_else(|e| panic!("{e}"))
}

pub(crate) fn fingerprint(scenario: &Scenario, threads: usize) -> Fingerprint {
    let folder = tempfile::tempdir().unwrap();
    run_in(&folder.path().join("run"), scenario, threads, false).fingerprint
}

/// Runs a file of the catalogue with so many node processes.
pub(crate) fn on_nodes(name: &str, overrides: &[&str], nodes: u32) -> Fingerprint {
    let folder = tempfile::tempdir().unwrap();
    let status = Command::new(env!("CARGO_BIN_EXE_lyceum-under-test"))
        .arg("run")
        .arg(catalogue::folder().join(format!("{name}.toml")))
        .args(overrides.iter().flat_map(|set| ["--set", *set]))
        .args(["--quiet", "--threads", "2", "--out", "nodes"])
        .args(["--nodes", &nodes.to_string()])
        .current_dir(folder.path())
        .stdout(Stdio::null())
        .status()
        .unwrap();
    assert!(status.success(), "{name}");
    let summary = Summary::read(&folder.path().join("nodes/summary.json")).unwrap();
    summary.fingerprint
}

/// The fingerprint of a file of the catalogue, which it has on one thread and on two, when it is stopped behind so many rounds
/// and gone on with, and on two node processes.
pub(crate) fn everywhere(name: &str, overrides: &[&str], stopped: u64) -> Fingerprint {
    let scenario = read(name, overrides);
    let alone = fingerprint(&scenario, 1);
    assert_eq!(fingerprint(&scenario, 2), alone, "{name}");
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("run");
    let paused = run_until(&run, &scenario, 2, false, stopped);
    assert_eq!(paused.status, Status::Paused, "{name}");
    let resumed = run_in(&run, &scenario, 1, true);
    let found = (resumed.status, resumed.fingerprint);
    assert_eq!(found, (Status::Finished, alone), "{name}");
    assert_eq!(on_nodes(name, overrides, 2), alone, "{name}");
    alone
}

/// Strategies with different states, times every order, on a short quickstart.
pub(crate) fn variants() -> Vec<Scenario> {
    let strategies = [
        "strategy.fed_avg={}",
        "strategy.scaffold={}",
        "strategy.fed_adam={}",
    ];
    let orders = [
        "curriculum",
        "anti-curriculum",
        "random",
        "vanilla",
        "blocked",
        "interleaved",
    ];
    let pairs = strategies
        .iter()
        .flat_map(|s| orders.iter().map(move |o| (s, o)));
    pairs
        .map(|(strategy, order)| {
            read(
                "quickstart",
                &[
                    "run.rounds=6",
                    "training.epochs=1",
                    strategy,
                    &format!("ordering.order={order}"),
                ],
            )
        })
        .collect()
}

#[test]
fn any_number_of_threads_gives_the_same_fingerprint() {
    for scenario in variants() {
        let one = fingerprint(&scenario, 1);
        for threads in [2, 3, 7] {
            let many = fingerprint(&scenario, threads);
            assert_eq!(one, many, "{threads}: {}", scenario.resolved());
        }
    }
}

#[test]
fn every_strategy_selector_and_score_is_deterministic() {
    let strategies = [
        "fed_prox={mu=0.1}",
        "fed_avg_m={}",
        "fed_yogi={}",
        "fed_adagrad={}",
        "fed_nova={}",
        "fed_dyn={alpha=0.1}",
        "median={}",
        "trimmed_mean={trim=0.25}",
        "krum={byzantine=0,keep=2}",
        "geometric_median={}",
    ];
    let selections = [
        "uniform={per_round=4}",
        "passes={per_round=4}",
        "all={}",
        "power_of_choice={candidates=8,per_round=4}",
        "oort={per_round=4}",
    ];
    let scores = ["local-loss", "both-losses", "expert-loss", "global-error"];
    let short = ["run.rounds=4", "training.epochs=1"];
    let one = |set: String| {
        let scenario = read("quickstart", &[short[0], short[1], &set]);
        assert_eq!(
            fingerprint(&scenario, 1),
            fingerprint(&scenario, 3),
            "{set}"
        );
    };
    strategies.iter().for_each(|s| one(format!("strategy.{s}")));
    selections
        .iter()
        .for_each(|s| one(format!("selection.{s}")));
    scores
        .iter()
        .for_each(|s| one(format!("ordering.score={s}")));
    one("ordering.pace={cyclical={}}".into());
    one("ordering.weighting={by=\"global-loss\"}".into());
    one("availability.dropout=0.4".into());
    one("training.optimizer={adam={}}".into());
    one("training.loss=\"sigmoid\"".into());
    one("training.engine=\"flex\"".into());
    let normalised = "{dense={units=16}},{batch_norm={}},{relu={}},{group_norm={groups=4}}";
    one(format!("model.cnn={{layers=[{normalised}]}}"));
}

#[test]
fn another_seed_is_another_run() {
    let seed = |s| {
        fingerprint(
            &read("quickstart", &["run.rounds=2", &format!("run.seed={s}")]),
            2,
        )
    };
    assert_ne!(seed(1), seed(2));
    assert_eq!(seed(1), seed(1));
}

#[test]
fn a_run_with_seven_rounds_begins_like_one_with_six() {
    let links = |rounds: u64| {
        let folder = tempfile::tempdir().unwrap();
        let scenario = read(
            "quickstart",
            &[
                "selection.uniform={per_round=5}",
                &format!("run.rounds={rounds}"),
            ],
        );
        run_in(folder.path(), &scenario, 2, false);
        let table = std::fs::read_to_string(folder.path().join("rounds.csv")).unwrap();
        let mut reader = csv::Reader::from_reader(table.as_bytes());
        let column = reader
            .headers()
            .unwrap()
            .iter()
            .position(|h| h == "train_loss")
            .unwrap();
        reader
            .records()
            .map(|r| r.unwrap()[column].to_string())
            .collect::<Vec<_>>()
    };
    assert_eq!(links(6), links(7)[..6]);
}

/// A million clients cost what a thousand cost: shards are made on demand. Memory is no timing.
#[test]
fn a_million_clients_fit_in_little_memory() {
    let folder = tempfile::tempdir().unwrap();
    let file = crate::catalogue::folder().join("million.toml");
    let status = std::process::Command::new(env!("CARGO_BIN_EXE_lyceum-under-test"))
        .args(["run", "--quiet", "--out", "run"])
        .arg(file)
        .current_dir(folder.path())
        .stdout(std::process::Stdio::null())
        .status()
        .unwrap();
    assert!(status.success());
    let summary = Summary::read(&folder.path().join("run/summary.json")).unwrap();
    assert_eq!(summary.clients, 1_000_000);
    assert!(summary.peak_rss_mib < 300.0, "{}", summary.peak_rss_mib);
}

#[test]
fn streams_of_tasks_are_deterministic() {
    for name in [
        "split-digits-er",
        "stream-blurry",
        "stream-domain-incremental",
        "stream-gradual-drift",
        "stream-joining",
        "stream-online",
        "stream-questions",
        "stream-task-free",
        "stream-task-incremental",
    ] {
        let scenario = read(name, &[]);
        assert_eq!(
            fingerprint(&scenario, 1),
            fingerprint(&scenario, 3),
            "{name}"
        );
    }
}
