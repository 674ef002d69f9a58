//! Promise: whoever is named by a host's name is found at whichever of its addresses it listens.

use crate::{
    hostile::{Facts, endpoint, settings},
    nodes::{Federation, kill},
};
use lyceum_client_node::quic::{Attendance, Departure, Located, Reach, attend};
use lyceum_core::Seed;
use lyceum_protocol::identity::Credentials;
use std::{
    net::{SocketAddr, TcpListener, UdpSocket},
    path::Path,
    process::{Command, Output, Stdio},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

fn lyceum(args: &[&str], folder: &Path) -> Output {
    Command::new(env!("CARGO_BIN_EXE_lyceum-under-test"))
        .args(args)
        .current_dir(folder)
        .output()
        .unwrap()
}

fn said(out: &Output) -> String {
    String::from_utf8_lossy(&out.stderr).into_owned()
}

/// A node that goes no further than to be asked to load the scenario: then it has been welcomed.
fn attendance(
    federation: &Federation,
    locate: impl Fn() -> Located + Send + Sync + 'static,
) -> Attendance {
    let credentials = Credentials::load(&federation.path().join("n1")).unwrap();
    let client = settings(&credentials);
    let reach: Reach = Arc::new(move |_| Ok((endpoint(), client.clone())));
    Attendance {
        locate: Arc::new(move || {
            let located = locate();
            Box::pin(async move { located })
        }),
        reach,
        hello: Facts::quickstart(&[]).hello(),
        prepare: Arc::new(|_| Box::pin(async { Err("it was welcomed".to_string()) })),
        hire: Arc::new(|_, _| panic!("nothing was loaded")),
        cache_bytes: 1,
        jitter: Seed(1),
        attempts: None,
        joined: Box::new(|| ()),
    }
}

fn attended(attendance: Attendance) -> Departure {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(attend(attendance, std::future::pending()))
}

fn federation() -> Federation {
    let federation = Federation::new(&["run.rounds=200"]);
    federation.identity(&["node", "n1", "--out", "n1"]);
    federation
}

/// The first address of the name is a port where nobody ever answers; the first look finds no name at all.
#[test]
fn a_node_tries_all_addresses_and_looks_them_up_anew_at_each_attempt() {
    let federation = federation();
    let mut coordinator = federation
        .coordinator()
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let silent = UdpSocket::bind("127.0.0.2:0").unwrap();
    let there = SocketAddr::from(([127, 0, 0, 1], federation.port));
    let two = vec![silent.local_addr().unwrap(), there];
    let looks = Arc::new(AtomicUsize::new(0));
    let seen = looks.clone();
    let departure = attended(attendance(&federation, move || {
        match seen.fetch_add(1, Ordering::Relaxed) {
            0 => Err("no address is known yet".into()),
            _ => Ok(two.clone()),
        }
    }));
    kill(&mut coordinator);
    assert_eq!(departure, Departure::Refused("it was welcomed".into()));
    assert!(looks.load(Ordering::Relaxed) >= 2);
}

/// The case `localhost-dual-stack`, where the system lets a test have a name of its own for a while.
#[test]
fn a_name_of_both_kinds_of_address_reaches_a_coordinator_that_listens_on_one() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("hosts"), "::1 twins\n127.0.0.1 twins\n").unwrap();
    let private = |script: &str| {
        Command::new("unshare")
            .args([
                "-m",
                "sh",
                "-c",
                &format!("mount --bind hosts /etc/hosts && {script}"),
            ])
            .current_dir(folder.path())
            .stderr(Stdio::null())
            .output()
    };
    let addresses = private("getent ahosts twins").map(|out| out.stdout);
    let addresses = String::from_utf8(addresses.unwrap_or_default()).unwrap();
    if !(addresses.contains("::1") && addresses.contains("127.0.0.1")) {
        println!("skipped: this system does not let a test have a name with two addresses");
        return;
    }
    let federation = Federation::new(&["run.rounds=2"]);
    let scenario = federation.scenario.display();
    let lyceum = env!("CARGO_BIN_EXE_lyceum-under-test");
    for listen in ["127.0.0.1", "[::1]"] {
        let (port, short) = (
            federation.port,
            "--set run.rounds=2 --insecure-loopback --log error",
        );
        let script = format!(
            "{lyceum} coordinator {scenario} {short} --listen {listen}:{port} --out run-{port}{listen} &
             {lyceum} node --coordinator twins:{port} --insecure-loopback n1 --threads 1 --log error && wait $!"
        );
        let out = private(&script).unwrap();
        assert!(out.status.success(), "{listen}: {out:?}");
    }
}

/// A port that was free a moment ago.
fn free_tcp_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

#[test]
fn status_takes_a_name() {
    let federation = federation();
    let port = free_tcp_port();
    let mut coordinator = federation.coordinator();
    let metrics = format!("127.0.0.1:{port}");
    let mut coordinator = coordinator.args(["--metrics", &metrics]).spawn().unwrap();
    let mut line = String::new();
    let mut lines = std::io::BufReader::new(coordinator.stderr.take().unwrap());
    while !line.contains("nodes connect to") {
        let read = std::io::BufRead::read_line(&mut lines, &mut line).unwrap();
        assert!(read > 0, "{line}");
    }
    let out = lyceum(&["status", &format!("localhost:{port}")], federation.path());
    kill(&mut coordinator);
    assert!(out.status.success(), "{}", said(&out));
    assert!(String::from_utf8_lossy(&out.stdout).contains("0 of 200 rounds"));
}

#[test]
fn a_name_without_an_address_is_told_in_a_sentence() {
    let federation = federation();
    let scenario = federation.scenario.to_string_lossy().into_owned();
    let known = ["--log", "error", "--identity", "n1"];
    let node = |host: &str| {
        let args = [
            &["node", "--coordinator", host, "--attempts", "2"],
            &known[..],
        ]
        .concat();
        lyceum(&args, federation.path())
    };
    let unknown = "no address is known for the name `nobody.invalid`";
    let waited = node("nobody.invalid:4433");
    assert_eq!(waited.status.code(), Some(1));
    assert!(said(&waited).contains(unknown), "{}", said(&waited));
    let listen = [
        "coordinator",
        &scenario,
        "--identity",
        "c",
        "--listen",
        "nobody.invalid:4433",
    ];
    let listening = lyceum(&listen, federation.path());
    assert_eq!(listening.status.code(), Some(2));
    assert!(said(&listening).contains(unknown), "{}", said(&listening));
    for wrong in [
        "localhost",
        "localhost:x",
        "::1:4433",
        "http://localhost:4433",
    ] {
        let out = node(wrong);
        assert_eq!(out.status.code(), Some(2), "{wrong}");
        assert!(said(&out).contains("expected HOST:PORT"), "{}", said(&out));
    }
}
