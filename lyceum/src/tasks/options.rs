//! The arguments of `lyceum tasks`.

use clap::{Args, Subcommand, ValueEnum};
use std::path::PathBuf;

#[derive(Args)]
pub(crate) struct Options {
    /// A store's folder, or the folder of a run that has a store in its folder `tasks`
    pub(super) folder: PathBuf,
    #[command(subcommand)]
    pub(super) command: Tasks,
}

#[derive(Subcommand)]
pub(crate) enum Tasks {
    /// List all tasks in the order in which they came: samples by split and by how hard they are
    List {
        /// What becomes of samples whose difficulty nobody knows
        #[arg(long, value_enum, default_value_t = Unknown::Spread)]
        unknown: Unknown,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Show a task, and some of its samples
    Show {
        /// Its name
        task: String,
        /// How many samples
        #[arg(long, value_name = "N", default_value_t = 5)]
        samples: usize,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Write samples as JSON lines: task, split, difficulty and the record
    Export(Export),
    /// Add files of samples, JSON lines or CSV; where there is no store, one is made. The same again changes nothing
    Add(Box<Add>),
    /// Make one task of several, which stay
    Merge {
        /// Name of the new task
        task: String,
        /// Tasks it is made of; the last one is the latest
        #[arg(required = true)]
        of: Vec<String>,
        /// Which version of a sample stands where they hold several
        #[arg(long, value_name = "NAME", default_value = "published")]
        rule: String,
    },
    /// List what was solved, or tell that samples were: with --file or --solver
    Solved(Solved),
    /// Read everything that the store holds, and say what is damaged and what is gone
    Check {
        /// Make the tables again from the log and the sources, and remove files that belong to nothing
        #[arg(long)]
        repair: bool,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
}

/// What becomes of samples whose difficulty nobody knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Unknown {
    /// They are spread evenly over the three bins, as published
    Spread,
    /// They are in no bin
    LeftOut,
}

/// What a sample is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Split {
    /// To be trained on
    Train,
    /// To choose by
    Validation,
    /// To judge by
    Test,
}

#[derive(Args)]
pub(crate) struct Export {
    /// Tasks [default: all]
    pub(super) tasks: Vec<String>,
    /// Only samples of this split
    #[arg(long, value_enum)]
    pub(super) split: Option<Split>,
    /// Nothing but the records, as `add` takes them
    #[arg(long)]
    pub(super) plain: bool,
    /// Shared pieces of the tasks, instead of their samples
    #[arg(long, conflicts_with = "split")]
    pub(super) pieces: bool,
    /// Where the lines go [default: standard output]
    #[arg(long, value_name = "FILE")]
    pub(super) out: Option<PathBuf>,
}

/// How records are read.
#[derive(Args)]
pub(crate) struct Columns {
    /// Column that says how hard a sample is: a number, the entries of a list, or the characters of a text
    #[arg(long, value_name = "COLUMN")]
    pub(super) difficulty: Option<String>,
    /// Column that is true for what nobody has solved yet
    #[arg(long, value_name = "COLUMN")]
    pub(super) unsolved: Option<String>,
}

#[derive(Args)]
pub(crate) struct Add {
    /// Files: .jsonl or .csv
    #[arg(required = true)]
    pub(super) files: Vec<PathBuf>,
    /// Name of the task [default: the file's, without its ending]
    #[arg(long, value_name = "NAME", conflicts_with = "by")]
    pub(super) task: Option<String>,
    /// Column that names the task of each record
    #[arg(long, value_name = "COLUMN")]
    pub(super) by: Option<String>,
    /// The files hold pieces that tasks share, such as premises
    #[arg(long, conflicts_with_all = ["difficulty", "unsolved"])]
    pub(super) pieces: bool,
    #[command(flatten)]
    pub(super) columns: Columns,
    /// Which version of a sample stands where the task has another one
    #[arg(long, value_name = "NAME", default_value = "published")]
    pub(super) rule: String,
    /// What the task is, in your words
    #[arg(long, value_name = "TEXT", default_value = "")]
    pub(super) definition: String,
    /// Where it is from [default: the file's name]
    #[arg(long, value_name = "TEXT")]
    pub(super) provenance: Option<String>,
    /// Print JSON
    #[arg(long)]
    pub(super) json: bool,
    #[command(flatten)]
    pub(super) made_with: MadeWith,
}

/// What a store is made with; fixed from then on.
#[derive(Args)]
pub(crate) struct MadeWith {
    /// Of a new store: columns that say which sample it is, with commas between them [default: all]
    #[arg(long, value_name = "COLUMNS", value_delimiter = ',')]
    pub(super) identity: Option<Vec<String>>,
    /// Of a new store: likewise, of shared pieces [default: all]
    #[arg(long, value_name = "COLUMNS", value_delimiter = ',')]
    pub(super) piece_identity: Option<Vec<String>>,
    /// Of a new store: seed of the splits [default: 0]
    #[arg(long)]
    pub(super) seed: Option<u64>,
    /// Of a new store: share of the samples that validate [default: 0.02]
    #[arg(long, value_name = "SHARE")]
    pub(super) validation: Option<f64>,
    /// Of a new store: share of the samples that test [default: 0.02]
    #[arg(long, value_name = "SHARE")]
    pub(super) test: Option<f64>,
}

#[derive(Args)]
pub(crate) struct Solved {
    /// Solved versions of samples, .jsonl or .csv: they go back to all tasks that have them
    #[arg(long, value_name = "FILE", requires = "by", conflicts_with = "solver")]
    pub(super) file: Option<PathBuf>,
    /// With --file: who solved them
    #[arg(long, value_name = "NAME", requires = "file")]
    pub(super) by: Option<String>,
    /// Ask this solver, which a crate brings, about the unsolved samples of --task
    #[arg(long, value_name = "NAME", requires = "task")]
    pub(super) solver: Option<String>,
    /// With --solver: which task
    #[arg(long, value_name = "NAME", requires = "solver")]
    pub(super) task: Option<String>,
    /// The round of the run in which they were solved
    #[arg(long)]
    pub(super) round: Option<u64>,
    #[command(flatten)]
    pub(super) columns: Columns,
    /// Print JSON
    #[arg(long)]
    pub(super) json: bool,
}
