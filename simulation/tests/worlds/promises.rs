//! What holds in every world.

use crate::{STREAM, ground, in_process, read, registry};
use lyceum_coordinator::conductor::Ending;
use lyceum_core::Time;
use lyceum_simulation::world::{Faults, Property, Report, Span, Violation, World, worlds};
use std::ops::Range;

/// Every policy, and strategies and selectors with states of all kinds.
const VARIANTS: [&[&str]; 7] = [
    &[],
    &["deadline.reassign={after_s=3.0}"],
    &["strategy.scaffold={}", "deadline.wait={}"],
    &["selection.power_of_choice={candidates=8,per_round=4}"],
    &["availability.dropout=0.3", "strategy.fed_adam={}"],
    &[
        "ordering.order=\"curriculum\"",
        "ordering.score=\"expert-loss\"",
        "deadline.reassign={after_s=1.0}",
    ],
    &["strategy.median={}"],
];

const CLOSING: [&[&str]; 3] = [
    &["deadline.close={after_s=4.0,min_clients=2}"],
    &[
        "deadline.close={after_s=4.0,min_clients=2}",
        "strategy.trimmed_mean={}",
    ],
    &[
        "deadline.close={after_s=20.0,enough_clients=4,min_s=0.5,min_clients=3}",
        "strategy.scaffold={}",
    ],
];

/// The last evaluation is not due.
const SPARSE: &[&str] = &["evaluation.every=10", "deadline.reassign={after_s=1.0}"];

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
    for overrides in VARIANTS.iter().chain(&[SPARSE]) {
        let scenario = read(overrides);
        let (ground, mut lab) = ground(&scenario);
        let outcome = World::run(&ground, &mut lab, &Faults::calm(), 1);
        assert_eq!(outcome.violations, []);
        assert_eq!(outcome.ending, Some(Ending::Finished));
        assert_eq!(
            outcome.fingerprint,
            Some(in_process(&scenario)),
            "{overrides:?}"
        );
    }
}

/// A heartbeat that somebody waits for is two seconds.
#[test]
fn nobody_waits_for_a_heartbeat_in_a_calm_world() {
    for (overrides, nodes) in VARIANTS.iter().flat_map(|o| [(o, 1), (o, 2), (o, 5)]) {
        let (ground, mut lab) = ground(&read(overrides));
        let faults = Faults {
            nodes,
            unit_micros: 1000,
            ..Faults::calm()
        };
        let outcome = World::run(&ground, &mut lab, &faults, 5);
        let seconds = outcome.ended.0 as f64 / 1e6;
        // Up to a second goes by before the last process is there, and one for a first greeting that found nobody.
        assert!(seconds < 2.5, "{overrides:?} on {nodes}: {seconds} s");
        assert!(
            outcome.counters.messages < 300,
            "{}",
            outcome.counters.messages
        );
        assert_eq!(outcome.counters.late_uploads, 0);
    }
}

#[test]
fn the_first_500_worlds_hold() {
    let report = assert_holds(&[], 0..500);
    assert_eq!((report.worlds, report.finished), (500, 500));
    let never: Vec<_> = report.counters.entries();
    let never = never.iter().filter(|(_, count)| *count == 0);
    let never: Vec<&str> = never.map(|(name, _)| *name).collect();
    assert_eq!(
        never,
        ["tasks_joined", "closed_early"],
        "every kind of fault is met"
    );
}

/// Tasks join because somebody asks, whenever that is; a calm world that is told of them in the same rounds has the same
/// fingerprint.
#[test]
fn tasks_that_somebody_asks_for_join_in_every_world() {
    let report = assert_holds(STREAM, 0..300);
    assert_eq!(report.finished, 300);
    assert!(report.counters.tasks_joined > 150, "{:?}", report.counters);
    let closing = [STREAM, CLOSING[0]].concat();
    let report = assert_holds(&closing, 0..100);
    assert_eq!(report.finished + report.stalled, 100);
}

