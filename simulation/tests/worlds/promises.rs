//! What holds in every world.

use crate::{ground, in_process, read, registry};
use lyceum_coordinator::conductor::Ending;
use lyceum_simulation::world::{Faults, Report, Span, World, worlds};
use std::ops::Range;

/// Every policy, and strategies and selectors with states of all kinds.
const VARIANTS: [&[&str]; 6] = [
    &[],
    &["deadline.reassign={after_s=3.0}"],
    &["strategy.scaffold={}", "deadline.wait={}"],
    &["selection.power_of_choice={candidates=8,per_round=4}"],
    &["availability.dropout=0.3", "strategy.fed_adam={}"],
    &["ordering.order=\"curriculum\"", "ordering.score=\"expert-loss\"", "deadline.reassign={after_s=1.0}"],
];

const CLOSING: [&[&str]; 2] = [
    &["deadline.close={after_s=4.0,min_clients=2}"],
    &["deadline.close={after_s=20.0,enough_clients=4,min_s=0.5,min_clients=3}", "strategy.scaffold={}"],
];

fn look(overrides: &[&str], seeds: Range<u64>) -> Report {
    let span = Span {
        seeds,
        faults: None,
        threads: 2,
        file: "world.toml".into(),
        folders: vec![],
    };
    worlds(&read(overrides), &registry(), &span, &|_| true).unwrap_or_else(|e| panic!("{e}"))
}

fn assert_holds(overrides: &[&str], seeds: Range<u64>) -> Report {
    let report = look(overrides, seeds);
    let lines: Vec<&str> = report.lines().take(20).collect();
    assert!(lines.is_empty(), "{overrides:?}\n{}", lines.join("\n"));
    report
}

#[test]
fn a_calm_world_is_a_run_in_one_process() {
    for overrides in VARIANTS {
        let scenario = read(overrides);
        let (ground, mut lab) = ground(&scenario);
        let outcome = World::run(&ground, &mut lab, &Faults::calm(), 1);
        assert_eq!(outcome.violations, []);
        assert_eq!(outcome.ending, Some(Ending::Finished));
        assert_eq!(outcome.fingerprint, Some(in_process(&scenario)), "{overrides:?}");
    }
}

#[test]
fn the_first_500_worlds_hold() {
    let report = assert_holds(&[], 0..500);
    assert_eq!((report.worlds, report.finished), (500, 500));
}

#[test]
fn every_policy_holds() {
    for overrides in VARIANTS.iter().chain(&CLOSING) {
        assert_holds(overrides, 0..300);
    }
}
