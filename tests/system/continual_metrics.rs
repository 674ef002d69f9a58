//! Promise: `lyceum metrics` gives the measures of continual learning from a matrix or a lifetime, and says
//! what is wrong with a file that it cannot read.

use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

const MATRIX: &str = "\
after_task,task,value
0,1,0.15
0,2,0.05
0,3,0.1
1,1,0.8
1,2,0.1
1,3,0.2
2,1,0.6
2,2,0.9
2,3,0.3
3,1,0.7
3,2,0.5
3,3,0.7
";

fn metrics(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_lyceum-under-test"))
        .arg("metrics")
        .args(arguments)
        .output()
        .unwrap()
}

fn printed(arguments: &[&str]) -> String {
    let out = metrics(arguments);
    let complaint = String::from_utf8_lossy(&out.stderr);
    assert!(out.status.success(), "{complaint}");
    String::from_utf8(out.stdout).unwrap()
}

fn json(arguments: &[&str]) -> Value {
    serde_json::from_str(&printed(arguments)).unwrap()
}

fn complaint(arguments: &[&str]) -> String {
    let out = metrics(arguments);
    let text = String::from_utf8(out.stderr).unwrap();
    assert_eq!(out.status.code(), Some(2), "{text}");
    assert!(out.stdout.is_empty());
    text
}

fn write(folder: &Path, name: &str, text: &str) -> String {
    let path = folder.join(name);
    std::fs::write(&path, text).unwrap();
    path.to_string_lossy().into_owned()
}

#[test]
fn a_matrix_is_measured_under_every_name() {
    let folder = tempfile::tempdir().unwrap();
    let matrix = write(folder.path(), "accuracies.csv", MATRIX);
    let values = "task,validation,expert,joint\n1,0.5,1,0.9\n2,0.9,0.9,0.9\n3,0.7,0.7,0.8\n";
    let tasks = write(folder.path(), "tasks.csv", values);
    let found = printed(&[&matrix, "--tasks", &tasks, "--window", "2"]);
    let expected = "\
measure                         value
final_average_accuracy         0.6333
mean_of_curve                  0.7278
learning_accuracy              0.8000
forgetting_max                 0.2500
forgetting_just_learned        0.2500
backward_transfer             -0.2500
forward_transfer               0.1250
temporal_knowledge_retention   0.7153
intransigence                  0.0667
plasticity_ratio               0.9333
plasticity_difference         -0.0667
alpha                          0.6333
beta                           0.1000
f                              1.1912
wf2_published                  0.1667
fm_published                   0.2500
cfr_published                  0.7917
ebwt_published                -0.0667
wp2_published                  0.0000
ip_published                   0.1000
wf2_standard                   0.2000
fm_standard                    0.2500
cfr_standard                   0.7917
ebwt_standard                 -0.2333
wp2_standard                   0.6167
ip_standard                    0.1000
";
    let title = format!("{matrix}: 3 tasks\n\n");
    assert_eq!(found, title + expected);
}

#[test]
fn setups_stand_side_by_side_and_are_composed() {
    let folder = tempfile::tempdir().unwrap();
    let rows = "setup,after_task,task,value\n\
        plain,a,a,0.9\nplain,b,a,0.5\nplain,b,b,0.9\n\
        replay,b,b,0.8\nreplay,a,b,0.8\nreplay,a,a,0.8\n";
    let matrix = write(folder.path(), "setups.csv", rows);
    let values = "task,validation,setup\na,0.9,plain\nb,0.9,plain\na,0.8,replay\nb,0.7,replay\n";
    let tasks = write(folder.path(), "tasks.csv", values);
    let found = json(&[&matrix, "--tasks", &tasks, "--window", "1", "--json"]);
    assert_eq!(found["setups"][1]["tasks"], serde_json::json!(["b", "a"]));
    let plain = &found["setups"][0]["metrics"];
    assert_eq!(plain["final_average_accuracy"], 0.7);
    assert_eq!(plain["forward_transfer"], Value::Null);
    // Plain has the most of WF and FM, the least of CFR, EBWT equal in the published form, WP equal (0 and
    // 0), and the least step of V (0 against 0.1): 0.2 + 0.1.
    let published = &found["composites"]["published"];
    let near = |value: &Value, expected: f64| {
        let value = value.as_f64().unwrap();
        assert!((value - expected).abs() < 1e-9, "{value} is not {expected}");
    };
    near(&published["plain"], 0.3);
    near(&published["replay"], 1.0);
    let markdown = printed(&[&matrix, "--markdown"]);
    assert!(markdown.starts_with("| measure | plain | replay |\n|---|---:|---:|\n"));
    assert!(
        markdown.contains("| composite_standard | - | - |"),
        "{markdown}"
    );
}

fn example() -> Option<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let folder = root.join("shared/data/l2metrics-example");
    folder.is_dir().then_some(folder)
}

