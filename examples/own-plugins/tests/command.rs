//! A user's crate has the whole command with its plugins in it.

use std::{
    path::Path,
    process::{Command, Output},
};

fn command(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_own-plugins"))
        .args(args)
        .output()
        .expect("the command starts")
}

#[test]
fn own_plugins_are_listed_and_have_a_schema() {
    let list = String::from_utf8_lossy(&command(&["list"]).stdout).into_owned();
    let schema = String::from_utf8_lossy(&command(&["schema"]).stdout).into_owned();
    for name in [
        "spirals",
        "bottleneck",
        "capped_step",
        "keep_largest",
        "rings",
        "slow_copy",
    ] {
        assert!(list.contains(name) && schema.contains(name), "{name}");
    }
}

#[test]
fn own_plugins_run_and_learn() {
    assert!(accuracy("spirals.toml") > 60.0);
}

#[test]
fn an_own_transform_runs_and_learns() {
    assert!(accuracy("spirals-in-parts.toml") > 60.0);
}

#[test]
fn an_own_stream_and_method_run_and_learn() {
    // Three classes, and the last ring to remember the first by.
    assert!(accuracy("spirals-in-rings.toml") > 40.0);
}

/// Final accuracy in percent of a scenario in this crate's folder.
fn accuracy(name: &str) -> f64 {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let out = folder.path().join("run");
    let file = format!("{}/{name}", env!("CARGO_MANIFEST_DIR"));
    let result = command(&["run", &file, "--out", &out.to_string_lossy(), "--quiet"]);
    let text = String::from_utf8_lossy(&result.stdout);
    assert!(
        result.status.success(),
        "{}",
        String::from_utf8_lossy(&result.stderr)
    );
    text.split_whitespace()
        .nth(1)
        .and_then(|v| v.parse().ok())
        .expect("an accuracy")
}

/// Runs a file with these words behind it into a folder; its fingerprint, if it ended.
fn fingerprint(name: &str, out: &Path, more: &[&str]) -> Option<String> {
    let file = format!("{}/{name}", env!("CARGO_MANIFEST_DIR"));
    let out = out.to_string_lossy();
    let words = [&["run", &file, "--out", &out, "--quiet"], more].concat();
    let result = command(&words);
    let text = String::from_utf8_lossy(&result.stdout).into_owned();
    let line = text.lines().find(|line| line.starts_with("fingerprint "));
    line.map(|line| line.replace("fingerprint ", ""))
}

fn events(out: &Path) -> Vec<serde_json::Value> {
    let log = std::fs::read_to_string(out.join("events.jsonl")).expect("there is a log");
    let line = |line: &str| serde_json::from_str(line).expect("a line is an event");
    log.lines().map(line).collect()
}

/// Two models in turn, a mixture and a task that joins: the same on threads, on nodes and after any interruption.
#[test]
fn an_own_rule_steers_a_run_the_same_everywhere() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let place = |name: &str| folder.path().join(name);
    let run = |name: &str, more: &[&str]| fingerprint("two-models.toml", &place(name), more);
    let alone = run("1", &["--threads", "1"]).expect("it ends");
    assert_eq!(run("2", &["--threads", "2"]).as_ref(), Some(&alone));
    assert_eq!(run("3", &["--nodes", "3"]).as_ref(), Some(&alone));
    // Once half of the rounds, then the rest, in each of the ways.
    for (name, ways) in [("4", &["--threads", "1"]), ("5", &["--nodes", "2"])] {
        run(name, &["--set", "run.rounds=6"]).expect("it ends");
        let rest = [&["--resume"][..], ways].concat();
        assert_eq!(run(name, &rest).as_ref(), Some(&alone), "{name}");
    }
    let of = |kind: &'static str| {
        let mut all = events(&place("1"));
        all.retain(|event| event["event"] == kind);
        all
    };
    let started = of("round_started");
    let trained: Vec<_> = started
        .iter()
        .map(|e| e["model"].as_str().unwrap_or("global"))
        .collect();
    assert_eq!(trained[..4], ["global", "second", "global", "second"]);
    let added = of("task_added");
    assert_eq!((added.len(), &added[0]["round"]), (1, &5.into()));
    assert_eq!(added[0]["task"]["name"], "late");
    let mixture = of("model_evaluated");
    let late = |e: &&serde_json::Value| e["probe"]["task"] == 2;
    assert!(mixture.iter().all(|e| e["model"] == "mixture"));
    assert_eq!(mixture.iter().filter(late).count(), 5);
    let last = of("evaluated");
    let late = last.iter().rfind(late).expect("the task is judged");
    // Before it joined, nobody had seen its classes.
    assert!(late["accuracy"].as_f64() > Some(0.3), "{late}");
}

