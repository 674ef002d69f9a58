//! Promise: what a table says is what a run learns from: labels and columns go by their names, whoever reads them, numbers
//! keep their differences, and what cannot be meant is said before it trains.

use crate::{
    catalogue,
    hostile::Log,
    nodes::{Federation, kill},
};
use lyceum_metrics::{Status, Summary};
use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

fn case(name: &str) -> PathBuf {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/system/cases")).join(name)
}

/// Runs the command in a folder; its exit code, and both its streams.
fn lyceum(folder: &Path, args: &[&str]) -> (Option<i32>, String) {
    let Output {
        status,
        stdout,
        stderr,
    } = Command::new(env!("CARGO_BIN_EXE_lyceum-under-test"))
        .args(args)
        .current_dir(folder)
        .output()
        .unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    (status.code(), text(stdout) + &text(stderr))
}

/// A folder with these files, and a scenario that reads `train.csv` and `test.csv`.
fn folder(data: &str, files: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        fs::write(folder.path().join(name), text).unwrap();
    }
    let text = format!(
        "[run]\nname = 'table'\nrounds = 2\n[data]\n{data}\n[model.softmax]\n[training]\nrate = 0.1\n\
         [selection.all]\n[strategy.fed_avg]\n"
    );
    fs::write(folder.path().join("table.toml"), text).unwrap();
    folder
}

const TWO: &str = "clients = 2\npartition = 'iid'\n[data.set.csv]\ntrain = 'train.csv'\ntest = 'test.csv'\nlabel = 'y'";

fn checked(data: &str, train: &str, test: &str) -> (Option<i32>, String) {
    let folder = folder(data, &[("train.csv", train), ("test.csv", test)]);
    lyceum(folder.path(), &["check", "table.toml"])
}

#[test]
fn labels_of_64_bits_are_three_classes() {
    let case = case("csv-64-bit-labels");
    let (code, said) = lyceum(&case, &["check", "scenario.toml"]);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("9 parameters"), "{said}");
    assert!(
        said.contains(
            "classes   3: `1234567890123456781` (20 training, 10 test), `1234567890123456782`"
        ),
        "{said}"
    );
    assert!(!said.contains("warning"), "{said}");
}

#[test]
fn a_second_column_of_the_label_s_name_is_refused() {
    let case = case("csv-duplicate-label-column");
    for command in ["check", "run"] {
        let (code, said) = lyceum(&case, &[command, "scenario.toml"]);
        assert_eq!(code, Some(2), "{said}");
        assert!(
            said.contains("train.csv, line 1: two columns are called `y`"),
            "{said}"
        );
    }
    assert!(!case.join("runs").exists());
}

/// The case's federation, with edits to the scenario's files and alice's own file.
fn federation(set: &[&str], edit: impl Fn(&str) -> String) -> Federation {
    let mut federation = Federation::new(&[&["run.rounds=20"], set].concat());
    for file in ["scenario.toml", "train.csv", "test.csv"] {
        let text = fs::read_to_string(case("real-client-labels").join(file)).unwrap();
        let text = match file {
            "scenario.toml" => text,
            _ => edit(&text),
        };
        fs::write(federation.path().join(file), text).unwrap();
    }
    federation.scenario = federation.path().join("scenario.toml");
    federation.identity(&["node", "n1", "--out", "n1"]);
    federation.identity(&["client", "alice", "--out", "alice"]);
    federation
}

/// Runs to the end with alice's own file.
fn with_alice(set: &[&str], edit: impl Fn(&str) -> String, hers: &str) -> Summary {
    let federation = federation(set, edit);
    fs::write(federation.path().join("alice.csv"), hers).unwrap();
    let mut coordinator = federation.coordinator().spawn().unwrap();
    let log = Log::of(&mut coordinator);
    let mut other = federation.node("n1").stderr(Stdio::null()).spawn().unwrap();
    let alice = federation
        .node("alice")
        .args(["--client", "alice", "--data", "alice.csv"])
        .spawn()
        .unwrap();
    let out = alice.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&out.stderr).into_owned();
    if !out.status.success() {
        kill(&mut coordinator);
        kill(&mut other);
        panic!("{said}");
    }
    assert!(coordinator.wait().unwrap().success(), "{}", log.text());
    kill(&mut other);
    let resolved = fs::read_to_string(federation.path().join("run/scenario.toml")).unwrap();
    assert!(resolved.contains("features = [\"a\", \"b\"]"), "{resolved}");
    federation.summary()
}

