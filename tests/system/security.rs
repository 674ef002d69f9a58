//! Promise: whoever may not take part, or does what it may not, is told why, is named in the log, and changes nothing for
//! the others.

use crate::{
    catalogue::read,
    determinism::fingerprint,
    hostile::{
        Facts, Given, Hostile, Log, blob_of, dial, endpoint, memory_kib, offer, report, settings,
        trained, with_states,
    },
    nodes::{Federation, kill},
};
use lyceum_core::{ClientId, ExactSum, Fingerprint, Params, Slot, SlotName, Ticket, UnitId};
use lyceum_metrics::Status;
use lyceum_protocol::{
    identity::{ALPN, Authority, COORDINATOR_NAME, Credentials, Identity, Request},
    message::{Hello, Ready, SessionId},
    wire::{ResultWire, ToCoordinatorWire, VERSION},
};
use quinn::{ConnectionError, crypto::rustls::QuicClientConfig};
use std::{
    net::SocketAddr,
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, SystemTime},
};
use tokio::runtime::Runtime;

fn lyceum() -> Command {
    Command::new(env!("CARGO_BIN_EXE_lyceum-under-test"))
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap()
}

/// A coordinator whose patience is short.
fn coordinator(federation: &Federation) -> (Child, Log) {
    let mut child = federation
        .coordinator()
        .env("LYCEUM__TRANSPORT__HANDSHAKE_S", "1")
        .spawn()
        .unwrap();
    let log = Log::of(&mut child);
    log.wait_for(&["nodes connect to"]);
    (child, log)
}

fn node(federation: &Federation, name: &str) -> Child {
    federation.node(name).stderr(Stdio::null()).spawn().unwrap()
}

/// The run goes to its end on honest nodes, with the bits of one process.
fn ends_as_in_one_process(
    federation: &Federation,
    mut coordinator: Child,
    log: &Log,
    nodes: Vec<Child>,
    alone: Fingerprint,
) {
    let status = coordinator.wait().unwrap();
    assert!(status.success(), "{}", log.text());
    // One that came back when all was over waits for another run.
    nodes.into_iter().for_each(|mut node| kill(&mut node));
    let summary = federation.summary();
    assert_eq!(
        (summary.status, summary.fingerprint),
        (Status::Finished, alone)
    );
}

/// The first stage of a run is training, of all clients.
const TRAINING: [&str; 3] = [
    "selection.all={}",
    "ordering.score=local-loss",
    "run.rounds=8",
];
const SHORT: [&str; 2] = ["run.rounds=6", "training.epochs=1"];

#[test]
fn a_hostile_node_is_sent_away_with_a_reason_and_the_others_end_as_alone() {
    let set = TRAINING;
    let all = [&SHORT[..], &set].concat();
    let alone = fingerprint(&read("quickstart", &all), 2);
    let federation = Federation::new(&set);
    for name in ["mallory", "eve", "n1", "n2"] {
        federation.identity(&["node", name, "--out", name]);
    }
    let (child, log) = coordinator(&federation);
    let facts = Facts::quickstart(&all);
    let runtime = runtime();
    let before = memory_kib(&child);
    let attack = Attack {
        federation: &federation,
        log: &log,
        facts: &facts,
    };
    runtime.block_on(async {
        attack.frames().await;
        attack.silence().await;
        attack.strangers().await;
        attack.results().await;
        attack.states().await;
        attack.replays().await;
        attack.transfers().await;
        attack.floods().await;
    });
    let grown = memory_kib(&child).saturating_sub(before) / 1024;
    println!("the coordinator grew by {grown} MiB");
    assert!(grown < 350, "the coordinator grew by {grown} MiB");
    let over = Arc::new(AtomicBool::new(false));
    let nodes = vec![node(&federation, "n1"), node(&federation, "n2")];
    std::thread::scope(|scope| {
        // Others misbehave while the honest ones work.
        scope.spawn(|| runtime.block_on(attack.until(&over)));
        ends_as_in_one_process(&federation, child, &log, nodes, alone);
        over.store(true, Ordering::Relaxed);
    });
}

struct Attack<'a> {
    federation: &'a Federation,
    log: &'a Log,
    facts: &'a Facts,
}

