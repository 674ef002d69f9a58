//! `lyceum run`.

use crate::output::line;
use crate::{
    arguments::Run, check::read_sweep, coordinator::Job, failure::Failure, folder, local,
    progress::Progress, settings::ProcessSettings, stop::Stop, sweep,
};
use lyceum_core::Event;
use lyceum_metrics::{Status, Summary};
use lyceum_scenarios::{Registry, Scenario};
use lyceum_simulation::{Settings, run as simulate};
use std::{
    path::{Path, PathBuf},
    sync::{Arc, atomic::AtomicBool},
    time::{Duration, Instant},
};

/// Runs a scenario, or all runs of a sweep.
pub(crate) fn run(registry: &Registry, arguments: &Run, started: Instant) -> Result<(), Failure> {
    let stop = Stop::watch()?;
    stop.settle(all(registry, arguments, started, stop.flag()))
}

fn all(
    registry: &Registry,
    arguments: &Run,
    started: Instant,
    stop: &Arc<AtomicBool>,
) -> Result<(), Failure> {
    let process = ProcessSettings::read()?;
    let seeds = arguments.seeds.as_deref().map(parse_seeds).transpose()?;
    let sweep = read_sweep(registry, &arguments.file, &arguments.set, seeds)?;
    if sweep.has_table || arguments.seeds.is_some() {
        return sweep::run(registry, arguments, &process, &sweep, stop);
    }
    if arguments.jobs.is_some() {
        return Err(Failure::input(
            "--jobs: this is one run; add --seeds, or a table [sweep] to the file",
        ));
    }
    let scenario = sweep.points[0].scenario(sweep.seeds[0]);
    let summary = one(registry, arguments, &process, &scenario, started, stop)?;
    paused(&summary)
}

fn one(
    registry: &Registry,
    arguments: &Run,
    process: &ProcessSettings,
    scenario: &Scenario,
    started: Instant,
    stop: &Arc<AtomicBool>,
) -> Result<Summary, Failure> {
    let settings = settings(arguments, process, scenario, started)?;
    let mut progress = Progress::new(arguments.quiet);
    let mut observe = |event: &Event| progress.observe(event);
    let what = (scenario, &settings);
    let executed = execute(registry, process, arguments.nodes, what, stop, &mut observe);
    let again = || {
        let command = resume_command(std::env::args(), Some(&settings.out));
        line(format_args!("resume    {command}"));
    };
    let summary = executed.inspect_err(|failure| {
        if failure.can_go_on() {
            again();
        }
    })?;
    report(&summary, &settings.out);
    if summary.status == Status::Paused {
        again();
    }
    Ok(summary)
}

/// Runs one scenario in this process, or on local nodes.
pub(crate) fn execute(
    registry: &Registry,
    process: &ProcessSettings,
    nodes: Option<u16>,
    (scenario, settings): (&Scenario, &Settings),
    stop: &Arc<AtomicBool>,
    observe: &mut dyn FnMut(&Event),
) -> Result<Summary, Failure> {
    let Some(nodes) = nodes else {
        return Ok(simulate(scenario, registry, settings, stop, observe)?);
    };
    let job = Job {
        scenario,
        registry,
        settings,
        process,
    };
    local::run(job, nodes.into(), stop, observe)
}

/// The command that was typed, with what resumes it: `--resume` and, where it is known, the folder.
pub(crate) fn resume_command(typed: impl Iterator<Item = String>, out: Option<&Path>) -> String {
    let mut words = Vec::new();
    let mut typed = typed;
    while let Some(word) = typed.next() {
        match (word.as_str(), out) {
            ("--resume", _) => {}
            ("--out", Some(_)) => drop(typed.next()),
            (other, Some(_)) if other.starts_with("--out=") => {}
            _ => words.push(quoted(&word)),
        }
    }
    if let Some(out) = out {
        words.extend(["--out".into(), quoted(&out.to_string_lossy())]);
    }
    words.push("--resume".into());
    words.join(" ")
}

