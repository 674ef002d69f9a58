//! Promise: Oort's utility is made of the losses of samples, as the paper says (Lai et al. 2021, section 4.2).

use crate::statistics::{case, run};
use lyceum_core::{ClientId, Event};
use lyceum_metrics::EventReader;
use std::{collections::BTreeMap, path::Path};

const CASE: &str = "oort-utility";

/// Where the start model lies, as an override.
fn start() -> String {
    let path = case(CASE).join("oo.safetensors");
    format!("run.start_from={:?}", path.to_str().unwrap())
}

/// Utility of each client when it first took part, and who took part in which round.
fn utilities(out: &Path) -> (BTreeMap<ClientId, f64>, Vec<ClientId>) {
    let (mut first, mut cohorts) = (BTreeMap::new(), Vec::new());
    for event in EventReader::open(&out.join("events.jsonl")).unwrap() {
        if let Event::Client { report, .. } = event.unwrap() {
            let utility = report.samples as f64 * f64::from(report.rms_loss);
            first.entry(report.client).or_insert(utility);
            cohorts.push(report.client);
        }
    }
    (first, cohorts)
}

/// Losses of 0, 0, 0 and 4.02, and four of 1.2: utilities 4 * sqrt(4.02^2 / 4) = 8.04 and 4.80. The rate is so small that
/// nothing changes, so the first is exploited once both were tried.
#[test]
fn the_client_with_one_large_loss_is_chosen() {
    let folder = tempfile::tempdir().unwrap();
    run(folder.path(), CASE, "scenario.toml", &[&start()]);
    let (utilities, cohorts) = utilities(folder.path());
    assert!(
        (utilities[&ClientId(0)] - 8.04).abs() < 0.01,
        "{utilities:?}"
    );
    assert!(
        (utilities[&ClientId(1)] - 4.80).abs() < 0.01,
        "{utilities:?}"
    );
    assert!(
        cohorts.len() == 8 && cohorts[2..].iter().all(|c| c.0 == 0),
        "{cohorts:?}"
    );
}

/// Batches of one, two and three samples, whose last is smaller, give the same utility where nothing changes; so do a second
/// epoch, and every engine.
#[test]
fn batches_epochs_and_engines_do_not_change_a_utility() {
    for engine in ["fused", "flex"] {
        for batch in [1, 2, 3] {
            for epochs in [1, 3] {
                let folder = tempfile::tempdir().unwrap();
                let overrides = [
                    start(),
                    format!("training.batch={batch}"),
                    format!("training.epochs={epochs}"),
                    format!("training.engine={engine}"),
                ];
                let overrides: Vec<&str> = overrides.iter().map(String::as_str).collect();
                run(folder.path(), CASE, "scenario.toml", &overrides);
                let (utilities, _) = utilities(folder.path());
                for (client, want) in [(0, 8.04), (1, 4.80)] {
                    let got = utilities[&ClientId(client)];
                    assert!(
                        (got - want).abs() < 0.01,
                        "{engine} {batch} {epochs}: {got}"
                    );
                }
            }
        }
    }
}
