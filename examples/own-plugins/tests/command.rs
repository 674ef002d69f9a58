//! A user's crate has the whole command with its plugins in it.

mod common;

use common::{command, fingerprint};

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
        "sine",
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

/// One file and one line: Burn differentiates it, in a network of fused layers; on threads and nodes, in one go and in two.
#[test]
fn an_own_layer_is_trained_the_same_everywhere() {
    assert!(accuracy("sines.toml") > 60.0);
    let folder = tempfile::tempdir().expect("a temporary folder");
    let run = |name: &str, more: &[&str]| {
        fingerprint("sines.toml", &folder.path().join(name), more).expect("it ends")
    };
    let alone = run("1", &["--threads", "1"]);
    assert_eq!(run("2", &["--threads", "2"]), alone);
    assert_eq!(run("3", &["--nodes", "2"]), alone);
    run("4", &["--set", "run.rounds=9"]);
    assert_eq!(run("4", &["--resume", "--nodes", "2"]), alone);
}

/// One file and two lines: the shorter proof stands, and what the solver proves goes back.
#[test]
fn an_own_merge_rule_and_solver_work_on_a_store() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let at = |name: &str| folder.path().join(name).to_string_lossy().into_owned();
    let (store, first, second) = (at("store"), at("a.jsonl"), at("b.jsonl"));
    let long =
        r#"{"name":"a","statement":"1 + 1 = 2","sorry":false,"proof":"by simp [Nat.add_comm]"}"#;
    let open = r#"{"name":"b","statement":"2 + 3 = 5","sorry":true}"#;
    let short = r#"{"name":"a","statement":"1 + 1 = 2","sorry":false,"proof":"rfl"}"#;
    std::fs::write(&first, format!("{long}\n{open}\n")).expect("it is written");
    std::fs::write(&second, format!("{short}\n")).expect("it is written");
    let said = |args: &[&str]| {
        let out = command(&[&["tasks", &store], args].concat());
        assert!(
            out.status.success(),
            "{}",
            String::from_utf8_lossy(&out.stderr)
        );
        String::from_utf8_lossy(&out.stdout).into_owned()
    };
    let how = [
        "--task",
        "sums",
        "--unsolved",
        "sorry",
        "--rule",
        "shortest",
        "--identity",
        "name",
    ];
    said(&[&["add", &first], &how[..]].concat());
    said(&[&["add", &second], &how[..]].concat());
    let solved = said(&[
        "solved",
        "--solver",
        "adder",
        "--task",
        "sums",
        "--unsolved",
        "sorry",
    ]);
    assert!(solved.starts_with("1 sample went back"), "{solved}");
    let records = said(&["export", "--plain"]);
    assert!(
        records.contains("rfl") && records.contains("by decide"),
        "{records}"
    );
    assert!(!records.contains("simp"), "{records}");
    assert!(said(&["check"]).contains("all is as it was told"));
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
