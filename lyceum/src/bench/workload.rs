//! The workloads as scenarios of the catalogue, each run in a process of its own.

use crate::{
    arguments::{Bench, Workload},
    check::read,
    failure::Failure,
    settings::ProcessSettings,
};
use lyceum_core::Event;
use lyceum_metrics::{EVENTS, Summary};
use lyceum_scenarios::{Diagnostic, Loaded, Registry, Scenario};
use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// One row of the table: a workload, with what makes it differ from its scenario.
pub(super) struct Variant {
    pub(super) label: &'static str,
    /// Where rounds are tasks: how those that are over are held on to.
    pub(super) method: Option<&'static str>,
    pub(super) text: &'static str,
    pub(super) set: &'static [&'static str],
    /// Shape of a sample, and classes; what the arithmetic is counted from.
    pub(super) input: &'static [usize],
}

const IMAGE: &[usize] = &[1, 28, 28];
const W1: &str = include_str!("../../../scenarios/catalogue/w1.toml");
const W2: &str = include_str!("../../../scenarios/catalogue/w2.toml");
const W3: &str = include_str!("../../../scenarios/catalogue/w3.toml");
const W4: &str = include_str!("../../../scenarios/catalogue/w4.toml");
const W5: &str = include_str!("../../../scenarios/catalogue/w5.toml");
const W8: &str = include_str!("../../../scenarios/catalogue/w8.toml");
const W9: &str = include_str!("../../../scenarios/catalogue/w9.toml");
const MILLION: &str = include_str!("../../../scenarios/catalogue/million.toml");

fn variant(label: &'static str, text: &'static str) -> Variant {
    Variant {
        label,
        method: None,
        text,
        set: &[],
        input: IMAGE,
    }
}

/// The rows of a workload.
pub(super) fn variants(workload: Workload) -> Vec<Variant> {
    match workload {
        Workload::W1 => vec![variant("W1", W1)],
        Workload::W2 => vec![variant("W2", W2)],
        Workload::W3 => vec![variant("W3", W3)],
        Workload::W4 => vec![variant("W4", W4)],
        Workload::W5 => {
            let of = |method, set| Variant {
                method: Some(method),
                set,
                ..variant("W5", W5)
            };
            vec![
                of("naive", &["scenario.class_incremental.method=naive"]),
                of("replay", &[]),
                of(
                    "ewc",
                    &[
                        "scenario.class_incremental.method={ ewc = { lambda = 100.0, fisher = \"batched\" } }",
                    ],
                ),
            ]
        }
        Workload::W6 => {
            let of = |label, set| Variant {
                label,
                set,
                input: &[60],
                ..variant(label, MILLION)
            };
            vec![
                of(
                    "W6 10^3",
                    &["data.clients=1000", "run.rounds=50", "evaluation.every=50"],
                ),
                of(
                    "W6 10^6",
                    &[
                        "data.clients=1000000",
                        "run.rounds=50",
                        "evaluation.every=50",
                    ],
                ),
            ]
        }
        Workload::W7 => vec![Variant {
            set: &[
                "training.engine=idle",
                "run.rounds=50",
                "evaluation.every=50",
            ],
            ..variant("W7", W4)
        }],
        Workload::W8 => vec![Variant {
            input: &[3, 32, 32],
            ..variant("W8", W8)
        }],
        Workload::W9 => vec![variant("W9", W9)],
    }
}

/// Refuses a workload whose samples are in none of the places where they are looked for.
pub(super) fn has_data(
    registry: &Registry,
    workload: Workload,
    settings: &ProcessSettings,
    data: &[PathBuf],
) -> Result<(), Failure> {
    let variant = &variants(workload)[0];
    let unreadable = |e: Diagnostic| Failure::Other(e.to_string());
    let scenario =
        Scenario::read(registry, variant.label, variant.text, &[]).map_err(unreadable)?;
    let folders = settings.folders(data, Path::new(""), &[]);
    let missing = |e: Diagnostic| {
        let what = e
            .faults()
            .first()
            .map_or(String::new(), |fault| fault.message.clone());
        let own = "W6 needs no data, and --data FOLDER names another place";
        Failure::input(format!("{}: {what}; {own}", variant.label))
    };
    if scenario.data_set.plugin.is_generated() {
        return Ok(());
    }
    Loaded::read(&scenario, &folders).map(drop).map_err(missing)
}

