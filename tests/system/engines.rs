//! Promise: the engine changes how fast a model learns, not what it learns; and the speed workloads are as deterministic as
//! everything else.

use crate::{catalogue::read, determinism::run_with_data};
use lyceum_core::{Init, Layer, Network};
use std::path::Path;

/// The folder in which Fashion-MNIST lies, if it is beside the checkout.
pub(crate) fn fashion_mnist() -> Option<&'static Path> {
    let data = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/data"));
    let there = data.join("fashion-mnist").exists();
    if !there {
        println!("skipped: Fashion-MNIST is not beside the checkout");
    }
    there.then_some(data)
}

#[test]
fn fused_and_flex_reach_the_same_accuracy() {
    let Some(data) = fashion_mnist() else { return };
    for workload in ["w1", "w2"] {
        let accuracy = |engine: &str| {
            let engine = format!("training.engine={engine}");
            let scenario = read(workload, &["run.rounds=5", &engine]);
            let folder = tempfile::tempdir().unwrap();
            let summary = run_with_data(folder.path(), &scenario, 2, data);
            100.0 * summary.final_accuracy.unwrap()
        };
        let (fused, flex) = (accuracy("fused"), accuracy("flex"));
        println!("{workload}: fused {fused:.2}, flex {flex:.2}");
        assert!(
            (fused - flex).abs() <= 1.0,
            "{workload}: {fused:.2}, {flex:.2}"
        );
    }
}

#[test]
fn speed_workloads_have_one_fingerprint_for_any_number_of_threads() {
    let Some(data) = fashion_mnist() else { return };
    for workload in ["w1", "w2", "w3", "w4"] {
        let scenario = read(workload, &["run.rounds=2"]);
        let fingerprint = |threads| {
            let folder = tempfile::tempdir().unwrap();
            run_with_data(folder.path(), &scenario, threads, data).fingerprint
        };
        let one = fingerprint(1);
        for threads in [2, 3, 7] {
            assert_eq!(one, fingerprint(threads), "{workload} on {threads} threads");
        }
    }
}

/// A client of one plain step sends its gradient; a limit that clips nothing lets it load, step and compare.
#[test]
fn a_client_of_one_plain_step_learns_what_it_learns_step_by_step() {
    let plain = [
        "training.batch=1000",
        "training.epochs=1",
        "training.rate=0.5",
        "training.optimizer.sgd.momentum=0.0",
    ];
    let trained = |more: &[&str]| {
        let folder = tempfile::tempdir().unwrap();
        let scenario = read("quickstart", &[&plain, more].concat());
        run_with_data(folder.path(), &scenario, 2, folder.path())
    };
    let (at_once, by_steps) = (trained(&[]), trained(&["training.clip=1e9"]));
    let (loss, want) = (at_once.final_loss.unwrap(), by_steps.final_loss.unwrap());
    println!("loss {loss}, step by step {want}");
    assert!((loss - want).abs() <= 1e-4 * want, "{loss}, {want}");
    assert!(at_once.final_accuracy.unwrap() > 0.3, "something is learnt");
}

/// One file of the catalogue on every engine that is in this build and that this machine can run.
#[test]
fn every_engine_here_learns_the_quickstart() {
    let rounds = "run.rounds=8";
    let accuracy = |engine: &str| {
        let folder = tempfile::tempdir().unwrap();
        let engine = format!("training.engine={engine}");
        let scenario = read("quickstart", &[rounds, &engine]);
        let summary = run_with_data(folder.path(), &scenario, 2, folder.path());
        100.0 * summary.final_accuracy.unwrap()
    };
    let small = vec![Layer::Dense { units: 2 }];
    let network = Network::new(&[3], 2, small, Init::He).unwrap();
    let fused = accuracy("fused");
    for engine in lyceum::registry().engines {
        if engine.name == "idle" {
            continue;
        }
        if let Err(reason) = (engine.build)(&network) {
            println!("skipped: {reason}");
            continue;
        }
        let here = accuracy(engine.name);
        println!("{}: {here:.2}, fused: {fused:.2}", engine.name);
        assert!((here - fused).abs() <= 2.0, "{}: {here:.2}", engine.name);
    }
}
