//! The command line.

use crate::{address::Address, failure::EXIT_CODES, stay::StayFor};
use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum};
use std::{ffi::OsString, path::PathBuf};

/// Distributed federated and continual learning simulator.
#[derive(Parser)]
#[command(name = "lyceum", version, after_help = EXIT_CODES)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,
}

impl Arguments {
    /// Reads a command line. A number below 0 is a value like any other, and refused as such.
    pub(crate) fn read(
        words: impl IntoIterator<Item = impl Into<OsString> + Clone>,
    ) -> Result<Self, clap::Error> {
        let matches = taking_negatives(Self::command()).try_get_matches_from(words)?;
        Self::from_arg_matches(&matches)
    }
}

fn taking_negatives(command: clap::Command) -> clap::Command {
    let command = command.mut_args(|argument| match argument.get_action().takes_values() {
        true => argument.allow_negative_numbers(true),
        false => argument,
    });
    command.mut_subcommands(taking_negatives)
}

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Run a scenario, or a sweep of many
    Run(Run),
    /// Run the experiments that published numbers come from, and compare
    Reproduce(Reproduce),
    /// Read a scenario and its data, and say whether it could run
    Check(Check),
    /// Print the JSON Schema of scenario files, for completion in editors
    Schema,
    /// List everything a scenario can name
    List,
    /// Print every key of scenario files, what it takes and its default, as a page
    Keys,
    /// Compare runs: mean and 95 % interval per name, and differences paired by seed
    Compare(Compare),
    /// Measures of continual learning: from an accuracy matrix, a lifetime's logs, or a run
    Metrics(Box<crate::metrics::Options>),
    /// Run a scenario on nodes that connect over the network; a run that is there already goes on
    Coordinator(Coordinator),
    /// Work for a coordinator: simulate clients, or be one real client
    Node(NodeArguments),
    /// Make and revoke the certificates of coordinators, nodes and real clients
    Identity(IdentityArguments),
    /// Run a scenario in simulated worlds of faults, and see that its result does not change
    Simulate(Simulate),
    /// Ask a run something while it goes on: what a mixture of its models is worth, or to take a new task
    Ask(Ask),
    /// Show what a run with a knowledge base has learned, and make models for preferences over its tasks
    Knowledge(Knowledge),
    /// Keep a database of tasks: add, merge, list and export them, and see that nothing is lost
    Tasks(Box<crate::tasks::Options>),
    /// Ask a coordinator how its run stands
    Status(StatusArguments),
    /// See whether a coordinator answers: one handshake over QUIC, as nodes make it
    Probe(Probe),
    /// Print what starts a scenario on Kubernetes, with compose, on Slurm or on plain hosts
    Cluster(Cluster),
    /// Measure the speed workloads: seconds, arithmetic, memory, overhead
    Bench(Bench),
}

#[derive(Args)]
pub(crate) struct Bench {
    /// W1 to W9 [default: all]
    #[arg(value_name = "WORKLOAD", ignore_case = true)]
    pub(crate) workloads: Vec<Workload>,
    /// Worker threads [default: one per core]
    #[arg(long, value_parser = threads)]
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
    /// CIFAR-10 of pfl-research: 200 clients x 50 images, 50 per round, a CNN of 1.63 million parameters
    W8,
    /// LR_MNIST of FLUTE: 1,000 clients of unequal sizes, 10 per round, softmax over sigmoids
    W9,
}

