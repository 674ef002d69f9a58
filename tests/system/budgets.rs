//! Promise: with a budget of client updates every order does as many of them as vanilla, to the last one.

use crate::{
    catalogue::read,
    determinism::{fingerprint, on_nodes, run_in, run_until},
    streams::refused,
};
use lyceum_core::{Event, Probe};
use lyceum_metrics::{EventReader, Status, Summary};
use lyceum_scenarios::Scenario;

const ORDERS: [&str; 3] = [
    "clients-curriculum",
    "clients-anti-curriculum",
    "clients-random",
];
const SHORT: [&str; 3] = ["run.rounds=9", "training.epochs=1", "expert.epochs=1"];

/// Summary, cohorts of the rounds, and rounds in which the test set was judged.
fn played(scenario: &Scenario) -> (Summary, Vec<u64>, Vec<u64>) {
    let folder = tempfile::tempdir().unwrap();
    let summary = run_in(folder.path(), scenario, 2, false);
    let events = EventReader::open(&folder.path().join("events.jsonl")).unwrap();
    let (mut cohorts, mut judged) = (Vec::new(), Vec::new());
    for event in events {
        match event.unwrap() {
            Event::RoundClosed { cohort, .. } => cohorts.push(cohort),
            Event::Evaluated {
                round,
                probe: Probe::Test,
                ..
            } => judged.push(round.0),
            _ => {}
        }
    }
    (summary, cohorts, judged)
}

fn short(name: &str, set: &[&str]) -> Scenario {
    read(name, &[&SHORT[..], set].concat())
}

#[test]
fn every_order_does_as_many_updates_as_vanilla() {
    let (_, vanilla, _) = played(&short("clients-vanilla", &[]));
    assert_eq!(vanilla.iter().sum::<u64>(), 45);
    for name in ORDERS {
        let (summary, cohorts, judged) = played(&short(name, &["evaluation.every=4"]));
        assert_eq!(cohorts.iter().sum::<u64>(), 45, "{name}: {cohorts:?}");
        assert!(cohorts.len() > 9, "{name}: {cohorts:?}");
        let rounds = cohorts.len() as u64;
        assert_eq!((summary.rounds, summary.rounds_planned), (rounds, rounds));
        assert_eq!(judged.last(), Some(&(rounds - 1)), "the end is judged");
        let (_, cohorts, _) = played(&short(name, &["selection.difficulty.budget=rounds"]));
        assert!(cohorts.len() == 9 && cohorts.iter().sum::<u64>() < 45);
    }
}

/// The authors' example of this project's README: 20 clients, 5 per round, 30 rounds.
#[test]
fn the_evidence_compares_equal_budgets() {
    for name in ORDERS {
        assert_eq!(read(name, &[]).rounds(), 35, "{name}");
    }
    assert_eq!(read("clients-vanilla", &[]).rounds(), 30);
}

#[test]
fn a_run_with_a_budget_goes_on_after_a_stop_and_ends_alike_on_nodes() {
    let scenario = short("clients-curriculum", &[]);
    let whole = fingerprint(&scenario, 1);
    let folder = tempfile::tempdir().unwrap();
    // The last stop is behind the ninth round, which is not the last one.
    for (rounds, resume) in [(2, false), (9, true)] {
        let summary = run_until(folder.path(), &scenario, 2, resume, rounds);
        assert_eq!(summary.status, Status::Paused);
    }
    let summary = run_in(folder.path(), &scenario, 2, true);
    assert_eq!(
        (summary.status, summary.fingerprint),
        (Status::Finished, whole)
    );
    assert_eq!(run_in(folder.path(), &scenario, 2, true), summary);
    assert_eq!(on_nodes("clients-curriculum", &SHORT, 2), whole);
}

/// Clients that are not there yet, or no more, have no score, and their places go to others.
#[test]
fn clients_that_come_and_go_do_not_change_the_budget() {
    let text = std::fs::read_to_string(crate::catalogue::folder().join("clients-curriculum.toml"));
    let moments = "[[timeline]]\nround = 4\nadd_clients = 6\n\
                   [[timeline]]\nround = 6\ndrop_clients = { count = 8 }\n";
    let text = text.unwrap() + moments;
    let set = SHORT.map(String::from);
    let scenario = Scenario::read(&lyceum::registry(), "turns", &text, &set).unwrap();
    let (summary, cohorts, _) = played(&scenario);
    assert_eq!(cohorts.iter().sum::<u64>(), 45, "{cohorts:?}");
    assert_eq!(summary.rounds, scenario.rounds());
}

#[test]
fn a_budget_that_begins_in_the_middle_of_a_run_is_refused() {
    let later =
        "\n[[timeline]]\nround = 3\nset = { \"selection.difficulty.order\" = \"random\" }\n";
    let said = refused("clients-curriculum", later, &[]);
    assert!(said.contains("cannot begin or end during a run"), "{said}");
    let fine = ["selection.difficulty.budget=rounds"];
    let text = std::fs::read_to_string(crate::catalogue::folder().join("clients-curriculum.toml"));
    let text = text.unwrap() + later;
    let registry = lyceum::registry();
    Scenario::read(&registry, "rounds", &text, &fine.map(String::from)).unwrap();
}
