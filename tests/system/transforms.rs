//! Promise: updates go through the file's transforms in the file's order, with the same bits however a run is carried out, and
//! runs without transforms know nothing of them.

use crate::{
    catalogue,
    determinism::{everywhere, fingerprint, run_in},
};
use lyceum_core::{Event, Harvest, Outgoing, Stream, Transform, shuffle};
use lyceum_metrics::{Status, Summary};
use lyceum_scenarios::{Registry, Scenario};
use lyceum_simulation::{Settings, run};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::{
    path::Path,
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

const SHORT: [&str; 2] = ["run.rounds=6", "training.epochs=1"];

fn clipped(more: &[&str]) -> Scenario {
    catalogue::read("clip-digits", &[&SHORT[..], more].concat())
}

#[test]
fn clipped_runs_have_the_same_bits_on_threads_and_nodes_and_when_resumed() {
    let alone = everywhere("clip-digits", &SHORT, 3);
    assert_ne!(fingerprint(&clipped(&["transform=[]"]), 1), alone);
}

/// The global model moves by a mean of updates, none of which is longer than the bound.
#[test]
fn no_round_moves_the_model_further_than_the_bound() {
    let model = |rounds: &str| {
        let scenario = clipped(&[rounds, "transform.clip=[{norm=0.25}]"]);
        let folder = tempfile::tempdir().unwrap();
        run_in(&folder.path().join("run"), &scenario, 1, false);
        last_model(&folder.path().join("run"))
    };
    let (one, two) = (model("run.rounds=1"), model("run.rounds=2"));
    let way: f64 = one
        .iter()
        .zip(&two)
        .map(|(a, b)| f64::from(b - a).powi(2))
        .sum();
    assert!(way > 0.0 && way.sqrt() <= 0.25 * (1.0 + 1e-6), "{way}");
}

/// The values of the newest checkpoint's global model.
pub(crate) fn last_model(run: &Path) -> Vec<f32> {
    let checkpoints = std::fs::read_dir(run.join("checkpoint")).unwrap();
    let folders = checkpoints.map(|entry| entry.unwrap().path());
    let newest = folders.filter(|path| path.is_dir()).max().unwrap();
    let bytes = std::fs::read(newest.join("global.safetensors")).unwrap();
    let header = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let values = bytes[8 + header..].chunks_exact(4);
    values
        .map(|value| f32::from_le_bytes(value.try_into().unwrap()))
        .collect()
}

#[test]
fn a_bound_that_nobody_reaches_changes_no_model() {
    let model = |transform: &str| {
        let folder = tempfile::tempdir().unwrap();
        run_in(&folder.path().join("run"), &clipped(&[transform]), 1, false);
        last_model(&folder.path().join("run"))
    };
    assert_eq!(model("transform.clip=[{norm=1e9}]"), model("transform=[]"));
}

#[test]
fn a_file_without_transforms_resolves_as_ever() {
    let without = clipped(&["transform=[]"]).resolved();
    assert!(!without.contains_key("transform"));
    let plain = catalogue::read("quickstart", &[]);
    for empty in ["transform=[]", "transform={}"] {
        let scenario = catalogue::read("quickstart", &[empty]);
        assert_eq!(plain.digest(), scenario.digest(), "{empty}");
    }
}

#[test]
fn strategies_that_send_more_than_a_change_are_refused_with_clipping() {
    let text = std::fs::read_to_string(catalogue::folder().join("clip-digits.toml")).unwrap();
    let refusal = |strategy: &str| {
        let set = [format!("strategy={strategy}")];
        let read = Scenario::read(&lyceum::registry(), "clip-digits", &text, &set);
        read.err().map(|refusal| refusal.to_string())
    };
    for strategy in ["scaffold", "fed_nova", "fed_dyn={alpha=0.1}"] {
        let name = strategy.split('=').next().unwrap();
        let set = match strategy.split_once('=') {
            Some((name, keys)) => format!("{{{name}={keys}}}"),
            None => strategy.into(),
        };
        let said = refusal(&set).unwrap_or_else(|| panic!("{strategy} is taken"));
        assert!(
            said.contains(name) && said.contains("[[transform.clip]]"),
            "{said}"
        );
    }
    for strategy in ["fed_avg", "fed_adam", "{fed_prox={mu=0.1}}", "median"] {
        assert_eq!(refusal(strategy), None, "{strategy}");
    }
}

/// Adds to lane 0 what its client kept, and keeps half of it; disturbs a value; and counts on the server.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Echo {
    /// Share that is kept.
    share: f32,
}

