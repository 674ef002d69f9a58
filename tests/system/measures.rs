//! Promise: measures are taken when a task is over, whatever is evaluated besides, or are not there and said to be missing;
//! and a table of runs counts what it says.

use crate::{
    catalogue::{folder as catalogue, read},
    determinism::{run_in, run_until},
};
use lyceum_core::{
    Calendar, Event, Lens, Members, Seed, StreamRules, Task, TaskId, TaskStream, Visit,
};
use lyceum_metrics::{EventReader, Status, Summary};
use lyceum_scenarios::Scenario;
use serde_json::Value;
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
};

/// Measures that are taken when a task is over.
const AT_ENDS: [&str; 7] = [
    "learning_accuracy",
    "forgetting",
    "backward_transfer",
    "mean_curve_accuracy",
    "client_accuracy",
    "client_forgetting",
    "temporal_retention",
];

fn case(path: &str) -> PathBuf {
    let folder = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/system/cases"));
    folder.join(path)
}

fn lyceum(arguments: &[&str]) -> String {
    let out = Command::new(env!("CARGO_BIN_EXE_lyceum-under-test"))
        .args(arguments)
        .output()
        .unwrap();
    let complaint = String::from_utf8_lossy(&out.stderr);
    assert!(out.status.success(), "{arguments:?}: {complaint}");
    String::from_utf8(out.stdout).unwrap()
}

fn measured(scenario: &Scenario) -> Summary {
    let folder = tempfile::tempdir().unwrap();
    run_in(folder.path(), scenario, 2, false)
}

/// The scenario of the case, judged every so many rounds.
fn five_tasks(every: u64) -> Scenario {
    let text = fs::read_to_string(case("eval-every-changes-forgetting/scenario.toml")).unwrap();
    let set = [format!("evaluation.every={every}")];
    Scenario::read(&lyceum::registry(), "case", &text, &set).unwrap()
}

#[test]
fn forgetting_does_not_depend_on_how_often_is_judged() {
    let right = [0.636, 0.551, -0.551, 0.370];
    for every in [1, 5, 4, 6, 7, 25] {
        let summary = measured(&five_tasks(every));
        for (name, right) in AT_ENDS.iter().zip(right) {
            let found = summary.measures[*name];
            assert!((found - right).abs() < 5e-4, "{every}: {name} {found}");
        }
        assert!(summary.unmeasured.is_empty(), "{:?}", summary.unmeasured);
    }
}

/// Gates, blurred and drifting boundaries, and a timeline that moves the tasks: all clients have them at the same time.
#[test]
fn whatever_ends_a_task_is_followed_by_an_evaluation() {
    for name in [
        "stream-gate",
        "stream-blurry",
        "stream-domain-incremental",
        "stream-gradual-drift",
        "stream-online",
        "timeline-digits",
        "federated-er",
    ] {
        let gate = "scenario.class_incremental.gate.accumulate.every=1";
        let [often, seldom] = ["evaluation.every=1", "evaluation.every=7"].map(|every| {
            let set = [every, gate];
            let set = if name == "stream-gate" {
                &set[..]
            } else {
                &set[..1]
            };
            measured(&read(name, set))
        });
        let mut seen = 0;
        for measure in AT_ENDS {
            let found = seldom.measures.get(measure);
            assert_eq!(found, often.measures.get(measure), "{name}: {measure}");
            seen += usize::from(found.is_some());
        }
        assert!(seen >= 4, "{name}: {:?}", seldom.unmeasured);
    }
}

const ARRIVAL: &str = "scenario.class_incremental.arrival";

fn own(arrival: &str, every: u64) -> Scenario {
    let set = [
        format!("{ARRIVAL}.{arrival}"),
        format!("evaluation.every={every}"),
        "selection.all={}".into(),
        "training.epochs=1".into(),
    ];
    let set: Vec<&str> = set.iter().map(String::as_str).collect();
    read("federated-er", &set)
}

