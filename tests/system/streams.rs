//! Promise: in a stream of tasks the result depends on the scenario alone, buffers included.

use crate::{
    catalogue::read,
    determinism::{run_in, run_until, run_with_data},
};
use lyceum_core::Fingerprint;
use lyceum_scenarios::Scenario;
use std::path::{Path, PathBuf};

/// 20 clients, each with its own order of tasks that come at times of its own, on the built-in digits.
fn federated(overrides: &[&str]) -> Scenario {
    let mut all = vec![
        "run.rounds=20",
        "scenario.class_incremental.arrival.sequence=own",
        "scenario.class_incremental.arrival.jitter=2",
    ];
    all.extend(overrides);
    read("federated-er", &all)
}

fn run(scenario: &Scenario, threads: usize) -> Fingerprint {
    let folder = tempfile::tempdir().unwrap();
    run_in(&folder.path().join("run"), scenario, threads, false).fingerprint
}

#[test]
fn threads_do_not_change_a_stream() {
    let scenario = federated(&[]);
    let one = run(&scenario, 1);
    assert_eq!([run(&scenario, 2), run(&scenario, 3)], [one; 2]);
    let other = federated(&["scenario.class_incremental.method.er.memory=7"]);
    assert_ne!(run(&other, 2), one, "the buffer is part of the fingerprint");
}

#[test]
fn a_run_that_is_stopped_in_the_middle_of_a_task_goes_on_with_its_buffers() {
    let scenario = federated(&[]);
    let whole = run(&scenario, 2);
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("run");
    let mut last = None;
    for rounds in [3, 6, 7, 13, u64::MAX] {
        let summary = run_until(&out, &scenario, 2, last.is_some(), rounds);
        last = Some(summary.fingerprint);
    }
    assert_eq!(last, Some(whole));
}

/// Every method that keeps something of a task that is over, and all their hooks in one call.
#[test]
fn methods_side_by_side_go_on_where_a_run_was_stopped_on_any_number_of_threads() {
    let scenario = federated(&[
        "scenario.class_incremental.method.ewc.lambda=1.0",
        "scenario.class_incremental.method.si.c=0.1",
        "scenario.class_incremental.method.mas.lambda=0.001",
        "scenario.class_incremental.method.lwf.alpha=1.0",
        "scenario.class_incremental.method.lora.rank=2",
        "scenario.class_incremental.method.freeze.names=[\"1.bias\"]",
    ]);
    let whole = run(&scenario, 1);
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("run");
    run_until(&out, &scenario, 2, false, 7);
    let resumed = run_until(&out, &scenario, 3, true, u64::MAX);
    assert_eq!(resumed.fingerprint, whole);
}

/// One round, no task after the first, and yet every class is learned and judged.
#[test]
fn joint_training_is_judged_by_all_tasks_from_the_first_round() {
    let scenario = federated(&["run.rounds=1", "scenario.class_incremental.method.joint={}"]);
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("run");
    run_until(&out, &scenario, 2, false, u64::MAX);
    let events = std::fs::read_to_string(out.join("events.jsonl")).unwrap();
    let judged = events
        .lines()
        .find(|e| e.contains("\"probe\":\"test\""))
        .unwrap();
    let (_, counts) = judged.split_once("\"count\":").unwrap();
    assert!(
        !counts.contains("[0,") && !counts.contains(",0"),
        "{judged}"
    );
}

fn shared_data() -> Option<PathBuf> {
    let folder = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/data"));
    let found = folder.join("fashion-mnist").exists();
    if !found {
        println!("skipped: {} is not there", folder.display());
    }
    found.then(|| folder.to_path_buf())
}

#[test]
fn a_timeline_gives_the_same_on_any_number_of_threads_and_after_a_stop() {
    let scenario = read("timeline-digits", &[]);
    let whole = run(&scenario, 1);
    assert_eq!(run(&scenario, 3), whole);
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("run");
    run_until(&out, &scenario, 2, false, 9);
    let summary = run_in(&out, &scenario, 2, true);
    assert_eq!(summary.fingerprint, whole);
    let events = std::fs::read_to_string(out.join("events.jsonl")).unwrap();
    let silent = events.lines().filter(|l| l.contains("dropped_out\""));
    assert!(silent.count() > 0, "somebody is silent for a while");
}

#[test]
fn importances_that_the_server_averages_are_the_same_on_any_number_of_threads() {
    let method = "scenario.class_incremental.method={averaged_ewc={lambda=3.0}}";
    let scenario = federated(&[method, "scenario.class_incremental.head=masked"]);
    let one = run(&scenario, 1);
    assert_eq!(run(&scenario, 3), one);
    let naive = federated(&[
        "scenario.class_incremental.method=naive",
        "scenario.class_incremental.head=masked",
    ]);
    assert_ne!(run(&naive, 2), one);
}

#[test]
fn fashion_mnist_with_asynchronous_tasks_gives_the_same_on_one_two_and_three_threads() {
    let Some(data) = shared_data() else { return };
    let scenario = federated(&[
        "data.set=fashion-mnist",
        "run.rounds=6",
        "training.batch=32",
    ]);
    let fingerprints = [1, 2, 3].map(|threads| {
        let folder = tempfile::tempdir().unwrap();
        run_with_data(&folder.path().join("run"), &scenario, threads, &data).fingerprint
    });
    assert_eq!(fingerprints, [fingerprints[0]; 3]);
}

/// What is said of a catalogue file with something wrong in it.
pub(crate) fn refused(name: &str, extra: &str, overrides: &[&str]) -> String {
    let path = crate::catalogue::folder().join(format!("{name}.toml"));
    let text = std::fs::read_to_string(path).unwrap() + extra;
    let overrides: Vec<String> = overrides.iter().map(|s| s.to_string()).collect();
    match Scenario::read(&lyceum::registry(), name, &text, &overrides) {
        Ok(_) => panic!("{name} {overrides:?} is taken"),
        Err(diagnostic) => diagnostic.to_string(),
    }
}

#[test]
fn what_would_show_a_sample_twice_or_would_not_be_heeded_is_refused() {
    let twice = refused("stream-online", "", &["training.steps=500"]);
    assert!(twice.contains("training.steps"), "{twice}");
    let loss = "\n[[timeline]]\nround = 3\nset = { \"training.loss\" = \"sigmoid\" }\n";
    let unheeded = refused("federated-er", loss, &[]);
    assert!(
        unheeded.contains("cannot change during a run"),
        "{unheeded}"
    );
}

#[test]
fn the_log_says_which_task_a_client_is_at_also_where_the_client_is_not_told() {
    let scenario = read("stream-gradual-drift", &[]);
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("run");
    run_in(&out, &scenario, 2, false);
    let events = std::fs::read_to_string(out.join("events.jsonl")).unwrap();
    for task in 0..4 {
        let said = format!("\"task\":{task},\"local");
        assert!(events.contains(&said), "nobody was at task {task}");
    }
}
