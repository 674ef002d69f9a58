//! Options of `lyceum metrics`.

use crate::failure::Failure;
use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use lyceum_metrics::continual::lean_agent::WINDOW;
use lyceum_metrics::continual::lifelong::{
    Aggregation, ExpertAveraging, GivenRange, Maintenance, Normalization, Range, Settings,
    Smoothing, Transfer,
};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// What to measure and how to print it.
#[derive(Args)]
pub(crate) struct Options {
    /// A CSV file with after_task,task,value and perhaps setup; a lifetime's folder as l2logger writes it;
    /// or a run's folder
    pub(super) file: PathBuf,
    /// Print JSON
    #[arg(long, conflicts_with = "markdown")]
    json: bool,
    /// Print Markdown
    #[arg(long)]
    markdown: bool,
    /// Of a matrix: a CSV file with task and any of validation, expert, joint, setup
    #[arg(long, value_name = "FILE", help_heading = MATRIX)]
    pub(super) tasks: Option<PathBuf>,
    /// Of a matrix: window of the windowed measures, in evaluations [default: 5]
    #[arg(long, value_name = "N", help_heading = MATRIX, value_parser = clap::value_parser!(u16).range(1..))]
    window: Option<u16>,
    /// Of a run: train a single-task expert for each task and one learner of all of them, for plasticity and
    /// intransigence; they are kept in the run's folder
    #[arg(long, help_heading = RUN)]
    pub(super) experts: bool,
    /// Of a run, with --experts: where data sets are looked for; may be repeated
    #[arg(long, value_name = "DIR", help_heading = RUN)]
    pub(super) data: Vec<PathBuf>,
    /// Of a run: write it as a lifetime in the layout of l2logger 1.1
    #[arg(long, value_name = "DIR", help_heading = RUN)]
    pub(super) l2log: Option<PathBuf>,
    #[command(flatten)]
    pub(super) suite: Suite,
}

const MATRIX: &str = "Accuracy matrices";
const RUN: &str = "Runs";

/// Options of the lifelong suite; nothing given is the reference's default.
#[derive(Args, Default, PartialEq)]
#[command(next_help_heading = "Lifetimes")]
pub(super) struct Suite {
    /// Folder of the single-task experts' logs [default: ste_logs beside ll_logs]
    #[arg(long, value_name = "DIR")]
    pub(super) ste: Option<PathBuf>,
    /// Column that holds the performance [default: performance, or the only one]
    #[arg(long, value_name = "COLUMN")]
    pub(super) performance: Option<String>,
    /// Performance maintenance, against the latest evaluation or learning [default: mrlep]
    #[arg(long, value_parser = one_of(MAINTENANCE))]
    maintenance: Option<Maintenance>,
    /// Transfer as a ratio or a contrast [default: ratio]
    #[arg(long, value_parser = one_of(TRANSFER))]
    transfer: Option<Transfer>,
    /// What becomes 1..101: the range of each task, of the run, or nothing [default: task]
    #[arg(long, value_parser = one_of(NORMALIZATION))]
    normalization: Option<Normalization>,
    /// Moving average of learning curves [default: flat]
    #[arg(long, value_parser = ["flat", "none"])]
    smoothing: Option<String>,
    /// Its window, in experiences [default: a fifth of the block, at most 100]
    #[arg(long, value_name = "N")]
    window_length: Option<usize>,
    /// Smooth evaluation blocks too
    #[arg(long)]
    smooth_evaluations: bool,
    /// Clamp to the given range, or to the 10 % and 90 % quantiles of each task
    #[arg(long)]
    clamp: bool,
    /// Range to normalise and clamp by, of all tasks or one; may be repeated
    #[arg(long, value_name = "[TASK=]MIN:MAX", value_parser = range, allow_hyphen_values = true)]
    range: Vec<(Option<String>, Range)>,
    /// Several experts of a task: mean of the measures, or measure of the mean curve [default: metrics]
    #[arg(long, value_parser = one_of(EXPERT_AVERAGING))]
    expert_averaging: Option<ExpertAveraging>,
    /// From tasks to the lifetime [default: mean]
    #[arg(long, value_parser = one_of(AGGREGATION))]
    aggregation: Option<Aggregation>,
    /// Take variants of a task, named after an underscore, as one task
    #[arg(long)]
    without_variants: bool,
}

