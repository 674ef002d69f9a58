//! Promise: a sweep is its single runs and nothing else: the same fingerprints side by side, one table at the end, nothing
//! lost when it is stopped, and nothing begun when any of its points is wrong.

use crate::catalogue::folder as catalogue;
use lyceum_metrics::{Status, Summary};
use std::{
    collections::BTreeMap,
    fs,
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, Command, Output, Stdio},
    time::SystemTime,
};

const BASE: &str = r#"[run]
name = "two-rates"
rounds = 4

[data]
set = "digits"
clients = 10
[data.partition.iid]

[model.mlp]
hidden = [16]

[training]
rate = 0.3

[selection.uniform]
per_round = 4

[strategy.fed_avg]
"#;

const SWEEP: &str = r#"
[sweep]
seeds = [3, 5]
[sweep.over]
"training.rate" = [0.1, 0.01]
"#;

/// Runs the command in a folder that holds `sweep.toml`.
fn lyceum(folder: &Path, args: &[&str]) -> Output {
    command(folder, args).output().unwrap()
}

fn command(folder: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lyceum-under-test"));
    command.args(args).current_dir(folder);
    command
}

fn place(table: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("sweep.toml"), format!("{BASE}{table}")).unwrap();
    folder
}

fn out(output: &Output) -> (Option<i32>, String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (
        output.status.code(),
        text(&output.stdout),
        text(&output.stderr),
    )
}

fn summaries(folder: &Path) -> BTreeMap<String, Summary> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        if let Ok(summary) = Summary::read(&entry.path().join("summary.json")) {
            found.insert(entry.file_name().into_string().unwrap(), summary);
        }
    }
    found
}

fn fingerprints(folder: &Path) -> BTreeMap<String, String> {
    let runs = summaries(folder).into_iter();
    runs.map(|(name, run)| (name, run.fingerprint.to_string()))
        .collect()
}

#[test]
fn a_sweep_is_its_single_runs_in_folders_with_one_table() {
    let place = place(SWEEP);
    let (code, table, stderr) = out(&lyceum(place.path(), &["run", "sweep.toml"]));
    assert_eq!(code, Some(0), "{stderr}");
    let sweep = place.path().join("runs/two-rates");
    let found = fingerprints(&sweep);
    let names: Vec<&str> = found.keys().map(String::as_str).collect();
    assert_eq!(
        names,
        [
            "rate=0.01-seed3",
            "rate=0.01-seed5",
            "rate=0.1-seed3",
            "rate=0.1-seed5"
        ]
    );
    let lines: Vec<&str> = table.lines().collect();
    assert!(
        lines[0].contains("final %") && lines[0].contains("Δ final"),
        "{table}"
    );
    assert!(lines[1].starts_with("rate=0.1 "), "{table}");
    assert!(
        lines[2].starts_with("rate=0.01 ") && lines[2].contains(" ± "),
        "{table}"
    );
    assert!(
        table.contains("difference from rate=0.1, paired by seed"),
        "{table}"
    );
    assert!(stderr.contains("4/4 "), "{stderr}");

    let single = place.path().join("single.toml");
    fs::write(&single, BASE).unwrap();
    for (name, fingerprint) in &found {
        let (rate, seed) = name[5..].split_once("-seed").unwrap();
        let sets = [format!("training.rate={rate}"), format!("run.seed={seed}")];
        let args = [
            "run",
            "single.toml",
            "--quiet",
            "--out",
            "one",
            "--set",
            &sets[0],
            "--set",
            &sets[1],
        ];
        let (_, text, stderr) = out(&lyceum(place.path(), &args));
        assert!(
            text.contains(fingerprint.as_str()),
            "{name}: {text}{stderr}"
        );
        fs::remove_dir_all(place.path().join("one")).unwrap();
    }
    tables_agree(&sweep, &found);
}

