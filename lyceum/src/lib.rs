//! The `lyceum` command as a library: a user's own crate builds a registry with its plugins in it
//! and gets the whole command.
//!
//! ```no_run
//! fn main() -> std::process::ExitCode {
//!     let mut registry = lyceum::registry();
//!     // registry.strategy::<MyStrategy>("my_strategy", "what it does in one line");
//!     lyceum::main_with(registry)
//! }
//! ```

mod address;
mod arguments;
mod ask;
mod bench;
mod check;
mod cluster;
mod codes;
mod compare;
mod coordinator;
mod execute;
mod experts;
mod failure;
mod folder;
mod grid;
mod identity;
mod keys;
mod knowledge;
mod list;
mod local;
mod metrics;
mod network;
mod node;
mod output;
mod place;
mod probe;
mod progress;
mod queue;
mod report;
mod reproduce;
mod run;
mod settings;
mod simulate;
mod status;
mod stay;
mod stop;
mod sweep;
mod tasks;
mod words;

use arguments::{Arguments, Command};
use lyceum_scenarios::Registry;
use std::{process::ExitCode, time::Instant};

pub use lyceum_core as core;
pub use lyceum_layers as layers;
pub use lyceum_learner as learner;
pub use lyceum_scenarios as scenarios;
pub use lyceum_strategies as strategies;
pub use lyceum_task_store as task_store;

/// Everything that is built in, with the engines of this build.
pub fn registry() -> Registry {
    let mut registry = Registry::default();
    registry.engines.extend(lyceum_learner::engines());
    registry
}

/// The whole command over a registry. Exit codes are those that `lyceum help` lists.
pub fn main_with(registry: Registry) -> ExitCode {
    let started = Instant::now();
    let arguments = match Arguments::read(std::env::args_os()) {
        Ok(arguments) => arguments,
        Err(error) => return words::refuse(&error),
    };
    let result = match arguments.command {
        Command::Run(arguments) => run::run(&registry, &arguments, started),
        Command::Reproduce(arguments) => reproduce::reproduce(&registry, &arguments),
        Command::Check(arguments) => check::check(&registry, &arguments),
        Command::Schema => list::schema(&registry),
        Command::List => list::list(&registry),
        Command::Keys => keys::keys(&registry),
        Command::Compare(arguments) => compare::compare(&arguments),
        Command::Metrics(options) => metrics::metrics(&registry, &options),
        Command::Coordinator(arguments) => coordinator::coordinator(&registry, &arguments, started),
        Command::Node(arguments) => node::node(registry, &arguments),
        Command::Identity(arguments) => identity::identity(&arguments.command),
        Command::Simulate(arguments) => simulate::simulate(&registry, &arguments),
        Command::Ask(arguments) => ask::ask(&arguments),
        Command::Knowledge(arguments) => knowledge::knowledge(&registry, &arguments),
        Command::Tasks(arguments) => tasks::tasks(&registry, &arguments),
        Command::Status(arguments) => status::status(&arguments),
        Command::Probe(arguments) => probe::probe(&arguments),
        Command::Cluster(arguments) => cluster::cluster(&registry, &arguments),
        Command::Bench(arguments) => bench::bench(&registry, &arguments),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}
