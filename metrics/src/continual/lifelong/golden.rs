//! The suite against numbers that are known.

use super::*;
use crate::l2log::{read_experts, read_lifetime};
use serde_json::Value;
use std::path::{Path, PathBuf};

/// The example of l2metrics 3.1, where it lies beside the workspace.
fn example() -> Option<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let folder = root.join("shared/data/l2metrics-example");
    folder.is_dir().then_some(folder)
}

/// Fields that come from elsewhere than the measures, and that a test below checks.
const ELSEWHERE: [&str; 6] = [
    "run_id",
    "complexity",
    "difficulty",
    "scenario_type",
    "metrics_column",
    "runtime",
];

/// Compares every number of `expected` to 1e-9; fields are named by their path.
fn compare(path: &str, found: &Value, expected: &Value) {
    match (found, expected) {
        (Value::Number(found), Value::Number(expected)) => {
            let (found, expected) = (found.as_f64().unwrap(), expected.as_f64().unwrap());
            assert!(
                (found - expected).abs() < 1e-9,
                "{path}: {found} is not {expected}"
            );
        }
        (Value::Array(found), Value::Array(expected)) => {
            assert_eq!(found.len(), expected.len(), "{path}: {found:?}");
            for (i, (found, expected)) in found.iter().zip(expected).enumerate() {
                compare(&format!("{path}[{i}]"), found, expected);
            }
        }
        (Value::Object(found), Value::Object(expected)) => {
            for (name, value) in expected {
                if !ELSEWHERE.contains(&name.as_str()) {
                    let at = format!("{path}.{name}");
                    let found = found.get(name).unwrap_or_else(|| panic!("{at} is missing"));
                    compare(&at, found, value);
                }
            }
            for name in found.keys() {
                assert!(expected.contains_key(name), "{path}.{name} is not expected");
            }
        }
        _ => assert_eq!(found, expected, "{path}"),
    }
}

#[test]
#[allow(clippy::print_stdout)]
fn the_example_lifetime_gives_the_reference_values() {
    let Some(folder) = example() else {
        println!("skipped: shared/data/l2metrics-example is not there");
        return;
    };
    let log = read_lifetime(&folder.join("ll_logs/multi_task"), None).unwrap();
    let experts = read_experts(&folder.join("ste_logs"), None).unwrap();
    let report = evaluate(&log.lifetime, &experts, &Settings::default()).unwrap();
    let text = std::fs::read_to_string(folder.join("expected-metrics.json")).unwrap();
    let expected: Value = serde_json::from_str(&text).unwrap();
    compare("", &serde_json::to_value(&report).unwrap(), &expected);
    assert_eq!(log.run_id, expected["run_id"]);
    assert_eq!(log.scenario.complexity, expected["complexity"]);
    assert_eq!(log.scenario.difficulty, expected["difficulty"]);
    assert_eq!(log.scenario.scenario_type, expected["scenario_type"]);
    assert_eq!(log.performance, expected["metrics_column"]);
    assert_eq!(log.seconds, expected["runtime"].as_f64());
}

/// Two tasks, a and b, learned in the order a b a; blocks too short to be smoothed, no normalisation.
///
/// | block | 0 test | 0 test | 1 train a | 2 test | 2 test | 3 train b | 4 test | 4 test | 5 train a | 6 test | 6 test |
/// |---|---|---|---|---|---|---|---|---|---|---|---|
/// | a | 10 | | 20 40 | 50 | | | 30 | | 25 60 | 80 | |
/// | b | | 10 | | | 20 | 30 50 | | 60 | | | 45 |
fn small() -> Lifetime {
    use BlockKind::{Test, Train};
    let blocks = [
        (0, Test, "a", vec![10.0]),
        (0, Test, "b", vec![10.0]),
        (1, Train, "a", vec![20.0, 40.0]),
        (2, Test, "a", vec![50.0]),
        (2, Test, "b", vec![20.0]),
        (3, Train, "b", vec![30.0, 50.0]),
        (4, Test, "a", vec![30.0]),
        (4, Test, "b", vec![60.0]),
        (5, Train, "a", vec![25.0, 60.0]),
        (6, Test, "a", vec![80.0]),
        (6, Test, "b", vec![45.0]),
    ];
    let mut number = 0;
    let blocks = blocks.into_iter().map(|(block, kind, task, values)| Block {
        number: block,
        kind,
        asleep: false,
        task: task.to_owned(),
        experiences: values
            .into_iter()
            .map(|performance| {
                number += 1;
                Experience {
                    number,
                    performance,
                }
            })
            .collect(),
    });
    Lifetime {
        blocks: blocks.collect(),
    }
}

fn expert(task: &str, values: &[f64]) -> Expert {
    let experiences = values.iter().zip(0..);
    Expert {
        task: task.to_owned(),
        blocks: vec![
            experiences
                .map(|(&performance, number)| Experience {
                    number,
                    performance,
                })
                .collect(),
        ],
    }
}

fn everything() -> Settings {
    Settings {
        maintenance: Maintenance::Both,
        transfer: Transfer::Both,
        normalization: Normalization::Off,
        ..Settings::default()
    }
}