/// `runs.csv` has a row per run with what was swept and its fingerprint, `sweep.csv` one per point.
fn tables_agree(sweep: &Path, fingerprints: &BTreeMap<String, String>) {
    let mut runs = csv::Reader::from_path(sweep.join("runs.csv")).unwrap();
    let header = runs.headers().unwrap().clone();
    let column = |name: &str| header.iter().position(|h| h == name).unwrap();
    let mut rows = 0;
    for row in runs.records() {
        let row = row.unwrap();
        let name = format!("{}-seed{}", &row[column("label")], &row[column("seed")]);
        assert_eq!(row[column("fingerprint")], fingerprints[&name]);
        assert_eq!(
            format!("rate={}", &row[column("training.rate")]),
            row[column("label")]
        );
        assert!(row[column("final_accuracy")].parse::<f64>().unwrap() > 0.0);
        rows += 1;
    }
    assert_eq!(rows, fingerprints.len());
    let mut points = csv::Reader::from_path(sweep.join("sweep.csv")).unwrap();
    assert_eq!(points.records().count(), 2);
    for file in ["sweep.parquet", "runs.parquet", "sweep.md"] {
        assert!(sweep.join(file).is_file(), "{file}");
    }
}

#[test]
fn jobs_threads_and_nodes_change_no_fingerprint() {
    let place = place(SWEEP);
    let with = |out: &str, more: &[&str]| {
        let args = [&["run", "sweep.toml", "--quiet", "--out", out], more].concat();
        let (code, _, stderr) = self::out(&lyceum(place.path(), &args));
        assert_eq!(code, Some(0), "{stderr}");
        fingerprints(&place.path().join(out))
    };
    let one = with("a", &["--jobs", "1", "--threads", "3"]);
    assert_eq!(one.len(), 4);
    assert_eq!(with("b", &["--jobs", "4", "--threads", "4"]), one);
    assert_eq!(with("c", &["--nodes", "2"]), one);
}

#[test]
fn seeds_on_the_command_line_stand_in_for_those_of_the_file() {
    let place = place(SWEEP);
    let (code, _, stderr) = out(&lyceum(
        place.path(),
        &["run", "sweep.toml", "--seeds", "8..9", "--quiet"],
    ));
    assert_eq!(code, Some(0), "{stderr}");
    let found = fingerprints(&place.path().join("runs/two-rates"));
    let names: Vec<&String> = found.keys().collect();
    assert_eq!(names, ["rate=0.01-seed8", "rate=0.1-seed8"]);
}

/// Long enough that a signal after the first run finds others in flight.
const LONG: &str = "run.rounds=300";

fn begin(folder: &Path, signal_after: &str, signal: &str) -> Output {
    let args = [
        "run",
        "sweep.toml",
        "--set",
        LONG,
        "--checkpoint-every",
        "0",
        "--jobs",
        "1",
    ];
    let mut child = command(folder, &args)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    wait_for(&mut child, signal_after);
    let pid = child.id().to_string();
    let killed = Command::new("kill").args([signal, &pid]).status();
    assert!(killed.unwrap().success());
    child.wait_with_output().unwrap()
}

/// Reads lines of progress until one begins so; the pipe stays open so that the child never fails on it.
fn wait_for(child: &mut Child, beginning: &str) {
    let mut reader = BufReader::new(child.stderr.take().unwrap());
    let mut line = String::new();
    while !line.starts_with(beginning) {
        line.clear();
        assert!(reader.read_line(&mut line).unwrap() > 0, "it ended early");
    }
    child.stderr = Some(reader.into_inner());
}

/// Content and time of change of the logs of finished runs.
fn finished(folder: &Path) -> BTreeMap<String, (Vec<u8>, SystemTime)> {
    let runs = summaries(folder).into_iter();
    runs.filter(|(_, summary)| summary.status == Status::Finished)
        .map(|(name, _)| {
            let log = folder.join(&name).join("events.jsonl");
            let changed = fs::metadata(&log).unwrap().modified().unwrap();
            (name, (fs::read(&log).unwrap(), changed))
        })
        .collect()
}

