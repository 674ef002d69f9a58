//! Promise: a knowledge base is the same however a run is carried out, and answers preferences without training.

use crate::{
    catalogue,
    determinism::{everywhere, on_nodes},
};
use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

#[test]
fn a_knowledge_base_has_the_same_bits_on_threads_and_nodes_and_when_resumed() {
    // Behind round 7 a task is half learned.
    everywhere("ibcl-digits", &["training.epochs=2"], 7);
}

#[test]
fn posteriors_of_many_clients_have_the_same_bits_on_threads_and_nodes_and_when_resumed() {
    let short = ["training.epochs=5"];
    let product = everywhere("ibcl-federated", &short, 10);
    for strategy in ["posterior_hull", "fed_avg"] {
        let set = format!("strategy=\"{strategy}\"");
        let other = everywhere("ibcl-federated", &[short[0], &set], 10);
        assert_ne!(other, product, "{strategy}");
    }
}

/// So have the counts of evaluations, which are in the fingerprint where they are asked for.
#[test]
fn a_federated_knowledge_base_has_the_same_bits_on_three_nodes() {
    let asked = ["training.epochs=5", "evaluation.calibration=true"];
    let alone = everywhere("ibcl-federated", &asked, 11);
    assert_eq!(on_nodes("ibcl-federated", &asked, 3), alone);
    assert_ne!(everywhere("ibcl-federated", &asked[..1], 11), alone);
}

/// Distributions without a knowledge base: any network, any stream, real priors from the scenario.
#[test]
fn variational_weights_have_the_same_bits_on_threads_and_nodes_and_when_resumed() {
    let short = [
        "run.rounds=4",
        "variational.prior=0.5",
        "variational.start=0.05",
    ];
    let one = everywhere("quickstart", &short, 2);
    let several = [&short[..], &["variational.draws=3"]].concat();
    assert_ne!(everywhere("quickstart", &several, 2), one);
    let local = [&short[..], &["variational.local=true"]].concat();
    assert_ne!(everywhere("quickstart", &local, 2), one);
}