impl Attack<'_> {
    async fn connect(&self) -> Hostile {
        Hostile::connect(self.federation, "mallory").await
    }

    /// The node and the log hear the same.
    async fn sent_away(&self, node: Hostile, why: &str) {
        let reason = node.reason().await;
        assert!(reason.contains(why), "{reason}, not {why}");
        self.log.wait_for(&["mallory", why]);
    }

    async fn frames(&self) {
        let garbage: Vec<u8> = (0..200_u8).map(|i| i.wrapping_mul(37) ^ 0x5a).collect();
        let unreadable = [&201_u32.to_le_bytes()[..], &[VERSION], &garbage].concat();
        for (bytes, why) in [
            (
                vec![0xff; 64],
                "a frame of 4294967295 bytes where at most 1048576",
            ),
            (unreadable, "a frame that cannot be read"),
            (vec![2, 0, 0, 0, 9, 9], "a frame of version 9"),
            (vec![0; 4], "an empty frame"),
        ] {
            let mut node = self.connect().await;
            node.write(&bytes).await;
            self.sent_away(node, why).await;
        }
        let mut node = self.connect().await;
        node.greet(self.facts).await;
        node.write(&[0xee; 4]).await;
        self.sent_away(node, "a frame of 4008636142 bytes").await;
    }

    async fn silence(&self) {
        let credentials = Credentials::load(&self.federation.path().join("mallory")).unwrap();
        let silent = dial(self.federation.port, settings(&credentials)).await;
        match silent.unwrap().closed().await {
            ConnectionError::ApplicationClosed(close) => {
                assert_eq!(&close.reason[..], b"it opened no control stream in time");
            }
            other => panic!("{other}"),
        }
        self.log.wait_for(&["mallory", "opened no control stream"]);
        let mut slow = self.connect().await;
        slow.write(&[20, 0]).await;
        self.sent_away(slow, "it did not greet in time").await;
        let mut rude = self.connect().await;
        let session = SessionId(1);
        rude.say(&ToCoordinatorWire::Goodbye { session }).await;
        self.sent_away(rude, "its first word is no greeting").await;
    }

    async fn strangers(&self) {
        let hello = self.facts.hello();
        for (hello, why) in [
            (
                Hello {
                    protocol: 99,
                    ..hello.clone()
                },
                "the node speaks protocol 99",
            ),
            (
                Hello {
                    registry: Fingerprint::of(b"other"),
                    ..hello
                },
                "the node's plugins",
            ),
        ] {
            let mut node = self.connect().await;
            node.say(&ToCoordinatorWire::Hello(hello)).await;
            self.sent_away(node, why).await;
        }
        let other = Fingerprint::of(b"other");
        type Change = fn(&mut Ready, Fingerprint);
        let changes: [(Change, &str); 4] = [
            (
                |r, other| r.scenario = other,
                "the node resolves the scenario to",
            ),
            (|r, other| r.data = Some(other), "the node's samples"),
            (|r, _| r.data = None, "needs the scenario's samples"),
            (
                |r, _| r.profile = "two\nlines".into(),
                "its arithmetic is not named in one line",
            ),
        ];
        for (change, why) in changes {
            let mut node = self.connect().await;
            let session = node.greet(self.facts).await;
            let mut ready = self.facts.ready(session);
            change(&mut ready, other);
            node.say(&ToCoordinatorWire::Ready(ready)).await;
            self.sent_away(node, why).await;
        }
    }

    fn empty(&self) -> ExactSum {
        ExactSum::new(&self.facts.lanes, self.facts.len)
    }

    async fn results(&self) {
        let full = self.overfull();
        let wide = ExactSum::new(&self.facts.lanes, self.facts.len + 300);
        let strange = [ClientId(77)];
        let cases: [(Option<&[ClientId]>, ExactSum, &str); 4] = [
            (
                Some(&strange),
                self.empty(),
                "it reports client 77, which was not asked of it",
            ),
            (
                Some(&[]),
                self.empty(),
                "it does not report each client once",
            ),
            (None, wide, "its result is no result: not a sum of"),
            (
                None,
                full,
                "its sum holds more than 1 clients can add to it",
            ),
        ];
        for (clients, sum, why) in cases {
            let mut node = self.connect().await;
            let (session, given) = node.join(self.facts).await;
            let result = trained(clients.unwrap_or(&given[0].clients), sum);
            node.say(&offer(session, given[0].ticket, given[0].unit, result))
                .await;
            self.sent_away(node, why).await;
        }
        // Of a node that was given some units, and never others.
        let mut node = Hostile::connect(self.federation, "eve").await;
        let (session, given) = node.join(self.facts).await;
        let unit = (0..20)
            .map(UnitId)
            .find(|unit| given.iter().all(|g| g.unit != *unit));
        let result = trained(&[ClientId(0)], self.empty());
        node.say(&offer(session, given[0].ticket, unit.unwrap(), result))
            .await;
        let why = "which it was not given";
        assert!(node.reason().await.contains(why));
        self.log.wait_for(&["eve", why]);
        let mut node = self.connect().await;
        let (session, given) = node.join(self.facts).await;
        let result = ResultWire::Here(vec![0xff; 200]);
        node.say(&offer(session, given[0].ticket, given[0].unit, result))
            .await;
        self.sent_away(node, "its result is no result").await;
    }

    /// What stays with a client is looked at by name, kind, size and value.
    async fn states(&self) {
        let values = self.facts.len;
        let vector = |len, value| Slot::from(Params::from(vec![value; len]));
        let cases = [
            (
                "model",
                vector(3, 0.5),
                format!("its slot `model` holds 3 values; expected {values} values"),
            ),
            (
                "model",
                vector(values, f32::NAN),
                "value 0 of its slot `model` is NaN; expected a finite number".into(),
            ),
            (
                "model",
                Slot::from(vec![0; 4 * values]),
                format!("holds {} bytes; expected {values} values", 4 * values),
            ),
            (
                "method.er",
                Slot::from(vec![0; 9]),
                "its slot `method.er` has no owner in this run; expected `model`".into(),
            ),
        ];
        for (name, slot, why) in cases {
            let mut node = self.connect().await;
            let (session, given) = node.join(self.facts).await;
            let clients = &given[0].clients;
            let state = [(SlotName::new(name), slot)].into_iter().collect();
            let result = with_states(clients, self.empty(), vec![(clients[0], state)]);
            node.say(&offer(session, given[0].ticket, given[0].unit, result))
                .await;
            let who = format!("the state of client {}", clients[0]);
            self.sent_away(node, &format!("{who}: ")).await;
            self.log.wait_for(&["mallory", &who, &why]);
        }
    }

    /// A sum that would leave no room for anybody else's.
    fn overfull(&self) -> ExactSum {
        let mut bytes = self.empty().to_bytes();
        bytes[..8].copy_from_slice(&u64::MAX.to_le_bytes());
        bytes[8..16].copy_from_slice(&1_u64.to_le_bytes());
        ExactSum::from_bytes(&bytes, &self.facts.lanes, self.facts.len).unwrap()
    }

    /// P8: nothing counts in a session or a round that it was not said in.
    async fn replays(&self) {
        let mut node = self.connect().await;
        let (session, given) = node.join(self.facts).await;
        let Given { ticket, unit, .. } = given[0].clone();
        let result = trained(&given[0].clients, self.empty());
        let earlier = SessionId(session.0 - 1);
        node.say(&offer(earlier, ticket, unit, result.clone()))
            .await;
        self.log
            .wait_for(&["mallory", "of another session, which is not heard"]);
        node.say(&offer(session, Ticket(ticket.0 + 77), unit, result))
            .await;
        self.log
            .wait_for(&["mallory", "came too late and does not count"]);
        // It is still there, and nothing of it was taken.
        let held = given.iter().map(|g| g.ticket.unit(g.unit)).collect();
        node.say(&report(session, held)).await;
        node.connection.close(0_u32.into(), b"");
    }

    async fn transfers(&self) {
        let mut node = self.connect().await;
        let (session, given) = node.join(self.facts).await;
        let Given { ticket, unit, .. } = given[0].clone();
        assert_eq!(ask(&node, [7; 40]).await, [0]);
        self.log
            .wait_for(&["mallory", "asks for a model or state that is not here"]);
        let huge = ResultWire::Fetch(blob_of(u64::MAX, 7));
        node.say(&offer(session, ticket, unit, huge)).await;
        self.sent_away(node, "a blob of 18446744073709551615 bytes where at most")
            .await;
        let mut node = self.connect().await;
        let (session, given) = node.join(self.facts).await;
        let Given { ticket, unit, .. } = given[0].clone();
        let name = ResultWire::Fetch(blob_of(100, 7));
        node.say(&offer(session, ticket, unit, name)).await;
        let (mut send, mut recv) = node.connection.accept_bi().await.unwrap();
        let mut asked = [0; 40];
        recv.read_exact(&mut asked).await.unwrap();
        send.write_all(&[1; 101]).await.unwrap();
        self.sent_away(node, "chunk 0 arrived damaged").await;
    }

    /// P9: what a node sends, or does not read, costs a bounded amount of memory.
    async fn floods(&self) {
        let node = self.connect().await;
        let mut streams = Vec::new();
        loop {
            tokio::select! {
                biased;
                stream = node.connection.open_bi() => {
                    let (mut send, recv) = stream.unwrap();
                    send.write_all(&[1]).await.unwrap();
                    streams.push((send, recv));
                }
                () = std::future::ready(()) => break,
            }
        }
        assert!((1..16).contains(&streams.len()), "{}", streams.len());
        drop(node);
        let mut node = self.connect().await;
        let session = node.greet(self.facts).await;
        for turn in 0..4000_u32 {
            // On a busy machine all of it may take longer than a node may be silent.
            if turn % 100 == 0 {
                node.say(&report(session, Vec::new())).await;
            }
            assert_eq!(ask(&node, [turn as u8; 40]).await, [0]);
        }
        drop(node);
        // Results that it offers and does not hand out.
        let mut node = self.connect().await;
        let (session, given) = node.join(self.facts).await;
        for i in 0..5000_u64 {
            let name = ResultWire::Fetch(blob_of((100 << 20) + i, 1));
            node.say(&offer(session, given[0].ticket, given[0].unit, name))
                .await;
        }
        drop(node);
        // Long questions whose answers it does not read.
        let mut node = self.connect().await;
        let (session, given) = node.join(self.facts).await;
        let unit = |unit| given[0].ticket.unit(UnitId(unit));
        let long = report(session, (1000..60_000).map(unit).collect());
        for _ in 0..1000 {
            node.say(&long).await;
        }
        self.log
            .wait_for(&["mallory", "does not read what it is told"]);
    }

    /// One thing after the other, until the run is over.
    async fn until(&self, over: &AtomicBool) {
        let credentials = Credentials::load(&self.federation.path().join("mallory")).unwrap();
        while !over.load(Ordering::Relaxed) {
            let address = SocketAddr::from(([127, 0, 0, 1], self.federation.port));
            let endpoint = endpoint();
            let connecting = endpoint
                .connect_with(settings(&credentials), address, COORDINATOR_NAME)
                .unwrap();
            let Ok(Ok(connection)) = tokio::time::timeout(Duration::from_secs(1), connecting).await
            else {
                continue;
            };
            let Ok((mut send, _recv)) = connection.open_bi().await else {
                continue;
            };
            let _ = send.write_all(&[0xff; 64]).await;
            connection.closed().await;
        }
    }
}

