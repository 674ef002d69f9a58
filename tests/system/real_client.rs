//! Promise: a real client takes part with samples that never leave its machine.

use crate::{
    catalogue,
    determinism::fingerprint,
    hostile::{Facts, Hostile, Log},
    nodes::{Federation, kill},
};
use lyceum_core::{
    Addend, Calibration, ClientId, ClientReport, ClientState, ClientTerm, DataRef, ExactSum,
    ExpertScores, F1, Fingerprint, LossUnit, Memory, Outcome, Params, Payload, Probe, Retrieval,
    Roc, Round, Slot, SlotKind, SlotName, Tally, TaskId, Ticket, Top, Trained, UnitId, UnitKey,
    Work,
};
use lyceum_metrics::Status;
use lyceum_protocol::{
    blob::BlobRef,
    message::{Flights, Hello, OwnData, Pulse, Ready, Report, SessionId},
    wire::{
        AssignmentWire, JobWire, OfferWire, ResultWire, SlotWire, ToCoordinatorWire, ToNodeWire,
        WelcomeWire,
    },
};
use lyceum_scenarios::Scenario;
use std::{
    fmt::Write,
    path::Path,
    process::{Child, Stdio},
};

const SAMPLES: usize = 40;
/// Behind quickstart's 20 simulated ones.
const ALICE: u64 = 20;
const SET: [&str; 3] = ["selection.all={}", "run.rounds=6", "training.epochs=1"];

/// Quickstart with alice, who has to come first.
fn federation(folder: &str) -> (Federation, Scenario) {
    let mut federation = Federation::new(&SET);
    let text = std::fs::read_to_string(&federation.scenario).unwrap();
    let text = format!("{text}\n[[data.real]]\nname = \"alice\"\nsamples = {SAMPLES}\n");
    federation.scenario = federation.path().join("with-alice.toml");
    std::fs::write(&federation.scenario, &text).unwrap();
    for name in ["n1", "n2"] {
        federation.identity(&["node", name, "--out", name]);
    }
    federation.identity(&["client", "alice", "--out", "alice"]);
    let set: Vec<String> = SET.iter().map(|s| s.to_string()).collect();
    let scenario = Scenario::read(&lyceum::registry(), folder, &text, &set);
    (federation, scenario.unwrap_or_else(|e| panic!("{e}")))
}

/// Values that nobody else has, the same every time.
fn values() -> Vec<f32> {
    let mut state = 12345_u64;
    let mut next = || {
        state = state
            .wrapping_mul(6364136223846793005)
            .wrapping_add(1442695040888963407);
        (state >> 40) as f32 / (1 << 24) as f32
    };
    (0..64 * SAMPLES).map(|_| next()).collect()
}

fn csv(values: &[f32], columns: usize, class: impl Fn(usize) -> usize) -> String {
    let mut text: String = (0..columns).map(|c| format!("p{c},")).collect();
    text.push_str("label\n");
    for (index, sample) in values.chunks_exact(columns).enumerate() {
        sample.iter().for_each(|v| write!(text, "{v},").unwrap());
        writeln!(text, "{}", class(index)).unwrap();
    }
    text
}

fn alice(federation: &Federation, text: &str) -> Child {
    std::fs::write(federation.path().join("alice.csv"), text).unwrap();
    let mut command = federation.node("alice");
    command.args(["--client", "alice", "--data", "alice.csv"]);
    command.spawn().unwrap()
}

fn node(federation: &Federation, name: &str) -> Child {
    let mut command = federation.node(name);
    command.stderr(Stdio::null()).spawn().unwrap()
}

/// Runs to the end with alice; the chain's last link and the folder.
fn run_with_alice() -> (Fingerprint, Federation) {
    let (federation, _) = federation("run");
    let mut coordinator = federation.coordinator().spawn().unwrap();
    let log = Log::of(&mut coordinator);
    let own = csv(&values(), 64, |i| i % 10);
    let others = ["n1", "n2"].map(|name| node(&federation, name));
    let alice = alice(&federation, &own);
    assert!(coordinator.wait().unwrap().success(), "{}", log.text());
    // One that came when all was over waits for another run.
    others.into_iter().for_each(|mut other| kill(&mut other));
    let out = alice.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&out.stderr);
    assert!(out.status.success(), "{said}");
    let summary = federation.summary();
    assert_eq!(summary.status, Status::Finished);
    (summary.fingerprint, federation)
}

