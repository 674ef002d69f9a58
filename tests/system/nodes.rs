//! Promise: a run on nodes, whatever their number and whoever dies, ends with the bits of a run in one process.

use crate::{catalogue, catalogue::read, determinism::fingerprint};
use lyceum_metrics::{Status, Summary};
use std::{
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

const SHORT: [&str; 2] = ["run.rounds=6", "training.epochs=1"];

pub(crate) fn lyceum() -> Command {
    Command::new(env!("CARGO_BIN_EXE_lyceum-under-test"))
}

fn overrides(set: &[&str]) -> Vec<String> {
    let all = SHORT.iter().chain(set);
    all.flat_map(|s| ["--set".to_string(), s.to_string()])
        .collect()
}

/// Runs quickstart in a folder, on nodes or in one process.
fn run_in(folder: &Path, set: &[&str], nodes: Option<u32>) {
    let on = nodes.map(|nodes| ["--nodes".to_string(), nodes.to_string()]);
    let status = lyceum()
        .arg("run")
        .arg(catalogue::folder().join("quickstart.toml"))
        .args(overrides(set))
        .args(["--quiet", "--threads", "2", "--out", "run"])
        .args(on.into_iter().flatten())
        .current_dir(folder)
        .stdout(Stdio::null())
        .status()
        .unwrap();
    assert!(status.success(), "{set:?}");
}

fn on_nodes(set: &[&str], nodes: u32) -> Summary {
    let folder = tempfile::tempdir().unwrap();
    run_in(folder.path(), set, Some(nodes));
    Summary::read(&folder.path().join("run/summary.json")).unwrap()
}

/// Everything that a run tells, but for how long things took.
fn told(set: &[&str], nodes: Option<u32>) -> Vec<String> {
    let folder = tempfile::tempdir().unwrap();
    run_in(folder.path(), set, nodes);
    let events = std::fs::read_to_string(folder.path().join("run/events.jsonl")).unwrap();
    let lines = events.lines().filter(|line| !line.contains("\"timing\""));
    lines.map(str::to_owned).collect()
}

#[test]
fn a_run_on_nodes_tells_what_a_run_in_one_process_tells_in_the_same_order() {
    for set in [
        &["ordering.score=expert-loss", "evaluation.before=true"][..],
        &["availability.dropout=0.4", "evaluation.every=4"],
    ] {
        let alone = told(set, None);
        assert!(alone.len() > 20, "{alone:?}");
        assert_eq!(told(set, Some(2)), alone, "{set:?}");
    }
}

/// Curriculum on the clients and difficulty selection are quickstart's own.
#[test]
fn one_two_and_five_nodes_give_the_fingerprint_of_one_process() {
    for strategy in [
        "strategy.fed_avg={}",
        "strategy.scaffold={}",
        "strategy.fed_adam={}",
    ] {
        let alone = fingerprint(&read("quickstart", &[&SHORT[..], &[strategy]].concat()), 2);
        for nodes in [1, 2, 5] {
            let summary = on_nodes(&[strategy], nodes);
            assert_eq!(
                (summary.status, summary.fingerprint),
                (Status::Finished, alone),
                "{strategy} on {nodes} nodes"
            );
        }
    }
}

/// Updates go to a file here where a run in one process keeps them in memory, and the other way round.
#[test]
fn strategies_that_see_each_update_give_the_fingerprint_of_one_process() {
    for strategy in ["strategy.median={}", "strategy.krum={byzantine=0,keep=2}"] {
        let set = [strategy, "selection.uniform={per_round=4}"];
        let alone = fingerprint(&read("quickstart", &[&SHORT[..], &set].concat()), 2);
        for nodes in [1, 3] {
            let summary = on_nodes(&set, nodes);
            assert_eq!(summary.fingerprint, alone, "{strategy} on {nodes} nodes");
        }
    }
}

#[test]
fn experts_local_models_and_silent_clients_cross_the_network() {
    for set in [
        "ordering.score=expert-loss",
        "ordering.score=both-losses",
        "availability.dropout=0.4",
        "selection.oort={per_round=4}",
    ] {
        let alone = fingerprint(&read("quickstart", &[&SHORT[..], &[set]].concat()), 2);
        assert_eq!(on_nodes(&[set], 2).fingerprint, alone, "{set}");
    }
}

/// A coordinator and nodes with certificates of one authority, in one folder.
pub(crate) struct Federation {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) scenario: PathBuf,
    pub(crate) set: Vec<String>,
    pub(crate) port: u16,
}