/// Every number of `expected` stands in `found`, to four digits.
fn agrees(path: &str, found: &Value, expected: &Value) {
    match expected {
        Value::Object(fields) => {
            for (name, value) in fields {
                agrees(&format!("{path}.{name}"), &found[name], value);
            }
        }
        Value::Array(values) => {
            let found = found.as_array().unwrap_or_else(|| panic!("{path}"));
            assert_eq!(found.len(), values.len(), "{path}");
            for (found, value) in found.iter().zip(values) {
                agrees(path, found, value);
            }
        }
        Value::Number(number) => {
            let found = found.as_f64().unwrap_or_else(|| panic!("{path}: {found}"));
            let expected = number.as_f64().unwrap();
            assert!(
                (found - expected).abs() < 1e-4,
                "{path}: {found}, {expected}"
            );
        }
        other => assert_eq!(found, other, "{path}"),
    }
}

#[test]
fn the_example_lifetime_is_measured_as_by_its_own_tool() {
    let Some(folder) = example() else {
        println!("skipped: shared/data/l2metrics-example is not there");
        return;
    };
    let lifetime = folder.join("ll_logs/multi_task");
    let lifetime = lifetime.to_string_lossy();
    let text = std::fs::read_to_string(folder.join("expected-metrics.json")).unwrap();
    let expected: Value = serde_json::from_str(&text).unwrap();
    agrees("", &json(&[&lifetime, "--json"]), &expected);
    let table = printed(&[&lifetime, "--transfer", "both"]);
    for part in [
        "perf_maintenance_mrlep",
        "3.8627",
        "  to task2_1",
        "24.6724",
        "transfer_contrast",
    ] {
        assert!(table.contains(part), "{part} in {table}");
    }
    let none = json(&[&lifetime, "--json", "--normalization", "none"]);
    assert_eq!(none["normalization_data_range"], Value::Null);
}

#[test]
fn bad_files_are_told_in_a_sentence() {
    let folder = tempfile::tempdir().unwrap();
    let bad = MATRIX.replace("2,2,0.9", "2,2,ninety");
    let matrix = write(folder.path(), "bad.csv", &bad);
    assert_eq!(
        complaint(&[&matrix]),
        format!(
            "error: {matrix}:9: column `value`: `ninety` is not a number; a finite number such as 0.93 \
             is right, or an empty cell if it was not measured\n"
        )
    );
    let good = write(folder.path(), "good.csv", MATRIX);
    let tasks = write(folder.path(), "tasks.csv", "task,validation\n4,0.5\n");
    let found = complaint(&[&good, "--tasks", &tasks]);
    assert!(
        found.contains("tasks.csv:2: column `task`: `4` is not a task"),
        "{found}"
    );
    let found = complaint(&[&good, "--clamp"]);
    assert!(found.contains("logger_info.json"), "{found}");
    let found = complaint(&[&folder.path().to_string_lossy()]);
    assert!(
        found.contains("neither events.jsonl nor logger_info.json"),
        "{found}"
    );
    write(folder.path(), "events.jsonl", "");
    let found = complaint(&[&folder.path().to_string_lossy()]);
    assert!(found.contains("holds no task stream"), "{found}");
    let found = complaint(&[&folder.path().join("nothing.csv").to_string_lossy()]);
    assert!(
        found.contains("nothing.csv: there is no such file"),
        "{found}"
    );
    let folder = folder.path().to_string_lossy();
    let found = complaint(&[&good, "--tasks", &folder]);
    assert!(
        found.contains("it is a folder, and a file is expected"),
        "{found}"
    );
}

#[test]
fn values_that_are_hardly_accuracies_of_one_unit_are_told_of() {
    let folder = tempfile::tempdir().unwrap();
    let said = |rows: &str| {
        let text = format!("after_task,task,value\n{rows}");
        let notes = json(&[&write(folder.path(), "a.csv", &text), "--json"])["notes"].clone();
        notes.to_string()
    };
    let mixed = "percent beside shares";
    for (rows, told) in [
        ("1,1,95\n1,2,10\n2,1,0.6\n2,2,0.9\n", "after task `2`"),
        ("1,1,95\n1,2,0.1\n2,1,60\n2,2,0.9\n", "on task `2`"),
        ("1,1,0.5\n1,2,0.1\n2,1,-0.5\n2,2,0.9\n", "-0.5 is below 0"),
    ] {
        let said = said(rows);
        assert!(said.contains(told), "{rows}: {said}");
    }
    // What is forgotten is 0 percent, and 1 percent is a value like any other beside larger ones.
    for rows in [
        "1,1,95\n1,2,0\n2,1,0\n2,2,93\n",
        "1,1,95\n1,2,1\n2,1,0.5\n2,2,93\n",
        "1,1,0.9\n2,1,0.8\n2,2,1\n",
    ] {
        let said = said(rows);
        assert!(
            !said.contains(mixed) && !said.contains("below"),
            "{rows}: {said}"
        );
    }
    let two = "setup,after_task,task,value\na,1,1,95\nb,1,1,0.9\n";
    let notes = json(&[&write(folder.path(), "b.csv", two), "--json"])["notes"].to_string();
    assert!(
        notes.contains("`a` and `b` are in different units"),
        "{notes}"
    );
}
