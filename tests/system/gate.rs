//! Promise: a competence gate brings tasks when the federation's model has earned them, which depends on the scenario
//! alone.

use crate::{
    catalogue::read,
    determinism::{run_in, run_until},
    streams::refused,
};
use lyceum_core::{Event, Fingerprint, Opening, Probe};
use lyceum_metrics::{EventReader, StreamRecord, Summary};
use lyceum_scenarios::Scenario;
use std::{
    path::Path,
    process::{Command, Stdio},
};

fn events(out: &Path) -> Vec<Event> {
    let reader = EventReader::open(&out.join("events.jsonl")).unwrap();
    reader.collect::<Result<_, _>>().unwrap()
}

fn openings(events: &[Event]) -> Vec<Opening> {
    let opening = |event: &Event| match event {
        Event::TaskBegan(opening) => Some(*opening),
        _ => None,
    };
    events.iter().filter_map(opening).collect()
}

/// Fingerprint and events of a run, wall times left out.
fn run(scenario: &Scenario, threads: usize) -> (Fingerprint, Vec<Event>) {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("run");
    let summary = run_in(&out, scenario, threads, false);
    (summary.fingerprint, untimed(&out))
}

fn untimed(out: &Path) -> Vec<Event> {
    let mut events = events(out);
    events.retain(|event| !matches!(event, Event::Timing { .. } | Event::Paused { .. }));
    events
}

#[test]
fn tasks_come_with_competence_on_any_number_of_threads() {
    let scenario = read("stream-gate", &[]);
    let (one, events) = run(&scenario, 1);
    assert_eq!([run(&scenario, 2).0, run(&scenario, 3).0], [one; 2]);
    let opened = openings(&events);
    let places: Vec<u32> = opened.iter().map(|opening| opening.place).collect();
    assert_eq!(places, [1, 2, 3, 4]);
    let mastered = |o: &Opening| o.competent && o.accuracy > 0.9 && o.mean > 0.9;
    assert!(opened.iter().all(mastered), "{opened:?}");
    let begins: Vec<u64> = opened.iter().map(|opening| opening.round.0).collect();
    let lengths = begins.windows(2).map(|pair| pair[1] - pair[0]);
    assert!(lengths.into_iter().all(|rounds| (2..12).contains(&rounds)));
    let mut record = StreamRecord::default();
    events.iter().for_each(|event| record.observe(event));
    let recorded: Vec<u64> = record.order().iter().map(|visit| visit.begins).collect();
    assert_eq!(recorded, [vec![0], begins].concat());
    let matrix = record.curve().matrix().unwrap();
    assert_eq!(matrix.tasks(), 5);
}

#[test]
fn a_run_that_is_stopped_in_the_middle_of_a_stage_goes_on_there() {
    let scenario = read("stream-gate", &[]);
    let (whole, events) = run(&scenario, 2);
    let begins: Vec<u64> = openings(&events).iter().map(|o| o.round.0).collect();
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("run");
    let mut last = None;
    for rounds in [begins[0], begins[1] + 1, begins[3] - 1, u64::MAX] {
        let summary = run_until(&out, &scenario, 2, last.is_some(), rounds);
        last = Some(summary.fingerprint);
    }
    assert_eq!(last, Some(whole));
    assert_eq!(untimed(&out), events);
}

#[test]
fn nodes_are_told_which_stages_began() {
    for gate in [
        "accumulate",
        "window={tasks=2}",
        "replace={next=\"worst\",patience=3}",
    ] {
        let (key, value) = gate.split_once('=').unwrap_or((gate, "{}"));
        let set = format!("scenario.class_incremental.gate={{{key}={value}}}");
        let method = "scenario.class_incremental.method.er.memory=10";
        let set = [set.as_str(), method, "run.rounds=12"];
        let (alone, events) = run(&read("stream-gate", &set), 2);
        assert!(openings(&events).len() > 1, "{gate}");
        let folder = tempfile::tempdir().unwrap();
        let status = Command::new(env!("CARGO_BIN_EXE_lyceum-under-test"))
            .arg("run")
            .arg(crate::catalogue::folder().join("stream-gate.toml"))
            .args(set.iter().flat_map(|s| ["--set", *s]))
            .args(["--quiet", "--threads", "2", "--out", "run", "--nodes", "2"])
            .current_dir(folder.path())
            .stdout(Stdio::null())
            .status()
            .unwrap();
        assert!(status.success(), "{gate}");
        let summary = Summary::read(&folder.path().join("run/summary.json")).unwrap();
        assert_eq!(summary.fingerprint, alone, "{gate}");
    }
}