impl Federation {
    pub(crate) fn new(set: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let federation = Self {
            folder,
            scenario: catalogue::folder().join("quickstart.toml"),
            set: overrides(set),
            port: free_port(),
        };
        federation.identity(&["init", "authority"]);
        federation.identity(&["coordinator", "c", "--out", "c"]);
        federation
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn identity(&self, args: &[&str]) {
        let out = lyceum()
            .arg("identity")
            .args(args)
            .current_dir(self.path())
            .output()
            .unwrap();
        assert!(
            out.status.success(),
            "{}",
            String::from_utf8_lossy(&out.stderr)
        );
    }

    pub(crate) fn coordinator(&self) -> Command {
        let mut command = lyceum();
        command
            .arg("coordinator")
            .arg(&self.scenario)
            .args(&self.set)
            .args(["--identity", "c", "--out", "run", "--log", "info"])
            .args(["--checkpoint-every", "0.2", "--listen"])
            .arg(format!("127.0.0.1:{}", self.port))
            .current_dir(self.path())
            .env("LYCEUM__HEARTBEAT_S", "0.1")
            .env("LYCEUM__LEASE_S", "1")
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        command
    }

    pub(crate) fn node(&self, identity: &str) -> Command {
        let mut command = lyceum();
        command
            .args([
                "node",
                "--identity",
                identity,
                "--threads",
                "1",
                "--log",
                "warn",
            ])
            .arg("--coordinator")
            .arg(format!("127.0.0.1:{}", self.port))
            .current_dir(self.path())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        command
    }

    pub(crate) fn summary(&self) -> Summary {
        Summary::read(&self.path().join("run/summary.json")).unwrap()
    }
}

/// A port that was free a moment ago.
fn free_port() -> u16 {
    let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.local_addr().unwrap().port()
}

pub(crate) fn kill(child: &mut Child) {
    let _ = child.kill();
    child.wait().unwrap();
}

/// Small numbers that look random and are the same every time.
struct Dice(u64);

impl Dice {
    fn below(&mut self, most: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1);
        (self.0 >> 33) % most
    }
}

/// Lines of a child's standard error, one by one.
struct Lines(BufReader<std::process::ChildStderr>);

impl Lines {
    fn of(child: &mut Child) -> Self {
        Self(BufReader::new(child.stderr.take().unwrap()))
    }

    fn skip(&mut self, lines: u64) {
        let mut line = String::new();
        for _ in 0..lines {
            line.clear();
            if self.0.read_line(&mut line).unwrap() == 0 {
                return;
            }
        }
    }

    fn rest(self) -> String {
        std::io::read_to_string(self.0).unwrap()
    }
}

#[test]
fn coordinator_and_nodes_may_be_killed_twenty_times_each() {
    let set = [
        "run.rounds=200",
        "strategy.scaffold={}",
        "training.epochs=2",
    ];
    let alone = fingerprint(&read("quickstart", &[&SHORT[1..], &set].concat()), 2);
    let federation = Federation::new(&set);
    let names = ["n1", "n2"];
    for name in names {
        federation.identity(&["node", name, "--out", name]);
    }
    let start = |name: &str| federation.node(name).stderr(Stdio::null()).spawn().unwrap();
    let mut nodes: Vec<Child> = names.iter().map(|name| start(name)).collect();
    let mut dice = Dice(7);
    for time in 0..20 {
        let mut coordinator = federation.coordinator().spawn().unwrap();
        let mut lines = Lines::of(&mut coordinator);
        lines.skip(1 + dice.below(8));
        let victim = dice.below(2) as usize;
        kill(&mut nodes[victim]);
        lines.skip(dice.below(4));
        nodes[victim] = start(names[victim]);
        lines.skip(dice.below(8));
        assert!(
            coordinator.try_wait().unwrap().is_none(),
            "the run was over before kill {time}"
        );
        kill(&mut coordinator);
    }
    let mut coordinator = federation.coordinator().spawn().unwrap();
    let rest = Lines::of(&mut coordinator).rest();
    let status = coordinator.wait().unwrap();
    nodes.iter_mut().for_each(kill);
    assert!(status.success(), "{rest}");
    let summary = federation.summary();
    assert_eq!(
        (summary.status, summary.fingerprint),
        (Status::Finished, alone)
    );
}

/// What one run was told while it went on is told to another one, in one process and on nodes.
#[test]
fn a_coordinator_that_is_given_facts_has_the_fingerprint_of_one_process() {
    let text = "run = { name = 'f', rounds = 5 }\ndata = { set = 'digits', clients = 4, partition = 'iid' }\n\
        model = 'softmax'\ntraining = { rate = 0.1 }\nselection = 'all'\nstrategy = 'fed_avg'\n\
        scenario = { class_incremental = { classes = [[0, 1, 2, 3], [4, 5, 6, 7, 8, 9]] } }\n";
    let mut federation = Federation::new(&[]);
    federation.scenario = federation.path().join("f.toml");
    federation.set.clear();
    std::fs::write(&federation.scenario, text).unwrap();
    let alone = |out: &str, more: &[&str]| {
        let mut run = lyceum();
        run.args(["run", "f.toml", "--quiet", "--out", out])
            .args(more);
        let done = run.current_dir(federation.path()).output().unwrap();
        assert!(
            done.status.success(),
            "{}",
            String::from_utf8_lossy(&done.stderr)
        );
        Summary::read(&federation.path().join(out).join("summary.json"))
            .unwrap()
            .fingerprint
    };
    let plain = alone("plain", &[]);
    let log = std::fs::read_to_string(federation.path().join("plain/events.jsonl")).unwrap();
    let told = r#"{"event":"answered","id":"x","round":1,"task":{"name":"late","classes":[1,5]},"worth":[]}"#;
    std::fs::write(
        federation.path().join("told.jsonl"),
        format!("{log}{told}\n"),
    )
    .unwrap();
    let wanted = alone("alone", &["--facts", "told.jsonl"]);
    assert_ne!(wanted, plain);
    federation.identity(&["node", "n1", "--out", "n1"]);
    let mut coordinator = federation.coordinator();
    let mut coordinator = coordinator.args(["--facts", "told.jsonl"]).spawn().unwrap();
    let mut node = federation.node("n1").stderr(Stdio::null()).spawn().unwrap();
    let rest = Lines::of(&mut coordinator).rest();
    assert!(coordinator.wait().unwrap().success(), "{rest}");
    node.wait().unwrap();
    assert_eq!(federation.summary().fingerprint, wanted);
}
