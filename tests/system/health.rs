//! Promise: whoever starts and stops processes hears from them how they are, and from their exit codes what became of them.

use crate::{
    hostile::Log,
    nodes::{Federation, kill, lyceum},
};
use std::{
    collections::BTreeSet,
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    process::{Child, Command, Stdio},
};

const OK: &str = "200 OK";
const UNWELL: &str = "503 Service Unavailable";

/// A TCP port that was free a moment ago.
fn free_port() -> u16 {
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    socket.local_addr().unwrap().port()
}

/// Asks until the answer is that nodes can work: a coordinator says that it waits shortly before it is ready.
fn becomes_ready(port: u16) {
    let mut answers = (0..10_000).map(|_| get(port, "/readyz").0);
    assert!(answers.any(|status| status == OK));
}

/// Status line and text of an answer.
fn get(port: u16, path: &str) -> (String, String) {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.lines().next().unwrap();
    (status["HTTP/1.1 ".len()..].to_string(), body.to_string())
}

fn signal(child: &Child, signal: &str) {
    let pid = child.id().to_string();
    let sent = Command::new("kill").args([signal, &pid]).status();
    assert!(sent.unwrap().success());
}

/// A coordinator that waits for more nodes than come, with where it is watched, and what it says.
fn waiting(federation: &Federation, more: &[&str]) -> (Child, u16, Log) {
    let port = free_port();
    let mut command = federation.coordinator();
    command
        .args(["--metrics", &format!("127.0.0.1:{port}")])
        .args(more);
    let mut child = command.spawn().unwrap();
    let log = Log::of(&mut child);
    log.wait_for(&["waiting for nodes"]);
    (child, port, log)
}

/// Names of all measures that a coordinator serves.
pub(crate) fn measures() -> BTreeSet<String> {
    let federation = Federation::new(&[]);
    let (mut coordinator, port, _log) = waiting(&federation, &["--wait-for-nodes", "9"]);
    let (status, text) = get(port, "/metrics");
    kill(&mut coordinator);
    assert_eq!(status, OK);
    let name = |line: &str| Some(line.strip_prefix("# TYPE ")?.split_once(' ')?.0.to_string());
    text.lines().filter_map(name).collect()
}

#[test]
fn a_coordinator_that_waits_is_alive_and_ready_and_answers_probes() {
    let federation = Federation::new(&[]);
    federation.identity(&["init", "other"]);
    federation.identity(&["coordinator", "x", "--authority", "other", "--out", "x"]);
    federation.identity(&["node", "n1", "--out", "n1"]);
    let (mut coordinator, port, log) = waiting(&federation, &["--wait-for-nodes", "2"]);
    for (path, status, text) in [
        ("/healthz", OK, "alive"),
        ("/readyz", OK, "ready"),
        ("/metrics", OK, "lyceum_rounds_done 0"),
        ("/status", OK, "\"rounds_done\":0"),
        (
            "/",
            "404 Not Found",
            "there are /metrics, /status, /healthz and /readyz",
        ),
    ] {
        let (found, body) = get(port, path);
        assert_eq!(found, status, "{path}: {body}");
        assert!(body.contains(text), "{path}: {body}");
    }
    let here = format!("127.0.0.1:{}", federation.port);
    for (address, identity, code, said) in [
        (here.as_str(), "c", 0, "answers, after"),
        (&here, "n1", 0, "answers, after"),
        (&here, "x", 2, "not of the authority that is trusted here"),
        (&here, "absent", 2, "absent"),
        ("127.0.0.1:1", "c", 1, "no answer within 0.3 s"),
        ("nobody.invalid:1", "c", 1, "no address is known"),
        ("here", "c", 2, "expected HOST:PORT"),
    ] {
        let mut probe = lyceum();
        probe.args(["probe", address, "--identity", identity]);
        if code == 1 {
            probe.args(["--within", "0.3"]);
        }
        let out = probe.current_dir(federation.path()).output().unwrap();
        let all =
            String::from_utf8_lossy(&[&out.stdout[..], &out.stderr[..]].concat()).into_owned();
        assert_eq!(out.status.code(), Some(code), "{address} {identity}: {all}");
        assert!(all.contains(said), "{address} {identity}: {all}");
    }
    signal(&coordinator, "-TERM");
    assert_eq!(coordinator.wait().unwrap().code(), Some(75));
    let text = log.text();
    // A probe every few seconds is nothing to speak of.
    assert!(!text.contains("refused"), "{text}");
}