/// What is not judged at the end of each client's own task is left out with the reason; the common measures go by the last
/// client.
#[test]
fn with_arrivals_of_their_own_measures_are_right_or_missing() {
    for arrival in ["jitter=2", "spread=0.4", "sequence=own"] {
        let [often, seldom] = [1, 4].map(|every| measured(&own(arrival, every)));
        let mut missing = 0;
        for measure in AT_ENDS {
            match seldom.measures.get(measure) {
                Some(found) => assert_eq!(found, &often.measures[measure], "{arrival}: {measure}"),
                None => missing += 1,
            }
        }
        let said = seldom.unmeasured.join("\n");
        assert_eq!(missing > 0, !said.is_empty(), "{arrival}: {said}");
        assert!(often.measures.contains_key("client_forgetting"));
        let common = arrival != "sequence=own";
        assert_eq!(
            often.measures.contains_key("forgetting"),
            common,
            "{arrival}"
        );
        assert_eq!(said.contains("orders of their own"), !common, "{said}");
    }
}

/// The log's own ends are right: nobody trains on a task from its end on, and somebody does in the round before.
#[test]
fn a_task_ends_with_its_last_client() {
    let folder = tempfile::tempdir().unwrap();
    run_in(folder.path(), &own("jitter=2", 6), 2, false);
    let reader = EventReader::open(&folder.path().join("events.jsonl")).unwrap();
    let events: Vec<Event> = reader.collect::<Result<_, _>>().unwrap();
    let spans = events.iter().find_map(|event| match event {
        Event::StreamStarted { order, ends, .. } => Some((order.clone(), ends.clone().unwrap())),
        _ => None,
    });
    let (order, ends) = spans.unwrap();
    assert_eq!(ends.last(), Some(&None));
    for (visit, end) in order.iter().zip(&ends[..4]) {
        let end = end.unwrap();
        let last = events.iter().filter_map(|event| match event {
            Event::Client { round, report } if report.task == Some(visit.task) => Some(round.0),
            _ => None,
        });
        assert_eq!(last.max(), Some(end - 1), "{visit:?}");
        let judged = |e: &Event| matches!(e, Event::Evaluated { round, .. } if round.0 == end - 1);
        assert!(events.iter().any(judged), "{end}");
    }
}

/// A stream over visits (task, first round) of each client.
fn stream(reference: &[(u32, u64)], clients: &[&[(u32, u64)]]) -> TaskStream {
    let visits = |slots: &[(u32, u64)]| -> Arc<[Visit]> {
        let visit = |(place, &(task, begins)): (u32, &(u32, u64))| Visit {
            task: TaskId(task),
            place,
            begins,
            ends: slots.get(place as usize + 1).map_or(99, |next| next.1),
        };
        (0..).zip(slots).map(visit).collect()
    };
    let task = |_| Task {
        name: String::new(),
        train: Members::All,
        probe: [0].into(),
        classes: [0].into(),
        lens: Lens::default(),
    };
    let calendar = match clients {
        [] => Calendar::Same(visits(reference)),
        clients => Calendar::Each(clients.iter().map(|slots| visits(slots)).collect()),
    };
    let tasks = (0..3).map(task).collect();
    TaskStream::new(
        tasks,
        calendar,
        visits(reference),
        StreamRules::default(),
        Seed(1),
    )
}

