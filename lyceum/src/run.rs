//! `lyceum run`.

use crate::output::line;
use crate::{
    arguments::Run, check::read, failure::Failure, folder, progress::Progress,
    settings::ProcessSettings,
};
use lyceum_metrics::{Labelled, Status, Summary, compare};
use lyceum_scenarios::{Registry, Scenario};
use lyceum_simulation::{Settings, run as simulate};
use std::{
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

/// Runs a scenario, or one run per seed.
pub(crate) fn run(registry: &Registry, arguments: &Run, started: Instant) -> Result<(), Failure> {
    let settings = ProcessSettings::read()?;
    let stop = stop_on_signal()?;
    let Some(seeds) = &arguments.seeds else {
        let summary = one(
            registry,
            arguments,
            &settings,
            &arguments.set,
            started,
            &stop,
        )?;
        return paused(&summary).map_or(Ok(()), Err);
    };
    let mut runs = Vec::new();
    for (index, seed) in parse_seeds(seeds)?.into_iter().enumerate() {
        let mut set = arguments.set.clone();
        set.push(format!("run.seed={seed}"));
        let started = if index == 0 { started } else { Instant::now() };
        let summary = one(registry, arguments, &settings, &set, started, &stop)?;
        if let Some(failure) = paused(&summary) {
            return Err(failure);
        }
        runs.push(Labelled {
            label: summary.name.clone(),
            summary,
        });
    }
    line(format_args!("{}", compare(&runs)));
    Ok(())
}

fn one(
    registry: &Registry,
    arguments: &Run,
    process: &ProcessSettings,
    set: &[String],
    started: Instant,
    stop: &AtomicBool,
) -> Result<Summary, Failure> {
    let scenario = read(registry, &arguments.file, set)?;
    let settings = settings(arguments, process, &scenario, started)?;
    let mut progress = Progress::new(arguments.quiet);
    let summary = simulate(&scenario, registry, &settings, stop, &mut |event| {
        progress.observe(event)
    })?;
    report(&summary, &settings.out);
    if summary.status == Status::Paused {
        line(format_args!(
            "resume    lyceum run {} {}--out {} --resume",
            arguments.file.display(),
            overrides(set),
            settings.out.display()
        ));
    }
    Ok(summary)
}

fn overrides(set: &[String]) -> String {
    set.iter().map(|s| format!("--set '{s}' ")).collect()
}

fn settings(
    arguments: &Run,
    process: &ProcessSettings,
    scenario: &Scenario,
    started: Instant,
) -> Result<Settings, Failure> {
    let runs = process.runs.clone().unwrap_or_else(|| "runs".into());
    let (name, seed) = (&scenario.run.name, scenario.run.seed);
    let wanted = arguments.out.as_ref().map(|out| match arguments.seeds {
        Some(_) => out.join(format!("{name}-seed{seed}")),
        None => out.clone(),
    });
    let seconds = arguments
        .checkpoint_every
        .or(process.checkpoint_every)
        .unwrap_or(10.0);
    let checkpoint_every = Duration::try_from_secs_f64(seconds).map_err(|_| {
        Failure::input(format!(
            "--checkpoint-every {seconds}: expected seconds, 0 or above"
        ))
    })?;
    Ok(Settings {
        threads: process.threads(arguments.threads)?,
        out: folder::choose(wanted.as_deref(), &runs, name, seed, arguments.resume)?,
        folders: process.folders(&arguments.data, &arguments.file),
        resume: arguments.resume,
        checkpoint_every,
        started,
    })
}

/// Ctrl-C and SIGTERM finish the round in flight; a second one ends the process at once.
fn stop_on_signal() -> Result<Arc<AtomicBool>, Failure> {
    let stop = Arc::new(AtomicBool::new(false));
    let flag = stop.clone();
    ctrlc::set_handler(move || {
        if flag.swap(true, Ordering::Relaxed) {
            std::process::exit(130);
        }
    })
    .map_err(|e| Failure::other(format!("cannot watch for Ctrl-C: {e}")))?;
    Ok(stop)
}

fn paused(summary: &Summary) -> Option<Failure> {
    (summary.status == Status::Paused).then(|| Failure::Other(String::new()))
}

fn report(summary: &Summary, out: &Path) {
    let percent = |v: Option<f64>| v.map_or_else(|| "-".into(), |v| format!("{:.2} %", 100.0 * v));
    let shown: PathBuf = out.into();
    line(format_args!(
        "accuracy  {} (mean of last 10 {}, best {})",
        percent(summary.final_accuracy),
        percent(summary.mean_last_10_accuracy),
        percent(summary.best_accuracy)
    ));
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

/// `0..5` is 0, 1, 2, 3, 4; `1,7,42` is a list.
fn parse_seeds(text: &str) -> Result<Vec<u64>, Failure> {
    let wrong = || {
        Failure::input(format!(
            "--seeds {text}: expected a range such as 0..5 or a list such as 1,7,42"
        ))
    };
    let number = |t: &str| t.trim().parse::<u64>().map_err(|_| wrong());
    let seeds: Vec<u64> = match text.split_once("..") {
        Some((from, to)) => (number(from)?..number(to)?).collect(),
        None => text.split(',').map(number).collect::<Result<_, _>>()?,
    };
    if seeds.is_empty() || seeds.len() > 10_000 {
        Err(wrong())
    } else {
        Ok(seeds)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_are_a_range_or_a_list() {
        assert_eq!(parse_seeds("0..3").ok(), Some(vec![0, 1, 2]));
        assert_eq!(parse_seeds("1,7, 42").ok(), Some(vec![1, 7, 42]));
        for bad in ["", "3..3", "a", "1..b", "0..99999999"] {
            assert!(parse_seeds(bad).is_err(), "{bad}");
        }
    }
}
