//! Promise: no process is left alone, works as another one, or keeps its state to itself.

use crate::{
    hostile::Log,
    nodes::{Federation, kill},
};
use lyceum_core::{Event, Round};
use lyceum_metrics::Status;
use std::{
    fs,
    io::{BufRead, BufReader, Read},
    process::{Command, Stdio},
};

const LONG: &str = "run.rounds=100000000";

/// Its rounds do not depend on how many there are.
const PLAIN: &str = "run = { name = 'p', rounds = 4 }\ndata = { set = 'digits', clients = 4, partition = 'iid' }\n\
    model = 'softmax'\ntraining = { rate = 0.1 }\nselection = 'all'\nstrategy = 'fed_avg'\n";

/// Whoever holds the run's standard error is a node; it ends for its reader when all of them are gone.
#[test]
fn nodes_of_a_run_that_is_killed_end_with_it() {
    let folder = tempfile::tempdir().unwrap();
    let mut run = Command::new(env!("CARGO_BIN_EXE_lyceum-under-test"))
        .arg("run")
        .arg(crate::catalogue::folder().join("quickstart.toml"))
        .args(["--set", LONG, "--nodes", "2", "--out", "run"])
        .current_dir(folder.path())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = BufReader::new(run.stderr.take().unwrap());
    let mut line = String::new();
    while !line.starts_with("round ") {
        line.clear();
        assert!(said.read_line(&mut line).unwrap() > 0, "the run ended");
    }
    kill(&mut run);
    let mut rest = String::new();
    said.read_to_string(&mut rest).unwrap();
    assert!(!rest.contains("error"), "{rest}");
}

#[test]
fn of_two_nodes_with_one_certificate_one_is_told_and_ends() {
    let federation = Federation::new(&[LONG]);
    federation.identity(&["node", "n1", "--out", "n1"]);
    let mut coordinator = federation.coordinator().spawn().unwrap();
    let log = Log::of(&mut coordinator);
    let (sender, ended) = std::sync::mpsc::channel();
    let start = || {
        let node = federation.node("n1").spawn().unwrap();
        let (id, sender) = (node.id(), sender.clone());
        std::thread::spawn(move || sender.send((id, node.wait_with_output().unwrap())));
        id
    };
    let first = start();
    log.wait_for(&["node joined", "n1"]);
    let second = start();
    let (id, out) = ended.recv().unwrap();
    let said = String::from_utf8_lossy(&out.stderr);
    assert_eq!(out.status.code(), Some(2), "{said}");
    assert!(said.starts_with("connected to 127.0.0.1:"), "{said}");
    assert!(said.contains("another process works as `n1`"), "{said}");
    log.wait_for(&["node refused", "another process works as `n1`"]);
    let other = if id == first { second } else { first };
    let killed = Command::new("kill")
        .args(["-9", &other.to_string()])
        .status();
    assert!(killed.unwrap().success());
    assert_eq!(ended.recv().unwrap().1.status.code(), None);
    kill(&mut coordinator);
}

#[test]
fn a_node_says_that_it_is_connected_and_that_it_is_dismissed() {
    for (quiet, wanted) in [(false, 2), (true, 0)] {
        let federation = Federation::new(&[]);
        federation.identity(&["node", "n1", "--out", "n1"]);
        let mut coordinator = federation.coordinator().spawn().unwrap();
        let mut node = federation.node("n1");
        if quiet {
            node.arg("--quiet");
        }
        let log = Log::of(&mut coordinator);
        log.wait_for(&["nodes connect to"]);
        let out = node.output().unwrap();
        let said = String::from_utf8_lossy(&out.stderr);
        assert!(
            out.status.success() && coordinator.wait().unwrap().success(),
            "{said}"
        );
        assert_eq!(said.lines().count(), wanted, "{said}");
        if !quiet {
            assert!(
                said.contains("connected to") && said.contains("dismissed"),
                "{said}"
            );
        }
    }
}