#[test]
fn every_policy_holds() {
    for overrides in VARIANTS.iter().chain(&CLOSING) {
        let report = assert_holds(overrides, 0..100);
        assert_eq!(report.finished + report.stalled, 100, "{overrides:?}");
    }
}

#[test]
fn a_world_is_decided_by_its_seed() {
    for overrides in [VARIANTS[1], CLOSING[0], CLOSING[2]] {
        let (once, again) = (look(overrides, 7..57), look(overrides, 7..57));
        assert_eq!(once, again, "{overrides:?}");
        assert_ne!(once.trace, look(overrides, 8..58).trace);
    }
}

#[test]
fn rounds_that_close_without_the_late_repeat() {
    let (ground, mut lab) = ground(&read(CLOSING[0]));
    let mut early = 0;
    for seed in 0..100 {
        let faults = Faults::drawn(seed);
        let once = World::run(&ground, &mut lab, &faults, seed);
        assert_eq!(once, World::run(&ground, &mut lab, &faults, seed));
        early += once.counters.closed_early;
    }
    assert!(early > 10, "{early}");
}

#[test]
fn a_crash_at_any_storage_operation_changes_nothing() {
    for every in ["evaluation.every=1", "evaluation.every=10"] {
        crash_at_each_operation(&read(&["run.rounds=2", "strategy.scaffold={}", every]));
    }
}

fn crash_at_each_operation(scenario: &lyceum_scenarios::Scenario) {
    let (ground, mut lab) = ground(scenario);
    let want = Some(in_process(scenario));
    for save_micros in [0, u64::MAX] {
        let faults = |crash_at_write| Faults {
            save_micros,
            crash_at_write,
            trouble_micros: 1,
            ..Faults::calm()
        };
        let calm = World::run(&ground, &mut lab, &faults(None), 3);
        assert!(calm.counters.writes > 10, "{}", calm.counters.writes);
        for write in 1..=calm.counters.writes {
            let outcome = World::run(&ground, &mut lab, &faults(Some(write)), 3);
            assert_eq!(outcome.violations, [], "{write}");
            assert_eq!(outcome.counters.crashes_at_write, 1, "{write}");
            assert_eq!(outcome.fingerprint, want, "{write}");
        }
    }
}

/// Whatever file is damaged, in whatever way, the run ends with its result; where rounds close without the late, it ends.
#[test]
fn damaged_files_change_nothing() {
    for overrides in VARIANTS.iter().chain(&CLOSING).chain(&[SPARSE]) {
        let scenario = read(overrides);
        let (ground, mut lab) = ground(&scenario);
        let want = ground.waits().then(|| in_process(&scenario));
        let mut damaged = 0;
        for seed in 0..60 {
            let outcome = World::run(&ground, &mut lab, &Faults::damaged_files(), seed);
            assert_eq!(outcome.violations, [], "{overrides:?} {seed}");
            if want.is_some() {
                assert_eq!(outcome.fingerprint, want, "{overrides:?} {seed}");
            }
            damaged += outcome.counters.damaged_files;
        }
        assert!(damaged > 60, "{overrides:?}: {damaged}");
    }
}

#[test]
fn a_violation_is_one_line_that_shows_it_again() {
    let violation = Violation {
        property: Property::SameResult,
        at: Time(2_500_000),
        facts: "another one".into(),
    };
    assert_eq!(
        violation.line("w1.toml", 17),
        "lyceum simulate w1.toml --world 17  # same-result at 2.500 s: another one"
    );
}

#[test]
fn faults_are_data() {
    for faults in (0..50).map(Faults::drawn) {
        let text = toml::to_string(&faults).unwrap();
        assert_eq!(toml::from_str::<Faults>(&text).unwrap(), faults);
    }
    assert!(toml::from_str::<Faults>("earthquakes = 3").is_err());
    assert_eq!(Faults::named("calm"), Some(Faults::calm()));
    assert_eq!(Faults::named("storm"), None);
}