#[test]
fn a_real_client_trains_each_round_and_nothing_of_its_samples_is_in_the_runs_folder() {
    let (with, federation) = run_with_alice();
    let (again, _) = run_with_alice();
    assert_eq!(with, again);
    assert_ne!(with, fingerprint(&catalogue::read("quickstart", &SET), 2));
    let run = federation.path().join("run");
    let events = std::fs::read_to_string(run.join("events.jsonl")).unwrap();
    let hers: Vec<serde_json::Value> = events
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .filter(|e: &serde_json::Value| e["event"] == "client" && e["client"] == ALICE)
        .collect();
    assert_eq!(hers.len(), 6, "{events}");
    for event in hers {
        assert_eq!(event["outcome"], "accepted", "{event}");
        assert_eq!(event["samples"], SAMPLES, "{event}");
    }
    let files = files(&run);
    assert!(files.len() >= 6, "{files:?}");
    for (name, bytes) in files {
        assert_eq!(first_of_hers(&bytes), None, "{name}");
    }
    let own = std::fs::read(federation.path().join("alice.csv")).unwrap();
    assert!(first_of_hers(&own).is_some(), "the search finds nothing");
}

/// All files below a folder.
fn files(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let mut all = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            all.extend(files(&path));
        } else {
            all.push((path.display().to_string(), std::fs::read(&path).unwrap()));
        }
    }
    all
}

/// The first of alice's values that is there: two of them side by side as `f32`, or one as she wrote it.
fn first_of_hers(bytes: &[u8]) -> Option<f32> {
    use std::collections::HashSet;
    let values = values();
    let pairs: HashSet<[u8; 8]> = values
        .windows(2)
        .map(|pair| {
            let mut both = [0; 8];
            both[..4].copy_from_slice(&pair[0].to_le_bytes());
            both[4..].copy_from_slice(&pair[1].to_le_bytes());
            both
        })
        .collect();
    let found = bytes.windows(8).any(|w| pairs.contains(w));
    let text = String::from_utf8_lossy(bytes);
    let long = |v: &&f32| v.to_string().len() >= 9;
    let written: HashSet<String> = values.iter().filter(long).map(f32::to_string).collect();
    let words = text.split(|c: char| !c.is_ascii_digit() && c != '.');
    let word = words.into_iter().find(|w| written.contains(*w));
    word.and_then(|w| w.parse().ok())
        .or(found.then_some(f32::NAN))
}

#[test]
fn samples_that_do_not_fit_are_refused_with_a_sentence_before_the_client_joins() {
    let (federation, _) = federation("misfits");
    let mut coordinator = federation.coordinator().spawn().unwrap();
    let log = Log::of(&mut coordinator);
    let good = values();
    for (text, why) in [
        (
            csv(&good, 32, |_| 0),
            "line 1: it has 32 columns of features: expected 64, which the scenario's samples have",
        ),
        (
            csv(&good, 64, |i| i),
            "line 12, column `label`: `10` is no class: expected 0 to 9",
        ),
        (
            csv(&good[64..], 64, |_| 0),
            "it has 39 training samples, the scenario says 40",
        ),
        (
            csv(&good, 64, |_| 0).replace("label", "class"),
            "there is no column `label`: the names are p0, p1",
        ),
    ] {
        let out = alice(&federation, &text).wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&out.stderr);
        assert_eq!(out.status.code(), Some(2), "{said}");
        assert!(said.contains(why), "{said}, not {why}");
    }
    log.wait_for(&["alice", "does not fit the run; its own messages say how"]);
    assert!(!log.text().contains("is no class"), "{}", log.text());
    log.wait_for(&["node refused", "alice", "39 training samples"]);
    assert!(!log.text().contains("node joined"), "{}", log.text());
    kill(&mut coordinator);
}

#[test]
fn a_node_that_simulates_never_gets_a_real_clients_unit_whatever_it_is_called() {
    let (federation, scenario) = federation("watched");
    federation.identity(&["node", "alice", "--out", "false-alice"]);
    federation.identity(&["node", "greedy", "--out", "greedy"]);
    let mut coordinator = federation.coordinator().spawn().unwrap();
    let log = Log::of(&mut coordinator);
    log.wait_for(&["nodes connect to"]);
    let facts = Facts {
        threads: u32::MAX,
        ..Facts::of(&scenario)
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let mut greedy = Hostile::connect(&federation, "greedy").await;
        let (_, given) = greedy.join(&facts).await;
        let mut clients: Vec<u64> = given.iter().flat_map(|g| &g.clients).map(|c| c.0).collect();
        clients.sort_unstable();
        assert_eq!(clients, (0..ALICE).collect::<Vec<_>>());
        let mut posing = Hostile::connect(&federation, "false-alice").await;
        posing.say(&ToCoordinatorWire::Hello(facts.hello())).await;
        let reason = posing.reason().await;
        assert!(
            reason.contains("`alice` is a real client of the scenario"),
            "{reason}"
        );
        log.wait_for(&["node refused", "`alice` is a real client of the scenario"]);
    });
    kill(&mut coordinator);
}

