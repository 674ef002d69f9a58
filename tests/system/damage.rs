//! Promise: a stored file that does not hold what was written is never believed. The run ends with the same bits, or says
//! which file it is.

use crate::{
    determinism::{run_in, run_until},
    lengthening::read,
};
use lyceum_core::{Event, Fingerprint};
use lyceum_metrics::{Status, Summary};
use lyceum_scenarios::Scenario;
use lyceum_simulation::{RunError, Settings, run};
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::atomic::AtomicBool,
    time::{Duration, Instant},
};

/// Numbers that look random (splitmix64).
struct Dice(u64);

impl Dice {
    fn below(&mut self, most: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % most.max(1) as u64) as usize
    }
}

/// Goes on with a run: what became of it, and what was warned of.
fn go_on(folder: &Path, scenario: &Scenario) -> (Result<Summary, RunError>, Vec<String>) {
    let settings = Settings {
        threads: 1,
        out: folder.to_path_buf(),
        folders: vec![],
        resume: true,
        checkpoint_every: Duration::ZERO,
        updates_bytes: 1000,
        facts: None,
        started: Instant::now(),
    };
    let mut warnings = Vec::new();
    let observe = &mut |event: &Event| {
        if let Event::Warned { message } = event {
            warnings.push(message.clone());
        }
    };
    let never = AtomicBool::new(false);
    let result = run(scenario, &lyceum::registry(), &settings, &never, observe);
    (result, warnings)
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut all = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => all.extend(files(&path)),
            false => all.push(path),
        }
    }
    all.sort();
    all
}

fn copy(from: &Path, to: &Path) {
    let _ = fs::remove_dir_all(to);
    for file in files(from) {
        let target = to.join(file.strip_prefix(from).unwrap());
        fs::create_dir_all(target.parent().unwrap()).unwrap();
        fs::copy(&file, &target).unwrap();
    }
}

/// Ways in which a file of these bytes does not hold what was written.
fn damages(bytes: &[u8], dice: &mut Dice) -> Vec<Vec<u8>> {
    let mut all = vec![Vec::new(), bytes[..bytes.len() / 2].to_vec()];
    for _ in 0..8 {
        let mut flipped = bytes.to_vec();
        if !bytes.is_empty() {
            flipped[dice.below(bytes.len())] ^= 1 << dice.below(8);
        }
        all.push(flipped);
    }
    all
}

/// Whatever is damaged in a folder, the run goes on to its right end.
fn every_file(folder: &Path, scenario: &Scenario, wanted: &Summary) {
    let work = tempfile::tempdir().unwrap();
    let work = work.path().join("run");
    let mut dice = Dice(1);
    for file in files(folder) {
        let name = file.strip_prefix(folder).unwrap();
        let bytes = fs::read(&file).unwrap();
        for damaged in damages(&bytes, &mut dice) {
            copy(folder, &work);
            fs::write(work.join(name), &damaged).unwrap();
            let (result, _) = go_on(&work, scenario);
            let summary = result.unwrap_or_else(|e| panic!("{}: {e}", name.display()));
            assert_eq!(
                (summary.status, summary.fingerprint, summary.rounds),
                (Status::Finished, wanted.fingerprint, wanted.rounds),
                "{}",
                name.display()
            );
            assert_eq!(
                (summary.final_accuracy, summary.best_round, &summary.name),
                (wanted.final_accuracy, wanted.best_round, &wanted.name),
                "{}",
                name.display()
            );
        }
        copy(folder, &work);
        fs::remove_file(work.join(name)).unwrap();
        let summary = go_on(&work, scenario).0.unwrap();
        assert_eq!(
            summary.fingerprint,
            wanted.fingerprint,
            "{}",
            name.display()
        );
    }
}

const RICH: [&str; 6] = [
    "run.rounds=6",
    "training.epochs=1",
    "data.validation=0.1",
    "strategy={scaffold={}}",
    "ordering={order=\"curriculum\",score=\"expert-loss\"}",
    "evaluation.every=4",
];

#[test]
fn any_damaged_file_of_an_interrupted_run_changes_nothing() {
    let scenario = read(&RICH);
    let folder = tempfile::tempdir().unwrap();
    let (whole, parts) = (folder.path().join("whole"), folder.path().join("parts"));
    let wanted = run_in(&whole, &scenario, 2, false);
    run_until(&parts, &scenario, 2, false, 5);
    every_file(&parts, &scenario, &wanted);
}