/// What one process showed.
pub(super) struct Sample {
    pub(super) summary: Summary,
    /// Seconds of each round, evaluation left out; without the first one, which warms up, where there are several.
    pub(super) rounds: Vec<f64>,
    /// Samples that one round trained on, and clients that took part.
    pub(super) trained: u64,
    pub(super) cohort: u64,
    /// Seconds from the start of the process to the first step.
    pub(super) before_first_step: f64,
}

/// Runs a workload once, as `lyceum run` in a folder of its own.
pub(super) fn run(variant: &Variant, arguments: &Bench, threads: usize) -> Result<Sample, Failure> {
    let folder = tempfile::tempdir().map_err(Failure::other)?;
    let (file, out) = (
        folder.path().join("workload.toml"),
        folder.path().join("run"),
    );
    fs::write(&file, variant.text).map_err(Failure::other)?;
    let program = std::env::current_exe().map_err(Failure::other)?;
    let mut command = Command::new(program);
    command
        .arg("run")
        .arg(&file)
        .arg("--out")
        .arg(&out)
        .arg("--quiet");
    command.args(["--threads", &threads.to_string()]);
    command.args(["--set", &format!("training.engine={}", arguments.engine)]);
    variant.set.iter().for_each(|set| {
        command.args(["--set", set]);
    });
    arguments.data.iter().for_each(|folder| {
        command.arg("--data").arg(folder);
    });
    let status = command
        .stdout(Stdio::null())
        .status()
        .map_err(Failure::other)?;
    match status.code() {
        Some(0) => sample(&out),
        Some(2) => Err(Failure::Input(String::new())),
        _ => Err(Failure::other(format!(
            "{} did not end: {status}",
            variant.label
        ))),
    }
}

fn sample(out: &Path) -> Result<Sample, Failure> {
    let summary = Summary::read(&out.join("summary.json")).map_err(Failure::other)?;
    let log = fs::read_to_string(out.join(EVENTS)).map_err(Failure::other)?;
    let mut sample = Sample {
        summary,
        rounds: Vec::new(),
        trained: 0,
        cohort: 0,
        before_first_step: 0.0,
    };
    for line in log
        .lines()
        .filter(|line| !line.starts_with("{\"event\":\"client\""))
    {
        match serde_json::from_str(line) {
            Ok(Event::Timing {
                seconds,
                evaluation_seconds,
                ..
            }) => {
                if sample.rounds.is_empty() {
                    let first = sample.summary.seconds_to_first_round;
                    sample.before_first_step = first - seconds - evaluation_seconds;
                }
                sample.rounds.push(seconds);
            }
            Ok(Event::RoundClosed {
                trained, cohort, ..
            }) => {
                (sample.trained, sample.cohort) = (trained, cohort);
            }
            _ => {}
        }
    }
    if sample.rounds.len() > 1 {
        sample.rounds.remove(0);
    }
    Ok(sample)
}

/// Operations of one training sample of a workload.
pub(super) fn flops(registry: &Registry, variant: &Variant) -> Result<u64, Failure> {
    let folder = tempfile::tempdir().map_err(Failure::other)?;
    let file = folder.path().join("workload.toml");
    fs::write(&file, variant.text).map_err(Failure::other)?;
    let scenario = read(registry, &file, &[])?;
    let network = scenario.model.plugin.network(variant.input, 10);
    Ok(network.map_err(Failure::other)?.training_flops())
}
