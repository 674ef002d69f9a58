//! Laws of the link model.

#![allow(clippy::unwrap_used)]

use lyceum_core::{Seed, Time, units::Fraction};
use lyceum_network_model::{
    Arrivals, Direction, Directions, Link, LinkCounts, LinkFaults, Partition,
};
use proptest::prelude::*;
use std::num::NonZeroU64;

fn share(value: f64) -> Fraction {
    Fraction::new(value).unwrap()
}

fn all_faults() -> LinkFaults {
    LinkFaults {
        delay_micros: 20_000,
        jitter_micros: 5_000,
        loss: share(0.1),
        duplicate: share(0.1),
        reorder: share(0.1),
        reorder_micros: 30_000,
        rate_bytes_per_s: NonZeroU64::new(1_250_000),
        queue_bytes: 30_000,
        partitions: Vec::new(),
    }
}

/// Sends packets of 1,200 bytes, one every 100 microseconds.
fn fates(link: &mut Link, direction: Direction, packets: u64) -> Vec<Arrivals> {
    (0..packets)
        .map(|n| link.send(Time(n * 100), direction, 1200))
        .collect()
}

fn lossy(loss: f64) -> LinkFaults {
    LinkFaults {
        loss: share(loss),
        ..LinkFaults::default()
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn the_same_seed_gives_the_same_fates(seed: u64, label in 0..1_u64 << 63) {
        let make = |seed| Link::new(Seed(seed), label, all_faults());
        let first = fates(&mut make(seed), Direction::AToB, 200);
        prop_assert_eq!(&first, &fates(&mut make(seed), Direction::AToB, 200));
        prop_assert_ne!(&first, &fates(&mut make(seed ^ 1), Direction::AToB, 200));
        prop_assert_ne!(&first, &fates(&mut make(seed), Direction::BToA, 200));
    }

    #[test]
    fn traffic_one_way_changes_nothing_the_other_way(seed: u64, busy in 1..50_u64) {
        let mut quiet = Link::new(Seed(seed), 3, all_faults());
        let mut loud = quiet.clone();
        fates(&mut loud, Direction::BToA, busy);
        let both = [&mut quiet, &mut loud].map(|link| fates(link, Direction::AToB, 50));
        prop_assert_eq!(&both[0], &both[1]);
    }

    /// Six standard deviations to either side.
    #[test]
    fn the_share_of_losses_is_the_one_asked_for(seed: u64, loss in 0.0..=1.0_f64) {
        let mut link = Link::new(Seed(seed), 0, lossy(loss));
        let packets = 4_000;
        fates(&mut link, Direction::AToB, packets);
        let seen = link.counts(Direction::AToB).lost as f64 / packets as f64;
        let slack = 6.0 * (loss * (1.0 - loss) / packets as f64).sqrt() + 1e-9;
        prop_assert!((seen - loss).abs() <= slack, "{} of {}", seen, loss);
    }

    #[test]
    fn no_more_bytes_arrive_than_the_rate_lets_pass(
        rate in 1_000..10_000_000_u64,
        sizes in prop::collection::vec(1..1500_usize, 1..300),
    ) {
        let faults = LinkFaults {
            rate_bytes_per_s: NonZeroU64::new(rate),
            queue_bytes: 20_000,
            ..LinkFaults::default()
        };
        let mut link = Link::new(Seed(1), 0, faults);
        let (mut bytes, mut last) = (0, Time(0));
        for size in sizes {
            for at in link.send(Time(0), Direction::AToB, size) {
                prop_assert!(at >= last);
                (bytes, last) = (bytes + size as u64, at);
            }
        }
        prop_assert!(bytes <= 20_000);
        prop_assert!(last.0 as f64 >= bytes as f64 / rate as f64 * 1e6 - 1.0);
        prop_assert!(last.0 as f64 <= bytes as f64 / rate as f64 * 1e6 + 2.0);
    }

    #[test]
    fn a_fault_switched_on_changes_no_draw_of_another(seed: u64) {
        let bare = fates(&mut Link::new(Seed(seed), 0, lossy(0.3)), Direction::AToB, 100);
        let faults = LinkFaults { duplicate: share(0.5), jitter_micros: 9, ..lossy(0.3) };
        let more = fates(&mut Link::new(Seed(seed), 0, faults), Direction::AToB, 100);
        let lost = |all: &[Arrivals]| all.iter().map(Arrivals::is_empty).collect::<Vec<_>>();
        prop_assert_eq!(lost(&bare), lost(&more));
    }
}

#[test]
fn a_partition_of_one_way_leaves_the_other_way_open() {
    let faults = LinkFaults {
        partitions: vec![Partition {
            from_micros: 1_000,
            until_micros: 2_000,
            direction: Directions::AToB,
        }],
        ..LinkFaults::default()
    };
    let mut link = Link::new(Seed(1), 0, faults);
    let mut passes = |at, direction| !link.send(Time(at), direction, 1).is_empty();
    let seen = [999, 1_000, 1_999, 2_000]
        .map(|at| [Direction::AToB, Direction::BToA].map(|direction| passes(at, direction)));
    assert_eq!(
        seen,
        [[true, true], [false, true], [false, true], [true, true]]
    );
    assert_eq!(link.counts(Direction::AToB).dropped_by_partition, 2);
}

#[test]
fn a_cut_link_passes_nothing_until_it_is_mended() {
    let mut link = Link::new(Seed(1), 0, LinkFaults::default());
    link.cut(Directions::Both, true);
    assert!(link.send(Time(0), Direction::AToB, 1).is_empty());
    link.cut(Directions::BToA, false);
    assert!(link.send(Time(1), Direction::AToB, 1).is_empty());
    assert!(!link.send(Time(1), Direction::BToA, 1).is_empty());
}

#[test]
fn every_packet_sent_is_accounted_for() {
    let mut link = Link::new(Seed(9), 0, all_faults());
    let arrived: u64 = fates(&mut link, Direction::AToB, 2_000)
        .iter()
        .map(|a| a.iter().count() as u64)
        .sum();
    let counts = link.counts(Direction::AToB);
    assert_eq!(counts.arriving(), arrived);
    assert_eq!(counts.sent, 2_000);
    let LinkCounts {
        lost,
        duplicated,
        reordered,
        dropped_by_queue,
        ..
    } = counts;
    assert!(
        [lost, duplicated, reordered, dropped_by_queue]
            .iter()
            .all(|&n| n > 0)
    );
}

#[test]
fn fates_never_change_between_versions() {
    let mut link = Link::new(Seed(7), 1, all_faults());
    let times: Vec<u64> = fates(&mut link, Direction::BToA, 6)
        .into_iter()
        .flatten()
        .map(|time| time.0)
        .collect();
    assert_eq!(times, [22_641, 52_068, 23_867, 29_111, 29_618]);
}
