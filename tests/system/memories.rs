//! Promise: a memory with few places uses those that there are, or is refused before anything runs.

use crate::{catalogue::read, determinism::run_in};
use lyceum_metrics::Status;
use lyceum_scenarios::Scenario;

/// Every method with a buffer, and what limits it besides `memory`.
const METHODS: [(&str, &str); 10] = [
    ("er", "policy=reservoir"),
    ("er", "policy=class-balanced"),
    ("er", "policy=ring"),
    ("er", "fill=task-end"),
    ("der", "alpha=0.5"),
    ("der_pp", "alpha=0.5,beta=0.5"),
    ("gem", "margin=0.0"),
    ("a_gem", ""),
    ("gdumb", "passes=2"),
    ("icarl", "temperature=1.0"),
];

fn scenario(method: &str, keys: &str, memory: &str) -> Result<Scenario, String> {
    let text = std::fs::read_to_string(crate::catalogue::folder().join("split-digits-er.toml"));
    let text = text.unwrap();
    let (head, _) = text
        .split_once("[scenario.class_incremental.method.er]")
        .unwrap();
    let keys = keys.split(',').filter(|key| !key.is_empty());
    let keys: Vec<String> = keys
        .map(|key| match key.split_once('=').unwrap() {
            (name, value) if value.parse::<f64>().is_ok() => format!("{name} = {value}\n"),
            (name, value) => format!("{name} = \"{value}\"\n"),
        })
        .collect();
    let text = format!(
        "{head}[scenario.class_incremental.method.{method}]\n{memory}\n{}",
        keys.concat()
    );
    let loss = if method == "icarl" {
        "sigmoid"
    } else {
        "cross-entropy"
    };
    let overrides = ["run.rounds=10".to_string(), format!("training.loss={loss}")];
    Scenario::read(&lyceum::registry(), "s", &text, &overrides).map_err(|e| e.to_string())
}

/// Ten classes in five tasks.
#[test]
fn every_buffer_runs_with_fewer_places_than_classes_and_tasks() {
    for (method, keys) in METHODS {
        for memory in [1, 2, 3, 5, 9] {
            let scenario = scenario(method, keys, &format!("memory = {memory}"));
            let scenario = scenario.unwrap_or_else(|e| panic!("{e}"));
            let folder = tempfile::tempdir().unwrap();
            let summary = run_in(&folder.path().join("run"), &scenario, 2, false);
            assert_eq!(summary.status, Status::Finished, "{method} {keys} {memory}");
        }
        let none = scenario(method, keys, "memory = 0").err().unwrap();
        assert!(
            none.contains("memory") && none.contains("1 or above"),
            "{none}"
        );
    }
}

/// Digits are 64 bytes; `der` keeps ten logits of four bytes with each.
#[test]
fn bytes_that_hold_no_sample_are_refused_with_what_one_takes() {
    for (method, keys) in METHODS {
        let each = if method.starts_with("der") { 104 } else { 64 };
        let read = |bytes: usize| {
            let scenario = scenario(method, keys, &format!("memory_bytes = {bytes}"));
            let scenario = scenario.unwrap_or_else(|e| panic!("{e}"));
            let loaded = lyceum_scenarios::Loaded::read(&scenario, &[]).unwrap();
            loaded.network(&scenario).map(drop)
        };
        let refused = read(each - 1).unwrap_err().to_string();
        let (said, place) = (format!("one takes {each}"), "memory_bytes");
        assert!(
            refused.contains(&said) && refused.contains(place),
            "{refused}"
        );
        assert!(read(each).is_ok(), "{method} {keys}");
    }
}

/// With as many places as half of the classes, half of them have an exemplar and a mean, and those are recognised.
#[test]
fn icarl_recognises_as_many_classes_as_it_has_places() {
    let scenario = scenario("icarl", "", "memory = 5").unwrap_or_else(|e| panic!("{e}"));
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("run");
    run_in(&out, &scenario, 2, false);
    let means = crate::statistics::tensor(&out, "means");
    let shares: Vec<f32> = means.chunks_exact(65).map(|row| row[64]).collect();
    // Of the numbers 0 to 9, read backwards in binary, the five lowest.
    assert_eq!(shares, [1.0, 0.0, 1.0, 0.0, 1.0, 0.0, 1.0, 0.0, 1.0, 0.0]);
}

/// A server's rule leaves the means of classes alone: every class that was seen has one, whole.
#[test]
fn class_means_are_averaged_under_every_rule() {
    for rule in ["fed_avg_m={}", "fed_adam={}", "fed_dyn={}", "fed_nova={}"] {
        let scenario = read(
            "federated-er",
            &[
                "run.rounds=12",
                "training.loss=sigmoid",
                "scenario.class_incremental.method={icarl={per_class=3}}",
                "data.partition=iid",
                "scenario.class_incremental.arrival={}",
                &format!("strategy={{{rule}}}"),
            ],
        );
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("run");
        run_in(&out, &scenario, 2, false);
        let means = crate::statistics::tensor(&out, "means");
        for row in means.chunks_exact(means.len() / 10) {
            let (share, mean) = row.split_last().unwrap();
            assert!((0.0..=1.0 + 1e-5).contains(share), "{rule}: {share}");
            // Means of vectors of length 1 are no longer than that.
            let length = mean.iter().map(|v| v * v).sum::<f32>().sqrt();
            assert!(length <= share + 1e-4, "{rule}: {length} of {share}");
        }
    }
}