fn lyceum(words: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_lyceum-under-test"))
        .args(words)
        .output()
        .unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// What a command prints that ends well.
fn printed(words: &[&str]) -> String {
    let out = lyceum(words);
    assert!(out.status.success(), "{words:?}: {}", text(&out.stderr));
    text(&out.stdout)
}

/// Exit code and complaint of a command that does not.
fn refused(words: &[&str]) -> (Option<i32>, String) {
    let out = lyceum(words);
    assert!(!out.status.success(), "{words:?}: {}", text(&out.stdout));
    (out.status.code(), text(&out.stderr))
}

/// A finished run of a file of the catalogue.
fn run(folder: &Path, name: &str, more: &[&str]) -> PathBuf {
    let file = catalogue::folder().join(format!("{name}.toml"));
    let out = folder.join(name);
    let (file, place) = (file.to_string_lossy(), out.to_string_lossy());
    printed(&[&["run", &file, "--quiet", "--out", &place], more].concat());
    out
}

/// The columns of a table of preferences: weights, accuracies, and the last one.
fn rows(csv: &str) -> Vec<Vec<f64>> {
    let numbers = |line: &str| line.split(',').map(|word| word.parse().unwrap()).collect();
    csv.lines().skip(1).map(numbers).collect()
}

#[test]
fn a_finished_run_answers_any_preference() {
    let folder = tempfile::tempdir().unwrap();
    let out = run(folder.path(), "ibcl-digits", &[]);
    let place = out.to_string_lossy().into_owned();
    let knowledge = |more: &[&str]| printed(&[&["knowledge", &place], more].concat());
    let list: serde_json::Value = serde_json::from_str(&knowledge(&["--json"])).unwrap();
    let posteriors = list["posteriors"].as_array().unwrap();
    assert_eq!((posteriors.len(), &list["weights"]), (15, &129.into()));
    assert_eq!(posteriors[0]["began_with"], "prior.0");
    assert_eq!(posteriors[4]["began_with"], posteriors[1]["model"]);
    // A task's own preference knows it well, and 200 others are judged as one is.
    for task in 0..5 {
        let weights: Vec<&str> = (0..5).map(|t| if t == task { "1" } else { "0" }).collect();
        let words = ["--preference", &weights.join(","), "--draws", "0", "--json"];
        let one: serde_json::Value = serde_json::from_str(&knowledge(&words)).unwrap();
        assert!(one["weighted"].as_f64().unwrap() > 0.7, "{task}: {one}");
    }
    let many = rows(&knowledge(&["--preferences", "200", "--seed", "4"]));
    let few = rows(&knowledge(&["--preferences", "3", "--seed", "4"]));
    assert_eq!((many.len(), many[0].len()), (200, 11));
    assert_eq!(
        many[..3],
        few[..],
        "many at once are judged as each by itself"
    );
    for row in &many {
        assert!((row[..5].iter().sum::<f64>() - 1.0).abs() < 1e-9);
        let weighted: f64 = row[..5].iter().zip(&row[5..]).map(|(w, a)| w * a).sum();
        assert!((weighted - row[10]).abs() < 1e-9);
    }
    // One line a preference; each client is one.
    let file = folder.path().join("some.csv");
    fs::write(&file, "# three\n0.2,0.2,0.2,0.2,0.2\n\n1,0,0,0,0\n").unwrap();
    let some = rows(&knowledge(&["--preferences", &file.to_string_lossy()]));
    assert_eq!(some.len(), 2);
    let clients = knowledge(&["--clients"]);
    assert!(clients.starts_with("client,weight_0,"), "{clients}");
    assert_eq!(rows(&clients).len(), 1);
    // As it was when two tasks were over.
    let early = rows(&knowledge(&["--after", "2", "--preferences", "2"]));
    assert_eq!(early[0].len(), 5);
    let model = folder.path().join("model.safetensors");
    knowledge(&[
        "--preference",
        "0.2,0.2,0.2,0.2,0.2",
        "--out",
        &model.to_string_lossy(),
    ]);
    let bytes = fs::read(&model).unwrap();
    let header = text(&bytes[8..200]);
    assert!(
        header.contains("0.weight") && text(&bytes).contains("0.weight.rho"),
        "{header}"
    );
}

#[test]
fn preferences_and_folders_that_are_none_say_why() {
    let folder = tempfile::tempdir().unwrap();
    let out = run(
        folder.path(),
        "ibcl-digits",
        &["--set", "training.epochs=1"],
    );
    let place = out.to_string_lossy().into_owned();
    let file = folder.path().join("wrong.csv");
    fs::write(&file, "0.2,0.2,0.2,0.2,0.2\n0.2,0.2,x,0.2,0.2\n").unwrap();
    let file = file.to_string_lossy().into_owned();
    let summary = out.join("summary.json").to_string_lossy().into_owned();
    for (words, why) in [
        (&["--preference", "0.5,0.5"][..], "expected 5, found 2"),
        (
            &["--preference", "-1,2,0,0,0"],
            "weight 0 of the preference is -1",
        ),
        (
            &["--preference", "nan,1,0,0,0"],
            "weight 0 of the preference is NaN",
        ),
        (&["--preference", "0.1,0.1,0.1,0.1,0.1"], "sum to 0.5"),
        (
            &["--preference", "a,b"],
            "expected numbers with commas between them",
        ),
        (
            &["--preferences", &file],
            "line 2: `0.2,0.2,x,0.2,0.2` is no preference",
        ),
        (
            &["--preferences", "nowhere.csv"],
            "--preferences nowhere.csv:",
        ),
        (&["--after", "6"], "expected 1 to 5"),
        (&["--preferences", "0"], "a whole number from 1 to"),
        (&["--preferences", "-3"], "a whole number from 1 to"),
        (&["--out", "m.safetensors"], "it goes with --preference"),
        (
            &["--preferences", "2", "--out", "/nowhere/t.csv"],
            "its folder does not exist",
        ),
        (
            &["--preferences", "2", "--out", &summary],
            "belongs to the run",
        ),
        (
            &["--alpha", "1", "--measures"],
            "--alpha 1: expected a number above 0 and below 1",
        ),
    ] {
        let (code, told) = refused(&[&["knowledge", &place], words].concat());
        assert!(
            code == Some(2) && told.contains(why),
            "{words:?}: {code:?} {told}"
        );
    }
    let plain = run(folder.path(), "quickstart", &["--set", "run.rounds=1"]);
    for (place, why) in [
        (
            plain.to_string_lossy().into_owned(),
            "this run has no knowledge base",
        ),
        (
            format!("{place}/checkpoint"),
            "the folder of a run is right",
        ),
    ] {
        let (code, told) = refused(&["knowledge", &place]);
        assert!(code == Some(2) && told.contains(why), "{told}");
    }
}

#[test]
fn a_damaged_knowledge_base_is_named_and_goes_on_from_what_is_whole() {
    let folder = tempfile::tempdir().unwrap();
    let short = ["--set", "training.epochs=1", "--checkpoint-every", "0"];
    let out = run(folder.path(), "ibcl-digits", &short);
    let list = || lyceum(&["knowledge", &out.to_string_lossy()]);
    let whole = list();
    let book = out.join("checkpoint/000015/models.json");
    let book: serde_json::Value = serde_json::from_slice(&fs::read(book).unwrap()).unwrap();
    // The last task's posteriors are in the last checkpoint alone.
    let last = out.join(book["posterior.4.2"].as_str().unwrap());
    let mut bytes = fs::read(&last).unwrap();
    let end = bytes.len() - 1;
    bytes[end] ^= 1;
    fs::write(&last, bytes).unwrap();
    let early = list();
    assert!(early.status.success());
    let told = text(&early.stderr);
    assert!(told.contains("it does not hold what was written"), "{told}");
    assert!(told.contains("an earlier checkpoint is shown"), "{told}");
    assert!(text(&early.stdout).starts_with("12 posteriors of 4 tasks after 14 rounds"));
    // Gone on with, it is what it was.
    let file = catalogue::folder().join("ibcl-digits.toml");
    let (file, place) = (file.to_string_lossy(), out.to_string_lossy());
    printed(
        &[
            &["run", &file, "--quiet", "--out", &place, "--resume"],
            &short[..],
        ]
        .concat(),
    );
    let again = list();
    assert_eq!(
        (again.stdout, text(&again.stderr)),
        (whole.stdout, String::new())
    );
}

/// While a run goes on, a preference over the tasks that are over is answered, and changes nothing.
#[test]
fn a_run_that_goes_on_answers_a_preference() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("run");
    let file = catalogue::folder().join("ibcl-digits.toml");
    let mut run = Command::new(env!("CARGO_BIN_EXE_lyceum-under-test"))
        .arg("run")
        .arg(file)
        .args([
            "--quiet",
            "--set",
            "run.rounds=10000000",
            "--set",
            "training.epochs=1",
        ])
        .args(["--set", "scenario.ibcl.arrival.rounds_per_task=3"])
        .arg("--out")
        .arg(&out)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    while !out.join("events.jsonl").exists() {
        std::thread::yield_now();
    }
    let place = out.to_string_lossy().into_owned();
    let ask = |weights: &str| lyceum(&["ask", &place, "--preference", weights]);
    // The fifth task lasts to the end of the run; before, fewer are over.
    let answer = (0..1000)
        .map(|_| ask("0.4,0.3,0.2,0.1"))
        .find(|answer| answer.status.success())
        .expect("four tasks are over at some time");
    let told = text(&answer.stdout);
    assert!(
        told.contains("task 0 ") && told.contains("task 4 "),
        "{told}"
    );
    for (weights, why) in [
        ("0.5,0.5", "expected 4, found 2"),
        ("1,1,1,1", "sum to 4"),
        ("x", "expected numbers"),
    ] {
        let answer = ask(weights);
        let told = text(&answer.stderr);
        assert!(
            answer.status.code() == Some(2) && told.contains(why),
            "{told}"
        );
    }
    run.kill().unwrap();
    run.wait().unwrap();
    let log = fs::read_to_string(out.join("events.jsonl")).unwrap();
    assert!(log.contains("\"event\":\"answered\""));
}

