//! Promise: a mistake in the machines is found within a hundred worlds.

use crate::{ground, read};
use lyceum_coordinator::Mutant;
use lyceum_simulation::world::{Faults, Property, World};

const WORLDS: u64 = 100;

/// Seeds of worlds in which a mistake shows, with what it breaks.
fn caught(overrides: &[&str], mutant: Mutant, faults: Option<&Faults>) -> Vec<(u64, Property)> {
    let (ground, mut lab) = ground(&read(overrides));
    let expected = World::run(&ground, &mut lab, &Faults::calm(), 0).fingerprint;
    let mut caught = Vec::new();
    for seed in 0..WORLDS {
        let faults = faults.cloned().unwrap_or_else(|| Faults::drawn(seed));
        let mut outcome = World::run_mutant(&ground, &mut lab, &faults, seed, mutant);
        outcome.compare(expected.filter(|_| ground.waits()));
        caught.extend(outcome.violations.first().map(|v| (seed, v.property)));
    }
    caught
}

#[test]
fn every_mistake_is_found_within_a_hundred_worlds() {
    let wait: &[&str] = &[];
    let again: &[&str] = &["deadline.reassign={after_s=1.0}"];
    let close: &[&str] = &["deadline.close={after_s=2.0,min_clients=2}"];
    let disk = Faults::bad_disk();
    let restless = Faults {
        coordinator_crashes: 12,
        save_micros: u64::MAX,
        journal_bytes: 12_000,
        ..Faults::crashes()
    };
    let damaged = Faults::damaged_files();
    for (overrides, mutant, faults, property) in [
        (wait, Mutant::ArrivalOrder, None, Property::SameResult),
        (again, Mutant::AcceptDuplicates, None, Property::CountedOnce),
        (wait, Mutant::ForgetFlush, None, Property::Acknowledged),
        (close, Mutant::HurryStages, Some(&disk), Property::OneModel),
        (wait, Mutant::ForgetResend, None, Property::Ends),
        (
            wait,
            Mutant::SaveInReplay,
            Some(&restless),
            Property::Acknowledged,
        ),
        (
            wait,
            Mutant::BelieveFiles,
            Some(&damaged),
            Property::SameResult,
        ),
    ] {
        assert_eq!(caught(overrides, Mutant::None, faults), []);
        let caught = caught(overrides, mutant, faults);
        let found = caught.iter().any(|(_, broken)| *broken == property);
        assert!(found, "{mutant:?} is not found: {caught:?}");
    }
}
