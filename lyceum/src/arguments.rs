//! The command line.

use clap::{Args, Parser, Subcommand, ValueEnum};
use std::path::PathBuf;

/// Distributed federated and continual learning simulator.
#[derive(Parser)]
#[command(name = "lyceum", version)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Run a scenario
    Run(Run),
    /// Read a scenario and its data, and say whether it could run
    Check(Check),
    /// Print the JSON Schema of scenario files, for completion in editors
    Schema,
    /// List everything a scenario can name
    List,
    /// Compare runs: mean and 95 % interval per name, and differences paired by seed
    Compare(Compare),
    /// Measure the speed workloads: seconds, arithmetic, memory, overhead
    Bench(Bench),
}

#[derive(Args)]
pub(crate) struct Bench {
    /// W1 to W7 [default: all]
    #[arg(value_name = "WORKLOAD", ignore_case = true)]
    pub(crate) workloads: Vec<Workload>,
    /// Worker threads [default: one per core]
    #[arg(long)]
    pub(crate) threads: Option<usize>,
    /// Engine that trains [default: fused]
    #[arg(long, default_value = "fused")]
    pub(crate) engine: String,
    /// Processes per workload; medians over all of them are printed
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) runs: u16,
    /// Where Fashion-MNIST is looked for; may be repeated
    #[arg(long, value_name = "DIR")]
    pub(crate) data: Vec<PathBuf>,
    /// Print one JSON object a line instead of a table
    #[arg(long)]
    pub(crate) json: bool,
}

/// A speed workload.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Workload {
    /// 100 clients x 600 images, 10 per round, MLP 784-200-200-10
    W1,
    /// As W1, a small CNN
    W2,
    /// 1,000 clients x 60 images, 100 per round, the MLP of W1
    W3,
    /// 10,000 clients x 6 images, 1,000 per round, softmax regression
    W4,
    /// Split-Fashion-MNIST, one learner: naive, replay, EWC
    W5,
    /// A thousand and a million clients of generated data, 100 per round
    W6,
    /// 1,000 of 10,000 clients that do nothing
    W7,
}

#[derive(Args)]
pub(crate) struct Run {
    /// The scenario file
    pub(crate) file: PathBuf,
    /// Override a key, such as training.rate=0.1; may be repeated
    #[arg(long = "set", value_name = "PATH=VALUE")]
    pub(crate) set: Vec<String>,
    /// Worker threads [default: one per core]
    #[arg(long)]
    pub(crate) threads: Option<usize>,
    /// The run's folder [default: runs/<name>-seed<seed>]
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
    /// Where data sets are looked for; may be repeated [default: data]
    #[arg(long, value_name = "DIR")]
    pub(crate) data: Vec<PathBuf>,
    /// Go on from the run's last checkpoint
    #[arg(long)]
    pub(crate) resume: bool,
    /// Run one seed after another and print mean and interval: 0..5 is 0 to 4, or a list such as 1,7,42
    #[arg(long, value_name = "SEEDS")]
    pub(crate) seeds: Option<String>,
    /// Least seconds between checkpoints; 0 saves after every round [default: 10]
    #[arg(long, value_name = "SECONDS")]
    pub(crate) checkpoint_every: Option<f64>,
    /// Print nothing but the result
    #[arg(long)]
    pub(crate) quiet: bool,
}

#[derive(Args)]
pub(crate) struct Check {
    /// The scenario file
    pub(crate) file: PathBuf,
    /// Override a key; may be repeated
    #[arg(long = "set", value_name = "PATH=VALUE")]
    pub(crate) set: Vec<String>,
    /// Where data sets are looked for; may be repeated
    #[arg(long, value_name = "DIR")]
    pub(crate) data: Vec<PathBuf>,
}

#[derive(Args)]
pub(crate) struct Compare {
    /// Folders of runs; the first name among them is the baseline
    #[arg(required = true)]
    pub(crate) runs: Vec<PathBuf>,
    /// Print Markdown
    #[arg(long)]
    pub(crate) markdown: bool,
}
