//! One function per decoder, for `cargo fuzz` and for a smoke test that needs no other compiler.
//!
//! A decoder may say no; it may not panic, and it may not take memory because a length says so. What it says yes to must
//! come back from its own bytes, where it has some.

use lyceum_coordinator::{
    Snapshot,
    run::{
        Finished,
        checkpoint::Manifest,
        journal::{self, Record},
        lock::Mark,
        model_file::{from_safetensors, to_safetensors},
        seal::{self, FileSeal, Found},
    },
};
use lyceum_core::{
    Addend, ClientId, ClientReport, ClientState, ClientTerm, ExactSum, Fingerprint, Grid, Lane,
    Layout, Outcome, Params, Payload, Probe, Role, Round, SlotName, Tally, Ticket, Trained, UnitId,
    codec,
};
use lyceum_metrics::Extent;
use lyceum_protocol::{
    blob::{Blob, BlobRef, Vector},
    body::{self, Body},
    identity::{Authority, Credentials, Identity, Join, Revocations, peer},
    message::{Flights, Hello, PROTOCOL, Pulse, Ready, Report, SessionId},
    wire::{
        FROM_COORDINATOR, FROM_NODE, OfferWire, ResultWire, ToCoordinatorWire, ToNodeWire, frame,
        open,
    },
};
use lyceum_scenarios::{Loaded, Registry, Scenario};
use lyceum_task_store as task_store;
use rustls::pki_types::{CertificateDer, pem::PemObject};
use std::{path::Path, sync::OnceLock, time::Duration};

const LANES: [Lane; 2] = [Lane::INTEGER, Lane::SCALAR];
const LEN: usize = 300;
/// Running statistics among them, as a model with batch normalisation has.
const STATISTICS: usize = 20;

fn grid() -> Grid {
    let mut layout = Layout::weights(LEN - STATISTICS);
    layout.push("variance", vec![STATISTICS], Role::Statistic);
    Grid::from(&layout)
}

/// What a coordinator reads from a node.
pub fn frame_from_node(bytes: &[u8]) {
    if let Ok(message) = open::<ToCoordinatorWire, FROM_NODE>(bytes) {
        let again = open::<ToCoordinatorWire, FROM_NODE>(&frame(&message)[4..]);
        assert_eq!(again, Ok(message));
    }
}

/// What a node reads from a coordinator.
pub fn frame_from_coordinator(bytes: &[u8]) {
    if let Ok(message) = open::<ToNodeWire, FROM_COORDINATOR>(bytes) {
        let again = open::<ToNodeWire, FROM_COORDINATOR>(&frame(&message)[4..]);
        assert_eq!(again, Ok(message));
    }
}

/// A result, of whichever kind.
pub fn result(bytes: &[u8]) {
    let read = |bytes: &[u8]| {
        body::decode(
            &Body::of(bytes.to_vec()),
            Ticket(1),
            vec![UnitId(0)],
            &LANES,
            &grid(),
        )
    };
    if let Ok(upload) = read(bytes) {
        let again = body::encode(&upload.payload, &upload.micros).bytes.bytes;
        let twice = read(&again).map(|u| body::encode(&u.payload, &u.micros).bytes.bytes);
        assert_eq!(twice, Ok(again));
    }
}

/// A sum; one that could be a round's can be added to the round's.
pub fn sum(bytes: &[u8]) {
    let Ok(sum) = ExactSum::from_bytes(bytes, &LANES, grid()) else {
        return;
    };
    let again = ExactSum::from_bytes(&sum.to_bytes(), &LANES, grid());
    assert_eq!(again.map(|s| s.to_bytes()), Ok(sum.to_bytes()));
    if sum.is_within(1000) {
        let mut round = ExactSum::new(&LANES, grid());
        for _ in 0..100 {
            round.merge(&sum).expect("a hundred thousand terms fit");
        }
    }
}

/// A journal as it lies on the disk, and one record whose checksum is right.
pub fn journal(bytes: &[u8]) {
    if let Ok(read) = journal::read(bytes) {
        assert!(read.whole <= bytes.len());
    }
    let mut framed = journal::head().to_vec();
    framed.extend((bytes.len() as u64).to_le_bytes());
    framed.extend(journal::checksum(bytes, &Body::of(Vec::new())));
    framed.extend(bytes);
    let read = journal::read(&framed).expect("the version is this one");
    assert!(read.records.is_empty() || read.whole == framed.len());
}

