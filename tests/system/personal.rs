//! Promise: what stays with a client leaves it in no sum, has the same bits however a run is carried out, and is judged with it.

use crate::{
    catalogue,
    determinism::{everywhere, fingerprint, run_in},
};
use lyceum_client_node::{Node, Worker};
use lyceum_core::{
    Assignment, ClientId, DataRef, Event, Job, Params, Round, Slot, SlotName, Ticket, UnitId,
    Upload, Work,
};
use lyceum_metrics::EventReader;
use lyceum_scenarios::{Loaded, Scenario};
use std::{path::Path, process::Command, sync::Arc};

const SHORT: [&str; 2] = ["run.rounds=6", "data.clients=8"];
const COHORT: [&str; 1] = ["selection.uniform.per_round=4"];

fn personal(more: &[&str]) -> Scenario {
    catalogue::read("fed-bn-digits", &[&SHORT[..], &COHORT, more].concat())
}

#[test]
fn what_stays_with_clients_has_the_same_bits_on_threads_and_nodes_and_when_resumed() {
    let alone = everywhere("fed-bn-digits", &[&SHORT[..], &COHORT].concat(), 3);
    let head = personal(&["personal.local=[\"head\"]"]);
    assert_ne!(fingerprint(&head, 1), alone);
}

/// What clients' own models are worth on all test samples, round by round, and the bytes that each sent.
fn own(scenario: &Scenario, out: &Path) -> Vec<(u64, f64)> {
    run_in(out, scenario, 2, false);
    let events = EventReader::open(&out.join("events.jsonl")).unwrap();
    let told = events.filter_map(|event| match event.unwrap() {
        Event::Client { report, .. } => Some((report.bytes_up, report.local_accuracy.unwrap())),
        _ => None,
    });
    told.collect()
}

#[test]
fn what_stays_with_a_client_is_not_sent() {
    let folder = tempfile::tempdir().unwrap();
    let of = |name: &str, local: &str| {
        let set = format!("personal.local=[\"{local}\"]");
        own(&personal(&[&set]), &folder.path().join(name))
    };
    // 64 inputs, 64 units and their normalisation, 10 classes.
    let (first, norm, last) = (64 * 64 + 64, 4 * 64, 64 * 10 + 10);
    for (local, shared) in [
        ("head", first + norm),
        ("1", norm + last),
        ("norms", first + last),
    ] {
        let told = of(local, local);
        assert_eq!(told.len(), 24);
        assert!(
            told.iter().all(|(bytes, _)| *bytes == 4 * shared),
            "{local}"
        );
        assert!(told.iter().all(|(_, accuracy)| *accuracy > 0.05), "{local}");
    }
}

/// A worker of a scenario's node, and an assignment of client 0 in the first round.
fn at_work(scenario: &Scenario) -> (Worker, Assignment) {
    let said = |e| format!("{e}");
    let loaded = Loaded::read(scenario, &[]).map_err(said).unwrap();
    let network = loaded.network(scenario).map_err(said).unwrap();
    let stream = loaded.stream(scenario, None).map_err(said).unwrap();
    let federation = loaded.federate(scenario, None).map_err(said).unwrap();
    let assignment = Assignment {
        ticket: Ticket(0),
        round: Round(0),
        unit: UnitId(0),
        work: Work::Train,
        facts: Default::default(),
        model: "global".into(),
        global: network.initial(scenario.seed()).into(),
        vectors: Vec::new(),
        jobs: vec![Job {
            data: DataRef::Shard(ClientId(0)),
            state: Default::default(),
        }],
    };
    let engine = *lyceum::registry().engine("fused").unwrap();
    let node = Node::new(scenario, engine, network, federation, None).in_stream(stream);
    (Worker::new(Arc::new(node)).unwrap(), assignment)
}

/// A node looks at what it is to go on from as the coordinator looks at what it gets.
#[test]
fn a_node_is_sent_no_state_that_is_not_of_its_run() {
    let with = |scenario: &Scenario, name: &str, slot: Slot| -> Result<Upload, String> {
        let (mut worker, mut assignment) = at_work(scenario);
        assignment.jobs[0].state.put(SlotName::new(name), slot);
        worker.execute(&assignment).map_err(|e| e.to_string())
    };
    let norms = personal(&[]);
    let vector = |len| Slot::from(Params::zeros(len));
    assert!(with(&norms, "local", vector(256)).is_ok());
    let wrong = with(&norms, "local", vector(255)).unwrap_err();
    assert!(wrong.starts_with("the state of client "), "{wrong}");
    assert!(
        wrong.ends_with("its slot `local` holds 255 values; expected 256 values"),
        "{wrong}"
    );
    let stream = catalogue::read("federated-er", &["run.rounds=6"]);
    assert!(with(&stream, "local", vector(256)).is_err());
    let large = with(&stream, "method.er", vec![0; 1 << 20].into()).unwrap_err();
    assert!(
        large.contains("`method.er` holds 1048576 bytes; expected at most"),
        "{large}"
    );
    let other = with(&stream, "method.ewc", vec![0].into()).unwrap_err();
    let slots = "`stream.place`, `stream.optimizer`, `method.er`";
    assert!(
        other.ends_with(&format!("has no owner in this run; expected {slots}")),
        "{other}"
    );
}

#[test]
fn names_that_mean_nothing_are_refused_where_they_stand() {
    let output = Command::new(env!("CARGO_BIN_EXE_lyceum-under-test"))
        .arg("check")
        .arg(catalogue::folder().join("fed-bn-digits.toml"))
        .args(["--set", "personal.local=[\"heads\"]"])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("`heads` is nothing in this model"), "{said}");
    assert!(said.contains("2.variance"), "{said}");
}
