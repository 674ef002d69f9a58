//! Whatever a store is told: it holds what another program says, and no sample moves between splits.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a test that panics has failed, and what is measured is told"
)]

mod common;

use common::{Model, create, op, options, tell};
use lyceum_task_store::Store;
use proptest::prelude::*;

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    /// Random deliveries, growth, merges by all rules, solved samples; opened again, and made again from the log.
    #[test]
    fn rules_hold_and_splits_are_stable(seed in 0..u64::MAX / 2, ops in 1..60_u64) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store");
        let mut store = create(&path);
        let mut model = Model::default();
        for n in 0..ops {
            tell(&mut store, &op(seed, n)).unwrap();
            model.tell(&op(seed, n));
            if n % 9 == 0 {
                model.compare(&store).unwrap();
            }
        }
        model.compare(&store).unwrap();
        let report = store.check().unwrap();
        prop_assert!(report.is_good(), "{report:?}");
        let reach = store.reach();
        drop(store);
        let store = Store::open(&path, options()).unwrap();
        prop_assert_eq!((store.reach(), store.notes()), (reach, &[][..]));
        model.compare(&store).unwrap();
        drop(store);
        let store = Store::repair(&path, options()).unwrap();
        prop_assert_eq!(store.reach(), reach);
        model.compare(&store).unwrap();
        prop_assert!(store.check().unwrap().is_good());
    }

    /// Two stores that get the same tasks in another order have the same splits.
    #[test]
    fn splits_do_not_follow_the_order_of_arrival(seed in 0..u64::MAX / 2) {
        let folder = tempfile::tempdir().unwrap();
        let mut forward = create(&folder.path().join("a"));
        let mut backward = create(&folder.path().join("b"));
        let mut model = Model::default();
        for n in 0..20 {
            tell(&mut forward, &op(seed, n)).unwrap();
            tell(&mut backward, &op(seed, 19 - n)).unwrap();
            model.tell(&op(seed, n));
        }
        model.compare(&forward).unwrap();
        for task in backward.tasks().unwrap() {
            for sample in backward.samples(&task.unwrap()).unwrap() {
                let sample = sample.unwrap();
                prop_assert_eq!(sample.row.split, forward.split(&sample.identity));
            }
        }
    }
}
