//! Promise: another training pass of a client changes no bit of those that it took before, and what passes leave with clients has
//! the same bits however a run is carried out.

use crate::{
    catalogue,
    determinism::{everywhere, fingerprint, run_in},
    transforms::last_model,
};
use lyceum_core::{
    ClientRule, Folded, Length, LocalWork, Moves, Objective, Params, Pass, PassResult, PlainClient,
    Settled, SlotName, Stall, Start, Strategy,
};
use lyceum_metrics::Summary;
use lyceum_scenarios::Scenario;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::{process::Command, sync::Arc};

const SHORT: [&str; 3] = [
    "run.rounds=4",
    "data.clients=8",
    "selection.uniform.per_round=4",
];

fn read(name: &str, more: &[&str]) -> Scenario {
    catalogue::read(name, &[&SHORT[..], more].concat())
}

fn model(scenario: &Scenario, threads: usize) -> Vec<f32> {
    let folder = tempfile::tempdir().unwrap();
    run_in(&folder.path().join("run"), scenario, threads, false);
    last_model(&folder.path().join("run"))
}

#[test]
fn passes_have_the_same_bits_on_threads_and_nodes_and_when_resumed() {
    for name in ["ditto-digits", "fed-rep-digits"] {
        everywhere(name, &SHORT, 2);
    }
}

/// Dropout and an ordering draw, momentum and single steps go other ways, and SCAFFOLD and FedNova count what clients do.
#[test]
fn the_global_model_beside_personal_ones_is_the_one_without_them() {
    let dropout = "model={cnn={layers=[{dense={units=16}},{relu={}},{dropout={share=0.5}}]}}";
    let settings: [&[&str]; 6] = [
        &[],
        &[dropout],
        &[
            "ordering={order=\"random\"}",
            "training.optimizer={sgd={momentum=0.5}}",
        ],
        &["training.steps=1", "training.batch=16", "training.epochs=1"],
        &["strategy=scaffold"],
        &["strategy=fed_nova", "training.weight_decay=0.01"],
    ];
    for more in settings {
        let with = read("ditto-digits", more);
        let mut without = with.clone();
        without.personal = None;
        assert_eq!(model(&with, 2), model(&without, 1), "{more:?}");
        assert_ne!(fingerprint(&with, 2), fingerprint(&without, 2), "{more:?}");
    }
}

#[test]
fn what_is_judged_is_the_clients_own_model_and_costs_its_own_steps() {
    let folder = tempfile::tempdir().unwrap();
    let summary = |name: &str, scenario: &Scenario| {
        let out = folder.path().join(name);
        run_in(&out, scenario, 2, false);
        Summary::read(&out.join("summary.json")).unwrap()
    };
    let with = read("ditto-digits", &[]);
    let mut without = with.clone();
    without.personal = None;
    let (ditto, plain) = (summary("with", &with), summary("without", &without));
    assert_eq!(ditto.steps, 2 * plain.steps);
    assert_eq!(ditto.samples_trained, 2 * plain.samples_trained);
    for measure in [
        "personal accuracy",
        "worst tenth personal accuracy",
        "hurt share",
    ] {
        assert!(ditto.measures.contains_key(measure), "{measure}");
    }
    assert_ne!(
        ditto.measures["personal accuracy"],
        plain.measures["personal accuracy"]
    );
    // Heads that stay with clients leave no global model to compare with.
    let heads = summary("heads", &read("fed-rep-digits", &[]));
    assert!(heads.measures.contains_key("personal accuracy"));
    assert!(!heads.measures.contains_key("hurt share"));
}

/// FedAvg whose clients take two more passes: one whose result they keep, one for nothing.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
struct Restless {}

impl Strategy for Restless {
    type State = ();

    fn init(&self, _: &Params) -> Self::State {}

    fn close(&self, (): &mut (), global: &mut Params, folded: &Folded<'_>) -> Result<(), Stall> {
        folded.advance(global, 1.0, &folded.sum.mean(0));
        Ok(())
    }

    fn client_half(&self) -> Arc<dyn ClientRule> {
        Arc::new(self.clone())
    }
}

impl ClientRule for Restless {
    fn settle(&self, work: &LocalWork<'_>) -> Settled {
        PlainClient.settle(work)
    }

    fn passes(&self) -> Vec<Pass> {
        let slot = SlotName::pass("restless");
        let kept = Pass {
            name: "restless".into(),
            start: Start::State(slot.clone()),
            moves: Moves::All,
            objective: Objective::default(),
            length: Length::Steps(3),
            result: PassResult::State(slot),
        };
        let dropped = Pass {
            name: "in vain".into(),
            start: Start::Global,
            length: Length::Epochs(1),
            result: PassResult::Drop,
            ..kept.clone()
        };
        vec![kept, dropped]
    }
}

#[test]
fn a_strategy_may_ask_for_passes_too() {
    let mut registry = lyceum::registry();
    registry.strategy::<Restless>("restless", "FedAvg with more to do");
    let text = std::fs::read_to_string(catalogue::folder().join("ditto-digits.toml")).unwrap();
    let read = |strategy: &str| {
        let set = [&SHORT[..], &[strategy]].concat();
        let set: Vec<String> = set.into_iter().map(String::from).collect();
        Scenario::read(&registry, "restless", &text, &set).unwrap_or_else(|e| panic!("{e}"))
    };
    let (restless, plain) = (read("strategy=restless"), read("strategy=fed_avg"));
    let names: Vec<String> = {
        let passes = restless.passes();
        let (before, _, after) = passes.parts();
        let all = before.iter().chain(after);
        all.map(|pass| pass.name.clone()).collect()
    };
    assert_eq!(names, ["ditto", "restless", "in vain"]);
    // The choice of the strategy is read from a registry that runs do not have; its plugin is all that they need.
    let mut scenario = plain.clone();
    scenario.strategy.plugin = restless.strategy.plugin.clone();
    assert_eq!(model(&scenario, 2), model(&plain, 1));
    assert_ne!(fingerprint(&scenario, 1), fingerprint(&plain, 1));
}

#[test]
fn what_does_not_go_together_is_refused_where_it_stands() {
    let refusal = |name: &str, set: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_lyceum-under-test"))
            .arg("check")
            .arg(catalogue::folder().join(format!("{name}.toml")))
            .args(set.iter().flat_map(|set| ["--set", set]))
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{set:?}: {said}");
        said
    };
    for (name, set, says) in [
        ("quickstart", "personal={}", "nothing is personal"),
        (
            "ditto-digits",
            "personal.local=[\"head\"]",
            "one of `ditto` and `local`",
        ),
        (
            "ditto-digits",
            "personal.fed_rep={head_epochs=1}",
            "one of `ditto` and `fed_rep`",
        ),
        ("quickstart", "personal.ditto={}", "lambda"),
        (
            "fed-rep-digits",
            "personal.fed_rep.head_epochs=0",
            "1 or above",
        ),
        (
            "stream-task-free",
            "personal.ditto={lambda=1}",
            "clients in a stream of tasks train no second model",
        ),
        (
            "stream-task-free",
            "personal.fed_rep={head_epochs=1}",
            "`local = [\"head\"]` keeps heads with clients",
        ),
        (
            "stream-task-free",
            "evaluation.personal=true",
            "`local = true` instead",
        ),
    ] {
        let said = refusal(name, &[set]);
        assert!(said.contains(says), "{set}: {said}");
    }
}