#[derive(Args)]
pub(crate) struct Run {
    /// The scenario file
    pub(crate) file: PathBuf,
    /// Override a key, such as training.rate=0.1; may be repeated
    #[arg(long = "set", value_name = "PATH=VALUE")]
    pub(crate) set: Vec<String>,
    /// Worker threads [default: one per core]
    #[arg(long, value_parser = threads)]
    pub(crate) threads: Option<usize>,
    /// The run's folder [default: runs/<name>-seed<seed>; of a sweep: runs/<name>]
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
    /// Where data sets are looked for; may be repeated [default: data]
    #[arg(long, value_name = "DIR")]
    pub(crate) data: Vec<PathBuf>,
    /// Go on from the run's last checkpoint; of a sweep, with every run that is not finished
    #[arg(long)]
    pub(crate) resume: bool,
    /// Run several seeds and print mean and interval: 0..5 is 0 to 4, or a list such as 1,7,42. Stands in for sweep.seeds
    #[arg(long, value_name = "SEEDS")]
    pub(crate) seeds: Option<String>,
    /// Runs of a sweep at a time, which share the threads [default: as many as threads; with --nodes one]
    #[arg(long, value_name = "N", conflicts_with = "nodes", value_parser = clap::value_parser!(u16).range(1..=4096))]
    pub(crate) jobs: Option<u16>,
    /// Least seconds between checkpoints; 0 saves after every round [default: 10]
    #[arg(long, value_name = "SECONDS")]
    pub(crate) checkpoint_every: Option<f64>,
    /// Run on this many nodes, each a process on this machine, instead of in this process
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    pub(crate) nodes: Option<u16>,
    /// Tell the run what another one was told while it went on: that run's events.jsonl. Then both have one fingerprint
    #[arg(long, value_name = "FILE", conflicts_with = "seeds")]
    pub(crate) facts: Option<PathBuf>,
    /// Print nothing but the result
    #[arg(long)]
    pub(crate) quiet: bool,
}

#[derive(Args)]
#[command(group = clap::ArgGroup::new("want").required(true))]
pub(crate) struct Ask {
    /// The run's folder, on the machine of the run or of its coordinator
    pub(crate) run: PathBuf,
    /// What a weighted sum of models is worth, such as global=0.3,second=0.7; the run does not change
    #[arg(long, value_name = "NAME=WEIGHT,...", group = "want")]
    pub(crate) judge: Option<String>,
    /// What the model of a knowledge base is worth for a preference over the tasks that were learned: one weight each, 1 together,
    /// such as 0.2,0.5,0.3; the run does not change
    #[arg(
        long,
        value_name = "WEIGHTS",
        group = "want",
        allow_hyphen_values = true
    )]
    pub(crate) preference: Option<String>,
    /// A task for the run's stream: a name and classes of the data, such as late=5,6
    #[arg(long, value_name = "NAME=CLASSES", group = "want")]
    pub(crate) task: Option<String>,
}

#[derive(Args)]
pub(crate) struct Reproduce {
    /// Which experiments
    #[arg(value_parser = ["continual", "ibcl", "leanagent"])]
    pub(crate) what: String,
    /// Only rows whose scenario's name, or set-ups whose name, contains one of these
    #[arg(value_name = "NAME")]
    pub(crate) only: Vec<String>,
    /// Seeds of each row: a range or a list
    #[arg(long, value_name = "SEEDS", default_value = "0..10")]
    pub(crate) seeds: String,
    /// Worker threads, one per run [default: one per core]
    #[arg(long, value_parser = threads)]
    pub(crate) threads: Option<usize>,
    /// The folder of all runs [default: runs/reproduce- with the name of what is run]
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
    /// Where data sets are looked for; may be repeated [default: data]
    #[arg(long, value_name = "DIR")]
    pub(crate) data: Vec<PathBuf>,
    /// Go on where an earlier attempt stopped; finished runs are not run again
    #[arg(long)]
    pub(crate) resume: bool,
    /// Print Markdown
    #[arg(long)]
    pub(crate) markdown: bool,
    /// Print nothing but the result
    #[arg(long)]
    pub(crate) quiet: bool,
}

