//! Promise: pairs are judged by every candidate that a query sees, by numbers that anybody can count, on any number of threads; and
//! what asks for logits of classes is refused with them.

use crate::catalogue::read;
use lyceum_core::{Affine, Corpus, Event, Features, Pairs, Samples, Sparse};
use lyceum_metrics::{EventReader, Summary};
use lyceum_scenarios::{
    Registry, Scenario,
    data::{DataError, DataSet, LoadContext, Source},
};
use lyceum_simulation::{Settings, run};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, path::Path, sync::Arc, sync::atomic::AtomicBool, time::Duration};

const WIDTH: usize = 40;

/// Forty candidates, each a value of its own: 30 are common, 5 and 5 belong to two tasks. A query has the value of one candidate,
/// which is therefore the first with any model.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Tiny {}

impl DataSet for Tiny {
    fn is_generated(&self) -> bool {
        true
    }

    fn load(&self, _: &LoadContext) -> Result<Source, DataError> {
        let one = |at: usize| [(at as u32, 1.0)].into_iter();
        let mut candidates = Sparse::default();
        (0..WIDTH).for_each(|c| candidates.push(one(c)));
        let scopes = vec![vec![[30, 35]], vec![[35, 40]]];
        let mut corpus = Corpus::new(WIDTH, candidates, 30, scopes);
        // Training: every candidate, asked for by its value.
        (0..WIDTH).for_each(|c| corpus.ask(one(c), vec![c as u32], (u32::from(c >= 35), 40)));
        let test: [(usize, Vec<u32>, u32, u32); 5] = [
            // Found at once.
            (3, vec![3], 0, 40),
            (33, vec![33], 0, 40),
            // One of two is found, the other is not seen.
            (36, vec![31, 36], 1, 40),
            // It comes behind the one that asks.
            (38, vec![38], 1, 38),
            // Nothing of it is seen.
            (2, vec![34], 1, 40),
        ];
        for (value, relevant, scope, before) in &test {
            corpus.ask(one(*value), relevant.clone(), (*scope, *before));
        }
        let corpus = Arc::new(corpus);
        let samples = |of: Vec<[u32; 2]>, labels: Vec<u32>| Samples {
            shape: vec![2, WIDTH],
            classes: 2,
            features: Features::Pairs(Pairs {
                corpus: corpus.clone(),
                of,
                most: None,
            }),
            labels,
            targets: Vec::new(),
            goals: Vec::new(),
            affine: Affine::identity(),
        };
        let all = 0..WIDTH as u32;
        let labels: Vec<u32> = all.clone().map(|c| c % 2).collect();
        let asked = test.iter().zip(WIDTH as u32..);
        let asked = asked.map(|((_, relevant, ..), query)| [query, relevant[0]]);
        Ok(Source::Pool {
            natural: Some(labels.clone()),
            train: samples(all.map(|c| [c, c]).collect(), labels),
            test: samples(asked.collect(), test.iter().map(|t| t.2).collect()),
        })
    }
}

const TEXT: &str = r#"
[run]
name = "tiny"
rounds = 1
[data]
set = "tiny"
clients = 2
partition = "by_client"
[model.dual_encoder]
width = 8
[training]
batch = 8
rate = 1e-30
loss = { contrastive = {} }
[selection.all]
[strategy.fed_avg]
"#;

fn registry() -> Registry {
    let mut registry = lyceum::registry();
    registry.data_set::<Tiny>("tiny", "forty candidates");
    registry
}

fn tiny(overrides: &[&str]) -> Result<Scenario, String> {
    let overrides: Vec<String> = overrides.iter().map(|s| s.to_string()).collect();
    Scenario::read(&registry(), "tiny", TEXT, &overrides).map_err(|e| e.to_string())
}