/// Asked while a run goes on: a mixture is judged and changes nothing, a task joins. Stopped and gone on with, and told the
/// same facts anew, in one process and on nodes: one fingerprint.
#[test]
fn a_run_answers_and_what_it_was_told_makes_it_again() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let place = |name: &str| folder.path().join(name);
    let file = format!("{}/two-models.toml", env!("CARGO_MANIFEST_DIR"));
    let asked = place("asked");
    let mut run = Command::new(env!("CARGO_BIN_EXE_own-plugins"))
        .args([
            "run",
            &file,
            "--quiet",
            "--set",
            "run.rounds=10000000",
            "--out",
        ])
        .arg(&asked)
        .stdout(std::process::Stdio::null())
        .spawn()
        .expect("the command starts");
    while !asked.join("events.jsonl").exists() {
        std::thread::yield_now();
    }
    let ask = |words: &[&str]| {
        let place = asked.to_string_lossy().into_owned();
        let out = command(&[&["ask", &place], words].concat());
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (out.status.code(), text(&out.stdout), text(&out.stderr))
    };
    let (code, shown, told) = ask(&["--judge", "global=0.3,second=0.7"]);
    assert_eq!(code, Some(0), "{told}");
    assert!(
        shown.contains("test ") && shown.contains("task 1 "),
        "{shown}"
    );
    let (code, shown, told) = ask(&["--task", "late2=7,8"]);
    assert!(
        code == Some(0) && shown.starts_with("task `late2` joined"),
        "{shown}{told}"
    );
    for (words, why) in [
        (["--judge", "nobody=1"], "there is no model `nobody`"),
        (["--task", "late2=7,8"], "the stream has a task `late2`"),
        (["--task", "x=99"], "the data have no class 99"),
        (["--task", "x"], "expected NAME=CLASSES"),
    ] {
        let (code, _, told) = ask(&words);
        assert!(code == Some(2) && told.contains(why), "{told}");
    }
    let stopped = Command::new("kill")
        .args(["-TERM", &run.id().to_string()])
        .status();
    assert!(stopped.is_ok_and(|status| status.success()));
    assert_eq!(run.wait().ok().and_then(|status| status.code()), Some(75));
    let done = events(&asked)
        .iter()
        .filter(|e| e["event"] == "round_closed")
        .count();
    let rounds = format!("run.rounds={}", done + 3);
    let log = asked.join("events.jsonl").to_string_lossy().into_owned();
    let again = |name: &str, more: &[&str]| {
        let words = [&["--set", rounds.as_str()], more].concat();
        fingerprint("two-models.toml", &place(name), &words)
    };
    let resumed = again("asked", &["--resume"]).expect("it ends");
    let facts = ["--facts", log.as_str()];
    assert_eq!(again("one", &facts).as_ref(), Some(&resumed));
    assert_eq!(
        again("nodes", &[&facts[..], &["--nodes", "2"]].concat()).as_ref(),
        Some(&resumed)
    );
    assert_ne!(again("none", &[]).as_ref(), Some(&resumed));
    let (code, _, told) = ask(&["--judge", "global"]);
    assert!(
        code == Some(2) && told.contains("no process runs here"),
        "{told}"
    );
}

#[test]
fn a_rule_ends_a_run_and_a_wrong_rule_is_told() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let place = |name: &str| folder.path().join(name);
    let finish = ["--set", "steering.two_models.finish=6"];
    let first = fingerprint("two-models.toml", &place("f"), &finish).expect("it ends");
    let rounds = |out: &Path| {
        events(out)
            .iter()
            .filter(|e| e["event"] == "round_closed")
            .count()
    };
    assert_eq!(rounds(&place("f")), 7);
    let again = [&finish[..], &["--resume"]].concat();
    assert_eq!(
        fingerprint("two-models.toml", &place("f"), &again),
        Some(first)
    );
    assert_eq!(rounds(&place("f")), 7);
    let out = place("w").to_string_lossy().into_owned();
    let file = format!("{}/two-models.toml", env!("CARGO_MANIFEST_DIR"));
    let wrong = [
        "run",
        &file,
        "--quiet",
        "--out",
        &out,
        "--set",
        "steering.two_models.classes=[77]",
    ];
    let result = command(&wrong);
    let told = String::from_utf8_lossy(&result.stderr).into_owned();
    assert_eq!(result.status.code(), Some(1), "{told}");
    assert!(
        told.contains("task `late`: the data have no class 77: expected 0 to 9"),
        "{told}"
    );
}

/// One file and one line: a memory of bits in a slot of its own, and answers of its own; on threads and nodes.
#[test]
fn an_own_method_keeps_bits_and_answers_in_its_own_way() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let with = |again: &str| {
        let method = format!("scenario.rings.method={{fresh_first={{again={again}}}}}");
        vec!["--set".to_owned(), method]
    };
    let ran = |name: &str, again: &str, more: &[&str]| {
        let words = with(again);
        let mut words: Vec<&str> = words.iter().map(String::as_str).collect();
        words.extend(more);
        fingerprint("spirals-in-rings.toml", &folder.path().join(name), &words).expect("it ends")
    };
    let alone = ran("alone", "0.5", &["--threads", "1"]);
    assert_eq!(ran("nodes", "0.5", &["--nodes", "2"]), alone);
    // What was seen is remembered from round to round: it decides what counts.
    assert_ne!(ran("other", "0.25", &["--threads", "1"]), alone);
}