#[derive(Args)]
pub(crate) struct Coordinator {
    /// The scenario file
    pub(crate) file: PathBuf,
    /// Override a key, such as training.rate=0.1; may be repeated
    #[arg(long = "set", value_name = "PATH=VALUE")]
    pub(crate) set: Vec<String>,
    /// Where nodes connect: a host name or an address, and a port [default: 0.0.0.0:4433, or 127.0.0.1:4433 with
    /// --insecure-loopback]
    #[arg(long, value_name = "HOST:PORT")]
    pub(crate) listen: Option<Address>,
    /// Folder with the coordinator's certificate and key [default: identity]
    #[arg(long, value_name = "DIR")]
    pub(crate) identity: Option<PathBuf>,
    /// List of revoked certificates, read again whenever it changes [default: revoked.txt beside the certificate]
    #[arg(long, value_name = "FILE")]
    pub(crate) revoked: Option<PathBuf>,
    /// Use certificates that anybody can make; only on a loopback address
    #[arg(long, conflicts_with = "identity")]
    pub(crate) insecure_loopback: bool,
    /// The run's folder [default: runs/<name>-seed<seed>]
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
    /// Where data sets are looked for; may be repeated [default: data]
    #[arg(long, value_name = "DIR")]
    pub(crate) data: Vec<PathBuf>,
    /// Serve /metrics (Prometheus), /status, /healthz and /readyz on this address
    #[arg(long, value_name = "HOST:PORT")]
    pub(crate) metrics: Option<Address>,
    /// Begin a run once so many nodes are ready [default: 1]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(crate) wait_for_nodes: Option<u32>,
    /// Once the run is finished, stay for so many seconds, or forever, and dismiss nodes that were away; seconds end earlier when
    /// all nodes are dismissed, which a coordinator that was started again tells by --wait-for-nodes [default: 0]
    #[arg(long, value_name = "SECONDS")]
    pub(crate) stay: Option<StayFor>,
    /// Least seconds between checkpoints; 0 saves after every round [default: 10]
    #[arg(long, value_name = "SECONDS")]
    pub(crate) checkpoint_every: Option<f64>,
    /// Tell the run what another one was told while it went on: that run's events.jsonl. Then both have one fingerprint
    #[arg(long, value_name = "FILE")]
    pub(crate) facts: Option<PathBuf>,
    /// Print nothing but the result
    #[arg(long)]
    pub(crate) quiet: bool,
    #[command(flatten)]
    pub(crate) log: Log,
}

#[derive(Args)]
pub(crate) struct NodeArguments {
    /// The coordinator's address: a host name or an address, and a port. All addresses of a name are tried. Required here or
    /// in the settings
    #[arg(long, value_name = "HOST:PORT")]
    pub(crate) coordinator: Option<Address>,
    /// Folder with the node's certificate and key [default: identity]
    #[arg(long, value_name = "DIR")]
    pub(crate) identity: Option<PathBuf>,
    /// Use a certificate that anybody can make, of this name; only on a loopback address [default name: of the place in a Job
    /// or a Slurm task, or of the host]
    #[arg(long, value_name = "NAME", conflicts_with = "identity", num_args = 0..=1, default_missing_value = "")]
    pub(crate) insecure_loopback: Option<String>,
    /// Worker threads [default: one per core]
    #[arg(long, value_parser = threads)]
    pub(crate) threads: Option<usize>,
    /// Where data sets are looked for; may be repeated [default: data]. With --client: the client's own CSV file
    #[arg(long, value_name = "DIR")]
    pub(crate) data: Vec<PathBuf>,
    /// Be this one real client, with data of its own
    #[arg(long, value_name = "NAME")]
    pub(crate) client: Option<String>,
    /// With --client: the column of the CSV file that holds the classes [default: as in the scenario's own CSV file, else
    /// label]
    #[arg(long, value_name = "COLUMN")]
    pub(crate) label: Option<String>,
    /// Give up after so many failed attempts to connect [default: never]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) attempts: Option<u32>,
    /// Say nothing of connecting and of the end
    #[arg(long)]
    pub(crate) quiet: bool,
    /// End when standard input ends: the process that holds its other end is gone
    #[arg(long, hide = true)]
    pub(crate) leashed: bool,
    #[command(flatten)]
    pub(crate) log: Log,
}

/// What is logged.
#[derive(Args, Clone)]
pub(crate) struct Log {
    /// What is logged: error, warn, info, debug or trace [default: info]
    #[arg(long = "log", value_name = "LEVEL")]
    pub(crate) level: Option<tracing::level_filters::LevelFilter>,
    /// Log one JSON object a line
    #[arg(long = "log-json")]
    pub(crate) json: bool,
}