#[test]
fn tasks_end_where_the_last_client_goes_on() {
    let plain = [(0, 0), (1, 5), (2, 10)];
    let ends = |clients: &[&[(u32, u64)]]| stream(&plain, clients).ends();
    assert_eq!(ends(&[]), Some(vec![Some(5), Some(10), None]));
    // The second client is late, the third joins with the second task.
    let late: [&[(u32, u64)]; 3] = [&plain, &[(0, 1), (1, 7), (2, 11)], &[(1, 5), (2, 10)]];
    assert_eq!(ends(&late), Some(vec![Some(7), Some(11), None]));
    // The second client stays with its first task while the second one passes by.
    let stays: [&[(u32, u64)]; 2] = [&plain, &[(0, 0), (2, 10)]];
    assert_eq!(ends(&stays), Some(vec![Some(10), Some(10), None]));
    // The second client stays with its second task to the end.
    let kept: [&[(u32, u64)]; 2] = [&plain, &[(0, 0), (1, 5)]];
    assert_eq!(ends(&kept), Some(vec![Some(5), None, None]));
    // Orders of their own, and a task that nobody has.
    assert_eq!(ends(&[&plain, &[(2, 0), (1, 5), (0, 10)]]), None);
    assert_eq!(ends(&[&[(0, 0), (2, 10)]]), None);
    // A task that comes again is told from its first time.
    let twice = [(0, 0), (1, 5), (0, 10), (1, 15)];
    let late = [(0, 2), (1, 6), (0, 11), (1, 15)];
    let ends = stream(&twice, &[&twice, &late]).ends();
    assert_eq!(ends, Some(vec![Some(6), Some(11), Some(15), None]));
}

/// A log of an earlier version, in which nobody was judged at the end of the second task.
#[test]
fn a_log_without_the_right_evaluations_has_a_dash_and_a_reason() {
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path();
    run_in(run, &five_tasks(5), 2, false);
    let log = run.join("events.jsonl");
    let text = fs::read_to_string(&log).unwrap();
    let gone = |line: &&str| !(line.contains("\"evaluated\"") && line.contains("\"round\":9,"));
    let kept: Vec<&str> = text.lines().filter(gone).collect();
    assert!(kept.len() < text.lines().count());
    fs::write(&log, kept.join("\n") + "\n").unwrap();
    let table = lyceum(&["metrics", &run.to_string_lossy()]);
    let row = |name: &str| {
        let mut lines = table.lines().filter(|line| line.starts_with(name));
        lines
            .next()
            .unwrap()
            .split_whitespace()
            .nth(1)
            .map(String::from)
    };
    assert_eq!(row("forgetting_max").as_deref(), Some("-"));
    assert_ne!(row("final_average_accuracy").as_deref(), Some("-"));
    assert!(table.contains("round 9, the last of task"), "{table}");
}

#[test]
fn numbers_that_are_not_one_to_n_are_names_of_tasks() {
    let curve = |name: &str| {
        let path = case(&format!("metrics-numeric-task-names/{name}.csv"));
        let text = lyceum(&["metrics", &path.to_string_lossy(), "--json"]);
        let json: Value = serde_json::from_str(&text).unwrap();
        let setup = &json["setups"][0];
        let value = setup["metrics"]["mean_of_curve"].as_f64().unwrap();
        (setup["tasks"].clone(), value)
    };
    let (labels, value) = curve("labels");
    assert_eq!(labels, serde_json::json!(["5", "2", "9"]));
    assert!(
        (value - (0.9 + 0.65 + 1.6 / 3.0) / 3.0).abs() < 1e-12,
        "{value}"
    );
    assert_eq!(curve("names").1, value);
}

#[test]
fn a_matrix_in_percent_has_no_f_and_says_why() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("percent.csv");
    fs::write(&path, "after_task,task,value\na,a,90\nb,a,50\nb,b,80\n").unwrap();
    let table = lyceum(&["metrics", &path.to_string_lossy()]);
    let row = |name: &str| {
        let mut rows = table.lines().map(|line| line.split_whitespace());
        rows.find_map(|mut row| (row.next() == Some(name)).then(|| row.next().unwrap().to_owned()))
    };
    assert_eq!(row("f").as_deref(), Some("-"), "{table}");
    assert_eq!(row("forgetting_max").as_deref(), Some("40.0000"), "{table}");
    assert_eq!(row("alpha").as_deref(), Some("65.0000"), "{table}");
    assert!(
        table.trim_end().ends_with("some value here is beyond 1"),
        "{table}"
    );
}

