//! Promise: a run that goes on for more rounds ends as if it had had them from its beginning.

use crate::{
    catalogue,
    determinism::{run_in, run_until},
};
use lyceum_metrics::{Status, Summary};
use lyceum_scenarios::Scenario;
use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

fn case() -> PathBuf {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/cases");
    Path::new(folder).join("resume-more-rounds.toml")
}

/// The case with overrides.
pub(crate) fn read(set: &[&str]) -> Scenario {
    let set: Vec<String> = set.iter().map(|s| s.to_string()).collect();
    let text = fs::read_to_string(case()).unwrap();
    Scenario::read(&lyceum::registry(), "case", &text, &set).unwrap_or_else(|e| panic!("{e}"))
}

fn lyceum(folder: &Path, args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_lyceum-under-test"))
        .args(args)
        .current_dir(folder)
        .output()
        .unwrap()
}

fn said(out: &Output) -> (Option<i32>, String) {
    let text = String::from_utf8_lossy(&out.stderr).into_owned();
    (out.status.code(), text)
}

/// The case, as the command meets it.
#[test]
fn three_rounds_go_on_to_six() {
    let folder = tempfile::tempdir().unwrap();
    let file = case().display().to_string();
    let run = |args: &[&str]| {
        let all = [&["run", &file, "--quiet"][..], args].concat();
        let (code, text) = said(&lyceum(folder.path(), &all));
        assert_eq!(code, Some(0), "{text}");
    };
    run(&["--out", "r", "--set", "run.rounds=3"]);
    run(&["--out", "r", "--set", "run.rounds=6", "--resume"]);
    run(&["--out", "whole", "--set", "run.rounds=6"]);
    same_but_for_times(&folder.path().join("r"), &folder.path().join("whole"));
    run(&["--out", "n", "--set", "run.rounds=3", "--nodes", "2"]);
    run(&[
        "--out",
        "n",
        "--set",
        "run.rounds=6",
        "--resume",
        "--nodes",
        "2",
    ]);
    let fingerprint = |name: &str| {
        let summary = folder.path().join(name).join("summary.json");
        Summary::read(&summary).unwrap().fingerprint
    };
    assert_eq!(fingerprint("n"), fingerprint("whole"));
}

/// The events, tables and results of two runs are the same, save for how long things took.
fn same_but_for_times(one: &Path, other: &Path) {
    let events = |folder: &Path| {
        let text = fs::read_to_string(folder.join("events.jsonl")).unwrap();
        let untimed = text.lines().filter(|l| !l.contains("\"timing\""));
        untimed.map(String::from).collect::<Vec<_>>()
    };
    assert_eq!(events(one), events(other));
    let rounds = |folder: &Path| {
        let text = fs::read(folder.join("rounds.csv")).unwrap();
        let mut reader = csv::Reader::from_reader(&text[..]);
        let timed = |name: &str| name.ends_with("seconds");
        let names = reader.headers().unwrap().clone();
        let records = reader.records().map(|record| {
            let record = record.unwrap();
            let cells = names.iter().zip(record.iter());
            let kept = cells.filter(|(name, _)| !timed(name));
            kept.map(|(_, cell)| cell.to_string()).collect::<Vec<_>>()
        });
        records.collect::<Vec<_>>()
    };
    assert_eq!(rounds(one), rounds(other));
    let result = |folder: &Path| {
        let summary = Summary::read(&folder.join("summary.json")).unwrap();
        Summary {
            seconds_to_first_round: 0.0,
            seconds_per_round_median: 0.0,
            seconds_total: 0.0,
            cpu_seconds: 0.0,
            peak_rss_mib: 0.0,
            threads: 0,
            latency: Default::default(),
            ..summary
        }
    };
    assert_eq!(result(one), result(other));
    let files = [
        "checkpoint/best.safetensors",
        "scenario.toml",
        "clients.parquet",
    ];
    for file in files {
        let bytes = |folder: &Path| fs::read(folder.join(file)).ok();
        assert_eq!(bytes(one), bytes(other), "{file}");
    }
    let newest = |folder: &Path| {
        let rounds = Summary::read(&folder.join("summary.json")).unwrap().rounds;
        fs::read(folder.join(format!("checkpoint/{rounds:06}/global.safetensors"))).unwrap()
    };
    assert_eq!(newest(one), newest(other));
}

