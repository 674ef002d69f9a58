//! Promise: the claims of Vahidian et al. 2023 show on generated data (the offline check of the design).
//!
//! Mean test accuracy (%) of the last 10 rounds, 8 paired seeds; each claim is a paired 95 % interval
//! above zero, and each mean is within 4 points of an independent implementation's.

use crate::{catalogue::read, determinism::run_in};
use lyceum_metrics::{Interval, mean, paired};

fn accuracies(name: &str) -> Vec<f64> {
    let one = |seed: u64| {
        let folder = tempfile::tempdir().unwrap();
        let summary = run_in(
            folder.path(),
            &read(name, &[&format!("run.seed={seed}")]),
            threads(),
            false,
        );
        100.0 * summary.mean_last_10_accuracy.unwrap()
    };
    (0..8).map(one).collect()
}

fn threads() -> usize {
    std::thread::available_parallelism().map_or(1, |n| n.get())
}

fn holds(claim: &str, higher: &[f64], lower: &[f64]) {
    let Interval {
        mean, half_width, ..
    } = paired(higher, lower).unwrap();
    let half_width = half_width.unwrap();
    println!("{claim}: {mean:.2} +-{half_width:.2}");
    assert!(
        mean - half_width > 0.0,
        "{claim}: {mean:.2} +-{half_width:.2}"
    );
}

fn near(name: &str, got: &[f64], want: f64) {
    let got = mean(got).unwrap();
    println!("{name}: {got:.2} (reference {want})");
    assert!(
        (got - want).abs() < 4.0,
        "{name}: {got:.2}, reference {want}"
    );
}

#[test]
fn data_ordering_curriculum_beats_random_beats_anti_curriculum() {
    let [curriculum, random, vanilla, anti] = [
        "mixture-curriculum",
        "mixture-random",
        "mixture-vanilla",
        "mixture-anti-curriculum",
    ]
    .map(accuracies);
    near("curriculum", &curriculum, 49.2);
    near("random", &random, 44.4);
    near("vanilla", &vanilla, 43.4);
    near("anti", &anti, 38.6);
    holds("curriculum - random", &curriculum, &random);
    holds("random - anti", &random, &anti);
}

#[test]
fn client_ordering_curriculum_beats_vanilla_beats_anti_curriculum() {
    let [curriculum, random, vanilla, anti] = [
        "clients-curriculum",
        "clients-random",
        "clients-vanilla",
        "clients-anti-curriculum",
    ]
    .map(accuracies);
    println!("random: {:.2}", mean(&random).unwrap());
    near("curriculum", &curriculum, 64.9);
    near("vanilla", &vanilla, 59.9);
    near("anti", &anti, 54.9);
    holds("curriculum - vanilla", &curriculum, &vanilla);
    holds("vanilla - anti", &vanilla, &anti);
    holds("curriculum - random", &curriculum, &random);
    holds("random - anti", &random, &anti);
}

/// Workload W1 of the speed targets: 76 to 80 % after 50 rounds.
#[test]
fn fashion_mnist_reaches_what_others_reach() {
    let Some(data) = crate::engines::fashion_mnist() else {
        return;
    };
    for seed in 0..3 {
        let scenario = read("w1", &[&format!("run.seed={seed}")]);
        let folder = tempfile::tempdir().unwrap();
        let summary = crate::determinism::run_with_data(folder.path(), &scenario, threads(), data);
        let accuracy = 100.0 * summary.final_accuracy.unwrap();
        println!("seed {seed}: {accuracy:.2}");
        assert!(
            (76.0..80.0).contains(&accuracy),
            "seed {seed}: {accuracy:.2}"
        );
    }
}
