//! `lyceum run`.

use crate::{
    arguments::Run,
    check::{one_run, parse_seeds, read_sweep},
    execute::{checkpoint_every, execute, warn_of_deadline},
    failure::Failure,
    folder,
    output::line,
    progress::Progress,
    report::{paused, report, resume_command},
    settings::ProcessSettings,
    stop::Stop,
    sweep,
};
use lyceum_core::Event;
use lyceum_metrics::{Status, Summary};
use lyceum_scenarios::{Registry, Scenario};
use lyceum_simulation::Settings;
use std::{
    sync::{Arc, atomic::AtomicBool},
    time::Instant,
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
    if let Some(facts) = &arguments.facts {
        one_run(&sweep, arguments.seeds.is_some(), facts)?;
    }
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
    warn_of_deadline(scenario, arguments.nodes);
    let mut progress = Progress::new(arguments.quiet).resuming(arguments.resume);
    let mut observe = |event: &Event| progress.observe(event);
    let what = (scenario, &settings);
    let executed = execute(registry, process, arguments.nodes, what, stop, &mut observe);
    let again = || {
        let command = resume_command(std::env::args(), Some(&settings.out));
        line(format_args!("resume    {command}"));
    };
    let summary = executed.inspect_err(|failure| {
        // Before the first round there may be nothing to go on with.
        if failure.can_go_on() && folder::has_run(&settings.out) {
            again();
        }
    })?;
    report(&summary, &settings.out);
    if summary.status == Status::Paused {
        again();
    }
    Ok(summary)
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
    folder::spares(&arguments.file, wanted)?;
    let out = folder::choose(wanted, &runs, &stem, arguments.resume)?;
    if arguments.resume {
        folder::begun([out.as_path()])?;
    }
    Ok(Settings {
        threads: process.threads(arguments.threads)?,
        out,
        folders: process.told_folders(&arguments.data, &arguments.file, &scenario.data.folders),
        resume: arguments.resume,
        checkpoint_every: checkpoint_every(arguments, process)?,
        updates_bytes: process.updates_bytes(),
        facts: arguments.facts.clone(),
        started,
    })
}