/// The model of one run is the encoder of another: its values in front of the last layer, the same on nodes, wherever it lies.
#[test]
fn a_model_of_one_run_gives_features_to_another() {
    let folder = tempfile::tempdir().unwrap();
    let encoder = run(folder.path(), "split-digits-er", &["--set", "run.rounds=5"]);
    let text = fs::read_to_string(catalogue::folder().join("ibcl-digits.toml")).unwrap();
    let plain = "[data.features.random_relu]\nsize = 128\n";
    assert!(text.contains(plain));
    let begin = |name: &str, place: &Path, more: &[&str]| {
        let features = format!("[data.features.encoder]\nrun = \"{}\"\n", place.display());
        let file = folder.path().join("encoded.toml");
        fs::write(&file, text.replace(plain, &features)).unwrap();
        let out = folder.path().join(name);
        let words = [
            "run",
            &file.to_string_lossy(),
            "--quiet",
            "--out",
            &out.to_string_lossy(),
        ];
        lyceum(&[&words[..], &["--set", "training.epochs=2"], more].concat())
    };
    let fingerprint = |out: Output| {
        assert!(out.status.success(), "{}", self::text(&out.stderr));
        let shown = self::text(&out.stdout);
        shown.lines().last().unwrap().to_owned()
    };
    let alone = fingerprint(begin("1", &encoder, &[]));
    let moved = folder.path().join("moved");
    fs::rename(&encoder, &moved).unwrap();
    assert_eq!(fingerprint(begin("2", &moved, &["--nodes", "2"])), alone);
    // 64 units in front of the last layer, and a bias.
    let place = folder.path().join("1");
    let list = printed(&["knowledge", &place.to_string_lossy(), "--json"]);
    assert!(list.contains("\"weights\": 65"), "{list}");
    let nowhere = begin("3", &encoder, &[]);
    assert_eq!(nowhere.status.code(), Some(2));
    assert!(self::text(&nowhere.stderr).contains("was not found"));
    fs::remove_file(moved.join("network.json")).unwrap();
    let none = begin("4", &moved, &[]);
    assert_eq!(none.status.code(), Some(2));
    assert!(self::text(&none.stderr).contains("network.json"));
}