/// Asks for a blob; the first byte of the answer.
async fn ask(node: &Hostile, name: [u8; 40]) -> [u8; 1] {
    let (mut send, mut recv) = node.connection.open_bi().await.unwrap();
    send.write_all(&name).await.unwrap();
    let mut answer = [9];
    recv.read_exact(&mut answer).await.unwrap();
    answer
}

/// Credentials of an authority in a folder, valid from then to then, in memory.
fn issued(federation: &Federation, authority: &str, name: &str, from: i64, to: i64) -> Credentials {
    let authority = Authority::open(&federation.path().join(authority)).unwrap();
    let identity: Identity = name.parse().unwrap();
    let request = Request::new(&identity).unwrap();
    let at = |seconds: i64| {
        let now = SystemTime::now();
        let away = Duration::from_secs(seconds.unsigned_abs());
        if seconds < 0 { now - away } else { now + away }
    };
    let chain = authority
        .issue_between(request.csr_pem(), &identity, at(from), at(to))
        .unwrap();
    // It believes the coordinator, whoever signed its own certificate.
    let roots = std::fs::read_to_string(federation.path().join("authority/authority.pem")).unwrap();
    request.certified(&chain, &roots).unwrap()
}

/// What the coordinator makes of a certificate that is not good: an alert of TLS.
async fn alert(port: u16, client: quinn::ClientConfig) -> String {
    match dial(port, client).await {
        // The node's handshake is over before the coordinator has looked at its certificate.
        Ok(connection) => connection.closed().await.to_string(),
        Err(error) => error.to_string(),
    }
}

