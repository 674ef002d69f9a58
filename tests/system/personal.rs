//! Promise: what stays with a client leaves it in no sum, has the same bits however a run is carried out, and is judged with it.

use crate::{
    catalogue,
    determinism::{fingerprint, run_in, run_until},
};
use lyceum_core::Event;
use lyceum_metrics::{EventReader, Status, Summary};
use lyceum_scenarios::Scenario;
use std::{
    path::Path,
    process::{Command, Stdio},
};

const SHORT: [&str; 2] = ["run.rounds=6", "data.clients=8"];
const COHORT: [&str; 1] = ["selection.uniform.per_round=4"];

fn personal(more: &[&str]) -> Scenario {
    catalogue::read("fed-bn-digits", &[&SHORT[..], &COHORT, more].concat())
}

#[test]
fn what_stays_with_clients_has_the_same_bits_on_threads_and_nodes_and_when_resumed() {
    let scenario = personal(&[]);
    let alone = fingerprint(&scenario, 1);
    assert_eq!(fingerprint(&scenario, 2), alone);
    assert_ne!(
        fingerprint(&personal(&["personal.local=[\"head\"]"]), 1),
        alone
    );
    let folder = tempfile::tempdir().unwrap();
    run_until(&folder.path().join("run"), &scenario, 2, false, 3);
    let resumed = run_in(&folder.path().join("run"), &scenario, 1, true);
    assert_eq!(
        (resumed.status, resumed.fingerprint),
        (Status::Finished, alone)
    );
    let status = Command::new(env!("CARGO_BIN_EXE_lyceum-under-test"))
        .arg("run")
        .arg(catalogue::folder().join("fed-bn-digits.toml"))
        .args(SHORT.iter().chain(&COHORT).flat_map(|set| ["--set", set]))
        .args(["--quiet", "--out", "nodes", "--nodes", "2"])
        .current_dir(folder.path())
        .stdout(Stdio::null())
        .status()
        .unwrap();
    assert!(status.success());
    let summary = Summary::read(&folder.path().join("nodes/summary.json")).unwrap();
    assert_eq!(summary.fingerprint, alone);
}

/// What clients' own models are worth on all test samples, round by round, and the bytes that each sent.
fn own(scenario: &Scenario, out: &Path) -> Vec<(u64, f64)> {
    run_in(out, scenario, 2, false);
    let events = EventReader::open(&out.join("events.jsonl")).unwrap();
    let told = events.filter_map(|event| match event.unwrap() {
        Event::Client { report, .. } => Some((report.bytes_up, report.local_accuracy.unwrap())),
        _ => None,
    });
    told.collect()
}

#[test]
fn what_stays_with_a_client_is_not_sent() {
    let folder = tempfile::tempdir().unwrap();
    let of = |name: &str, local: &str| {
        let set = format!("personal.local=[\"{local}\"]");
        own(&personal(&[&set]), &folder.path().join(name))
    };
    // 64 inputs, 64 units and their normalisation, 10 classes.
    let (first, norm, last) = (64 * 64 + 64, 4 * 64, 64 * 10 + 10);
    for (local, shared) in [
        ("head", first + norm),
        ("1", norm + last),
        ("norms", first + last),
    ] {
        let told = of(local, local);
        assert_eq!(told.len(), 24);
        assert!(
            told.iter().all(|(bytes, _)| *bytes == 4 * shared),
            "{local}"
        );
        assert!(told.iter().all(|(_, accuracy)| *accuracy > 0.05), "{local}");
    }
}

#[test]
fn names_that_mean_nothing_are_refused_where_they_stand() {
    let output = Command::new(env!("CARGO_BIN_EXE_lyceum-under-test"))
        .arg("check")
        .arg(catalogue::folder().join("fed-bn-digits.toml"))
        .args(["--set", "personal.local=[\"heads\"]"])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("`heads` is nothing in this model"), "{said}");
    assert!(said.contains("2.variance"), "{said}");
}
