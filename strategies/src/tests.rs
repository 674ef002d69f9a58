//! What holds for the configuration of every algorithm.

use crate::{aggregation::*, continual::*, ordering::*, robust::*, selection::*};
use schemars::{JsonSchema, Schema, json_schema, schema_for};
use serde::de::DeserializeOwned;

/// Reads a configuration. A schema is the only JSON value at hand without another dependency.
fn read<T: DeserializeOwned>(keys: Schema) -> Result<T, String> {
    T::deserialize(keys.to_value()).map_err(|e| e.to_string())
}

fn nothing() -> Schema {
    json_schema!({})
}

fn check_keys<T: JsonSchema>() {
    let schema = schema_for!(T);
    let name = T::schema_name();
    assert!(
        schema.get("description").is_some(),
        "{name} has no description"
    );
    assert_eq!(
        schema.get("additionalProperties").and_then(|v| v.as_bool()),
        Some(false),
        "{name} accepts stray keys"
    );
    for (key, says) in schema
        .get("properties")
        .and_then(|p| p.as_object())
        .into_iter()
        .flatten()
    {
        assert!(
            says.get("description").is_some(),
            "{name}.{key} has no description"
        );
    }
}

#[test]
fn every_key_of_every_algorithm_is_described() {
    check_keys::<FedAvg>();
    check_keys::<FedProx>();
    check_keys::<FedAvgM>();
    check_keys::<FedAdam>();
    check_keys::<FedYogi>();
    check_keys::<FedAdagrad>();
    check_keys::<Scaffold>();
    check_keys::<FedNova>();
    check_keys::<FedDyn>();
    check_keys::<Median>();
    check_keys::<TrimmedMean>();
    check_keys::<Krum>();
    check_keys::<GeometricMedian>();
    check_keys::<Uniform>();
    check_keys::<Passes>();
    check_keys::<All>();
    check_keys::<Difficulty>();
    check_keys::<PowerOfChoice>();
    check_keys::<Oort>();
    check_keys::<Ordering>();
    check_keys::<Weighting>();
    check_keys::<Ramp>();
    check_keys::<Naive>();
    check_keys::<Joint>();
    check_keys::<Cumulative>();
    check_keys::<Freeze>();
    check_keys::<Lora>();
    check_keys::<Ewc>();
    check_keys::<Si>();
    check_keys::<Mas>();
    check_keys::<Lwf>();
    check_keys::<Cyclical>();
    check_keys::<AllAtOnce>();
    check_keys::<Naive>();
    check_keys::<Er>();
    check_keys::<Der>();
    check_keys::<DerPp>();
    check_keys::<Gem>();
    check_keys::<AGem>();
    check_keys::<GDumb>();
    check_keys::<Icarl>();
}

#[test]
fn missing_keys_take_the_documented_defaults() {
    let adam: FedAdam = read(nothing()).unwrap();
    assert_eq!(
        (
            adam.rate.get(),
            adam.beta1.get(),
            adam.beta2.get(),
            adam.tau.get()
        ),
        (0.01, 0.9, 0.99, 1e-3)
    );
    assert_eq!(read::<FedYogi>(nothing()), Ok(FedYogi::default()));
    assert_eq!(read::<FedAdagrad>(nothing()), Ok(FedAdagrad::default()));
    assert_eq!(read::<FedAvg>(nothing()), Ok(FedAvg::default()));
    assert_eq!(read::<FedAvgM>(nothing()), Ok(FedAvgM::default()));
    assert_eq!(read::<Scaffold>(nothing()), Ok(Scaffold::default()));
    assert_eq!(read::<FedNova>(nothing()), Ok(FedNova::default()));
    assert_eq!(read::<FedDyn>(nothing()), Ok(FedDyn::default()));
    assert_eq!(read::<Median>(nothing()), Ok(Median::default()));
    assert_eq!(read::<TrimmedMean>(nothing()), Ok(TrimmedMean::default()));
    assert_eq!(read::<Krum>(nothing()), Ok(Krum::default()));
    assert_eq!(
        read::<GeometricMedian>(nothing()),
        Ok(GeometricMedian::default())
    );
    assert_eq!(read::<Ordering>(nothing()), Ok(Ordering::default()));
    let difficulty: Difficulty = read(json_schema!({ "per_round": 10 })).unwrap();
    assert_eq!(difficulty.order, ClientOrder::Curriculum);
    assert_eq!(difficulty.pace, Pace::Linear(Ramp::default()));
    let oort: Oort = read(json_schema!({ "per_round": 10 })).unwrap();
    assert_eq!(
        (oort.exploration.get(), oort.exploration_least.get()),
        (0.9, 0.2)
    );
}

#[test]
fn names_are_those_of_the_scenario_file() {
    let ordering: Ordering = read(json_schema!({
        "order": "anti-curriculum",
        "score": "both-losses",
        "pace": { "quadratic": { "start": 0.1 } },
        "floor": 1,
        "weighting": { "by": "expert-loss", "anti": true },
    }))
    .unwrap();
    assert_eq!(ordering.order, Order::AntiCurriculum);
    assert_eq!(ordering.score, Score::BothLosses);
    assert!(
        matches!(ordering.pace, Pace::Quadratic(r) if r.start.get() == 0.1 && r.full_at.get() == 0.8)
    );
    assert_eq!(ordering.weighting.unwrap().until_round.get(), 20);
    let all: Ordering = read(json_schema!({ "pace": { "all": {} } })).unwrap();
    assert_eq!(all, Ordering::default());
}

#[test]
fn wrong_values_and_stray_keys_are_refused_by_name() {
    let says = |r: Result<(), String>, part: &str| {
        let message = r.unwrap_err();
        assert!(message.contains(part), "{message}");
    };
    says(
        read::<FedAvgM>(json_schema!({ "momentum": 1.0 })).map(drop),
        "out of range",
    );
    says(
        read::<FedAdam>(json_schema!({ "beta_1": 0.9 })).map(drop),
        "unknown field `beta_1`",
    );
    says(read::<FedProx>(nothing()).map(drop), "missing field `mu`");
    says(
        read::<Uniform>(json_schema!({ "per_round": 0 })).map(drop),
        "out of range",
    );
    says(
        read::<All>(json_schema!({ "per_round": 3 })).map(drop),
        "unknown field",
    );
    says(
        read::<Ordering>(json_schema!({ "order": "sideways" })).map(drop),
        "unknown variant",
    );
    says(
        read::<Ordering>(json_schema!({ "pace": { "all": { "start": 0.1 } } })).map(drop),
        "unknown field",
    );
}