#[derive(Args)]
pub(crate) struct StatusArguments {
    /// The coordinator's --metrics address
    #[arg(value_name = "HOST:PORT")]
    pub(crate) address: Address,
    /// Print the JSON as it comes
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Args)]
pub(crate) struct Probe {
    /// The coordinator's address, where nodes connect
    #[arg(value_name = "HOST:PORT")]
    pub(crate) address: Address,
    /// Folder with the authority that the coordinator must be of, such as that of its own certificate [default: identity]
    #[arg(long, value_name = "DIR")]
    pub(crate) identity: Option<PathBuf>,
    /// The coordinator uses certificates that anybody can make; only on a loopback address
    #[arg(long, conflicts_with = "identity")]
    pub(crate) insecure_loopback: bool,
    /// Seconds in which the handshake must be over
    #[arg(long, value_name = "SECONDS", default_value_t = 5.0)]
    pub(crate) within: f64,
    /// Print nothing
    #[arg(long)]
    pub(crate) quiet: bool,
}

#[derive(Args)]
pub(crate) struct Cluster {
    /// The scenario file
    pub(crate) file: PathBuf,
    /// Override a key; may be repeated
    #[arg(long = "set", value_name = "PATH=VALUE")]
    pub(crate) set: Vec<String>,
    /// Nodes that work on it
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(crate) nodes: u32,
    /// Where it is to run
    #[arg(long = "for", value_name = "WHERE")]
    pub(crate) place: Place,
    /// Worker threads of a node: processors that it asks for
    #[arg(long, value_parser = threads, default_value_t = 2)]
    pub(crate) threads: usize,
    /// The container image, by name and version or digest
    #[arg(long, value_name = "IMAGE", default_value = concat!("localhost/lyceum:", env!("CARGO_PKG_VERSION")))]
    pub(crate) image: String,
    /// Where data sets are looked for; may be repeated [default: data]
    #[arg(long, value_name = "DIR")]
    pub(crate) data: Vec<PathBuf>,
}

/// Where a scenario is started.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Place {
    /// Kubernetes: manifests for `kubectl apply -f -`
    K8s,
    /// A compose file, for one host
    Compose,
    /// A batch script for sbatch
    Slurm,
    /// Units of systemd and the commands around them, for plain hosts
    Systemd,
}

#[derive(Args)]
pub(crate) struct Simulate {
    /// The scenario file
    pub(crate) file: PathBuf,
    /// Override a key; may be repeated
    #[arg(long = "set", value_name = "PATH=VALUE")]
    pub(crate) set: Vec<String>,
    /// Worlds in which messages are late, lost or doubled, processes die, and disks fail
    #[arg(long, value_name = "N", default_value_t = 1000)]
    pub(crate) worlds: u64,
    /// Worlds of the whole stack: real QUIC and TLS over a simulated network
    #[arg(long, value_name = "N", default_value_t = 10)]
    pub(crate) stack: u64,
    /// Seed of the first world of either kind
    #[arg(long, value_name = "SEED", default_value_t = 0)]
    pub(crate) from: u64,
    /// Only this world of messages, to see a violation again
    #[arg(long, value_name = "SEED", conflicts_with_all = ["worlds", "stack", "from", "stack_world"])]
    pub(crate) world: Option<u64>,
    /// Only this world of the whole stack
    #[arg(long, value_name = "SEED", conflicts_with_all = ["worlds", "stack", "from"])]
    pub(crate) stack_world: Option<u64>,
    /// The same faults in every world: calm, bad-network, crashes, bad-disk or damaged-files [default: drawn from the seed]
    #[arg(long, value_name = "NAME")]
    pub(crate) faults: Option<String>,
    /// Threads; worlds run side by side [default: one per core]
    #[arg(long, value_parser = threads)]
    pub(crate) threads: Option<usize>,
    /// Where data sets are looked for; may be repeated
    #[arg(long, value_name = "DIR")]
    pub(crate) data: Vec<PathBuf>,
}

#[derive(Args)]
pub(crate) struct IdentityArguments {
    #[command(subcommand)]
    pub(crate) command: IdentityCommand,
}