/// States, counters, evaluations that a short run has and a long one has not, best models, streams, timelines. What comes
/// by the timeline or as a task comes within the shortest of these runs: what never comes is refused.
#[test]
fn a_lengthened_run_is_the_long_one_whatever_it_remembers() {
    for set in [
        &["evaluation.every=4"][..],
        &["evaluation.every=10", "data.validation=0.2"],
        &["evaluation.every=2", "data.validation=0.2"],
        &["strategy={scaffold={}}", "evaluation.every=10"],
        &["strategy={fed_adam={}}", "selection={oort={per_round=4}}"],
        &["strategy={median={}}", "availability.dropout=0.3"],
        &["selection={difficulty={per_round=4,pace={all={}}}}"],
        &["ordering={order=\"curriculum\",score=\"expert-loss\"}"],
        &["training.schedule={step={every=2,factor=0.5}}"],
        &["timeline=[{round=1,drop_clients={count=5}},{round=1,set={training={rate=0.01}}}]"],
        &[
            "scenario={class_incremental={tasks=2,method={er={memory=40}},arrival={rounds_per_task=1}}}",
            "evaluation.every=4",
        ],
    ] {
        let with = |rounds: &str| read(&[set, &[rounds]].concat());
        let folder = tempfile::tempdir().unwrap();
        let [whole, longer, shorter, twice] =
            ["whole", "longer", "shorter", "twice"].map(|name| folder.path().join(name));
        run_in(&whole, &with("run.rounds=6"), 2, false);
        // Finished, and gone on with.
        run_in(&longer, &with("run.rounds=3"), 2, false);
        let last = run_in(&longer, &with("run.rounds=6"), 1, true);
        assert_eq!((last.status, last.rounds), (Status::Finished, 6), "{set:?}");
        same_but_for_times(&longer, &whole);
        // Interrupted, and to end earlier than was planned: now, or later.
        for rounds in [2, 3] {
            let _ = fs::remove_dir_all(&shorter);
            let done = run_until(&shorter, &with("run.rounds=20"), 2, false, rounds).rounds;
            run_in(&shorter, &with(&format!("run.rounds={done}")), 2, true);
            run_in(&shorter, &with("run.rounds=6"), 2, true);
            same_but_for_times(&shorter, &whole);
        }
        // Gone on with, interrupted, and gone on with.
        run_in(&twice, &with("run.rounds=2"), 2, false);
        run_until(&twice, &with("run.rounds=6"), 2, true, 3);
        run_in(&twice, &with("run.rounds=6"), 2, true);
        same_but_for_times(&twice, &whole);
    }
}

/// What the command says when the second run has other keys.
fn refused(first: &[&str], second: &[&str]) -> String {
    let folder = tempfile::tempdir().unwrap();
    let scenario = read(first);
    run_in(&folder.path().join("r"), &scenario, 2, false);
    let file = case().display().to_string();
    let mut all = vec!["run", file.as_str(), "--out", "r", "--resume"];
    all.extend(second.iter().flat_map(|s| ["--set", *s]));
    let before = fs::read(folder.path().join("r/events.jsonl")).unwrap();
    let (code, text) = said(&lyceum(folder.path(), &all));
    assert_eq!(code, Some(2), "{text}");
    let after = fs::read(folder.path().join("r/events.jsonl")).unwrap();
    assert_eq!(before, after, "a refusal changes nothing");
    text
}

#[test]
fn where_rounds_depend_on_their_number_the_keys_are_named() {
    let stream = "scenario={class_incremental={tasks=2}}";
    let once = "scenario={online={tasks=2,arrival={rounds_per_task=1}}}";
    for (set, key) in [
        ("training.schedule={cosine={}}", "training.schedule.cosine"),
        (
            "selection={difficulty={per_round=4}}",
            "selection.difficulty.pace",
        ),
        (stream, "scenario.class_incremental.arrival.rounds_per_task"),
        (once, "scenario.online"),
        (
            "timeline=[{round=1,set={training={schedule={cosine={}}}}}]",
            "timeline.set",
        ),
    ] {
        let epochs = "training.epochs=1";
        let text = refused(
            &[set, epochs, "run.rounds=3"],
            &[set, epochs, "run.rounds=6"],
        );
        assert!(text.contains(key), "{text}");
        assert!(text.contains("run.rounds = 3"), "{text}");
        assert!(!text.contains("run.rounds differs"), "{text}");
    }
}

