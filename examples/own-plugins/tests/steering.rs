//! Rules that steer a run, from a crate that is none of Lyceum's.

mod common;

use common::{command, fingerprint};
use std::{
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

fn events(out: &Path) -> Vec<serde_json::Value> {
    let log = std::fs::read_to_string(out.join("events.jsonl")).expect("there is a log");
    let line = |line: &str| serde_json::from_str(line).expect("a line is an event");
    log.lines().map(line).collect()
}

/// Events of one kind.
fn of(out: &Path, kind: &str) -> Vec<serde_json::Value> {
    let mut all = events(out);
    all.retain(|event| event["event"] == kind);
    all
}

fn rounds(out: &Path) -> usize {
    of(out, "round_closed").len()
}

/// A run of two models that goes on until somebody stops it, and has begun.
fn endless(out: &Path, ways: &[&str]) -> Child {
    let file = format!("{}/two-models.toml", env!("CARGO_MANIFEST_DIR"));
    let run = Command::new(env!("CARGO_BIN_EXE_own-plugins"))
        .args(["run", &file, "--quiet", "--set", "run.rounds=10000000"])
        .args(ways)
        .arg("--out")
        .arg(out)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0)
        .spawn()
        .expect("the command starts");
    while !out.join("events.jsonl").exists() {
        std::thread::yield_now();
    }
    run
}

/// The round behind which a run said last that it took a task.
fn told_behind(run: &Path) -> u64 {
    let answers = std::fs::read_dir(run.join("answers")).expect("there are answers");
    let round = |file: std::fs::DirEntry| {
        let text = std::fs::read(file.path()).expect("an answer can be read");
        let answer: serde_json::Value = serde_json::from_slice(&text).expect("it is JSON");
        answer["round"].as_u64().expect("it has a round")
    };
    answers.flatten().map(round).max().expect("there is one")
}

/// Asks a run; what the command exits with, says and complains of.
fn ask(run: &Path, words: &[&str]) -> (Option<i32>, String, String) {
    let place = run.to_string_lossy().into_owned();
    let out = command(&[&["ask", &place], words].concat());
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (out.status.code(), text(&out.stdout), text(&out.stderr))
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
    let of = |kind: &str| of(&place("1"), kind);
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
    let asked = place("asked");
    let mut run = endless(&asked, &[]);
    let ask = |words: &[&str]| ask(&asked, words);
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
    let done = rounds(&asked);
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
    assert_eq!(rounds(&place("f")), 7);
    let again = [&finish[..], &["--resume"]].concat();
    assert_eq!(
        fingerprint("two-models.toml", &place("f"), &again).as_ref(),
        Some(&first)
    );
    assert_eq!(rounds(&place("f")), 7);
    let on_nodes = [&finish[..], &["--nodes", "3"]].concat();
    let nodes = fingerprint("two-models.toml", &place("n"), &on_nodes);
    assert_eq!((nodes, rounds(&place("n"))), (Some(first.clone()), 7));
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

/// Killed at any moment after it has answered, and gone on with: what it took then is what it took, wherever it is told again.
#[test]
fn a_run_that_was_asked_and_killed_goes_on_to_what_its_facts_make() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let threads: &[&str] = &["--threads", "2", "--checkpoint-every", "0"];
    for (name, ways) in [("threads", threads), ("nodes", &["--nodes", "3"])] {
        let place = |what: &str| folder.path().join(format!("{name}-{what}"));
        let asked = place("asked");
        let mut run = endless(&asked, ways);
        for words in [
            ["--judge", "global=0.3,second=0.7"],
            ["--task", "late2=7,8"],
        ] {
            let (code, shown, told) = ask(&asked, &words);
            assert_eq!(code, Some(0), "{name}: {shown}{told}");
        }
        let group = format!("-{}", run.id());
        let killed = Command::new("kill").args(["-KILL", "--", &group]).status();
        assert!(killed.is_ok_and(|status| status.success()));
        run.wait().expect("it ran");
        // The log may end before the journal does.
        let answered = told_behind(&asked);
        let rounds = format!("run.rounds={}", answered + 60);
        let again = |what: &str, more: &[&str]| {
            let words = [&["--set", rounds.as_str()], more].concat();
            fingerprint("two-models.toml", &place(what), &words).expect("it ends")
        };
        let resumed = again("asked", &[&["--resume"][..], ways].concat());
        assert_eq!(of(&asked, "task_added").len(), 2);
        let log = asked.join("events.jsonl").to_string_lossy().into_owned();
        let facts = ["--facts", log.as_str()];
        assert_eq!(again("one", &facts), resumed, "{name}");
        let on_nodes = [&facts[..], &["--nodes", "3"]].concat();
        assert_eq!(again("three", &on_nodes), resumed, "{name}");
    }
}

#[test]
fn two_models_side_by_side_are_the_same_on_threads_and_nodes() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let run = |name: &str, more: &[&str]| {
        let out = folder.path().join(name);
        fingerprint("clustered.toml", &out, more).expect("it ends")
    };
    let alone = run("1", &["--threads", "1"]);
    assert_eq!(run("2", &["--threads", "2"]), alone);
    assert_eq!(run("3", &["--nodes", "3"]), alone);
    run("4", &["--set", "run.rounds=2"]);
    assert_eq!(run("4", &["--resume", "--nodes", "2"]), alone);
    let trained = of(&folder.path().join("1"), "model_trained");
    let names: Vec<_> = trained.iter().map(|e| &e["model"]).collect();
    assert_eq!(names, ["global", "odd"].repeat(4));
}