#[test]
fn certificates_decide_who_takes_part_from_the_first_packet_to_the_last() {
    let set = ["run.rounds=2000", "training.epochs=2"];
    let all = [&SHORT[1..], &set].concat();
    let alone = fingerprint(&read("quickstart", &all), 2);
    let federation = Federation::new(&set);
    federation.identity(&["init", "other"]);
    for name in ["n1", "n2", "n3"] {
        federation.identity(&["node", name, "--out", name]);
    }
    federation.identity(&["client", "bob", "--out", "bob"]);
    let (child, log) = coordinator(&federation);
    let port = federation.port;
    let runtime = runtime();
    for (credentials, why) in [
        (
            issued(&federation, "other", "node/x", -60, 3600),
            "not of the authority that is trusted here",
        ),
        (
            issued(&federation, "authority", "node/x", -7200, -3600),
            "has expired or is not valid yet",
        ),
        (
            issued(&federation, "authority", "node/x", 3600, 7200),
            "has expired or is not valid yet",
        ),
    ] {
        let seen = runtime.block_on(alert(port, settings(&credentials)));
        let line = log.wait_for(&["127.0.0.1", "handshake refused", why]);
        println!("{seen} | {line}");
    }
    let seen = runtime.block_on(alert(port, nameless(&federation)));
    let line = log.wait_for(&["127.0.0.1", "handshake refused", "was not shown"]);
    println!("{seen} | {line}");
    // Those who take part, and three who will not for long.
    let mut nodes = vec![node(&federation, "n1")];
    let short = issued(&federation, "authority", "node/short", -60, 4);
    short.write(&federation.path().join("short")).unwrap();
    let expiring = federation.node("short").spawn().unwrap();
    let mut revoked = federation.node("n3").spawn().unwrap();
    let revoked_log = Log::of(&mut revoked);
    log.wait_for(&["node joined", "node=n3"]);
    log.wait_for(&["node joined", "node=short"]);
    let mut twice = lyceum();
    twice
        .args(["identity", "node", "n2", "--out", "n2"])
        .current_dir(federation.path());
    let refused = twice.output().unwrap();
    assert_eq!(refused.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("holds an identity already"));
    federation.identity(&["revoke", "node/n3", "--list", "c/revoked.txt"]);
    log.wait_for(&[
        "node/n3",
        "connection ended",
        "the certificate is revoked (node/n3)",
    ]);
    // It comes back, and is not let in.
    log.wait_for(&["node/n3", "a revoked certificate is refused"]);
    assert_eq!(revoked.wait().unwrap().code(), Some(2));
    revoked_log.wait_for(&["the certificate is revoked (node/n3)"]);
    revoked_log.wait_for(&["error: ", "certificate"]);
    log.wait_for(&[
        "node/short",
        "connection ended",
        "the certificate has run out",
    ]);
    let out = expiring.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&out.stderr);
    assert_eq!(out.status.code(), Some(2), "{said}");
    assert!(said.contains("has run out"), "{said}");
    refused_on_its_own_screen(&federation, &log);
    nodes.push(node(&federation, "n2"));
    ends_as_in_one_process(&federation, child, &log, nodes, alone);
}

