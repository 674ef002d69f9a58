//! Promise: a run that was interrupted or killed and then resumed ends with the same bits.

use crate::{
    catalogue::read,
    determinism::{fingerprint, run_in, run_until, variants},
};
use lyceum_metrics::Status;
use std::{
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
};

#[test]
fn interrupted_and_resumed_runs_end_with_the_same_fingerprint() {
    for (index, scenario) in variants().iter().enumerate() {
        let whole = fingerprint(scenario, 2);
        let folder = tempfile::tempdir().unwrap();
        let first = 1 + index as u64 % 4;
        assert_eq!(
            run_until(folder.path(), scenario, 1, false, first).status,
            Status::Paused
        );
        assert_eq!(
            run_until(folder.path(), scenario, 3, true, first + 1).status,
            Status::Paused
        );
        let last = run_in(folder.path(), scenario, 2, true);
        assert_eq!(
            (last.status, last.fingerprint),
            (Status::Finished, whole),
            "{}",
            scenario.resolved()
        );
    }
}

#[test]
fn stateful_selection_and_scores_survive_an_interruption() {
    for set in [
        "selection.oort={per_round=4}",
        "selection.passes={per_round=3}",
        "ordering.score=both-losses",
        "ordering.score=expert-loss",
    ] {
        let scenario = read("quickstart", &["run.rounds=8", "training.epochs=1", set]);
        let folder = tempfile::tempdir().unwrap();
        run_until(folder.path(), &scenario, 2, false, 3);
        let resumed = run_in(folder.path(), &scenario, 1, true).fingerprint;
        assert_eq!(resumed, fingerprint(&scenario, 2), "{set}");
    }
}

#[test]
fn a_resumed_run_leaves_the_same_tables() {
    let scenario = read("quickstart", &["run.rounds=6"]);
    let folder = tempfile::tempdir().unwrap();
    let (whole, parts) = (folder.path().join("whole"), folder.path().join("parts"));
    run_in(&whole, &scenario, 2, false);
    run_until(&parts, &scenario, 2, false, 2);
    run_in(&parts, &scenario, 2, true);
    let untimed = |path: &Path| {
        let text = std::fs::read_to_string(path.join("events.jsonl")).unwrap();
        text.lines()
            .filter(|l| !l.contains("\"timing\""))
            .map(String::from)
            .collect::<Vec<_>>()
    };
    assert_eq!(untimed(&whole), untimed(&parts));
}

#[test]
fn resuming_with_another_scenario_is_refused_and_nothing_is_lost() {
    let folder = tempfile::tempdir().unwrap();
    run_until(
        folder.path(),
        &read("quickstart", &["run.rounds=6"]),
        1,
        false,
        2,
    );
    let out = start(
        folder.path(),
        &[
            "--set",
            "run.rounds=6",
            "--set",
            "training.rate=0.5",
            "--resume",
        ],
    )
    .wait_with_output()
    .unwrap();
    assert_eq!(out.status.code(), Some(2));
    let text = String::from_utf8_lossy(&out.stderr);
    assert!(text.contains("another scenario"), "{text}");
    assert!(text.contains("(training.rate differs)"), "{text}");
    let resumed = run_in(
        folder.path(),
        &read("quickstart", &["run.rounds=6"]),
        1,
        true,
    );
    assert_eq!(
        resumed.fingerprint,
        fingerprint(&read("quickstart", &["run.rounds=6"]), 1)
    );
}

#[test]
fn killed_at_any_line_of_output_and_resumed_gives_the_same_fingerprint() {
    let kills = [
        ("-KILL", 1, "strategy.fed_avg={}", "curriculum"),
        ("-KILL", 2, "strategy.scaffold={}", "anti-curriculum"),
        ("-KILL", 4, "strategy.fed_adam={}", "random"),
        ("-KILL", 7, "strategy.fed_dyn={}", "vanilla"),
        ("-INT", 3, "strategy.scaffold={}", "blocked"),
        ("-TERM", 5, "strategy.fed_adam={}", "interleaved"),
    ];
    for (signal, lines, strategy, order) in kills {
        let set = [
            "run.rounds=10",
            strategy,
            &format!("ordering.order={order}"),
            "availability.dropout=0.2",
        ];
        let scenario = read("quickstart", &set);
        let whole = fingerprint(&scenario, 2);
        let folder = tempfile::tempdir().unwrap();
        let set: Vec<&str> = set.iter().flat_map(|s| ["--set", s]).collect();
        let mut child = start(
            folder.path(),
            &[&set[..], &["--checkpoint-every", "0"]].concat(),
        );
        wait_for_lines(&mut child, lines);
        let pid = child.id().to_string();
        assert!(
            Command::new("kill")
                .args([signal, &pid])
                .status()
                .unwrap()
                .success()
        );
        child.wait().unwrap();
        let resumed = run_in(folder.path(), &scenario, 2, true);
        assert_eq!(
            (resumed.status, resumed.fingerprint),
            (Status::Finished, whole),
            "{signal} after {lines} lines"
        );
    }
}