/// Alice's columns in another order, and one more.
fn swapped(text: &str) -> String {
    let cells = |line: &str| line.split(',').map(String::from).collect::<Vec<_>>();
    let swap = |cells: Vec<String>| format!("{},note,{},{}\n", cells[2], cells[0], cells[1]);
    text.lines().map(|line| swap(cells(line))).collect()
}

/// Other labels in the first column; the header keeps its name.
fn renamed(text: &str, names: [&str; 3]) -> String {
    let line = |line: &str| {
        let (label, rest) = line.split_once(',').unwrap();
        let label = match label {
            "1" => names[0],
            "2" => names[1],
            "3" => names[2],
            other => other,
        };
        format!("{label},{rest}\n")
    };
    text.lines().map(line).collect()
}

#[test]
fn a_real_client_s_labels_and_columns_go_by_their_names() {
    let hers = fs::read_to_string(case("real-client-labels").join("alice_raw.csv")).unwrap();
    let plain = with_alice(&[], str::to_owned, &hers);
    assert_eq!(
        (plain.status, plain.final_accuracy),
        (Status::Finished, Some(1.0))
    );
    let other = with_alice(&[], str::to_owned, &swapped(&hers));
    assert_eq!(plain.fingerprint, other.fingerprint);
    let written = renamed(&hers, ["1.0", "2.00", "3e0"]);
    let other = with_alice(&[], str::to_owned, &written);
    assert_eq!(plain.fingerprint, other.fingerprint);
    let animals = ["cat", "dog", "eel"];
    let other = with_alice(&[], |text| renamed(text, animals), &renamed(&hers, animals));
    assert_eq!(plain.fingerprint, other.fingerprint);
}

#[test]
fn a_real_client_is_normalised_by_what_normalises_the_others() {
    let hers = fs::read_to_string(case("real-client-labels").join("alice_raw.csv")).unwrap();
    let set = ["data.normalise=standard"];
    let there = with_alice(&set, str::to_owned, &hers);
    assert_eq!(there.final_accuracy, Some(1.0));
    // Hers alone would be standardised to other values; ten thousand million times as large for all it is the same again.
    let larger = |text: &str| -> String {
        let cell = |cell: &str| match cell.contains('.') {
            true => format!("{cell}e10"),
            false => cell.to_owned(),
        };
        let line = |line: &str| line.split(',').map(cell).collect::<Vec<_>>().join(",") + "\n";
        text.lines().map(line).collect()
    };
    let again = with_alice(&set, larger, &larger(&hers));
    assert_eq!(again.final_accuracy, Some(1.0));
}

#[test]
fn a_label_that_the_scenario_does_not_know_is_refused_with_those_that_it_knows() {
    let federation = federation(&[], str::to_owned);
    let mut coordinator = federation.coordinator().spawn().unwrap();
    let log = Log::of(&mut coordinator);
    for file in ["alice_zero.csv", "alice_swapped.csv"] {
        fs::copy(
            case("real-client-labels").join(file),
            federation.path().join(file),
        )
        .unwrap();
        let out = federation
            .node("alice")
            .args(["--client", "alice", "--data", file])
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&out.stderr);
        assert!(!out.status.success(), "{said}");
        assert!(
            said.contains(&format!(
                "{file}, line 2, column `y`: `0` is no class: expected one of `1`, `2`, `3`"
            )),
            "{said}"
        );
    }
    assert!(!log.text().contains("node joined"), "{}", log.text());
    kill(&mut coordinator);
}

#[test]
fn times_that_differ_by_seconds_are_learned_from_once_they_are_standardised() {
    let rows = |from: u64| -> String {
        let row = |i: u64| format!("{},{}\n", 1_700_000_000 + from + 2 * i, u64::from(i >= 20));
        "t,y\n".to_owned() + &(0..40).map(row).collect::<String>()
    };
    let standard = format!("normalise = 'standard'\n{TWO}");
    let files = [("train.csv", &rows(0)[..]), ("test.csv", &rows(1)[..])];
    let folder = folder(&standard, &files);
    let set = ["--set", "run.rounds=60", "--set", "training.rate=1"];
    let args = [&["run", "table.toml", "--quiet", "--out", "out"], &set[..]].concat();
    let (code, said) = lyceum(folder.path(), &args);
    assert_eq!(code, Some(0), "{said}");
    assert!(!said.contains("warning"), "{said}");
    let summary = Summary::read(&folder.path().join("out/summary.json")).unwrap();
    assert!(summary.final_accuracy.unwrap() >= 0.975, "{said}");
    // What the run wrote down runs again to the same bits.
    fs::copy(
        folder.path().join("out/scenario.toml"),
        folder.path().join("again.toml"),
    )
    .unwrap();
    let (code, said) = lyceum(
        folder.path(),
        &["run", "again.toml", "--quiet", "--out", "again"],
    );
    assert_eq!(code, Some(0), "{said}");
    let again = Summary::read(&folder.path().join("again/summary.json")).unwrap();
    assert_eq!(summary.fingerprint, again.fingerprint);
    let (code, said) = checked(TWO, &rows(0), &rows(1));
    assert_eq!(code, Some(0), "{said}");
    assert!(
        said.contains("warning: values of the features `t` lie closer together"),
        "{said}"
    );
}

