//! The `lyceum` command with a model, a layer, a data set, a strategy, a transform of updates, a stream of tasks, a continual method, and a merge rule and solver for stores of tasks of our own.
//!
//! `cargo run --release -p own-plugins -- run examples/own-plugins/spirals.toml`

mod bottleneck;
mod capped_step;
mod clustered;
mod fresh_first;
mod keep_largest;
mod proofs;
mod rings;
mod sine;
mod slow_copy;
mod spirals;
mod two_models;

use std::process::ExitCode;

fn main() -> ExitCode {
    let mut registry = lyceum::registry();
    registry
        .data_set::<spirals::Spirals>("spirals", "generated: interleaved spirals, one per class");
    registry.model::<bottleneck::Bottleneck>("bottleneck", "dense layers that narrow by half");
    registry.layer::<sine::Sine>("sine", "the sine, with a frequency for each feature");
    registry.strategy::<capped_step::CappedStep>(
        "capped_step",
        "FedAvg whose step has a largest length",
    );
    registry.transform::<keep_largest::KeepLargest>(
        "keep_largest",
        "sends a share now, the rest later",
    );
    registry.stream::<rings::Rings>("rings", "tasks from the inside to the outside");
    registry.method::<slow_copy::SlowCopy>("slow_copy", "mixes in a slowly moving copy");
    registry.method::<fresh_first::FreshFirst>("fresh_first", "samples seen before count less");
    registry.steering::<two_models::TwoModels>("two_models", "trains two models in turn");
    registry.steering::<clustered::Clustered>("clustered", "trains two models side by side");
    registry.merge_rule(
        "shortest",
        "the version with the shorter proof stands",
        proofs::Shortest,
    );
    registry.solver("adder", proofs::Adder);
    lyceum::main_with(registry)
}