#[test]
fn a_stopped_sweep_goes_on_where_it_was_and_leaves_finished_runs_alone() {
    let whole = place(SWEEP);
    let args = ["run", "sweep.toml", "--quiet", "--set", LONG];
    assert_eq!(lyceum(whole.path(), &args).status.code(), Some(0));
    let expected = fingerprints(&whole.path().join("runs/two-rates"));
    for signal in ["-KILL", "-INT"] {
        let place = place(SWEEP);
        let stopped = begin(place.path(), "1/4 ", signal);
        let sweep = place.path().join("runs/two-rates");
        let before = finished(&sweep);
        assert!((1..4).contains(&before.len()), "{signal}: {}", before.len());
        assert!(!sweep.join("sweep.csv").exists());
        if signal == "-INT" {
            let (code, text, _) = out(&stopped);
            assert_eq!(code, Some(130));
            assert!(
                text.contains("of 4 runs are over") && text.contains("--resume"),
                "{text}"
            );
        }
        let resume = [&args[..], &["--resume"]].concat();
        let (code, _, stderr) = out(&lyceum(place.path(), &resume));
        assert_eq!(code, Some(0), "{signal}: {stderr}");
        assert_eq!(fingerprints(&sweep), expected, "{signal}");
        let after = finished(&sweep);
        for (name, log) in before {
            assert!(after[&name] == log, "{signal}: {name} was written to");
        }
        assert!(sweep.join("sweep.csv").exists());
    }
}

#[test]
fn a_used_folder_is_not_written_to_without_resume_or_with_another_scenario() {
    let place = place(SWEEP);
    let run = |more: &[&str]| {
        let args = [&["run", "sweep.toml", "--quiet", "--out", "there"], more].concat();
        out(&lyceum(place.path(), &args))
    };
    assert_eq!(run(&[]).0, Some(0));
    let before = finished(&place.path().join("there"));
    let (code, _, stderr) = run(&[]);
    assert_eq!(code, Some(2));
    assert!(stderr.contains("there holds a run already"), "{stderr}");
    let (code, _, stderr) = run(&["--resume", "--set", "training.batch=7"]);
    assert_eq!(code, Some(2));
    assert!(
        stderr.contains("holds a run of another scenario"),
        "{stderr}"
    );
    assert!(finished(&place.path().join("there")) == before);
    let (code, _, stderr) = run(&["--resume", "--set", "sweep.seeds=[3,5,6]"]);
    assert_eq!(code, Some(0), "{stderr}");
    assert_eq!(finished(&place.path().join("there")).len(), 6);
}

#[test]
fn a_fault_in_any_point_is_shown_before_anything_is_run() {
    for (table, place_of, caret) in [
        (
            "\n[sweep.over]\n\"training.rate\" = [0.1, -1]\n",
            "sweep.toml:22:25",
            "^^ expected",
        ),
        (
            "\n[[sweep.point]]\nlabel = \"a\"\n[[sweep.point]]\nlabel = \"b\"\nset = { model.mlp.hidden = [0] }\n",
            "sweep.toml:25:29",
            "^ expected",
        ),
        (
            "\n[sweep.over]\n\"data.set\" = [\"digits\", \"fashion-mnist\"]\n",
            "sweep.toml:22:25",
            "^^^^^^^^^^^^^^^",
        ),
    ] {
        for what in ["run", "check"] {
            let place = place(table);
            let (code, _, stderr) = out(&lyceum(place.path(), &[what, "sweep.toml"]));
            assert_eq!(code, Some(2), "{stderr}");
            assert!(
                stderr.contains(place_of) && stderr.contains(caret),
                "{stderr}"
            );
            assert_eq!(stderr.matches("error:").count(), 1, "{stderr}");
            assert!(!place.path().join("runs").exists(), "{table}");
        }
    }
}

#[test]
fn a_run_that_fails_does_not_stop_the_others() {
    let table = "\n[sweep]\nseeds = [0, 1]\n[sweep.over]\n\"training.rate\" = [1e25, 0.1]\n";
    let place = place(table);
    let (code, text, stderr) = out(&lyceum(place.path(), &["run", "sweep.toml"]));
    assert_eq!(code, Some(1));
    assert!(
        text.starts_with("left out: rate=1e25, seed 0 (runs/two-rates/rate=1e25-seed0): failed: the run stopped in round"),
        "{text}"
    );
    assert!(stderr.contains("error: 2 of 4 runs failed"), "{stderr}");
    let statuses: Vec<_> = summaries(&place.path().join("runs/two-rates"))
        .into_iter()
        .map(|(name, summary)| (name, summary.status))
        .filter(|(_, status)| *status == Status::Finished)
        .map(|(name, _)| name)
        .collect();
    assert_eq!(statuses, ["rate=0.1-seed0", "rate=0.1-seed1"]);
    let runs = fs::read_to_string(place.path().join("runs/two-rates/runs.csv")).unwrap();
    assert_eq!(runs.matches(",failed,").count(), 2, "{runs}");
}