const MAINTENANCE: &[(&str, Maintenance)] = &[
    ("mrlep", Maintenance::Mrlep),
    ("mrtlp", Maintenance::Mrtlp),
    ("both", Maintenance::Both),
];
const TRANSFER: &[(&str, Transfer)] = &[
    ("ratio", Transfer::Ratio),
    ("contrast", Transfer::Contrast),
    ("both", Transfer::Both),
];
const NORMALIZATION: &[(&str, Normalization)] = &[
    ("task", Normalization::PerTask),
    ("run", Normalization::Run),
    ("none", Normalization::Off),
];
const EXPERT_AVERAGING: &[(&str, ExpertAveraging)] = &[
    ("metrics", ExpertAveraging::Metrics),
    ("time", ExpertAveraging::Time),
];
const AGGREGATION: &[(&str, Aggregation)] =
    &[("mean", Aggregation::Mean), ("median", Aggregation::Median)];

/// How to print.
pub(super) enum Format {
    Text,
    Json,
    Markdown,
}

impl Options {
    pub(super) fn format(&self) -> Format {
        match (self.json, self.markdown) {
            (true, _) => Format::Json,
            (_, true) => Format::Markdown,
            _ => Format::Text,
        }
    }

    pub(super) fn window(&self) -> usize {
        self.window.map_or(WINDOW, usize::from)
    }

    /// Refuses options that mean nothing without a run.
    pub(super) fn refuse_those_of_runs(&self) -> Result<(), Failure> {
        if !self.experts && self.data.is_empty() && self.l2log.is_none() {
            return Ok(());
        }
        Err(Failure::input(format_args!(
            "{}: --experts, --data and --l2log belong to the folder of a run, which this is not",
            self.file.display()
        )))
    }

    /// Refuses options that mean nothing for a lifetime.
    pub(super) fn refuse_those_of_matrices(&self) -> Result<(), Failure> {
        self.refuse_those_of_runs()?;
        if self.tasks.is_none() && self.window.is_none() {
            return Ok(());
        }
        Err(Failure::input(format_args!(
            "{}: --tasks and --window belong to accuracy matrices, and this is a lifetime",
            self.file.display()
        )))
    }

    /// Refuses options that mean nothing for a matrix.
    pub(super) fn refuse_those_of_lifetimes(&self) -> Result<(), Failure> {
        if self.suite == Suite::default() {
            return Ok(());
        }
        Err(Failure::input(format_args!(
            "{}: the options of lifetimes need a folder with a logger_info.json, which this is not",
            self.file.display()
        )))
    }
}

impl Suite {
    /// The settings of the suite.
    pub(super) fn settings(&self) -> Result<Settings, Failure> {
        let off = self.smoothing.as_deref() == Some("none");
        Ok(Settings {
            maintenance: self.maintenance.unwrap_or_default(),
            transfer: self.transfer.unwrap_or_default(),
            normalization: self.normalization.unwrap_or_default(),
            smoothing: if off {
                Smoothing::Off
            } else {
                Smoothing::Flat(self.window_length)
            },
            smooth_evaluations: self.smooth_evaluations,
            clamp: self.clamp,
            range: self.given_range()?,
            expert_averaging: self.expert_averaging.unwrap_or_default(),
            aggregation: self.aggregation.unwrap_or_default(),
            variants: !self.without_variants,
        })
    }

    fn given_range(&self) -> Result<Option<GivenRange>, Failure> {
        match self.range.as_slice() {
            [] => Ok(None),
            [(None, range)] => Ok(Some(GivenRange::All(*range))),
            ranges => {
                let tasks: Option<BTreeMap<String, Range>> = ranges
                    .iter()
                    .map(|(task, range)| Some((task.clone()?, *range)))
                    .collect();
                let several =
                    "--range: one range of all tasks, or one for each as TASK=MIN:MAX, is right";
                let tasks = tasks.filter(|tasks| tasks.len() == ranges.len());
                tasks
                    .map(|tasks| Some(GivenRange::Tasks(tasks)))
                    .ok_or_else(|| Failure::input(several))
            }
        }
    }
}

fn one_of<T: Copy + Send + Sync>(
    choices: &'static [(&'static str, T)],
) -> impl TypedValueParser<Value = T> {
    PossibleValuesParser::new(choices.iter().map(|(name, _)| *name)).map(move |found| {
        let choice = choices.iter().find(|(name, _)| *name == found);
        choice.expect("only these names are possible").1
    })
}

fn range(text: &str) -> Result<(Option<String>, Range), String> {
    let (task, limits) = match text.rsplit_once('=') {
        Some((task, limits)) => (Some(task.to_lowercase()), limits),
        None => (None, text),
    };
    let number = |text: &str| text.parse::<f64>().ok().filter(|value| value.is_finite());
    let (min, max) = limits.split_once(':').unwrap_or_default();
    match (number(min), number(max)) {
        (Some(min), Some(max)) if min < max => Ok((task, Range { min, max })),
        _ => Err(
            "a range such as 0:1 or task1=-5:100, the least before the largest, is right"
                .to_owned(),
        ),
    }
}