/// The manifest of a checkpoint, as it lies on the disk, and one whose seal is right.
pub fn manifest(bytes: &[u8]) {
    if let Ok(Found::Good(manifest)) = seal::from_bytes::<Manifest>(bytes) {
        let again = seal::from_bytes::<Manifest>(&seal::to_bytes(&manifest));
        assert_eq!(again, Ok(Found::Good(manifest)));
    }
    if let Ok(manifest) = serde_json::from_slice::<Manifest>(bytes) {
        let sealed = seal::from_bytes::<Manifest>(&seal::to_bytes(&manifest));
        assert_eq!(sealed, Ok(Found::Good(manifest)));
    }
}

/// What a finished run says that it left.
pub fn finished(bytes: &[u8]) {
    if let Ok(Found::Good(finished)) = seal::from_bytes::<Finished>(bytes) {
        let again = seal::from_bytes::<Finished>(&seal::to_bytes(&finished));
        assert_eq!(again, Ok(Found::Good(finished)));
    }
}

/// The state in a checkpoint.
pub fn snapshot(bytes: &[u8]) {
    if let Ok(snapshot) = codec::decode::<Snapshot>(bytes) {
        assert!(codec::decode::<Snapshot>(&codec::encode(&snapshot)).is_ok());
    }
}

/// A scenario; one that is taken reads back as itself.
pub fn scenario(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    let registry = registry();
    if let Ok(scenario) = Scenario::read(registry, "fuzz", text, &[]) {
        let text = scenario.resolved().to_string();
        let again = Scenario::read(registry, "again", &text, &[]);
        assert!(
            again.is_ok_and(|a| a.digest() == scenario.digest()),
            "{text}"
        );
    }
}

/// A certificate as it comes in a handshake.
pub fn certificate(bytes: &[u8]) {
    let _ = peer(&[CertificateDer::from(bytes.to_vec())]);
}

/// PEM files of an identity: chain and authority are the bytes, the key is a good one.
pub fn credentials(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let _ = Credentials::from_pem(&text, &pem().key, &text);
    let _ = Credentials::from_pem(&pem().chain, &text, &text);
}

/// The list of those who are not let in.
pub fn revocations(bytes: &[u8]) {
    let _ = Revocations::of_text(&String::from_utf8_lossy(bytes));
}

/// A join string, which is a secret and comes back as it was.
pub fn join(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    if let Ok(join) = text.parse::<Join>() {
        assert_eq!(join.to_string().parse(), Ok(join));
    }
}

/// A model file that a run begins with.
pub fn model_file(bytes: &[u8]) {
    let _ = from_safetensors(Path::new("model"), bytes, layout());
}

/// The mark in the lock of a run's folder, which another host may have written.
pub fn mark(bytes: &[u8]) {
    if let Some(mark) = Mark::read(bytes) {
        let again = serde_json::to_vec(&mark).expect("it was read");
        assert!(again.len() > 1024 || Mark::read(&again) == Some(mark));
    }
}

fn registry() -> &'static Registry {
    static REGISTRY: OnceLock<Registry> = OnceLock::new();
    REGISTRY.get_or_init(|| {
        let mut registry = Registry::default();
        registry.engines.extend(lyceum_learner::engines());
        registry
    })
}

const QUICKSTART: &str = include_str!("../../scenarios/catalogue/quickstart.toml");

fn layout() -> &'static Layout {
    static LAYOUT: OnceLock<Layout> = OnceLock::new();
    LAYOUT.get_or_init(|| {
        let scenario = Scenario::read(registry(), "quickstart", QUICKSTART, &[]);
        let scenario = scenario.unwrap_or_else(|e| panic!("{e}"));
        let loaded = Loaded::read(&scenario, &[]).unwrap_or_else(|e| panic!("{e}"));
        let network = loaded.network(&scenario).unwrap_or_else(|e| panic!("{e}"));
        network.layout().clone()
    })
}

struct Pem {
    chain: String,
    key: String,
    der: Vec<u8>,
}

fn pem() -> &'static Pem {
    static PEM: OnceLock<Pem> = OnceLock::new();
    PEM.get_or_init(|| {
        let authority = Authority::everybodys().expect("it is always there");
        let identity: Identity = "node/n1".parse().expect("it is one");
        let request = lyceum_protocol::identity::Request::new(&identity).expect("a key");
        let chain = authority
            .issue(request.csr_pem(), &identity, Duration::from_secs(3600))
            .expect("a certificate");
        let der = CertificateDer::from_pem_slice(chain.as_bytes()).expect("it is one");
        Pem {
            key: request.key_pem(),
            der: der.to_vec(),
            chain,
        }
    })
}