#[test]
fn compare_takes_a_sweep_and_a_baseline() {
    let place = place(SWEEP);
    let (code, table, _) = out(&lyceum(place.path(), &["run", "sweep.toml", "--quiet"]));
    assert_eq!(code, Some(0));
    let compare = |more: &[&str]| {
        let args = [&["compare", "runs/two-rates"], more].concat();
        out(&lyceum(place.path(), &args))
    };
    let (_, same, _) = compare(&["--baseline", "rate=0.1"]);
    let line = |text: &str| {
        text.lines()
            .find(|l| l.starts_with("rate=0.01 "))
            .map(String::from)
    };
    assert_eq!(line(&same), line(&table));
    let (_, csv, _) = compare(&["--csv"]);
    assert!(
        csv.starts_with("label,runs,baseline,final_accuracy,"),
        "{csv}"
    );
    let (_, markdown, _) = compare(&["--markdown"]);
    assert!(
        markdown.starts_with("| group | runs | final % |"),
        "{markdown}"
    );
    let (code, _, stderr) = compare(&["--baseline", "rate=7"]);
    assert_eq!(code, Some(2));
    assert!(
        stderr.contains("expected a name among these runs"),
        "{stderr}"
    );
}

#[test]
fn a_command_for_one_scenario_says_that_a_sweep_is_none() {
    let place = place(SWEEP);
    for args in [
        &["simulate", "sweep.toml"][..],
        &["coordinator", "sweep.toml", "--insecure-loopback"],
    ] {
        let (code, _, stderr) = out(&lyceum(place.path(), args));
        assert_eq!(code, Some(2), "{stderr}");
        assert!(stderr.contains("a sweep is many scenarios"), "{stderr}");
    }
}

#[test]
fn the_catalogue_has_a_sweep() {
    let file = catalogue().join("sweep-digits.toml");
    let place = place("");
    let (code, text, _) = out(&lyceum(place.path(), &["check", &file.to_string_lossy()]));
    assert_eq!(code, Some(0));
    assert!(text.contains("5 points x 5 seeds = 25 runs"), "{text}");
}

#[test]
fn a_run_never_hides_a_sweep_nor_a_sweep_a_run() {
    let place = place(SWEEP);
    let run = |args: &[&str]| out(&lyceum(place.path(), args));
    assert_eq!(
        run(&["run", "sweep.toml", "--out", "s", "--quiet"]).0,
        Some(0)
    );
    let one = fs::read_to_string(place.path().join("s/rate=0.1-seed3/scenario.toml")).unwrap();
    fs::write(place.path().join("one.toml"), one).unwrap();
    let (code, _, told) = run(&["run", "one.toml", "--out", "s"]);
    assert_eq!(code, Some(2), "{told}");
    assert!(told.contains("s holds the runs of a sweep"), "{told}");
    assert_eq!(
        run(&["run", "one.toml", "--out", "r", "--quiet"]).0,
        Some(0)
    );
    for args in [
        &["run", "sweep.toml", "--out", "r"][..],
        &["run", "one.toml", "--seeds", "0..2", "--out", "r"],
    ] {
        let (code, _, told) = run(args);
        assert_eq!(code, Some(2), "{told}");
        assert!(told.contains("r holds a run already"), "{told}");
    }
    // What is left of a run without its summary says that it is finished.
    fs::remove_file(place.path().join("r/summary.json")).unwrap();
    let (code, table, told) = run(&["compare", "s", "r"]);
    assert_eq!(code, Some(0), "{told}");
    assert!(
        table.contains("left out: r: the run is finished, and its summary.json is gone"),
        "{table}"
    );
    for (path, why) in [
        ("nowhere", "there is no such folder"),
        ("one.toml", "this is no folder of a run"),
    ] {
        let (code, _, told) = run(&["compare", "s", path]);
        assert!(code == Some(2) && told.contains(why), "{told}");
    }
}