/// A disk of its own, where the system lets a test have one. The shell that has it fills and frees it when it is told to.
#[test]
fn a_coordinator_whose_disk_is_full_is_alive_and_not_ready() {
    let federation = Federation::new(&[]);
    let port = free_port();
    let mut args = federation.coordinator();
    args.args([
        "--metrics",
        &format!("127.0.0.1:{port}"),
        "--wait-for-nodes",
        "9",
    ]);
    args.args(["--out", "disk/run"]);
    let words = args
        .get_args()
        .map(|a| format!("'{}'", a.to_string_lossy()));
    let words: Vec<String> = words.filter(|w| !w.is_empty()).collect();
    let command = words.join(" ").replacen("'--out' 'run' ", "", 1);
    let script = format!(
        "mkdir disk && mount -t tmpfs -o size=256k tmpfs disk || exit 7
         {} {command} & child=$!
         while read word; do
             case $word in
                 fill) dd if=/dev/zero of=disk/full bs=4k 2>/dev/null ;;
                 free) rm disk/full ;;
             esac
             echo $word
         done
         kill $child; wait",
        env!("CARGO_BIN_EXE_lyceum-under-test")
    );
    let shell = Command::new("unshare")
        .args(["-m", "sh", "-c", &script])
        .current_dir(federation.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let Ok(mut shell) = shell.map_err(|e| println!("skipped: {e}")) else {
        return;
    };
    let log = Log::of(&mut shell);
    let mut orders = shell.stdin.take().unwrap();
    let mut answers = BufReader::new(shell.stdout.take().unwrap());
    let mut tell = |word: &str| {
        writeln!(orders, "{word}").ok()?;
        let mut line = String::new();
        (answers.read_line(&mut line).ok()? > 0).then_some(())
    };
    if tell("begin").is_none() {
        println!("skipped: no file system can be mounted: {}", log.text());
        shell.wait().unwrap();
        return;
    }
    log.wait_for(&["waiting for nodes"]);
    becomes_ready(port);
    tell("fill").unwrap();
    let (status, body) = get(port, "/readyz");
    assert_eq!(status, UNWELL, "{body}");
    assert!(body.contains("nothing can be written"), "{body}");
    assert_eq!(get(port, "/healthz").0, OK);
    tell("free").unwrap();
    becomes_ready(port);
    drop(orders);
    shell.wait().unwrap();
}

/// Lines of standard output until the fingerprint is told.
fn fingerprint(child: &mut Child) -> String {
    let reader = BufReader::new(child.stdout.take().unwrap());
    let mut lines = reader.lines().map_while(Result::ok);
    let line = lines.find(|line| line.starts_with("fingerprint"));
    line.expect("a run that is finished tells its fingerprint")
}

/// Two nodes; one stands still until the run is over.
#[test]
fn a_node_that_was_away_when_the_run_finished_ends_with_0() {
    for (stay, told_to_go) in [("forever", true), ("600", false)] {
        let federation = Federation::new(&["run.rounds=3"]);
        for name in ["n1", "n2"] {
            federation.identity(&["node", name, "--out", name]);
        }
        let mut command = federation.coordinator();
        command.args(["--wait-for-nodes", "2", "--stay", stay]);
        let mut coordinator = command.stdout(Stdio::piped()).spawn().unwrap();
        let log = Log::of(&mut coordinator);
        log.wait_for(&["waiting for nodes"]);
        let mut away = federation.node("n2").spawn().unwrap();
        log.wait_for(&["node joined", "n2"]);
        signal(&away, "-STOP");
        let mut there = federation.node("n1").spawn().unwrap();
        fingerprint(&mut coordinator);
        signal(&away, "-CONT");
        assert_eq!(there.wait().unwrap().code(), Some(0), "{stay}");
        assert_eq!(away.wait().unwrap().code(), Some(0), "{stay}");
        if told_to_go {
            signal(&coordinator, "-TERM");
        }
        assert_eq!(coordinator.wait().unwrap().code(), Some(0), "{stay}");
    }
}