/// Nodes whose own screen says what is wrong.
fn refused_on_its_own_screen(federation: &Federation, log: &Log) {
    let own = federation.path().join("own.csv");
    std::fs::write(&own, "a,label\n1,0\n").unwrap();
    let said = |mut command: Command, code: i32| {
        let out = command.output().unwrap();
        let text = String::from_utf8_lossy(&out.stderr).into_owned();
        assert_eq!(out.status.code(), Some(code), "{text}");
        text
    };
    let with = |identity: &str, args: &[&str]| {
        let mut command = federation.node(identity);
        command.args(args).args(["--attempts", "3"]);
        command
    };
    let own = own.to_str().unwrap();
    let text = said(with("n2", &["--client", "alice", "--data", own]), 2);
    assert!(
        text.contains("--client alice: the certificate is that of node/n2"),
        "{text}"
    );
    let text = said(with("bob", &["--client", "alice", "--data", own]), 2);
    assert!(
        text.contains("the certificate is that of client/bob"),
        "{text}"
    );
    let text = said(with("bob", &[]), 2);
    assert!(text.contains("start the node with --client bob"), "{text}");
    let text = said(with("bob", &["--client", "bob", "--data", own]), 2);
    assert!(
        text.contains("the scenario has no real client `bob`"),
        "{text}"
    );
    log.wait_for(&["node refused", "bob", "no real client `bob`"]);
    let text = said(with("short", &[]), 2);
    assert!(text.contains("expired"), "{text}");
    std::fs::copy(
        federation.path().join("other/authority.pem"),
        federation.path().join("bob/authority.pem"),
    )
    .unwrap();
    let text = said(with("bob", &["--client", "bob", "--data", own]), 2);
    assert!(text.contains("is not good under"), "{text}");
}

