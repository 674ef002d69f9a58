//! The whole stack: real quinn and real TLS over a simulated network.

use crate::{STREAM, in_process, read, registry};
use lyceum_simulation::{
    stack::{StackFaults, stack_world},
    world::{Ground, Lab, World},
};
use std::sync::Arc;

#[test]
fn ten_worlds_of_the_whole_stack_end_with_the_fingerprint_of_one_process() {
    for (overrides, seeds) in [
        (&[][..], 0..4),
        (&["strategy.scaffold={}"][..], 4..7),
        (&["strategy.median={}"][..], 7..10),
    ] {
        let scenario = read(overrides);
        let ground = Arc::new(Ground::new(&scenario, &registry(), &[]).unwrap());
        let wanted = Some(in_process(&scenario));
        for seed in seeds {
            let faults = StackFaults::drawn(seed);
            let outcome = stack_world(&ground, &faults, seed).unwrap();
            assert_eq!(
                (outcome.fingerprint, &outcome.complaints[..]),
                (wanted, &[][..]),
                "seed {seed}: {faults:?}"
            );
        }
    }
}

/// Tasks join because somebody asks; a calm world that is told of them in the same rounds has the same fingerprint.
#[test]
fn tasks_that_somebody_asks_for_join_in_worlds_of_the_whole_stack() {
    let ground = Arc::new(Ground::new(&read(STREAM), &registry(), &[]).unwrap());
    let mut lab = Lab::new(&ground).unwrap();
    let mut joined = 0;
    for seed in 0..12 {
        let faults = StackFaults::drawn(seed);
        let outcome = stack_world(&ground, &faults, seed).unwrap();
        let wanted = World::calm(&ground, &mut lab, &outcome.asked).fingerprint;
        assert_eq!(
            (outcome.fingerprint, &outcome.complaints[..]),
            (wanted, &[][..]),
            "seed {seed}: {faults:?}"
        );
        joined += outcome.asked.len();
    }
    assert!(joined > 5, "{joined}");
}

#[test]
fn the_same_seed_gives_the_same_packets() {
    let ground = Arc::new(Ground::new(&read(&[]), &registry(), &[]).unwrap());
    let world = |seed| stack_world(&ground, &StackFaults::drawn(seed), seed).unwrap();
    for seed in [3, 4] {
        let first = world(seed);
        assert!(first.packets > 100, "{first:?}");
        assert_eq!(first, world(seed));
    }
    assert_ne!(world(3).trace, world(4).trace);
}