#[derive(Subcommand)]
pub(crate) enum IdentityCommand {
    /// Make a private authority, which signs the certificates of one federation
    Init {
        /// Its folder; keep it off the coordinator's and the nodes' hosts
        #[arg(default_value = "authority")]
        folder: PathBuf,
        /// Keep an authority that is there already
        #[arg(long)]
        keep: bool,
    },
    /// Make a coordinator's certificate and key
    Coordinator(Issue),
    /// Make the certificate and key of a node that simulates clients
    Node(Issue),
    /// Make the certificate and key of one real client
    Client(Issue),
    /// Put a certificate on the list that a coordinator refuses
    Revoke {
        /// node/NAME, client/NAME, or the hash of a key
        entry: String,
        /// The list
        #[arg(long, value_name = "FILE", default_value = "identity/revoked.txt")]
        list: PathBuf,
    },
    /// Show what a folder's certificate is
    Show {
        /// The folder
        #[arg(default_value = "identity")]
        folder: PathBuf,
    },
    /// Take an identity that another authority has signed, such as cert-manager: tls.crt, tls.key and ca.crt of a folder, as
    /// identity.pem, identity.key and authority.pem that their owner alone can read
    Take {
        /// The folder
        from: PathBuf,
        /// Folder for certificate and key
        #[arg(long, value_name = "DIR", default_value = "identity")]
        out: PathBuf,
        /// Put it in the place of an identity that is there already
        #[arg(long)]
        replace: bool,
    },
    /// Make a join string, with which another host gets a certificate from `identity serve`
    Token {
        /// What the host may be
        #[arg(value_parser = ["node", "client", "coordinator"])]
        role: String,
        /// Its name; without one, any
        name: Option<String>,
        /// Hosts that may use it
        #[arg(long, default_value = "1")]
        uses: std::num::NonZeroU32,
        /// Hours for which it may be used
        #[arg(long, default_value_t = 1.0, value_name = "HOURS")]
        hours: f64,
        /// The authority's folder
        #[arg(long, value_name = "DIR", default_value = "authority")]
        authority: PathBuf,
    },
    /// Give certificates to hosts that have a join string
    Serve {
        /// Address on which hosts ask [default: 0.0.0.0:4434]
        #[arg(long, value_name = "HOST:PORT")]
        listen: Option<Address>,
        /// The authority's folder
        #[arg(long, value_name = "DIR", default_value = "authority")]
        authority: PathBuf,
        #[command(flatten)]
        log: Log,
    },
    /// Get a certificate for this host; the private key is made here and stays here
    Join {
        /// What this host is to be
        #[arg(value_parser = ["node", "client", "coordinator"])]
        role: String,
        /// Its name [default: of the place in a Job or a Slurm task, such as node-3, or of the host]
        name: Option<String>,
        /// The join string [default: of --join-file, or of the settings]
        join: Option<String>,
        /// File that holds the join string, so that no command line shows it
        #[arg(long, value_name = "FILE", conflicts_with = "join")]
        join_file: Option<PathBuf>,
        /// Address of `identity serve`. Required here or in the settings
        #[arg(long, value_name = "HOST:PORT")]
        server: Option<Address>,
        /// Folder for certificate and key
        #[arg(long, value_name = "DIR", default_value = "identity")]
        out: PathBuf,
        /// Keep an identity of this role and name that is there already and has not expired; the join string is not used up
        #[arg(long)]
        keep: bool,
        /// Go on trying for so many seconds where the server does not answer
        #[arg(long, value_name = "SECONDS", default_value_t = 0.0)]
        patience: f64,
    },
}