#[test]
fn what_a_check_refuses_names_the_file_at_fault() {
    let good = "y,a,b\ncat,0.1,0.2\ndog,0.3,0.1\n";
    for (train, test, wanted) in [
        ("y,a,b\n", good, "train.csv: it has a header and no sample"),
        (good, "y,a,b\n", "test.csv: it has a header and no sample"),
        (
            "y,a,b\r\ncat,0.1,0.2\r\ndog,x,0.1\r\n",
            good,
            "train.csv, line 3, column `a`",
        ),
        (
            good,
            "y,a,b\ncat,0.1,0.2\nNaN,0.3,0.1\n",
            "test.csv, line 3, column `y`: `NaN`",
        ),
        (
            good,
            "y,a,b\n\ncat,0.1,0.2\n,0.3,0.1\n",
            "test.csv, line 4, column `y`: it is empty",
        ),
        (
            good,
            "y,a,b\nCat,0.1,0.2\nDog,0.3,0.1\n",
            "labels `Cat`, `Dog`, the training samples `cat`, `dog`",
        ),
        (
            good,
            "y,a,c\ncat,0.1,0.2\n",
            "test.csv, line 1: there is no column `b`",
        ),
        (
            "y,a,a\ncat,0.1,0.2\n",
            good,
            "train.csv, line 1: two columns are called `a`",
        ),
    ] {
        let (code, said) = checked(TWO, train, test);
        assert_eq!(code, Some(2), "{said}");
        assert!(said.contains(wanted), "{said}, not {wanted}");
    }
}

#[test]
fn a_check_prints_what_it_loaded() {
    let data = "clients = 2\nvalidation = 0.25\n[data.partition.by_client]\n[data.set.csv]\n\
         train = 'train.csv'\ntest = 'test.csv'\nlabel = 'y'\nclient = 'who'";
    let train = "who,y,a,b\nzoe,dog,0,0.5\nzoe,cat,1,0.25\nann,dog,-1,0\nann,cat,0.5,1\n\
        zoe,dog,0,0.5\nzoe,cat,1,0.25\nann,dog,-1,0\nann,cat,0.5,1\n";
    let (code, said) = checked(data, train, "y,b,a\ncat,0.1,0.2\nemu,0.3,0.1\n");
    assert_eq!(code, Some(0), "{said}");
    for line in [
        "  samples   6 for training, 2 for validation, 2 for tests\n",
        "  features  2: `a` -1 to 1, `b` 0 to 1\n",
        "  clients   2, with ",
        "`emu` (0 training, 1 test)\n",
        "warning: 1 of 2 test samples have a label that no training sample has, and cannot be told: `emu`\n",
    ] {
        assert!(said.contains(line), "{said}, not {line}");
    }
}

/// A table with its last line twice: samples alike, and not the same file.
fn longer(table: &str) -> String {
    let last = table.lines().last().unwrap_or_default();
    format!("{table}{last}\n")
}

/// Warnings of a check and of a run are one sentence each, and the same.
fn warned(data: &str, train: &str, wanted: &str) {
    let folder = folder(data, &[("train.csv", train), ("test.csv", &longer(train))]);
    for args in [
        &["check", "table.toml"][..],
        &["run", "table.toml", "--quiet", "--out", "out"],
        &[
            "run",
            "table.toml",
            "--seeds",
            "0..2",
            "--quiet",
            "--out",
            "sweep",
        ],
    ] {
        let (code, said) = lyceum(folder.path(), args);
        assert_eq!(code, Some(0), "{said}");
        let warnings: Vec<&str> = said
            .lines()
            .filter(|l| l.starts_with("warning: "))
            .collect();
        assert!(
            matches!(warnings[..], [only] if only.contains(wanted)),
            "{said}, not {wanted}"
        );
    }
}

