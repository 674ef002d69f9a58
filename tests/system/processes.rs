//! Promise: no process is left alone, works as another one, or keeps its state to itself.

use crate::{
    hostile::Log,
    nodes::{Federation, kill},
};
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
    fs::remove_file(run.join("events.jsonl")).unwrap();
    let said = lyceum(&["--resume", "--set", "run.rounds=8"]);
    assert!(
        said.contains(
            "events.jsonl: it is missing, and no checkpoint can be gone on from without it"
        ),
        "{said}"
    );
    assert!(said.contains("\ngoing on from round 0\n"), "{said}");
}