/// By hand. References of a: tests 2 and 6; of b: test 4.
/// mrlep: a: test 4: 30 - 50 = -20; b: test 6: 45 - 60 = -15. Lifetime -17.5.
/// mrtlp: a: 30 - 40 = -10 (terminal: last of two); b: 45 - 50 = -5. Lifetime -7.5.
/// Forward: a to b around block 1: 20 / 10 = 2, contrast 10 / 30. b to a: a is known already.
/// Backward: b to a around block 3: 30 / 50 = 0.6, -20 / 80; a to b around block 5: 45 / 60 = 0.75,
/// -15 / 105.
/// Recovery of a: 40 is reached at index 1 of 25 60. One time only, so no PR.
/// Train: a: 30 and 42.5, mean 36.25; b: 40. Eval: a: 10 50 30 80, mean 42.5; b: 10 20 60 45, 33.75.
/// RP of a against 10 20 30: (20 + 40 + 25) / 60. SE of a: curve 20 40 25 60 saturates at 60 after 3;
/// expert at 30 after 2: 60/30 x 2/3 = 4/3. b has no expert.
#[test]
fn a_small_lifetime_by_hand() {
    let report = evaluate(&small(), &[expert("a", &[10.0, 20.0, 30.0])], &everything()).unwrap();
    let close = |found: Option<f64>, expected: f64| {
        let found = found.unwrap();
        assert!(
            (found - expected).abs() < 1e-12,
            "{found} is not {expected}"
        );
    };
    close(report.perf_maintenance_mrlep, -17.5);
    close(report.perf_maintenance_mrtlp, -7.5);
    close(report.forward_transfer_ratio, 2.0);
    close(report.forward_transfer_contrast, 1.0 / 3.0);
    close(report.backward_transfer_ratio, 0.675);
    close(report.backward_transfer_contrast, (-0.25 - 1.0 / 7.0) / 2.0);
    close(report.avg_train_perf, (36.25 + 40.0) / 2.0);
    close(report.avg_eval_perf, (42.5 + 33.75) / 2.0);
    close(report.ste_rel_perf, 85.0 / 60.0);
    close(report.sample_efficiency, 4.0 / 3.0);
    assert_eq!(report.perf_recovery, None);
    assert_eq!((report.num_lx, report.num_ex), (6, 8));
    assert_eq!((report.min, report.max), (10.0, 80.0));
    assert_eq!(report.normalization_data_range, None);
    let a = &report.task_metrics["a"];
    assert_eq!(a.recovery_times, [1.0]);
    assert_eq!(a.maintenance_val_mrlep, Some(vec![vec![-20.0]]));
    assert_eq!(a.forward_transfer_ratio.as_ref().unwrap()["b"], [2.0]);
    assert_eq!(a.se_task_exp_to_sat, Some(3.0));
    let b = &report.task_metrics["b"];
    assert!(b.forward_transfer_ratio.as_ref().unwrap().is_empty());
    assert_eq!(b.ste_rel_perf, None);
    assert_eq!(b.recovery_times, [0.0; 0]);
}

/// The median over tasks of two is their mean; over the three first values of pairs it is the middle.
#[test]
fn other_settings_change_what_they_say() {
    let mut settings = everything();
    settings.aggregation = Aggregation::Median;
    settings.expert_averaging = ExpertAveraging::Time;
    let experts = [expert("a", &[10.0, 20.0, 30.0]), expert("a", &[30.0, 40.0])];
    let report = evaluate(&small(), &experts, &settings).unwrap();
    // Mean curve 20 30; the learner's first two are 20 40.
    assert_eq!(report.task_metrics["a"].ste_rel_perf_vals, [60.0 / 50.0]);
    settings.expert_averaging = ExpertAveraging::Metrics;
    let report = evaluate(&small(), &experts, &settings).unwrap();
    assert_eq!(
        report.task_metrics["a"].ste_rel_perf_vals,
        [85.0 / 60.0, 60.0 / 70.0]
    );
    settings.maintenance = Maintenance::Mrlep;
    settings.transfer = Transfer::Ratio;
    let report = evaluate(&small(), &experts, &settings).unwrap();
    let text = serde_json::to_string(&report).unwrap();
    assert!(
        !text.contains("mrtlp") && !text.contains("contrast"),
        "{text}"
    );
}

/// If the learner sleeps, only what it does asleep is its evaluation: test 4 goes, so a has no value of
/// maintenance, and b's transfer to a spans both of a's learning blocks.
#[test]
fn evaluations_awake_are_left_out_of_a_life_with_sleep() {
    let mut lifetime = small();
    for block in &mut lifetime.blocks {
        block.asleep = block.kind == BlockKind::Test && block.number != 4;
    }
    let report = evaluate(&lifetime, &[], &everything()).unwrap();
    let a = &report.task_metrics["a"];
    assert_eq!(a.avg_eval_perf_vals, [10.0, 50.0, 80.0]);
    assert_eq!(a.perf_maintenance_mrlep, None);
    let b = &report.task_metrics["b"];
    assert_eq!(
        b.backward_transfer_ratio.as_ref().unwrap()["a"],
        [80.0 / 50.0]
    );
    assert_eq!(report.num_ex, 8);
}