#[test]
fn one_class_raw_features_and_left_owners_are_warned_of() {
    warned(
        TWO,
        "y,a\ncat,0.1\ncat,0.2\n",
        "all training samples are of one class, `cat`",
    );
    warned(
        TWO,
        "y,peak,mean\n0,900,0.1\n1,400,0.2\n",
        "the features are not scaled: `peak` goes from 400 to 900, `mean` goes from 0.1 to 0.2; `normalise = \"standard\"`",
    );
    warned(
        TWO,
        "y,coarse,fine\n0,1,0.001\n1,2,0.002\n",
        "the features are not scaled: `coarse` goes from 1 to 2, `fine` goes from 0.001 to 0.002",
    );
    let by_owner = TWO.replace("partition = 'iid'", "partition = 'by_client'") + "\nclient = 'who'";
    warned(
        &by_owner,
        "who,y,a\nzoe,0,1\nann,1,2\nbob,0,1\nbob,1,2\neve,1,1\n",
        "2 of 4 owners are left out, as `clients` in [data] is 2: nobody trains on the 3 samples of `bob`, `eve`",
    );
}

#[test]
fn scaled_tables_are_not_warned_of() {
    let mut sparse = "y,a,b,c\n".to_owned();
    for row in 0..400 {
        sparse += &format!(
            "{},{},{},{}\n",
            row % 2,
            u8::from(row == 7),
            row % 2,
            f64::from(row) / 400.0
        );
    }
    for (normalise, train) in [
        ("none", &sparse[..]),
        ("standard", "y,peak,mean\n0,900,0.1\n1,400,0.2\n"),
        ("unit", "y,grey\n0,16\n1,0\n"),
    ] {
        let data = format!("normalise = '{normalise}'\n{TWO}");
        let (code, said) = checked(&data, train, &longer(train));
        assert_eq!(code, Some(0), "{said}");
        assert!(!said.contains("warning"), "{said}");
    }
}

#[test]
fn no_file_of_the_catalogue_is_warned_of() {
    let folder = tempfile::tempdir().unwrap();
    let shared = concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/data");
    let shared = std::env::var("LYCEUM_DATA").unwrap_or_else(|_| shared.to_owned());
    for file in fs::read_dir(catalogue::folder()).unwrap() {
        let path = file.unwrap().path();
        if path.is_dir() {
            continue;
        }
        let file = path.display().to_string();
        let mut arguments = vec!["check", &file];
        if Path::new(&shared).is_dir() {
            arguments.extend(["--data", &shared]);
        }
        let (code, said) = lyceum(folder.path(), &arguments);
        // One whose data is not here is refused, and says so.
        assert!(code == Some(0) || said.contains("was not found"), "{said}");
        assert!(!said.contains("warning"), "{said}");
        if code == Some(0) {
            assert!(said.contains("\n  classes   "), "{said}");
        }
    }
}

#[test]
fn tasks_are_called_by_the_names_of_their_classes_and_may_be_listed_by_them() {
    let mut rows = "y,a,b\n".to_owned();
    for (label, a, b) in [("cat", 1, 0), ("dog", 0, 1), ("eel", -1, 0), ("fox", 0, -1)] {
        rows += &format!("{label},{a},{b}\n").repeat(4);
    }
    let folder = folder(TWO, &[("train.csv", &rows), ("test.csv", &rows)]);
    let stream = |classes: &str| format!("scenario.class_incremental.classes={classes}");
    let by_name = stream("[['fox', 'cat'], ['dog', 2]]");
    let args = [
        "run",
        "table.toml",
        "--quiet",
        "--out",
        "out",
        "--set",
        &by_name,
    ];
    let (code, said) = lyceum(folder.path(), &args);
    assert_eq!(code, Some(0), "{said}");
    let events = fs::read_to_string(folder.path().join("out/events.jsonl")).unwrap();
    for part in [
        r#"{"event":"classes_named","names":["cat","dog","eel","fox"]}"#,
        r#""name":"fox+cat""#,
        r#""name":"dog+eel""#,
    ] {
        assert!(events.contains(part), "{events}");
    }
    let (code, said) = lyceum(folder.path(), &["metrics", "out", "--json"]);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("fox+cat"), "{said}");
    let wrong = stream("[['fox', 'emu'], [1, 2]]");
    let (code, said) = lyceum(folder.path(), &["check", "table.toml", "--set", &wrong]);
    assert_eq!(code, Some(2), "{said}");
    assert!(
        said.contains("there is no class `emu`")
            && said.contains("0 to 3, or a name: `cat`, `dog`, `eel`, `fox`"),
        "{said}"
    );
}
