//! Promise: a run leaves one folder with everything that is promised in it.

use crate::{catalogue::read, determinism::run_in};
use serde_json::Value;
use std::process::Command;

#[test]
fn a_run_leaves_a_complete_folder() {
    let folder = tempfile::tempdir().unwrap();
    let scenario = read("fed-adam-dropouts", &["run.rounds=6"]);
    run_in(folder.path(), &scenario, 2, false);
    for file in [
        "scenario.toml",
        "events.jsonl",
        "rounds.csv",
        "rounds.parquet",
        "clients.parquet",
        "summary.json",
        "checkpoint/finished.json",
        "checkpoint/best.safetensors",
        "checkpoint/000006/manifest.json",
        "checkpoint/000006/global.safetensors",
        "checkpoint/000006/state.bin",
        "checkpoint/000006/layout.json",
    ] {
        assert!(folder.path().join(file).is_file(), "{file}");
    }
    let text = std::fs::read_to_string(folder.path().join("summary.json")).unwrap();
    let summary: Value = serde_json::from_str(&text).unwrap();
    for key in [
        "name",
        "seed",
        "rounds",
        "clients",
        "threads",
        "engine",
        "fingerprint",
        "final_accuracy",
        "mean_last_10_accuracy",
        "best_accuracy",
        "seconds_to_first_round",
        "seconds_per_round_median",
        "peak_rss_mib",
        "bytes_up",
        "bytes_down",
        "samples_trained",
    ] {
        assert!(!summary[key].is_null(), "{key}");
    }
    for kind in ["client_update", "round", "evaluation"] {
        for quantile in ["p50", "p90", "p99", "max"] {
            assert!(
                summary["latency"][kind][quantile].is_number(),
                "{kind} {quantile}"
            );
        }
    }
    assert!(summary["dropped_out"].as_u64().unwrap() > 0);
    let log = std::fs::read_to_string(folder.path().join("events.jsonl")).unwrap();
    let last: Value = serde_json::from_str(log.lines().last().unwrap()).unwrap();
    assert_eq!(last["event"], "run_finished");
    assert_eq!(last["fingerprint"], summary["fingerprint"]);
}

#[test]
fn a_finished_model_is_a_warm_start_for_the_next_run() {
    let folder = tempfile::tempdir().unwrap();
    let first = run_in(
        &folder.path().join("a"),
        &read("quickstart", &["run.rounds=20"]),
        2,
        false,
    );
    let model = folder.path().join("a/checkpoint/000020/global.safetensors");
    let warm = read(
        "quickstart",
        &[
            "run.rounds=1",
            "training.rate=1e-9",
            &format!("run.start_from={}", model.display()),
        ],
    );
    let second = run_in(&folder.path().join("b"), &warm, 2, false);
    assert_eq!(first.final_accuracy, second.final_accuracy);
}

#[test]
fn client_accuracies_are_reported_when_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    run_in(
        folder.path(),
        &read("scaffold-digits", &["run.rounds=20"]),
        2,
        false,
    );
    let events = std::fs::read_to_string(folder.path().join("events.jsonl")).unwrap();
    let lines = events
        .lines()
        .filter(|l| l.contains("\"client_accuracy\""))
        .count();
    assert_eq!(lines, 20);
}

fn command(args: &[&str]) -> String {
    let out = Command::new(env!("CARGO_BIN_EXE_lyceum-under-test"))
        .args(args)
        .output()
        .unwrap();
    assert!(
        out.status.success(),
        "{}",
        String::from_utf8_lossy(&out.stderr)
    );
    String::from_utf8(out.stdout).unwrap()
}

#[test]
fn list_shows_everything_a_scenario_can_name() {
    let list = command(&["list"]);
    let names = "fed_avg fed_prox fed_avg_m fed_adam fed_yogi fed_adagrad scaffold fed_nova fed_dyn \
        median trimmed_mean krum geometric_median \
        uniform passes all difficulty power_of_choice oort \
        curriculum anti-curriculum random vanilla blocked interleaved \
        linear quadratic root step exponential logarithmic cyclical \
        global-loss local-loss both-losses expert-loss global-error local-error both-errors expert-error \
        iid dirichlet dirichlet_equal labels_per_client quantity_skew by_client by_difficulty \
        digits mixture synthetic mnist fashion-mnist idx cifar-binary csv softmax mlp cnn fused flex ndarray wgpu idle \
        class_incremental task_incremental domain_incremental online blurry task_free gradual_drift \
        permuted rotated noise brightness feature_skew label_shift groups \
        defined seeded given difficulty designed naive er clip";
    for name in names.split_whitespace() {
        assert!(
            list.lines()
                .any(|l| l.split_whitespace().next() == Some(name)),
            "{name}"
        );
    }
}

#[test]
fn the_schema_knows_every_table_and_describes_keys() {
    let schema: Value = serde_json::from_str(&command(&["schema"])).unwrap();
    for table in lyceum_scenarios::TABLES {
        assert!(schema["properties"][table].is_object(), "{table}");
    }
    assert!(schema["properties"]["run"]["properties"]["rounds"]["description"].is_string());
    let strategies = schema["properties"]["strategy"]["oneOf"]
        .as_array()
        .unwrap();
    assert!(
        strategies
            .iter()
            .any(|s| s["properties"]["fed_prox"]["properties"]["mu"].is_object())
    );
}

#[test]
fn seeds_and_compare_print_means_with_intervals() {
    let folder = tempfile::tempdir().unwrap();
    let file = crate::catalogue::folder().join("quickstart.toml");
    let (file, out) = (file.to_string_lossy(), folder.path().to_string_lossy());
    let table = command(&[
        "run",
        &file,
        "--set",
        "run.rounds=3",
        "--seeds",
        "0..3",
        "--out",
        &out,
        "--quiet",
    ]);
    assert!(table.contains("quickstart"), "{table}");
    command(&[
        "run",
        &file,
        "--set",
        "run.rounds=3",
        "--set",
        "run.name=other",
        "--set",
        "training.rate=0.01",
        "--seeds",
        "0..3",
        "--out",
        &out,
        "--quiet",
    ]);
    let runs: Vec<String> = ["quickstart", "other"]
        .iter()
        .flat_map(|n| (0..3).map(move |s| format!("{n}-seed{s}")))
        .collect();
    let paths: Vec<String> = runs.iter().map(|r| format!("{out}/{r}")).collect();
    let args: Vec<&str> = std::iter::once("compare")
        .chain(paths.iter().map(String::as_str))
        .collect();
    let table = command(&args);
    assert!(
        table.contains("quickstart") && table.contains("other"),
        "{table}"
    );
}