#[test]
fn any_damaged_file_of_a_finished_run_is_seen_when_it_is_asked_for_again() {
    let scenario = read(&RICH);
    let folder = tempfile::tempdir().unwrap();
    let whole = folder.path().join("whole");
    let wanted = run_in(&whole, &scenario, 2, false);
    every_file(&whole, &scenario, &wanted);
}

/// A run of six rounds that was interrupted after five, and its right end.
fn interrupted(set: &[&str]) -> (tempfile::TempDir, PathBuf, Scenario, Fingerprint) {
    let scenario = read(&[&["run.rounds=6", "training.epochs=1"], set].concat());
    let folder = tempfile::tempdir().unwrap();
    let wanted = run_in(&folder.path().join("whole"), &scenario, 2, false);
    let parts = folder.path().join("parts");
    run_until(&parts, &scenario, 2, false, 5);
    (folder, parts, scenario, wanted.fingerprint)
}

fn flip(path: &Path) {
    let mut bytes = fs::read(path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(path, bytes).unwrap();
}

#[test]
fn a_damaged_checkpoint_falls_back_to_the_one_before_and_says_so() {
    for file in ["state.bin", "global.safetensors", "manifest.json"] {
        let (_folder, parts, scenario, wanted) = interrupted(&["strategy={fed_adam={}}"]);
        flip(&parts.join("checkpoint/000005").join(file));
        let (result, warnings) = go_on(&parts, &scenario);
        assert_eq!(result.unwrap().fingerprint, wanted, "{file}");
        let [warning] = &warnings[..] else {
            panic!("{warnings:?}");
        };
        assert!(warning.contains(&format!("000005/{file}")), "{warning}");
        assert!(
            warning.contains(
                "going on from round 4: what was done after it is done again, with the same result"
            ),
            "{warning}"
        );
    }
}

#[test]
fn two_damaged_checkpoints_begin_the_run_again_and_say_so() {
    let (_folder, parts, scenario, wanted) = interrupted(&[]);
    for rounds in ["000004", "000005"] {
        flip(&parts.join("checkpoint").join(rounds).join("state.bin"));
    }
    let (result, warnings) = go_on(&parts, &scenario);
    assert_eq!(result.unwrap().fingerprint, wanted);
    assert_eq!(warnings.len(), 2);
    assert!(
        warnings[0].contains("going on from round 0"),
        "{warnings:?}"
    );
}

#[test]
fn checkpoints_of_another_run_or_of_another_time_are_not_believed() {
    let (folder, parts, scenario, wanted) = interrupted(&["strategy={fed_adam={}}"]);
    let other = folder.path().join("other");
    let set = [
        "run.rounds=6",
        "training.epochs=1",
        "strategy={fed_adam={}}",
        "run.seed=7",
    ];
    run_until(&other, &read(&set), 2, false, 5);
    let work = folder.path().join("work");
    let (newest, older) = ("checkpoint/000005", "checkpoint/000004");
    let swaps: [(&Path, &[&str]); 5] = [
        (&other, &["state.bin"]),
        (&other, &["global.safetensors"]),
        (&other, &["manifest.json"]),
        (&other, &["state.bin", "global.safetensors"]),
        (
            &other,
            &[
                "state.bin",
                "global.safetensors",
                "layout.json",
                "manifest.json",
            ],
        ),
    ];
    for (from, names) in swaps {
        copy(&parts, &work);
        for name in names {
            fs::copy(from.join(newest).join(name), work.join(newest).join(name)).unwrap();
        }
        let (result, warnings) = go_on(&work, &scenario);
        assert_eq!(result.unwrap().fingerprint, wanted, "{names:?}");
        assert_eq!(warnings.len(), 1, "{names:?}: {warnings:?}");
    }
    for name in ["state.bin", "global.safetensors", "manifest.json"] {
        copy(&parts, &work);
        fs::copy(work.join(older).join(name), work.join(newest).join(name)).unwrap();
        let (result, warnings) = go_on(&work, &scenario);
        assert_eq!(result.unwrap().fingerprint, wanted, "{name}");
        assert_eq!(warnings.len(), 1, "{name}: {warnings:?}");
    }
    // Both checkpoints of the other run.
    copy(&parts, &work);
    fs::remove_dir_all(work.join("checkpoint")).unwrap();
    copy(&other.join("checkpoint"), &work.join("checkpoint"));
    let (result, warnings) = go_on(&work, &scenario);
    assert_eq!(result.unwrap().fingerprint, wanted);
    assert!(warnings[0].contains("another run"), "{warnings:?}");
}

#[test]
fn where_rounds_closed_without_the_late_a_lost_run_is_refused() {
    let (_folder, parts, scenario, wanted) =
        interrupted(&["deadline.close={after_s=600.0,min_clients=1}"]);
    flip(&parts.join("checkpoint/000005/state.bin"));
    let kept = parts.with_file_name("kept");
    copy(&parts, &kept);
    assert_eq!(go_on(&parts, &scenario).0.unwrap().fingerprint, wanted);
    flip(&kept.join("checkpoint/000004/state.bin"));
    let error = go_on(&kept, &scenario).0.unwrap_err().to_string();
    for part in ["000005/state.bin", "000004/state.bin", "deadline.close"] {
        assert!(error.contains(part), "{error}");
    }
}

#[test]
fn a_folder_of_another_version_is_refused_with_both() {
    let (_folder, parts, scenario, _) = interrupted(&[]);
    let work = parts.with_file_name("work");
    copy(&parts, &work);
    let manifest = work.join("checkpoint/000005/manifest.json");
    let text = fs::read_to_string(&manifest).unwrap();
    let earlier = text.replace("\"format\": 5", "\"format\": 4");
    let earlier = earlier.replace("\"planned\"", "\"intended\"");
    fs::write(&manifest, earlier).unwrap();
    let error = go_on(&work, &scenario).0.unwrap_err().to_string();
    assert!(error.contains("manifest.json is of version 4"), "{error}");
    assert!(error.contains("reads version 5"), "{error}");
    fs::remove_dir_all(work.join("checkpoint")).unwrap();
    fs::create_dir_all(work.join("checkpoint/000005")).unwrap();
    fs::write(work.join("checkpoint/latest.json"), "{\"rounds\": 5}").unwrap();
    let error = go_on(&work, &scenario).0.unwrap_err().to_string();
    assert!(error.contains("latest.json is of version 1"), "{error}");
    assert!(error.contains("reads version 5"), "{error}");
}

/// As the command does it, in one process and on nodes.
#[test]
fn the_command_warns_and_ends_with_the_right_fingerprint() {
    let (folder, parts, _, wanted) = interrupted(&[]);
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/cases/resume-more-rounds.toml");
    for nodes in [None, Some("2")] {
        let work = folder.path().join("work");
        copy(&parts, &work);
        flip(&work.join("checkpoint/000005/global.safetensors"));
        let mut command = Command::new(env!("CARGO_BIN_EXE_lyceum-under-test"));
        command.args(["run", file, "--quiet", "--resume", "--out"]);
        command.arg(&work).args(["--set", "run.rounds=6"]);
        command.args(["--set", "training.epochs=1"]);
        command.args(nodes.iter().flat_map(|n| ["--nodes", n]));
        let out = command.output().unwrap();
        let text = String::from_utf8_lossy(&out.stderr);
        assert_eq!(out.status.code(), Some(0), "{text}");
        assert!(text.contains("warning: "), "{text}");
        assert!(text.contains("000005/global.safetensors"), "{text}");
        let summary = Summary::read(&work.join("summary.json")).unwrap();
        assert_eq!(summary.fingerprint, wanted);
    }
}

/// Runs `lyceum` with these words: its exit code, and what it told.
fn told(words: &[&str], folder: &Path) -> (Option<i32>, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lyceum-under-test"));
    let out = command.args(words).arg(folder).output().unwrap();
    let told = String::from_utf8_lossy(&out.stderr).into_owned();
    (out.status.code(), told)
}

/// Whoever reads a finished run is told what was changed since, in words that are no library's.
#[test]
fn what_was_changed_in_a_finished_run_is_told_to_whoever_reads_it() {
    let scenario = read(&["run.rounds=3", "training.epochs=1"]);
    let folder = tempfile::tempdir().unwrap();
    let (whole, work) = (folder.path().join("whole"), folder.path().join("work"));
    let wanted = run_in(&whole, &scenario, 2, false);
    assert_eq!(told(&["compare"], &whole), (Some(0), String::new()));
    for name in [
        "rounds.csv",
        "rounds.parquet",
        "clients.parquet",
        "scenario.toml",
    ] {
        copy(&whole, &work);
        flip(&work.join(name));
        let (_, said) = told(&["compare"], &work);
        assert!(
            said.contains("does not hold what was written") && said.contains(name),
            "{said}"
        );
        let (summary, warnings) = go_on(&work, &scenario);
        assert_eq!(summary.unwrap().fingerprint, wanted.fingerprint);
        assert!(warnings.iter().any(|w| w.contains(name)), "{warnings:?}");
        assert_eq!(
            fs::read(work.join(name)).unwrap(),
            fs::read(whole.join(name)).unwrap(),
            "{name}"
        );
    }
    copy(&whole, &work);
    let summary = fs::read_to_string(whole.join("summary.json")).unwrap();
    let changed = summary.replace("\"final_accuracy\": 0", "\"final_accuracy\": 1");
    assert_ne!(changed, summary);
    for (text, code, wanted) in [
        (
            changed.as_str(),
            0,
            "summary.json: it does not hold what was written",
        ),
        ("{\"name\": \"a\"}", 2, "a value or a name is missing"),
        ("{\"name\": ", 2, "it ends too early"),
        ("name", 2, "it is no JSON"),
    ] {
        fs::write(work.join("summary.json"), text).unwrap();
        let (found, said) = told(&["compare"], &work);
        assert_eq!(found, Some(code), "{said}");
        assert!(said.contains(wanted) && !said.contains("field"), "{said}");
    }
    // A damaged one is named, and the others are compared.
    let (found, said) = told(&["compare", whole.to_str().unwrap()], &work);
    assert_eq!(found, Some(2), "{said}");
    assert!(
        said.contains("summary.json") && said.contains("it is no JSON"),
        "{said}"
    );
    copy(&whole, &work);
    fs::remove_file(work.join("checkpoint/finished.json")).unwrap();
    let (found, said) = told(&["compare"], &work);
    assert!(
        found == Some(0) && said.contains("finished.json: it is missing"),
        "{said}"
    );
}

#[test]
fn a_damaged_log_is_refused_with_its_line_and_in_plain_words() {
    let text = fs::read_to_string(crate::catalogue::folder().join("split-digits-er.toml")).unwrap();
    let set = ["run.rounds=5", "training.epochs=1"].map(String::from);
    let scenario = Scenario::read(&lyceum::registry(), "a", &text, &set).unwrap();
    let folder = tempfile::tempdir().unwrap();
    run_in(folder.path(), &scenario, 2, false);
    let (code, said) = told(&["metrics"], folder.path());
    assert_eq!((code, said.as_str()), (Some(0), ""));
    let log = folder.path().join("events.jsonl");
    let lines = fs::read_to_string(&log).unwrap();
    fs::write(&log, lines.replacen("\"round\":1", "\"rouhd\":1", 1)).unwrap();
    let (code, said) = told(&["metrics"], folder.path());
    assert_eq!(code, Some(2), "{said}");
    assert!(
        said.contains("events.jsonl, line ") && said.contains("is damaged"),
        "{said}"
    );
    assert!(
        said.contains("warning: ") && !said.contains("field"),
        "{said}"
    );
}

/// What a coordinator leaves besides: its journal, and the number of its process.
#[test]
fn damage_to_what_a_coordinator_leaves_changes_nothing() {
    let (folder, parts, _, wanted) = interrupted(&["strategy={scaffold={}}"]);
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/cases/resume-more-rounds.toml");
    let go_on = |out: &Path, rounds: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_lyceum-under-test"));
        command.args(["run", file, "--quiet", "--resume", "--nodes", "2", "--out"]);
        command.arg(out).args(["--set", rounds]);
        let set = [
            "--set",
            "training.epochs=1",
            "--set",
            "strategy={scaffold={}}",
        ];
        let out = command.args(set).output().unwrap();
        let text = String::from_utf8_lossy(&out.stderr).into_owned();
        assert_eq!(out.status.code(), Some(0), "{text}");
    };
    go_on(&parts, "run.rounds=5");
    for name in ["journal.wal", "incarnation", "incarnation-2"] {
        let work = folder.path().join("work");
        copy(&parts, &work);
        flip(&work.join(name));
        go_on(&work, "run.rounds=6");
        let summary = Summary::read(&work.join("summary.json")).unwrap();
        assert_eq!(summary.fingerprint, wanted, "{name}");
    }
}