/// What may cross the wire: names, counts, and what training makes of a whole shard. A new kind of field needs a line
/// here, and whoever writes it looks twice.
trait HoldsNoSample {}

macro_rules! hold_no_sample {
    ($($type:ty),*) => { $(impl HoldsNoSample for $type {})* };
}

hold_no_sample!(
    u32,
    u64,
    String,
    SessionId,
    Ticket,
    Round,
    UnitId,
    UnitKey,
    ClientId,
    Work,
    BlobRef,
    Fingerprint,
    DataRef,
    Probe
);
impl<T: HoldsNoSample> HoldsNoSample for Vec<T> {}
impl<T: HoldsNoSample> HoldsNoSample for Option<T> {}

fn fine(_: &impl HoldsNoSample) {}

fn job(job: &JobWire) {
    let JobWire { data, slots } = job;
    fine(data);
    for slot in slots {
        let SlotWire {
            name,
            kind,
            content,
        } = slot;
        let _: (&SlotName, &SlotKind) = (name, kind);
        fine(content);
    }
}

fn own(own: &OwnData) {
    let OwnData {
        samples,
        shape,
        classes,
    } = own;
    fine(samples);
    fine(shape);
    fine(classes);
}

fn in_flight(flights: &Flights) {
    let Flights { turn, open } = flights;
    fine(turn);
    fine(open);
}

/// Does not build for a message with a field that is not known to hold no sample.
fn to_node(message: &ToNodeWire) {
    match message {
        ToNodeWire::Welcome(WelcomeWire {
            attempt,
            session,
            heartbeat_micros,
            scenario,
            expert,
            client,
        }) => {
            fine(attempt);
            fine(session);
            fine(heartbeat_micros);
            fine(scenario);
            fine(expert);
            client.iter().for_each(|(client, data)| {
                fine(client);
                own(data);
            });
        }
        ToNodeWire::Refuse(reason) => fine(reason),
        ToNodeWire::Assign {
            session,
            flights,
            assignment,
        } => {
            let AssignmentWire {
                ticket,
                round,
                unit,
                work,
                facts,
                model,
                global,
                vectors,
                jobs,
            } = assignment;
            fine(model);
            fine(session);
            in_flight(flights);
            fine(ticket);
            fine(round);
            fine(unit);
            fine(work);
            fine(facts);
            fine(global);
            fine(vectors);
            jobs.iter().for_each(job);
        }
        ToNodeWire::Pulse(Pulse {
            session,
            flights,
            flush: _,
            drop,
        }) => {
            fine(session);
            in_flight(flights);
            fine(drop);
        }
        ToNodeWire::Finished { session } => fine(session),
    }
}

/// As [`to_node`]; what an offer names is [`result`]'s.
fn to_coordinator(message: &ToCoordinatorWire) {
    match message {
        ToCoordinatorWire::Hello(Hello {
            protocol,
            attempt,
            session,
            threads,
            registry,
        }) => {
            fine(protocol);
            fine(attempt);
            fine(session);
            fine(threads);
            fine(registry);
        }
        ToCoordinatorWire::Ready(Ready {
            session,
            scenario,
            data,
            profile,
            own: declared,
        }) => {
            fine(session);
            fine(scenario);
            fine(data);
            fine(profile);
            declared.iter().for_each(own);
        }
        ToCoordinatorWire::Report(Report {
            session,
            turn,
            held,
            open,
            steps,
        }) => {
            fine(session);
            fine(turn);
            fine(held);
            fine(open);
            fine(steps);
        }
        ToCoordinatorWire::Offer { session, upload } => {
            let OfferWire {
                ticket,
                units,
                result,
                vectors,
            } = upload;
            vectors.iter().for_each(fine);
            fine(session);
            fine(ticket);
            fine(units);
            match result {
                // A result's bytes, which are encoded from a payload and from nothing else.
                ResultWire::Here(_) => {}
                ResultWire::Fetch(name) => fine(name),
            }
        }
        ToCoordinatorWire::Goodbye { session } => fine(session),
        // Words for an operator.
        ToCoordinatorWire::Failed { session, .. } => fine(session),
    }
}