#[test]
fn a_run_that_is_gone_on_with_says_from_which_round() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("p.toml"), PLAIN).unwrap();
    let lyceum = |more: &[&str]| {
        let out = Command::new(env!("CARGO_BIN_EXE_lyceum-under-test"))
            .args(["run", "p.toml", "--out", "run", "--checkpoint-every", "0"])
            .args(more)
            .current_dir(folder.path())
            .output()
            .unwrap();
        String::from_utf8_lossy(&out.stderr).into_owned()
    };
    let said = lyceum(&[]);
    assert!(!said.contains("going on"), "{said}");
    let more = ["--resume", "--set", "run.rounds=6"];
    let run = folder.path().join("run");
    // Whoever takes the last checkpoint away hears that the one before it is gone on with.
    fs::remove_dir_all(run.join("checkpoint/000004")).unwrap();
    let said = lyceum(&more);
    assert!(said.contains("\ngoing on from round 3\n"), "{said}");
    assert!(!said.contains("warning"), "{said}");
    // One that was not written to the end is told of, and what is done again.
    fs::remove_file(run.join("checkpoint/000006/manifest.json")).unwrap();
    let said = lyceum(&["--resume", "--set", "run.rounds=7"]);
    let told = "000006/manifest.json: it is missing, so this checkpoint is not complete; going on from round 5: what was done \
        after it is done again, with the same result";
    assert!(said.contains(told), "{said}");
    fs::remove_file(run.join("events.jsonl")).unwrap();
    let said = lyceum(&["--resume", "--set", "run.rounds=8"]);
    assert!(
        said.contains(
            "events.jsonl: it is missing, and no checkpoint can be gone on from without it"
        ),
        "{said}"
    );
    assert!(said.contains("\ngoing on from round 0\n"), "{said}");
    let told = "round 0, with the same result: no checkpoint can be gone on from, and those that are there give way to new ones";
    assert_eq!(said.matches(told).count(), 1, "{said}");
    fs::remove_dir_all(run.join("checkpoint")).unwrap();
    let said = lyceum(&["--resume", "--set", "run.rounds=8"]);
    let told = "checkpoint: there is no checkpoint; going on from round 0: the rounds that the log tells of are done again";
    assert!(said.contains(told), "{said}");
}

#[test]
fn runs_of_a_sweep_that_are_gone_on_with_say_the_same() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("p.toml"), PLAIN).unwrap();
    let lyceum = |more: &[&str]| {
        let out = Command::new(env!("CARGO_BIN_EXE_lyceum-under-test"))
            .args([
                "run",
                "p.toml",
                "--seeds",
                "0..2",
                "--out",
                "runs",
                "--checkpoint-every",
                "0",
            ])
            .args(more)
            .current_dir(folder.path())
            .output()
            .unwrap();
        assert!(out.status.success());
        String::from_utf8_lossy(&out.stderr).into_owned()
    };
    lyceum(&[]);
    let runs = fs::read_dir(folder.path().join("runs")).unwrap();
    let runs: Vec<_> = runs
        .map(|run| run.unwrap().path())
        .filter(|run| run.is_dir())
        .collect();
    assert_eq!(runs.len(), 2);
    fs::remove_file(runs[0].join("checkpoint/000004/manifest.json")).unwrap();
    let said = lyceum(&["--resume"]);
    let told = "this checkpoint is not complete; going on from round 3";
    assert_eq!(said.matches(told).count(), 1, "{said}");
}

/// Whoever asks a run whose round goes on hears what is waited for, and what became of it.
#[test]
fn whoever_asks_is_told_what_is_waited_for() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("p.toml"), PLAIN).unwrap();
    let lyceum = |args: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_lyceum-under-test"));
        command.args(args).current_dir(folder.path());
        command.stdout(Stdio::null()).stderr(Stdio::piped());
        command
    };
    let endless = ["--set", "training.steps=1000000000000", "--out", "run"];
    let mut run = lyceum(&[&["run", "p.toml"], &endless[..]].concat())
        .spawn()
        .unwrap();
    let mut said = BufReader::new(run.stderr.take().unwrap()).lines();
    assert!(said.any(|line| line.unwrap().starts_with("p: 4 rounds")));
    let mut ask = lyceum(&["ask", "run", "--judge", "global=1"])
        .spawn()
        .unwrap();
    let mut told = BufReader::new(ask.stderr.take().unwrap());
    let mut line = String::new();
    told.read_line(&mut line).unwrap();
    assert!(
        line.starts_with("run: the answer comes between two rounds"),
        "{line}"
    );
    let id = run.id().to_string();
    assert!(Command::new("kill").arg(&id).status().unwrap().success());
    assert_eq!(run.wait().unwrap().code(), Some(75));
    line.clear();
    told.read_line(&mut line).unwrap();
    assert!(
        line.contains("run: the run ended before it answered"),
        "{line}"
    );
    assert_eq!(ask.wait().unwrap().code(), Some(1));
    // Nothing of it waits for the run when it goes on.
    let left = fs::read_dir(folder.path().join("run/requests")).unwrap();
    assert_eq!(left.count(), 0);
}