/// A word as a shell reads it back.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:,+@".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.into()
    } else {
        format!("'{}'", word.replace('\'', "'\\''"))
    }
}

fn settings(
    arguments: &Run,
    process: &ProcessSettings,
    scenario: &Scenario,
    started: Instant,
) -> Result<Settings, Failure> {
    let runs = process.runs.clone().unwrap_or_else(|| "runs".into());
    let stem = format!("{}-seed{}", scenario.run.name, scenario.run.seed);
    let wanted = arguments.out.as_deref();
    let out = folder::choose(wanted, &runs, &stem, arguments.resume)?;
    if arguments.resume {
        folder::begun([out.as_path()])?;
    }
    Ok(Settings {
        threads: process.threads(arguments.threads)?,
        out,
        folders: process.folders(&arguments.data, &arguments.file, &scenario.data.folders),
        resume: arguments.resume,
        checkpoint_every: checkpoint_every(arguments, process)?,
        updates_bytes: process.updates_bytes(),
        started,
    })
}

pub(crate) fn checkpoint_every(
    arguments: &Run,
    process: &ProcessSettings,
) -> Result<Duration, Failure> {
    let seconds = arguments
        .checkpoint_every
        .or(process.checkpoint_every)
        .unwrap_or(10.0);
    Duration::try_from_secs_f64(seconds).map_err(|_| {
        Failure::input(format!(
            "--checkpoint-every {seconds}: expected seconds, 0 or above"
        ))
    })
}

/// A run that is paused can be gone on with.
pub(crate) fn paused(summary: &Summary) -> Result<(), Failure> {
    match summary.status {
        Status::Paused => Err(Failure::unfinished()),
        _ => Ok(()),
    }
}

pub(crate) fn report(summary: &Summary, out: &Path) {
    let percent = |v: Option<f64>| v.map_or_else(|| "-".into(), |v| format!("{:.2} %", 100.0 * v));
    let shown: PathBuf = out.into();
    let evaluations = match summary.mean_last_10_evaluations {
        1 => "the only evaluation".into(),
        few @ 2..=9 => format!("mean of {few} evaluations"),
        _ => "mean of last 10 evaluations".to_owned(),
    };
    line(format_args!(
        "accuracy  {} ({evaluations} {}, best {})",
        percent(summary.final_accuracy),
        percent(summary.mean_last_10_accuracy),
        percent(summary.best_accuracy)
    ));
    for reason in &summary.unmeasured {
        line(format_args!("missing   {reason}"));
    }
    line(format_args!(
        "time      {:.3} s per round (median), {:.2} s to the first, {:.1} s in all",
        summary.seconds_per_round_median, summary.seconds_to_first_round, summary.seconds_total
    ));
    line(format_args!(
        "memory    {:.0} MiB at most",
        summary.peak_rss_mib
    ));
    line(format_args!("folder    {}", shown.display()));
    line(format_args!("fingerprint {}", summary.fingerprint));
}

pub(crate) fn parse_seeds(text: &str) -> Result<Vec<u64>, Failure> {
    lyceum_scenarios::seeds(text).ok_or_else(|| {
        Failure::input(format!(
            "--seeds {text}: expected a range such as 0..5 or a list such as 1,7,42"
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_resume_command_is_what_was_typed_and_the_folder() {
        let typed = |words: &[&str]| {
            words
                .iter()
                .map(|w| w.to_string())
                .collect::<Vec<_>>()
                .into_iter()
        };
        let one = typed(&[
            "lyceum",
            "run",
            "a.toml",
            "--set",
            "data.set={csv={}}",
            "--data",
            "d",
            "--out",
            "x",
        ]);
        let shown = resume_command(one, Some(Path::new("x")));
        assert_eq!(
            shown,
            "lyceum run a.toml --set 'data.set={csv={}}' --data d --out x --resume"
        );
        let seeds = typed(&["lyceum", "run", "a.toml", "--seeds", "0..3", "--resume"]);
        assert_eq!(
            resume_command(seeds, None),
            "lyceum run a.toml --seeds 0..3 --resume"
        );
    }
}