/// Sums and vectors of the model's length, one line of numbers per client, counts per class. An expert's scores are one
/// number per sample of the simulated pool; a real client has no pool.
fn result(payload: &Payload) {
    match payload {
        Payload::Trained(Trained {
            sum,
            reports,
            states,
        }) => {
            match sum {
                Addend::Sum(sum) => {
                    let _: &ExactSum = sum;
                }
                Addend::Single(lanes) => {
                    let _: &Vec<(f64, Params)> = lanes;
                }
                Addend::Each(terms) => {
                    for ClientTerm { client, lanes } in terms {
                        fine(client);
                        let _: &Vec<(f64, Params)> = lanes;
                    }
                }
            }
            reports.iter().for_each(client_report);
            for (client, state) in states {
                // A memory holds places of samples, never samples; streams and real clients do not go together.
                let state: &ClientState = state;
                for (name, slot) in state.slots() {
                    let _: &SlotName = name;
                    match slot {
                        Slot::Floats(values) => {
                            let _: &Params = values;
                        }
                        Slot::Bytes(bytes) => {
                            let _: &Memory = bytes;
                        }
                    }
                }
                fine(client);
            }
        }
        Payload::Scored { scores, samples } => {
            let _: &Vec<(ClientId, f32)> = scores;
            fine(samples);
        }
        Payload::Evaluated {
            probe,
            tally:
                Tally {
                    count,
                    correct,
                    loss,
                    calibration,
                    f1,
                    top,
                    roc,
                    unit,
                    retrieval,
                },
        } => {
            let _: (&Vec<f64>, &Option<Box<Calibration>>) = (loss, calibration);
            let _: (&Option<Box<F1>>, &Option<Top>, &Option<Box<Roc>>) = (f1, top, roc);
            let _: (&Option<LossUnit>, &Option<Box<Retrieval>>) = (unit, retrieval);
            fine(probe);
            fine(count);
            fine(correct);
        }
        Payload::Expert {
            params,
            scores: ExpertScores { losses, errors },
        } => {
            let _: (&Params, &Vec<f32>, &Vec<f32>) = (params, losses, errors);
        }
    }
}

fn client_report(report: &ClientReport) {
    let ClientReport {
        client,
        outcome,
        samples,
        trained,
        scored,
        steps,
        first_loss,
        last_loss,
        rms_loss,
        difficulty,
        bytes_down,
        bytes_up,
        task,
        local_accuracy,
        personal_accuracy,
        received_accuracy,
    } = report;
    match outcome {
        Outcome::Refused(reason) => fine(reason),
        Outcome::Accepted | Outcome::DroppedOut => {}
    }
    let _: [&Option<f32>; 3] = [first_loss, last_loss, difficulty];
    let _: &f32 = rms_loss;
    fine(client);
    fine(samples);
    fine(trained);
    fine(scored);
    fine(steps);
    fine(bytes_down);
    fine(bytes_up);
    let _: &Option<TaskId> = task;
    let _: [&Option<f64>; 3] = [local_accuracy, personal_accuracy, received_accuracy];
}

#[test]
fn no_field_of_any_message_is_of_a_kind_that_could_hold_a_sample() {
    // That it builds is the proof; this only says that nothing was forgotten.
    let _: [fn(&ToNodeWire); 1] = [to_node];
    let _: [fn(&ToCoordinatorWire); 1] = [to_coordinator];
    let _: [fn(&Payload); 1] = [result];
}

#[test]
fn a_run_in_which_a_real_client_cannot_connect_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let quick =
        std::fs::read_to_string(crate::catalogue::folder().join("quickstart.toml")).unwrap();
    let file = folder.path().join("real.toml");
    let real = "\n[[data.real]]\nname = \"alice\"\nsamples = 9\n";
    std::fs::write(&file, quick + real).unwrap();
    for nodes in [&[][..], &["--nodes", "1"]] {
        let out = std::process::Command::new(env!("CARGO_BIN_EXE_lyceum-under-test"))
            .args(["run", "--out", "run"])
            .args(nodes)
            .arg(&file)
            .current_dir(folder.path())
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&out.stderr);
        assert_eq!(out.status.code(), Some(2), "{said}");
        assert!(said.contains("lyceum coordinator"), "{said}");
    }
}