fn ran(folder: &Path, scenario: &Scenario, threads: usize) -> Result<Summary, String> {
    let settings = Settings {
        threads,
        out: folder.to_path_buf(),
        folders: vec![],
        resume: false,
        checkpoint_every: Duration::MAX,
        updates_bytes: 1 << 20,
        facts: None,
        started: std::time::Instant::now(),
    };
    let stop = AtomicBool::new(false);
    run(scenario, &registry(), &settings, &stop, &mut |_| {}).map_err(|e| e.to_string())
}

fn evaluated(folder: &Path) -> BTreeMap<String, f64> {
    let events = EventReader::open(&folder.join("events.jsonl")).unwrap();
    let events = events.map(|event| event.unwrap());
    let found = events.filter_map(|event| match event {
        Event::Evaluated {
            accuracy,
            mut further,
            ..
        } => {
            further.insert("accuracy".into(), accuracy);
            Some(further)
        }
        _ => None,
    });
    found.last().unwrap()
}

#[test]
fn recall_and_ranks_are_those_that_one_counts() {
    let folder = tempfile::tempdir().unwrap();
    ran(folder.path(), &tiny(&[]).unwrap(), 1).unwrap();
    let found = evaluated(folder.path());
    let close = |name: &str, want: f64| {
        let found = found[name];
        assert!((found - want).abs() < 1e-8, "{name}: {found}, not {want}");
    };
    close("accuracy", 2.5 / 5.0);
    close("recall_10", 2.5 / 5.0);
    close("recall_1", 2.5 / 5.0);
    close("reciprocal_rank", 3.0 / 5.0);
    close("recall_10.task_0", 1.0);
    close("recall_10.task_1", 0.5 / 3.0);
    close("recall_10_macro", (1.0 + 0.5 / 3.0) / 2.0);
}

#[test]
fn threads_change_nothing_and_training_something() {
    let scenario = tiny(&["training.rate=0.05", "run.rounds=3"]).unwrap();
    let prints = [1, 2].map(|threads| {
        let folder = tempfile::tempdir().unwrap();
        ran(folder.path(), &scenario, threads).unwrap().fingerprint
    });
    assert_eq!(prints[0], prints[1]);
    let folder = tempfile::tempdir().unwrap();
    let still = ran(folder.path(), &tiny(&["run.rounds=3"]).unwrap(), 1).unwrap();
    assert_ne!(still.fingerprint, prints[0]);
}

#[test]
fn one_task_a_label_makes_a_matrix() {
    let stream = [
        "data.clients=1",
        "data.partition=iid",
        "run.rounds=2",
        "scenario.class_incremental.tasks=2",
    ];
    let folder = tempfile::tempdir().unwrap();
    let scenario = tiny(&stream).unwrap();
    ran(folder.path(), &scenario, 2).unwrap();
    let found = evaluated(folder.path());
    assert!((0.0..=1.0).contains(&found["accuracy"]));
}

#[test]
fn what_asks_for_classes_is_refused() {
    let stream = "scenario.class_incremental.tasks=2";
    for (overrides, says) in [
        (
            vec![stream, "scenario.class_incremental.method.lwf={alpha=1}"],
            "`lwf` asks for logits of classes",
        ),
        (
            vec!["evaluation.calibration=true"],
            "asks for logits of classes",
        ),
        (
            vec!["training.loss={contrastive={temperature=0}}"],
            "out of range",
        ),
    ] {
        let error = tiny(&overrides).err().unwrap();
        assert!(error.contains(says), "{overrides:?}: {error}");
    }
    let folder = tempfile::tempdir().unwrap();
    let classes = tiny(&["training.loss=\"cross-entropy\""]).unwrap();
    let error = ran(folder.path(), &classes, 1).err().unwrap();
    assert!(error.contains("pairs, which have no class"), "{error}");
    let digits = read("quickstart", &["training.loss={contrastive={}}"]);
    let error = ran(folder.path(), &digits, 1).err().unwrap();
    assert!(
        error.contains("a contrastive loss is one of pairs"),
        "{error}"
    );
}