/// The log of a store of tasks; what is read follows from the line before.
pub fn task_log(bytes: &[u8]) {
    let Ok(read) = task_store::log::read(bytes) else {
        return;
    };
    assert!(read.whole <= bytes.len() as u64);
    if let Some(settings) = &read.settings {
        let mut link = task_store::log::head(settings).1;
        for (text, next) in &read.lines {
            let fact = task_store::log::fact(link, text);
            assert_eq!(fact.map(|(_, link)| link), Ok(*next));
            link = *next;
        }
    }
}

/// A part of the sources of a store of tasks; a record that is taken is written the same again.
pub fn task_part(bytes: &[u8]) {
    for (place, text) in task_store::sources::records(bytes).flatten() {
        let begin = place.offset as usize;
        assert_eq!(&bytes[begin..][..place.bytes as usize], text.as_bytes());
        let mut again = Vec::new();
        task_store::sources::push(&mut again, text);
        assert_eq!(again, bytes[begin - 17..=begin + text.len()]);
    }
}

/// Rows of the tables of a store of tasks.
pub fn task_row(bytes: &[u8]) {
    use task_store::rows::{MemberRow, PieceRow, Progress, SolvedRow, TaskRow, decode, encode};
    let _ = decode::<TaskRow>(bytes).map(|row| assert!(decode::<TaskRow>(&encode(&row)).is_ok()));
    let _ = decode::<MemberRow>(bytes);
    let _ = decode::<PieceRow>(bytes);
    let _ = decode::<SolvedRow>(bytes);
    let _ = decode::<Progress>(bytes);
}

/// A file of samples that somebody adds.
pub fn task_file(bytes: &[u8]) {
    let lines = task_store::import::json_lines(bytes).flatten();
    let rows = task_store::import::csv_rows(bytes);
    let rows = rows.into_iter().flatten().flatten();
    for (_, text) in lines.chain(rows) {
        if let Ok(record) = task_store::sample::canonical(&text) {
            let again = task_store::sample::canonical(&record.0);
            assert_eq!(again, Ok(record));
        }
    }
}