#[derive(Args)]
pub(crate) struct Knowledge {
    /// The run's folder
    pub(crate) run: PathBuf,
    /// A preference over the tasks: one weight each, 1 together, such as 0.2,0.5,0.3. Its models are made and judged
    #[arg(
        long,
        value_name = "WEIGHTS",
        conflicts_with = "preferences",
        allow_hyphen_values = true
    )]
    pub(crate) preference: Option<String>,
    /// Many preferences: a file with one a line, or a number of random ones; a table of accuracies as CSV comes of them
    #[arg(long, value_name = "FILE or N", allow_hyphen_values = true)]
    pub(crate) preferences: Option<String>,
    /// Every client as a preference: the shares of its training samples that belong to the tasks. A table as CSV comes of it
    #[arg(long, conflicts_with_all = ["preference", "preferences"])]
    pub(crate) clients: bool,
    /// What the knowledge base was worth each time a task was over, for ten random preferences: average and peak accuracy, backward
    /// transfer, size
    #[arg(long, conflicts_with_all = ["preference", "preferences", "clients", "after", "out"])]
    pub(crate) measures: bool,
    /// With --preference: where the model goes, as safetensors. With --preferences and --clients: where the table goes
    /// [default: standard output]
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
    /// Take the knowledge base as it was after the first tasks that were over [default: all]
    #[arg(long, value_name = "TASKS")]
    pub(crate) after: Option<usize>,
    /// With --preference and --measures: the mass that regions of high density leave out [default: 0.1]
    #[arg(long)]
    pub(crate) alpha: Option<f64>,
    /// With --preference and --measures: models that are drawn from each region [default: 10]
    #[arg(long, value_parser = clap::value_parser!(u32).range(0..=100_000))]
    pub(crate) draws: Option<u32>,
    /// Seed of random preferences and of draws from regions [default: 0]
    #[arg(long)]
    pub(crate) seed: Option<u64>,
    /// Worker threads [default: one per core]
    #[arg(long)]
    pub(crate) threads: Option<usize>,
    /// Where data sets are looked for; may be repeated [default: data]
    #[arg(long, value_name = "DIR")]
    pub(crate) data: Vec<PathBuf>,
    /// Print JSON; with --preferences and --clients the table is CSV
    #[arg(long, conflicts_with_all = ["preferences", "clients"])]
    pub(crate) json: bool,
}

#[derive(Args)]
pub(crate) struct Issue {
    /// Its name: a to z, 0 to 9, `-`, `_`, `.`
    pub(crate) name: String,
    /// The authority's folder
    #[arg(long, value_name = "DIR", default_value = "authority")]
    pub(crate) authority: PathBuf,
    /// Folder for certificate and key
    #[arg(long, value_name = "DIR", default_value = "identity")]
    pub(crate) out: PathBuf,
    /// Days for which it is valid
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..=3650))]
    pub(crate) days: u32,
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
    /// Check the runs of these seeds, as `run` would make them
    #[arg(long, value_name = "SEEDS")]
    pub(crate) seeds: Option<String>,
    #[command(flatten)]
    pub(crate) of_run: OfRun,
}

/// What only `run` needs, and `check` takes, so that one command line can be made of the other.
#[derive(Args)]
pub(crate) struct OfRun {
    /// Taken as by `run`, and of no use here
    #[arg(long, value_parser = threads, hide = true)]
    threads: Option<usize>,
    /// Likewise
    #[arg(long, value_name = "DIR", hide = true)]
    out: Option<PathBuf>,
    /// Likewise
    #[arg(long, hide = true)]
    resume: bool,
    /// Likewise
    #[arg(long, value_name = "N", hide = true, value_parser = clap::value_parser!(u16).range(1..=4096))]
    jobs: Option<u16>,
    /// Likewise
    #[arg(long, value_name = "SECONDS", hide = true)]
    checkpoint_every: Option<f64>,
    /// Likewise
    #[arg(long, value_name = "N", hide = true, value_parser = clap::value_parser!(u16).range(1..=256))]
    nodes: Option<u16>,
    /// Likewise
    #[arg(long, value_name = "FILE", hide = true)]
    pub(crate) facts: Option<PathBuf>,
    /// Likewise
    #[arg(long, hide = true)]
    quiet: bool,
}

#[derive(Args)]
pub(crate) struct Compare {
    /// Folders of runs, or of sweeps
    #[arg(required = true)]
    pub(crate) runs: Vec<PathBuf>,
    /// What the others are compared with: a name, or parts of names such as strategy=fed_avg [default: the first name]
    #[arg(long, value_name = "LABEL")]
    pub(crate) baseline: Option<String>,
    /// Print Markdown
    #[arg(long, conflicts_with = "csv")]
    pub(crate) markdown: bool,
    /// Print comma-separated values, with every number in full
    #[arg(long)]
    pub(crate) csv: bool,
}

/// A number of threads.
fn threads(text: &str) -> Result<usize, String> {
    let number = text
        .parse()
        .ok()
        .filter(|threads| (1..=4096).contains(threads));
    number.ok_or_else(|| "expected a whole number, 1 to 4096".into())
}
