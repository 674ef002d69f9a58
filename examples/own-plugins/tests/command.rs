//! A user's crate has the whole command with its plugins in it.

use std::process::{Command, Output};

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