#[test]
fn a_coordinator_of_a_finished_run_dismisses_whoever_comes() {
    let federation = Federation::new(&["run.rounds=2"]);
    federation.identity(&["node", "n1", "--out", "n1"]);
    let mut coordinator = federation.coordinator().spawn().unwrap();
    let first = federation.node("n1").output().unwrap();
    assert_eq!(first.status.code(), Some(0));
    assert_eq!(coordinator.wait().unwrap().code(), Some(0));
    let before = federation.summary().fingerprint;
    let mut command = federation.coordinator();
    let mut coordinator = command.args(["--stay", "forever"]).spawn().unwrap();
    let late = federation.node("n1").output().unwrap();
    assert_eq!(
        late.status.code(),
        Some(0),
        "{}",
        String::from_utf8_lossy(&late.stderr)
    );
    signal(&coordinator, "-TERM");
    assert_eq!(coordinator.wait().unwrap().code(), Some(0));
    assert_eq!(federation.summary().fingerprint, before);
}

#[test]
fn a_node_with_a_wrong_certificate_ends_with_2() {
    let federation = Federation::new(&[]);
    federation.identity(&["init", "other"]);
    federation.identity(&["node", "n1", "--authority", "other", "--out", "n1"]);
    let (mut coordinator, ..) = waiting(&federation, &["--wait-for-nodes", "1"]);
    let out = federation.node("n1").output().unwrap();
    let said = String::from_utf8_lossy(&out.stderr);
    assert_eq!(out.status.code(), Some(2), "{said}");
    kill(&mut coordinator);
}

/// The name by the place among its like, the string by file or environment, the address by the environment; and all of it again
/// when the host is started again, although the string is used up.
#[test]
fn a_host_joins_with_what_its_environment_says() {
    let federation = Federation::new(&["run.rounds=2"]);
    let port = std::net::UdpSocket::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let server = format!("127.0.0.1:{port}");
    let mut serve = lyceum()
        .args(["identity", "serve", "--authority", "authority"])
        .env("LYCEUM__LISTEN", &server)
        .current_dir(federation.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut told = String::new();
    BufReader::new(serve.stdout.as_mut().unwrap())
        .read_line(&mut told)
        .unwrap();
    let token = |uses: &str| {
        let mut token = lyceum();
        token.args(["identity", "token", "node", "--uses", uses]);
        let out = token.current_dir(federation.path()).output().unwrap();
        String::from_utf8(out.stdout).unwrap()
    };
    std::fs::write(federation.path().join("join"), token("1")).unwrap();
    for (variables, args, code, said) in [
        (
            &[("JOB_COMPLETION_INDEX", "3"), ("LYCEUM__JOIN_FILE", "join")][..],
            &["--out", "n3"][..],
            0,
            "node/node-3",
        ),
        (
            &[("JOB_COMPLETION_INDEX", "3")],
            &["--out", "n3", "--keep"],
            0,
            "node/node-3",
        ),
        (
            &[("SLURM_PROCID", "4")],
            &["--out", "n4", "--join-file", "join"],
            2,
            "used",
        ),
        (
            &[("SLURM_PROCID", "4"), ("LYCEUM__JOIN", &token("1"))],
            &["--out", "n4"],
            0,
            "node/node-4",
        ),
        (
            &[("LYCEUM__NAME", "own"), ("LYCEUM__JOIN", &token("1"))],
            &["--out", "own"],
            0,
            "node/own",
        ),
        (
            &[("LYCEUM__NAME", "own")],
            &["--out", "none"],
            2,
            "expected a join string",
        ),
    ] {
        let mut join = lyceum();
        join.args(["identity", "join", "node", "--patience", "60"])
            .args(args);
        join.env("LYCEUM__SERVER", &server)
            .envs(variables.iter().copied());
        let out = join.current_dir(federation.path()).output().unwrap();
        let all =
            String::from_utf8_lossy(&[&out.stdout[..], &out.stderr[..]].concat()).into_owned();
        assert_eq!(out.status.code(), Some(code), "{variables:?}: {all}");
        assert!(all.contains(said), "{variables:?}: {all}");
    }
    kill(&mut serve);
    let mut coordinator = federation.coordinator().spawn().unwrap();
    let mut node = lyceum();
    node.args(["node", "--threads", "1"])
        .env(
            "LYCEUM__COORDINATOR",
            format!("localhost:{}", federation.port),
        )
        .env("LYCEUM__IDENTITY", "n3")
        .env("LYCEUM__LOG", "error");
    let out = node.current_dir(federation.path()).output().unwrap();
    let said = String::from_utf8_lossy(&out.stderr);
    assert_eq!(out.status.code(), Some(0), "{said}");
    assert!(said.contains("as node/node-3"), "{said}");
    assert_eq!(coordinator.wait().unwrap().code(), Some(0));
}