/// With the worst of the tasks that are left the order is another, and it is taken up again where a run was stopped.
#[test]
fn the_model_may_choose_which_task_comes_next() {
    let order = |next: &str| {
        let gate =
            format!("scenario.class_incremental.gate={{replace={{next=\"{next}\",patience=3}}}}");
        let scenario = read("stream-gate", &[&gate, "run.rounds=15"]);
        let (whole, events) = run(&scenario, 1);
        let opened = openings(&events);
        assert_eq!(run(&scenario, 2).0, whole, "{next}");
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("run");
        run_until(&out, &scenario, 2, false, opened[1].round.0 + 1);
        let summary = run_until(&out, &scenario, 2, true, u64::MAX);
        assert_eq!(summary.fingerprint, whole, "{next}");
        assert_eq!(untimed(&out), events, "{next}");
        if next != "given" {
            chosen_by_loss(next, &events);
        }
        opened.iter().map(|o| o.task.0).collect::<Vec<_>>()
    };
    let (given, best, worst) = (order("given"), order("best"), order("worst"));
    assert_eq!(given, [1, 2, 3, 4]);
    for other in [&best, &worst] {
        let mut sorted = other.clone();
        sorted.sort_unstable();
        assert_eq!(
            (sorted, other != &given),
            (given.clone(), true),
            "{other:?}"
        );
    }
}

/// Each task that began was, of those left, the one that its name says, as the events before it tell.
fn chosen_by_loss(next: &str, events: &[Event]) {
    let mut left = vec![1, 2, 3, 4];
    let mut seen = std::collections::BTreeMap::new();
    for event in events {
        match event {
            Event::Evaluated {
                probe: Probe::Gate(task),
                loss,
                ..
            } => {
                seen.insert(task.0, *loss);
            }
            Event::TaskBegan(opening) => {
                let worth = |task: &u32| seen[task] * if next == "worst" { 1.0 } else { -1.0 };
                let most = left.iter().map(worth).fold(f64::MIN, f64::max);
                let first = *left.iter().find(|task| worth(task) == most).unwrap();
                assert_eq!(opening.task.0, first, "{next}: {seen:?}");
                left.retain(|task| *task != opening.task.0);
            }
            _ => {}
        }
    }
}

/// Rounds in which tasks came, and whether the model had earned them.
fn stages(overrides: &[&str]) -> Vec<(u64, bool)> {
    let (_, events) = run(&read("stream-gate", overrides), 2);
    let opened = openings(&events);
    opened.iter().map(|o| (o.round.0, o.competent)).collect()
}

#[test]
fn patience_moves_on_where_the_threshold_is_out_of_reach() {
    let gate = "scenario.class_incremental.gate={replace={threshold=1.0,patience=6}}";
    assert_eq!(
        stages(&[gate, "run.rounds=26"]),
        [(6, false), (12, false), (18, false), (24, false)]
    );
    let equal_parts = "scenario.class_incremental.gate={replace={threshold=1.0}}";
    let four = [(4, false), (8, false), (12, false), (16, false)];
    assert_eq!(stages(&[equal_parts, "run.rounds=20"]), four);
}

#[test]
fn the_gate_has_a_cadence_of_its_own() {
    let gate =
        "scenario.class_incremental.gate={replace={threshold=0.0,min_rounds=2,patience=9,every=3}}";
    let set = [gate, "run.rounds=14", "evaluation.every=7"];
    assert_eq!(stages(&set), [(3, true), (6, true), (9, true), (12, true)]);
    let (_, events) = run(&read("stream-gate", &set), 2);
    let judged = |event: &Event| match event {
        Event::Evaluated { round, probe, .. } if *probe == Probe::Test => Some(round.0),
        _ => None,
    };
    // Every seventh round, and the last one of each task.
    assert_eq!(
        events.iter().filter_map(judged).collect::<Vec<_>>(),
        [2, 5, 6, 8, 11, 13]
    );
}

#[test]
fn what_would_set_clients_apart_is_refused_with_a_gate_all_at_once() {
    let stream = "scenario.class_incremental";
    let set = [
        "arrival.jitter=2",
        "arrival.sequence=own",
        "arrival.spread=0.5",
        "arrival.rounds_per_task=3",
        "arrival.tasks_per_client=2",
        "arrival.joining={initial=2,per_task=1}",
        "method.cumulative={}",
        "gate.accumulate.min_rounds=13",
    ]
    .map(|set| format!("{stream}.{set}"));
    let mut set: Vec<&str> = set.iter().map(String::as_str).collect();
    set.push("data.validation=0.0");
    let turn = "\n[[timeline]]\nround = 3\nnew_task = true\n";
    let said = refused("stream-gate", turn, &set);
    assert_eq!(said.matches("error:").count(), 10, "{said}");
    for sentence in [
        "there are none",
        "in `[data]`",
        "a gate brings each task to all clients in the same round",
        "a gate says how long a task lasts",
        "a gate says itself which tasks are shown",
        "longer than its patience",
        "a gate says when tasks come",
    ] {
        assert!(said.contains(sentence), "{sentence}: {said}");
    }
    let gate = ["data.validation=0.1", "training.epochs=1"];
    for (name, kind) in [
        ("stream-online", "online"),
        ("stream-gradual-drift", "gradual_drift"),
    ] {
        let key = format!("scenario.{kind}.gate=replace");
        let said = refused(name, "", &[&gate[..], &[key.as_str()]].concat());
        assert!(said.contains("must know"), "{said}");
    }
}