/// Someone who trusts the authority and has no certificate.
fn nameless(federation: &Federation) -> quinn::ClientConfig {
    let authority = Authority::open(&federation.path().join("authority")).unwrap();
    let mut roots = rustls::RootCertStore::empty();
    roots.add(authority.certificate().clone()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut tls = rustls::ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    tls.alpn_protocols = vec![ALPN.to_vec()];
    quinn::ClientConfig::new(Arc::new(QuicClientConfig::try_from(tls).unwrap()))
}

#[test]
fn a_host_gets_its_certificate_for_a_token_once_and_takes_part_with_it() {
    let alone = fingerprint(&read("quickstart", &SHORT), 2);
    let federation = Federation::new(&[]);
    let port = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let server = port.local_addr().unwrap().to_string();
    drop(port);
    let mut authority = lyceum()
        .args(["identity", "serve", "--listen", &server])
        .current_dir(federation.path())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let authority_log = Log::of(&mut authority);
    let token = lyceum()
        .args(["identity", "token", "node", "n1"])
        .current_dir(federation.path())
        .output()
        .unwrap();
    let token = String::from_utf8(token.stdout).unwrap().trim().to_string();
    let join = |name: &str, out: &str| {
        lyceum()
            .args([
                "identity", "join", "node", name, &token, "--server", &server,
            ])
            .args(["--out", out])
            .current_dir(federation.path())
            .output()
            .unwrap()
    };
    let other = join("n2", "n2");
    let text = String::from_utf8_lossy(&other.stderr).into_owned();
    assert!(
        text.contains("the token is for the name n1, not for node/n2"),
        "{text}"
    );
    authority_log.wait_for(&["enrolment refused", "the token is for the name n1"]);
    let first = join("n1", "n1");
    assert!(
        first.status.success(),
        "{}",
        String::from_utf8_lossy(&first.stderr)
    );
    authority_log.wait_for(&["enrolled", "node/n1"]);
    let again = join("n1", "again");
    assert_eq!(again.status.code(), Some(2));
    let text = String::from_utf8_lossy(&again.stderr);
    assert!(text.contains("the token is used up"), "{text}");
    authority_log.wait_for(&["enrolment refused", "the token is used up"]);
    assert!(!federation.path().join("again").exists());
    kill(&mut authority);
    let (child, log) = coordinator(&federation);
    let nodes = vec![node(&federation, "n1")];
    ends_as_in_one_process(&federation, child, &log, nodes, alone);
}