/// A decoder and bytes that it takes.
pub type Target = (&'static str, fn(&[u8]), fn() -> Vec<Vec<u8>>);

/// All of them.
pub const TARGETS: [Target; 19] = [
    ("frame_from_node", frame_from_node, from_node),
    (
        "frame_from_coordinator",
        frame_from_coordinator,
        from_coordinator,
    ),
    ("result", result, results),
    ("sum", sum, sums),
    ("journal", journal, records),
    ("snapshot", snapshot, snapshots),
    ("manifest", manifest, manifests),
    ("finished", finished, finishes),
    ("scenario", scenario, scenarios),
    ("certificate", certificate, || vec![pem().der.clone()]),
    ("credentials", credentials, || {
        vec![pem().chain.clone().into(), pem().key.clone().into()]
    }),
    ("revocations", revocations, || {
        vec![
            format!(
                "# gone\nnode/n1\nclient/alice # left\n{}\n",
                "0f".repeat(32)
            )
            .into(),
        ]
    }),
    ("join", join, || {
        vec![format!("lyceum1.{}.{}", "0f".repeat(32), "a1".repeat(32)).into()]
    }),
    ("model_file", model_file, model_files),
    ("mark", mark, || {
        vec![br#"{"system":"a","host":"b","holder":"1-2","beat":3}     "#.to_vec()]
    }),
    ("task_log", task_log, task_logs),
    ("task_part", task_part, task_parts),
    ("task_row", task_row, task_rows),
    ("task_file", task_file, task_files),
];

fn content(message: &impl serde::Serialize) -> Vec<u8> {
    frame(message)[4..].to_vec()
}

fn from_node() -> Vec<Vec<u8>> {
    let session = SessionId(1 << 32);
    let fingerprint = Fingerprint::of(b"x");
    [
        ToCoordinatorWire::Hello(Hello {
            protocol: PROTOCOL,
            attempt: 1,
            session: SessionId::default(),
            threads: 2,
            registry: fingerprint,
        }),
        ToCoordinatorWire::Ready(Ready {
            session,
            scenario: fingerprint,
            data: Some(fingerprint),
            profile: "flex, x86_64 avx2, linux".into(),
            own: None,
        }),
        ToCoordinatorWire::Report(Report {
            session,
            turn: 3,
            held: [1, 2].map(|unit| Ticket(3).unit(UnitId(unit))).to_vec(),
            open: 1,
            steps: 5,
        }),
        ToCoordinatorWire::Offer {
            session,
            upload: OfferWire {
                ticket: Ticket(3),
                units: vec![UnitId(1)],
                result: ResultWire::Here(vec![1, 2, 3]),
                vectors: vec![BlobRef::from_bytes([7; 40])],
            },
        },
    ]
    .iter()
    .map(content)
    .collect()
}

fn from_coordinator() -> Vec<Vec<u8>> {
    let session = SessionId(1 << 32);
    [
        ToNodeWire::Refuse("no".into()),
        ToNodeWire::Pulse(Pulse {
            session,
            flights: Flights {
                turn: 2,
                open: vec![Ticket(1), Ticket(3)],
            },
            flush: true,
            drop: vec![Ticket(1).unit(UnitId(4))],
        }),
        ToNodeWire::Finished { session },
    ]
    .iter()
    .map(content)
    .collect()
}

fn a_sum() -> ExactSum {
    let mut sum = ExactSum::new(&LANES, grid());
    let values: Vec<f32> = (0..LEN).map(|i| (i as f32 - 150.0) / 7.0).collect();
    sum.add(0, 12.0, &values).expect("they fit");
    sum.add(1, 3.0, &[]).expect("it fits");
    sum
}

/// With statistics that only the coarser grids hold.
fn a_large_sum() -> ExactSum {
    let mut sum = a_sum();
    let mut values = vec![0.25; LEN];
    values[LEN - 3..].copy_from_slice(&[1.6e8, -3e20, f32::MAX]);
    sum.add(0, 5.0, &values).expect("they fit");
    sum
}

fn sums() -> Vec<Vec<u8>> {
    vec![
        a_sum().to_bytes(),
        a_large_sum().to_bytes(),
        ExactSum::new(&LANES, grid()).to_bytes(),
    ]
}

fn results() -> Vec<Vec<u8>> {
    let accepted = ClientReport {
        outcome: Outcome::Accepted,
        ..ClientReport::dropped_out(ClientId(1), 5, 9)
    };
    let refused = ClientReport {
        outcome: Outcome::Refused("not finite".into()),
        ..accepted.clone()
    };
    let state = a_state();
    [
        Payload::Trained(Trained {
            sum: a_sum().into(),
            reports: vec![accepted, refused],
            states: vec![(ClientId(1), state)],
        }),
        Payload::Trained(Trained {
            sum: Addend::Each(vec![ClientTerm {
                client: ClientId(1),
                lanes: vec![(2.0, vec![0.5, 1.5].into()), (1.0, vec![].into())],
            }]),
            reports: Vec::new(),
            states: Vec::new(),
        }),
        Payload::Scored {
            scores: vec![(ClientId(1), 0.5)],
            samples: 4,
        },
        Payload::Evaluated {
            probe: Probe::Test,
            tally: Tally::new(3),
        },
        Payload::Expert {
            params: vec![1.0, 2.0].into(),
            scores: Default::default(),
        },
    ]
    .iter()
    .map(|payload| body::encode(payload, &[7, 8]).bytes.bytes.to_vec())
    .collect()
}

fn a_state() -> ClientState {
    let control = Params::from(vec![0.5; 8]);
    let mut state: ClientState = [(SlotName::new(SlotName::STRATEGY), control.into())]
        .into_iter()
        .collect();
    state.put(SlotName::method("er"), b"a buffer".to_vec());
    state
}

fn records() -> Vec<Vec<u8>> {
    let run = Fingerprint::of(b"run");
    [
        Record::Begin {
            run,
            rounds: 3,
            fingerprint: run,
        },
        Record::Upload {
            ticket: Ticket(3),
            units: vec![UnitId(1)],
            body: Body {
                bytes: Blob::of(vec![7; 40].into()),
                vectors: vec![Vector::of(vec![0.5, 1.5].into())],
            },
        },
        Record::Close { ticket: Ticket(3) },
    ]
    .iter()
    // What follows the length and the checksum.
    .map(|record| journal::framed(record)[12..].to_vec())
    .collect()
}

fn snapshots() -> Vec<Vec<u8>> {
    let snapshot = Snapshot {
        rounds: 3,
        global: vec![1.0; 20].into(),
        strategy: vec![1; 10],
        selector: vec![2; 10],
        clients: [
            (ClientId(1), ClientState::default()),
            (ClientId(2), a_state()),
        ]
        .into(),
        fingerprint: Fingerprint::of(b"x"),
        best: None,
        book: vec![lyceum_coordinator::Page {
            name: "second".into(),
            params: vec![2.0; 20].into(),
            strategy: Some(vec![3; 4]),
        }],
        steering: vec![4; 8],
        ends: Some(9),
        facts: lyceum_core::Facts::default().with(lyceum_core::Fact::Stage { round: Round(2) }),
    };
    vec![codec::encode(&snapshot)]
}

fn manifests() -> Vec<Vec<u8>> {
    let run = Fingerprint::of(b"run");
    let manifest = Manifest {
        run,
        scenario: run,
        rounds: 3,
        planned: 6,
        fingerprint: run,
        events: Extent::nothing(),
        files: [("checkpoint/000003/state.bin".into(), FileSeal::of(b"x"))].into(),
    };
    let plain = serde_json::to_vec(&manifest).expect("it is plain data");
    vec![seal::to_bytes(&manifest), plain]
}

fn finishes() -> Vec<Vec<u8>> {
    vec![seal::to_bytes(&Finished {
        run: Fingerprint::of(b"run"),
        rounds: 6,
        fingerprint: Fingerprint::of(b"x"),
        events: Extent::nothing(),
        opening: 2,
        files: [("summary.json".into(), FileSeal::of(b"{}"))].into(),
    })]
}

fn scenarios() -> Vec<Vec<u8>> {
    let real = format!("{QUICKSTART}\n[[data.real]]\nname = \"alice\"\nsamples = 40\n");
    let others = [
        include_str!("../../scenarios/catalogue/million.toml"),
        include_str!("../../scenarios/catalogue/clients-curriculum.toml"),
    ];
    let texts = [QUICKSTART, &real].into_iter().chain(others);
    let texts = texts
        .map(|text| text.as_bytes().to_vec())
        .collect::<Vec<_>>();
    let taken = |text: &Vec<u8>| {
        let text = String::from_utf8_lossy(text);
        Scenario::read(registry(), "seed", &text, &[]).is_ok()
    };
    assert!(texts.iter().all(taken), "a seed is no scenario");
    texts
}

fn model_files() -> Vec<Vec<u8>> {
    let layout = layout();
    let params = lyceum_core::Params::zeros(layout.len());
    let file = to_safetensors(Path::new("model"), layout, &params);
    vec![file.unwrap_or_else(|e| panic!("{e}"))]
}

fn task_logs() -> Vec<Vec<u8>> {
    use task_store::told::{Added, Merged, Part, Told};
    let (head, link) = task_store::log::head(&task_store::Settings::default());
    let added = Told::Added(Added {
        task: "a".into(),
        definition: "the first".into(),
        provenance: "a.jsonl".into(),
        kind: task_store::Kind::Samples,
        columns: task_store::Columns {
            difficulty: Some("steps".into()),
            unsolved: None,
        },
        rule: "published".into(),
        content: Fingerprint::of(b"a"),
        parts: vec![Part {
            hash: Fingerprint::of(b"b"),
            records: 3,
        }],
    });
    let merged = Told::Merged(Merged {
        task: "c".into(),
        of: vec!["a".into(), "b".into()],
        rule: "first".into(),
    });
    let (first, link) = task_store::log::line(link, &added);
    let (second, _) = task_store::log::line(link, &merged);
    vec![format!("{head}\n{first}\n{second}\n").into_bytes()]
}

fn task_parts() -> Vec<Vec<u8>> {
    let mut part = Vec::new();
    for record in [r#"{"a":1}"#, r#"{"name":"b","steps":[1,2]}"#] {
        task_store::sources::push(&mut part, record);
    }
    vec![part]
}

fn task_rows() -> Vec<Vec<u8>> {
    use task_store::rows::{MemberRow, TaskRow, encode};
    let task = TaskRow {
        name: "a".into(),
        merged: Some((vec!["b".into()], "first".into())),
        ..TaskRow::default()
    };
    let member = MemberRow {
        content: Fingerprint::of(b"x"),
        part: 1,
        offset: 17,
        bytes: 9,
        split: task_store::Split::Train,
        difficulty: task_store::Difficulty::Known(2.0),
        unsolved: false,
        previous: Some(3),
        fact: 4,
    };
    vec![encode(&task), encode(&member)]
}

fn task_files() -> Vec<Vec<u8>> {
    vec![
        b"{\"name\": \"a\", \"steps\": 3}\n\n{\"steps\": [1, 2.5e3], \"b\": {\"z\": null}}\n"
            .to_vec(),
        b"name,steps,ok\na,3,true\n\"b,c\",,x\n".to_vec(),
    ]
}