#[test]
fn keys_that_differ_are_named_and_those_that_do_not_are_not() {
    let text = refused(
        &["run.rounds=3"],
        &["run.rounds=6", "training.rate=0.5", "data.clients=19"],
    );
    assert!(text.contains("another scenario"), "{text}");
    assert!(
        text.contains("data.clients, training.rate differ"),
        "{text}"
    );
    assert!(!text.contains("run.rounds"), "{text}");
}

#[test]
fn fewer_rounds_than_are_done_are_refused() {
    let text = refused(&["run.rounds=3"], &["run.rounds=2"]);
    assert!(text.contains("3 rounds are done"), "{text}");
    assert!(text.contains("run.rounds is 2"), "{text}");
}

#[test]
fn resuming_what_never_began_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let file = case().display().to_string();
    for more in [&["--out", "nothing"][..], &[], &["--seeds", "0..2"]] {
        let args = [&["run", file.as_str(), "--resume"], more].concat();
        let (code, text) = said(&lyceum(folder.path(), &args));
        assert_eq!(code, Some(2), "{text}");
        assert!(text.contains("holds no run to go on with"), "{text}");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}

#[test]
fn all_runs_of_a_sweep_are_lengthened() {
    let folder = tempfile::tempdir().unwrap();
    let text = fs::read_to_string(case()).unwrap();
    let sweep = format!("{text}\n[sweep.over]\n\"training.rate\" = [0.1, 0.05]\n");
    fs::write(folder.path().join("s.toml"), sweep).unwrap();
    let run = |args: &[&str]| {
        let all = [&["run", "s.toml", "--quiet"], args].concat();
        let (code, text) = said(&lyceum(folder.path(), &all));
        assert_eq!(code, Some(0), "{text}");
    };
    run(&["--out", "r"]);
    run(&["--out", "r", "--resume", "--set", "run.rounds=5"]);
    run(&["--out", "whole", "--set", "run.rounds=5"]);
    for entry in fs::read_dir(folder.path().join("r")).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            let name = path.file_name().unwrap();
            same_but_for_times(&path, &folder.path().join("whole").join(name));
        }
    }
}

/// The file that a run starts from is known by its hash.
#[test]
fn another_file_to_start_from_is_refused_where_the_scenario_names_its_hash() {
    let folder = tempfile::tempdir().unwrap();
    let first = folder.path().join("first");
    run_in(&first, &read(&["run.rounds=1"]), 2, false);
    let model = folder.path().join("model.safetensors");
    fs::copy(first.join("checkpoint/000001/global.safetensors"), &model).unwrap();
    let from = format!("run.start_from={:?}", model.display().to_string());
    let second = folder.path().join("second");
    let scenario = read(&[&from, "run.rounds=2"]);
    let wanted = run_in(&second, &scenario, 2, false).fingerprint;
    let text = fs::read_to_string(second.join("scenario.toml")).unwrap();
    assert!(text.contains("start_from_blake3 = "), "{text}");
    let again = |name: &str| {
        let file = second.join("scenario.toml").display().to_string();
        let out = folder.path().join(name).display().to_string();
        said(&lyceum(
            folder.path(),
            &["run", &file, "--quiet", "--out", &out],
        ))
    };
    assert_eq!(again("third").0, Some(0));
    let summary = Summary::read(&folder.path().join("third/summary.json")).unwrap();
    assert_eq!(summary.fingerprint, wanted);
    let mut bytes = fs::read(&model).unwrap();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    fs::write(&model, bytes).unwrap();
    let (code, text) = again("fourth");
    assert_eq!(code, Some(2), "{text}");
    assert!(text.contains("is another file than"), "{text}");
}

#[test]
fn the_first_link_of_a_catalogue_run_is_that_of_a_longer_one() {
    for name in ["quickstart", "split-digits-er"] {
        let lineage = |rounds: &str| catalogue::read(name, &[rounds]).lineage();
        assert_eq!(lineage("run.rounds=10"), lineage("run.rounds=20"), "{name}");
    }
}