/// Every crash between two files of a checkpoint: the folder of the next one is there, whole or torn, and has no manifest
/// yet.
#[test]
fn a_crash_while_a_checkpoint_is_written_loses_nothing() {
    let scenario = read("quickstart", &["run.rounds=6", "strategy.scaffold={}"]);
    let whole = fingerprint(&scenario, 2);
    for torn in [
        "global.safetensors",
        "state.bin",
        "layout.json",
        "state.new",
        "",
    ] {
        let folder = tempfile::tempdir().unwrap();
        run_until(folder.path(), &scenario, 2, false, 3);
        let next = folder.path().join("checkpoint/000004");
        std::fs::create_dir_all(&next).unwrap();
        if !torn.is_empty() {
            std::fs::write(next.join(torn), [0_u8; 7]).unwrap();
        }
        let mut log = std::fs::OpenOptions::new()
            .append(true)
            .open(folder.path().join("events.jsonl"))
            .unwrap();
        std::io::Write::write_all(&mut log, b"{\"event\":\"round_started\",\"rou").unwrap();
        assert_eq!(
            run_in(folder.path(), &scenario, 1, true).fingerprint,
            whole,
            "{torn}"
        );
    }
}

#[test]
fn a_finished_run_is_not_run_again() {
    let scenario = read("quickstart", &["run.rounds=3"]);
    let folder = tempfile::tempdir().unwrap();
    let first = run_in(folder.path(), &scenario, 2, false);
    assert_eq!(run_in(folder.path(), &scenario, 1, true), first);
}

#[test]
fn a_run_is_not_resumed_over_other_data() {
    let folder = tempfile::tempdir().unwrap();
    let csv = folder.path().join("samples.csv");
    let rows: String = (0..60)
        .map(|i| format!("{},{},{}\n", i % 7, i % 5, i % 2))
        .collect();
    std::fs::write(&csv, format!("a,b,label\n{rows}")).unwrap();
    let set = format!(
        "data.set={{csv={{train=\"{}\",label=\"label\",test_fraction=0.2}}}}",
        csv.display()
    );
    let more = [
        "data.clients=4",
        "data.partition=iid",
        "selection.all={}",
        "run.rounds=5",
    ];
    let scenario = read("quickstart", &[&[set.as_str()][..], &more[..]].concat());
    run_until(&folder.path().join("run"), &scenario, 1, false, 2);
    std::fs::write(
        &csv,
        format!("a,b,label\n{}", rows.replacen("0,0,0", "0,0,1", 1)),
    )
    .unwrap();
    let all: Vec<&str> = [&[set.as_str()][..], &more[..]]
        .concat()
        .iter()
        .flat_map(|s| ["--set", *s])
        .collect();
    let out = start(
        &folder.path().join("run"),
        &[&all[..], &["--resume"]].concat(),
    )
    .wait_with_output()
    .unwrap();
    let text = String::from_utf8_lossy(&out.stderr);
    assert_eq!(out.status.code(), Some(2), "{text}");
    assert!(text.contains("a run of other data"), "{text}");
}

fn start(folder: &Path, args: &[&str]) -> Child {
    let file = crate::catalogue::folder().join("quickstart.toml");
    Command::new(env!("CARGO_BIN_EXE_lyceum-under-test"))
        .arg("run")
        .arg(file)
        .args(args)
        .arg("--out")
        .arg(folder)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

/// Reads progress lines until there were enough; the pipe stays open so that the child never fails on it.
fn wait_for_lines(child: &mut Child, lines: usize) {
    let mut reader = BufReader::new(child.stderr.take().unwrap());
    let mut line = String::new();
    for _ in 0..lines {
        line.clear();
        assert!(
            reader.read_line(&mut line).unwrap() > 0,
            "the run ended early"
        );
    }
    child.stderr = Some(reader.into_inner());
}

#[test]
fn two_processes_never_share_a_folder() {
    let folder = tempfile::tempdir().unwrap();
    let lock = std::fs::File::create(folder.path().join("lock")).unwrap();
    lock.try_lock().unwrap();
    let out = start(folder.path(), &[]).wait_with_output().unwrap();
    assert_eq!(out.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&out.stderr).contains("another process"));
}