/// Clients that leave, a task that comes early, an entry at a task, and clients that join later.
#[test]
fn experts_are_trained_whatever_the_timeline_and_the_arrivals() {
    for name in ["timeline-digits", "stream-joining"] {
        let folder = tempfile::tempdir().unwrap();
        let run = folder.path();
        run_in(run, &read(name, &[]), 2, false);
        let text = lyceum(&["metrics", &run.to_string_lossy(), "--experts", "--json"]);
        let json: Value = serde_json::from_str(&text).unwrap();
        let found = &json["setups"][0]["metrics"];
        for measure in ["plasticity_ratio", "intransigence"] {
            assert!(found[measure].is_number(), "{name}: {measure} {found}");
        }
    }
}

/// Two folders with one seed, a run of the same name at another rate, and one that was stopped.
#[test]
fn compare_counts_a_seed_once_and_runs_of_one_scenario_together() {
    let folder = tempfile::tempdir().unwrap();
    let place = |name: &str| folder.path().join(name);
    let short = |seed: u64, more: &str| {
        let seed = format!("run.seed={seed}");
        read(
            "quickstart",
            &["run.rounds=3", "training.epochs=1", &seed, more],
        )
    };
    let plain = "training.batch=10";
    let first = run_in(&place("a1"), &short(1, plain), 2, false);
    let second = run_in(&place("a2"), &short(2, plain), 2, false);
    run_in(&place("b1"), &short(1, plain), 1, false);
    run_in(&place("fast1"), &short(1, "training.rate=0.5"), 2, false);
    let stopped = run_until(&place("a3"), &short(3, plain), 2, false, 1);
    assert_eq!(stopped.status, Status::Paused);
    run_in(&place("c4"), &short(4, "run.name=other"), 2, false);
    let paths = ["a1", "a2", "b1", "fast1", "a3", "c4"].map(place);
    let paths: Vec<String> = paths.iter().map(|p| p.display().to_string()).collect();
    let mut arguments = vec!["compare"];
    arguments.extend(paths.iter().map(String::as_str));
    let table = lyceum(&arguments);
    let (left_out, rest) = table.split_once("\n\n").unwrap();
    assert!(
        left_out.contains("b1): this seed is there already, in"),
        "{table}"
    );
    assert!(
        left_out.contains("a3): paused after 1 of 3 rounds"),
        "{table}"
    );
    assert_eq!(left_out.lines().count(), 2, "{table}");
    let (rows, notes) = rest.split_once("\n\n").unwrap();
    let rows: Vec<&str> = rows.lines().skip(1).collect();
    assert_eq!(rows.len(), 2, "{table}");
    let [first, second] = [first, second].map(|s| 100.0 * s.final_accuracy.unwrap());
    assert!(
        rows[0].contains("rate=") && rows[1].contains("rate=0.5"),
        "{table}"
    );
    assert!(
        notes.contains("other: the same scenario as quickstart"),
        "{table}"
    );
    let without = [&arguments[..3], &arguments[3..4]].concat();
    let table = lyceum(&without);
    let mean = format!(" 2  {:.2} ±", (first + second) / 2.0);
    assert!(table.contains(&mean), "{mean}: {table}");
}

/// Several differences have corrected p-values, one has none.
#[test]
fn a_table_with_several_comparisons_has_corrected_p_values() {
    let file = catalogue().join("sweep-digits.toml");
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("sweep");
    let table = lyceum(&[
        "run",
        &file.to_string_lossy(),
        "--quiet",
        "--out",
        &out.to_string_lossy(),
        "--set",
        "run.rounds=3",
    ]);
    assert!(table.contains("(p "), "{table}");
    assert!(
        table.contains("corrected for 9 differences (Holm)"),
        "{table}"
    );
    let csv = fs::read_to_string(out.join("sweep.csv")).unwrap();
    assert!(csv.contains("final_accuracy_difference_p_holm"), "{csv}");
}
