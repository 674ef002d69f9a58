//! Promise: a mistake in the machines is found within a hundred worlds.

use crate::{ground, read};
use lyceum_client_node::crew;
use lyceum_coordinator::Mutant;
use lyceum_simulation::world::{Faults, Mistakes, Property, World};

const WORLDS: u64 = 100;

/// Seeds of worlds in which a mistake shows, with what it breaks.
fn caught(overrides: &[&str], mistakes: Mistakes, faults: Option<&Faults>) -> Vec<(u64, Property)> {
    let (ground, mut lab) = ground(&read(overrides));
    let expected = World::run(&ground, &mut lab, &Faults::calm(), 0).fingerprint;
    let mut caught = Vec::new();
    for seed in 0..WORLDS {
        let faults = faults.cloned().unwrap_or_else(|| Faults::drawn(seed));
        let mut outcome = World::run_mutant(&ground, &mut lab, &faults, seed, mistakes);
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
        assert_eq!(caught(overrides, Mistakes::default(), faults), []);
        let mistakes = Mistakes {
            coordinator: mutant,
            ..Mistakes::default()
        };
        let caught = caught(overrides, mistakes, faults);
        let found = caught.iter().any(|(_, broken)| *broken == property);
        assert!(found, "{mutant:?} is not found: {caught:?}");
    }
}

#[test]
fn a_mistake_of_the_crew_that_real_nodes_have_is_found_as_well() {
    for (crew, property) in [
        // The coordinator sees that a sum weighs more than its clients.
        (crew::Mutant::MergeTwice, Property::Trusted),
        (crew::Mutant::LoseSum, Property::Ends),
    ] {
        let mistakes = Mistakes {
            crew,
            ..Mistakes::default()
        };
        let caught = caught(&[], mistakes, None);
        let found = caught.iter().any(|(_, broken)| *broken == property);
        assert!(found, "{crew:?} is not found: {caught:?}");
    }
}