/// Of five tasks of two digits, those that weigh nothing are never answered.
#[test]
fn joint_training_follows_a_preference() {
    let folder = tempfile::tempdir().unwrap();
    let method = "scenario.class_incremental.method={ joint = { weights = [1, 0, 2, 0, 0] } }";
    let out = run(folder.path(), "split-digits-er", &["--set", method]);
    let log = fs::read_to_string(out.join("events.jsonl")).unwrap();
    let events = log
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    let mut last = [f64::NAN; 5];
    for event in events.filter(|event| event["event"] == "evaluated") {
        if let (Some(task), Some(found)) =
            (event["probe"]["task"].as_u64(), event["accuracy"].as_f64())
        {
            last[task as usize] = found;
        }
    }
    assert!(last[0] > 0.9 && last[2] > 0.9, "{last:?}");
    assert!([1, 3, 4].iter().all(|task| last[*task] < 0.05), "{last:?}");
    let file = catalogue::folder().join("split-digits-er.toml");
    let nothing = "scenario.class_incremental.method={ joint = { weights = [0, 0] } }";
    let (code, told) = refused(&["check", &file.to_string_lossy(), "--set", nothing]);
    assert!(code == Some(2) && told.contains("no task counts"), "{told}");
}

#[test]
fn scenarios_with_a_knowledge_base_that_are_hardly_meant_say_so() {
    let file = catalogue::folder().join("ibcl-digits.toml");
    let check = |set: &str| lyceum(&["check", &file.to_string_lossy(), "--set", set]);
    for (set, why) in [
        ("run.rounds=9", "each of its 3 posteriors needs one"),
        ("variational.start=1e20", "cannot be learned with"),
        (
            "scenario.ibcl.priors=[1e-30, 0.2]",
            "cannot be learned with",
        ),
        ("scenario.ibcl.priors=[]", "there is no prior"),
        ("scenario.ibcl.method=\"vcl\"", "each give a task its prior"),
        (
            "steering.average.from=1",
            "this stream steers the run itself",
        ),
        ("data.features.random_relu.size=100000000", "at most"),
    ] {
        let out = check(set);
        let told = self::text(&out.stderr);
        assert!(
            out.status.code() == Some(2) && told.contains(why),
            "{set}: {told}"
        );
    }
    for (set, why) in [
        (
            "variational.prior=0.5",
            "`variational.prior` does nothing here",
        ),
        ("variational.draws=5000", "`variational.draws` = 5000"),
    ] {
        let told = self::text(&check(set).stderr);
        assert!(told.contains(why), "{set}: {told}");
    }
}

#[test]
fn what_says_how_models_are_drawn_is_refused_where_none_are() {
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().to_string_lossy().into_owned();
    for (flag, value) in [("--alpha", "0.3"), ("--draws", "7")] {
        for beside in [&["--preferences", "5"][..], &["--clients"], &[]] {
            let out = lyceum(&[&["knowledge", &run, flag, value], beside].concat());
            let told = text(&out.stderr);
            let wanted = format!("{flag} {value}: it goes with --preference or --measures");
            assert!(
                out.status.code() == Some(2) && told.contains(&wanted),
                "{told}"
            );
        }
    }
}