/// A task for a run that goes on: its classes by the names that the table has.
#[test]
fn a_task_may_be_asked_for_by_the_names_of_its_classes() {
    let folder = tempfile::tempdir().unwrap();
    let rows = (0..80).map(|n| format!("0.{n},{}\n", ["ant", "bee", "cat", "dog"][n % 4]));
    let table = format!("x,kind\n{}", rows.collect::<String>());
    fs::write(folder.path().join("t.csv"), table).unwrap();
    fs::write(folder.path().join("p.toml"), PLAIN).unwrap();
    let set = [
        "run.rounds=10000000",
        "data.set.csv={train='t.csv',label='kind'}",
        "scenario.class_incremental={classes=[['ant','bee'],['cat']],arrival={rounds_per_task=5}}",
    ];
    let lyceum = |args: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_lyceum-under-test"));
        command
            .args(args)
            .current_dir(folder.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    };
    let sets: Vec<&str> = set.iter().flat_map(|set| ["--set", set]).collect();
    let run = ["run", "p.toml", "--data", ".", "--out", "run"];
    let mut run = lyceum(&[&run[..], &sets].concat()).spawn().unwrap();
    let mut said = BufReader::new(run.stderr.take().unwrap());
    let mut line = String::new();
    while !line.starts_with("round ") {
        line.clear();
        assert!(said.read_line(&mut line).unwrap() > 0, "the run ended");
    }
    std::thread::spawn(move || std::io::copy(&mut said, &mut std::io::sink()));
    let ask = |task: &str| {
        let out = lyceum(&["ask", "run", "--task", task]).output().unwrap();
        let told = [out.stdout, out.stderr].concat();
        (
            out.status.code(),
            String::from_utf8_lossy(&told).into_owned(),
        )
    };
    let (code, told) = ask("late=dog, ant");
    assert!(
        code == Some(0) && told.starts_with("task `late` joined the stream behind round "),
        "{told}"
    );
    let (code, told) = ask("later=cow");
    let right = "`cow` is no class: expected a class's number, or one of ant, bee, cat, dog";
    assert!(code == Some(2) && told.contains(right), "{told}");
    let id = run.id().to_string();
    assert!(Command::new("kill").arg(&id).status().unwrap().success());
    assert_eq!(run.wait().unwrap().code(), Some(75));
    let log = fs::read_to_string(folder.path().join("run/events.jsonl")).unwrap();
    let added = log
        .lines()
        .find(|line| line.contains("\"event\":\"task_added\""))
        .unwrap();
    assert!(added.contains("late"), "{added}");
    let answer = log
        .lines()
        .find(|line| line.contains("\"event\":\"answered\""))
        .unwrap();
    assert!(answer.contains("[3,0]"), "{answer}");
}

/// A round that never ends is given up, by either signal, before the first round as within one; what was done is gone on with.
#[test]
fn a_run_that_is_to_stop_does_not_wait_for_the_round_in_flight() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("p.toml"), PLAIN).unwrap();
    let lyceum = |more: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_lyceum-under-test"));
        command
            .args(["run", "p.toml", "--checkpoint-every", "0"])
            .args(more)
            .current_dir(folder.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    };
    let endless = "timeline=[{round=2,set={\"training.steps\"=1000000000000}}]";
    for (signal, code, set, done) in [
        ("-TERM", 75, "training.steps=1000000000000", 0),
        ("-INT", 130, endless, 2),
    ] {
        let mut run = lyceum(&["--set", set, "--out", signal.trim_start_matches('-')])
            .spawn()
            .unwrap();
        let mut said = BufReader::new(run.stderr.take().unwrap()).lines();
        let last = match done {
            0 => "p: 4 rounds".to_owned(),
            n => format!("round {}: ", n - 1),
        };
        assert!(said.any(|line| line.unwrap().starts_with(&last)), "{last}");
        let id = run.id().to_string();
        assert!(
            Command::new("kill")
                .args([signal, &id])
                .status()
                .unwrap()
                .success()
        );
        let out = run.wait_with_output().unwrap();
        let told = String::from_utf8_lossy(&out.stdout);
        assert_eq!(out.status.code(), Some(code), "{told}");
        assert!(
            told.contains(&format!("paused    {done} of 4 rounds are done\n")),
            "{told}"
        );
        let claims = told.contains("fingerprint") || told.contains("best");
        assert_eq!(claims, done > 0, "{told}");
    }
}

#[test]
fn a_round_that_was_given_up_is_done_again_with_the_same_bits() {
    let scenario = crate::catalogue::read("quickstart", &["run.rounds=3", "training.steps=8000"]);
    let whole = crate::determinism::fingerprint(&scenario, 2);
    let folder = tempfile::tempdir().unwrap();
    let begun = |event: &Event| {
        matches!(
            event,
            Event::RoundStarted {
                round: Round(1),
                ..
            }
        )
    };
    let paused = crate::determinism::run_until_event(folder.path(), &scenario, &begun);
    assert_eq!(paused.status, Status::Paused);
    let last = crate::determinism::run_in(folder.path(), &scenario, 2, true);
    assert_eq!((last.status, last.fingerprint), (Status::Finished, whole));
}