/// Rows of six owners, of which some write down what they have.
fn table(folder: &Path, name: &str, owners: &[u64]) -> PathBuf {
    let mut text = String::from("owner,y,a,b,c\n");
    for (owner, row) in owners.iter().flat_map(|o| (0..24).map(move |r| (*o, r))) {
        let value = |k: u64| ((owner * 31 + row * 17 + k * 7) % 23) as f64 / 8.0 - 1.0;
        let (y, a, b, c) = (row % 3, value(1), value(2), value(3));
        let shift = y as f64 / 2.0;
        text += &format!("{owner},{y},{},{},{}\n", a + shift, b - shift, c);
    }
    let path = folder.join(name);
    std::fs::write(&path, text).expect("a table is written");
    path
}

/// The rule's models behind the first round, and those of plain FedAvg on data that the other clients are not in.
#[test]
fn each_of_two_models_is_what_its_clients_alone_make_of_it() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let own = std::fs::read_to_string(format!("{}/clustered.toml", env!("CARGO_MANIFEST_DIR")));
    let plain = own
        .expect("the file is there")
        .replace("[steering.clustered]", "");
    let test = table(folder.path(), "test.csv", &[6, 7]);
    let run = |name: &str, owners: &[u64], text: &str| {
        let train = table(folder.path(), &format!("{name}.csv"), owners);
        let file = folder.path().join(format!("{name}.toml"));
        std::fs::write(&file, text).expect("a scenario is written");
        let out = folder.path().join(name);
        let set = format!(
            "data.set={{csv={{train={train:?},test={test:?},label=\"y\",client=\"owner\"}}}}"
        );
        let clients = format!("data.clients={}", owners.len());
        let words = [
            &set,
            &clients,
            "run.rounds=1",
            "training.batch=24",
            "data.partition=\"by_client\"",
            "data.normalise=\"none\"",
        ];
        let words = words.iter().flat_map(|word| ["--set", word]);
        let words: Vec<&str> = words.collect();
        let result = command(
            &[
                &[
                    "run",
                    &file.to_string_lossy(),
                    "--quiet",
                    "--out",
                    &out.to_string_lossy(),
                ],
                &words[..],
            ]
            .concat(),
        );
        let told = String::from_utf8_lossy(&result.stderr).into_owned();
        assert!(result.status.success(), "{told}");
        out
    };
    let model = |out: &Path| -> Vec<f32> {
        let file = out.join("checkpoint/000001/global.safetensors");
        let bytes = std::fs::read(file).expect("the model is there");
        let (length, rest) = bytes.split_at(8);
        let header = u64::from_le_bytes(length.try_into().expect("eight bytes"));
        let values = rest[header as usize..].chunks_exact(4);
        let value = |four: &[u8]| f32::from_le_bytes(four.try_into().expect("four bytes"));
        values.map(value).collect()
    };
    let steered = format!("{plain}\n[steering.clustered]\n");
    let both = run("both", &[0, 1, 2, 3, 4, 5], &steered);
    let even = run("even", &[0, 2, 4], &plain);
    let odd = run("odd", &[1, 3, 5], &plain);
    // The samples of a client lie in another order, so sums over its only batch are rounded in another way.
    let apart = |a: &Path, b: &Path| {
        let (a, b) = (model(a), model(b));
        assert_eq!(a.len(), b.len());
        let pairs = a.iter().zip(&b);
        pairs.map(|(x, y)| (x - y).abs()).fold(0.0, f32::max)
    };
    assert!(apart(&both, &even) < 1e-6, "{}", apart(&both, &even));
    assert!(apart(&both, &odd) > 1e-2, "{}", apart(&both, &odd));
    let worth = |out: &Path, kind: &str| {
        let all = of(out, kind);
        let test = all.iter().find(|event| event["probe"] == "test");
        let test = test.expect("the test samples are judged");
        let loss = test["loss"].as_f64().expect("a number");
        (loss, test["accuracy"].clone())
    };
    for (kind, alone) in [("evaluated", &even), ("model_evaluated", &odd)] {
        let (ours, theirs) = (worth(&both, kind), worth(alone, "evaluated"));
        assert!((ours.0 - theirs.0).abs() < 1e-6, "{ours:?} {theirs:?}");
        assert_eq!(ours.1, theirs.1);
    }
}

/// Several tickets in flight, a book of models, tasks that a rule announces and tasks that somebody asks for: whatever happens
/// to network, processes and disks.
#[test]
fn steered_runs_hold_in_simulated_worlds() {
    for name in ["clustered.toml", "two-models.toml"] {
        let file = format!("{}/{name}", env!("CARGO_MANIFEST_DIR"));
        let worlds = ["simulate", &file, "--worlds", "100", "--stack", "8"];
        let result = command(&worlds);
        let told = String::from_utf8_lossy(&result.stderr).into_owned();
        assert!(result.status.success(), "{name}: {told}");
    }
}