/// Sums that the server's half saw.
static SEEN: Mutex<Vec<u64>> = Mutex::new(Vec::new());

impl Transform for Echo {
    type Memory = Vec<f32>;

    fn on_client(&self, kept: &mut Vec<f32>, update: &mut Outgoing<'_>) {
        let values = update.lanes[0].1.make_mut();
        kept.resize(values.len(), 0.0);
        for (value, kept) in values.iter_mut().zip(kept) {
            *value += *kept;
            *kept = self.share * *value;
        }
        let mut noise = [1e-3, 2e-3, 4e-3, 8e-3];
        shuffle(&mut noise, update.dice);
        values[0] += noise[0];
    }

    fn on_server(&self, harvest: &mut Harvest<'_>, _: &mut Stream) {
        SEEN.lock().unwrap().push(harvest.sum.terms(0));
    }
}

fn with_echo() -> Registry {
    let mut registry = lyceum::registry();
    registry.transform::<Echo>("echo", "an update and half of the ones before");
    registry
}

fn echoed(registry: &Registry, folder: &Path, resume: bool, rounds: u64) -> Summary {
    let text = std::fs::read_to_string(catalogue::folder().join("clip-digits.toml")).unwrap();
    let text = format!("{text}[[transform.echo]]\nshare = 0.5\n[[transform.clip]]\nnorm = 0.4\n");
    let set = SHORT.map(String::from);
    let scenario = Scenario::read(registry, "echo", &text, &set).unwrap_or_else(|e| panic!("{e}"));
    let stop = AtomicBool::new(false);
    let settings = Settings {
        threads: 2,
        out: folder.to_path_buf(),
        folders: vec![],
        resume,
        checkpoint_every: Duration::ZERO,
        updates_bytes: 1000,
        facts: None,
        started: Instant::now(),
    };
    run(&scenario, registry, &settings, &stop, &mut |event| {
        if let Event::RoundClosed { round, .. } = event {
            stop.store(round.0 + 1 >= rounds, Ordering::Relaxed);
        }
    })
    .unwrap_or_else(|e| panic!("{e}"))
}

/// One with a memory, dice and a server's half, added by one line.
#[test]
fn what_clients_keep_of_a_transform_survives_an_interruption() {
    let registry = with_echo();
    let folder = tempfile::tempdir().unwrap();
    let whole = echoed(&registry, &folder.path().join("whole"), false, u64::MAX);
    let seen = std::mem::take(&mut *SEEN.lock().unwrap());
    assert_eq!(seen, [5; 6]);
    let parts = folder.path().join("parts");
    let first = echoed(&registry, &parts, false, 3);
    assert_eq!(first.status, Status::Paused);
    let last = echoed(&registry, &parts, true, u64::MAX);
    assert_eq!(last.fingerprint, whole.fingerprint);
}

/// The file alternates between two names; the resolved scenario has one list in that order.
#[test]
fn the_order_of_the_file_is_kept() {
    let registry = with_echo();
    let text = std::fs::read_to_string(catalogue::folder().join("clip-digits.toml")).unwrap();
    let text = format!("{text}[[transform.echo]]\nshare = 0.5\n[[transform.clip]]\nnorm = 0.4\n");
    let scenario = Scenario::read(&registry, "order", &text, &[]).unwrap_or_else(|e| panic!("{e}"));
    let names = |scenario: &Scenario| -> Vec<_> {
        let all = scenario.transforms.iter();
        all.map(|t| (t.chosen.name, t.chosen.resolved.to_string()))
            .collect()
    };
    let order: Vec<_> = names(&scenario).into_iter().map(|(name, _)| name).collect();
    assert_eq!(order, ["clip", "echo", "clip"]);
    let again = Scenario::read(&registry, "again", &scenario.resolved().to_string(), &[]);
    let again = again.unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(names(&again), names(&scenario));
    assert_eq!(again.digest(), scenario.digest());
}
