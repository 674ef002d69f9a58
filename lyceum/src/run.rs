//! `lyceum run`.

use crate::output::line;
use crate::{
    arguments::Run, check::read, coordinator::Job, failure::Failure, folder, local,
    progress::Progress, settings::ProcessSettings,
};
use lyceum_core::Event;
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
    stop: &Arc<AtomicBool>,
) -> Result<Summary, Failure> {
    let scenario = read(registry, &arguments.file, set)?;
    let settings = settings(arguments, process, &scenario, started)?;
    let mut progress = Progress::new(arguments.quiet);
    let mut observe = |event: &Event| progress.observe(event);
    let summary = match arguments.nodes {
        None => simulate(&scenario, registry, &settings, stop, &mut observe)?,
        Some(nodes) => {
            let job = Job {
                scenario: &scenario,
                registry,
                settings: &settings,
                process,
            };
            local::run(job, nodes.into(), stop, &mut observe)?
        }
    };
    report(&summary, &settings.out);
    if summary.status == Status::Paused {
        let out = arguments.seeds.is_none().then_some(settings.out.as_path());
        line(format_args!(
            "resume    {}",
            resume_command(std::env::args(), out)
        ));
    }
    Ok(summary)
}

/// The command that was typed, with what resumes it: `--resume` and, for a single run, its folder.
fn resume_command(typed: impl Iterator<Item = String>, out: Option<&Path>) -> String {
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

pub(crate) fn paused(summary: &Summary) -> Option<Failure> {
    (summary.status == Status::Paused).then(|| Failure::Other(String::new()))
}

pub(crate) fn report(summary: &Summary, out: &Path) {
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
    let distinct: std::collections::BTreeSet<_> = seeds.iter().collect();
    if seeds.is_empty() || seeds.len() > 10_000 || distinct.len() < seeds.len() {
        Err(wrong())
    } else {
        Ok(seeds)
    }
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

    #[test]
    fn seeds_are_a_range_or_a_list() {
        assert_eq!(parse_seeds("0..3").ok(), Some(vec![0, 1, 2]));
        assert_eq!(parse_seeds("1,7, 42").ok(), Some(vec![1, 7, 42]));
        for bad in ["", "3..3", "a", "1..b", "0..99999999", "1,2,1"] {
            assert!(parse_seeds(bad).is_err(), "{bad}");
        }
    }
}
