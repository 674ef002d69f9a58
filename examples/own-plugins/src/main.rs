//! The `lyceum` command with a model, a data set and a strategy of our own.
//!
//! `cargo run --release -p own-plugins -- run examples/own-plugins/spirals.toml`

mod bottleneck;
mod capped_step;
mod spirals;

use std::process::ExitCode;

fn main() -> ExitCode {
    let mut registry = lyceum::registry();
    registry
        .data_set::<spirals::Spirals>("spirals", "generated: interleaved spirals, one per class");
    registry.model::<bottleneck::Bottleneck>("bottleneck", "dense layers that narrow by half");
    registry.strategy::<capped_step::CappedStep>(
        "capped_step",
        "FedAvg whose step has a largest length",
    );
    lyceum::main_with(registry)
}
