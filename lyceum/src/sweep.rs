//! `lyceum run` on a file with `[sweep]`, or with `--seeds`: many runs, side by side where threads and memory allow.

use crate::{
    arguments::Run,
    check::{feasible, folders_of},
    execute::{checkpoint_every, execute, warn_of_deadline},
    failure::Failure,
    folder,
    output::line,
    progress::SweepProgress,
    queue::{Outcome, Queue},
    report::{report, resume_command},
    settings::ProcessSettings,
};
use lyceum_coordinator::run::{Folder, Resume};
use lyceum_core::Event;
use lyceum_metrics::{Labelled, Status, Summary, compare, effects, write_runs};
use lyceum_scenarios::{Point, Registry, Sweep, baselines};
use lyceum_simulation::Settings;
use std::{
    collections::BTreeSet,
    panic::{AssertUnwindSafe, catch_unwind},
    path::PathBuf,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Instant,
};

/// Stack of a thread that drives a run, as large as that of a process's first thread.
const STACK: usize = 8 << 20;

/// Runs every point with every seed, and prints and writes the table over them.
pub(crate) fn run(
    registry: &Registry,
    arguments: &Run,
    process: &ProcessSettings,
    sweep: &Sweep,
    stop: &Arc<AtomicBool>,
) -> Result<(), Failure> {
    if arguments.resume {
        let planned = plan(arguments, process, sweep)?;
        folder::begun(planned.runs.iter().map(|run| run.out.as_path()))?;
    }
    let (planned, labelled) = collect(registry, arguments, process, sweep, stop)?;
    tell(sweep, &planned, &labelled)
}

/// Runs every point with every seed; where they lie, and what came out.
pub(crate) fn collect<'s>(
    registry: &Registry,
    arguments: &Run,
    process: &ProcessSettings,
    sweep: &'s Sweep,
    stop: &Arc<AtomicBool>,
) -> Result<(Planned<'s>, Vec<Labelled>), Failure> {
    let folders = folders_of(process, &arguments.data, &arguments.file, sweep);
    let planned = plan(arguments, process, sweep)?;
    for point in &sweep.points {
        point.scenario(sweep.seeds[0]).without_real_clients()?;
    }
    if arguments.resume {
        let mut runs = planned.runs.iter();
        runs.try_for_each(same_scenario)?;
    }
    let found = feasible(registry, sweep, &folders, false)?;
    warn_of_deadline(&sweep.points[0].scenario(sweep.seeds[0]), arguments.nodes);
    let said = found.into_iter().flat_map(|found| found.warnings);
    let idle = sweep
        .points
        .iter()
        .flat_map(|point| point.scenario(sweep.seeds[0]).idle_keys());
    let said = said.chain(idle);
    let rounds = planned.runs.iter().map(|run| run.rounds()).sum();
    let progress = SweepProgress::new(arguments.quiet, planned.runs.len(), rounds);
    let (jobs, threads) = shares(arguments, process, planned.runs.len())?;
    let crew = Crew {
        registry,
        process,
        nodes: arguments.nodes,
        settings: Settings {
            threads,
            out: PathBuf::new(),
            folders,
            resume: arguments.resume,
            checkpoint_every: checkpoint_every(arguments, process)?,
            updates_bytes: process.updates_bytes(),
            facts: None,
            started: Instant::now(),
        },
        runs: &planned.runs,
        said: said.collect(),
        queue: Queue::new(planned.runs.len()),
        progress: Mutex::new(progress),
        stop,
    };
    let outcomes = crew.work(jobs)?;
    let (labelled, left) = settle(&planned.runs, outcomes);
    if left > 0 {
        return Err(paused(arguments, &planned, left));
    }
    Ok((planned, labelled))
}

/// What is run where.
pub(crate) struct Planned<'s> {
    /// The sweep's folder; runs over seeds alone have none.
    pub(crate) folder: Option<PathBuf>,
    runs: Vec<PlannedRun<'s>>,
}

struct PlannedRun<'s> {
    point: &'s Point,
    seed: u64,
    out: PathBuf,
}

impl PlannedRun<'_> {
    fn name(&self) -> String {
        format!("{}-seed{}", self.point.label, self.seed)
    }

    fn rounds(&self) -> u64 {
        self.point.scenario(self.seed).rounds()
    }
}

fn plan<'s>(
    arguments: &Run,
    process: &ProcessSettings,
    sweep: &'s Sweep,
) -> Result<Planned<'s>, Failure> {
    let runs = process.runs.clone().unwrap_or_else(|| "runs".into());
    let (out, resume) = (arguments.out.as_deref(), arguments.resume);
    let folder = match sweep.has_table {
        true => Some(folder::choose_for_sweep(out, &runs, &sweep.name, resume)?),
        false => {
            out.map_or(Ok(()), folder::no_run)?;
            None
        }
    };
    let mut planned = Vec::new();
    for point in &sweep.points {
        for &seed in &sweep.seeds {
            let mut run = PlannedRun {
                point,
                seed,
                out: PathBuf::new(),
            };
            let name = run.name();
            run.out = match &folder {
                Some(folder) => folder.join(name),
                None => {
                    let wanted = out.map(|out| out.join(&name));
                    folder::choose(wanted.as_deref(), &runs, &name, resume)?
                }
            };
            planned.push(run);
        }
    }
    Ok(Planned {
        folder,
        runs: planned,
    })
}

/// Refuses a folder in which another scenario was run, or one that cannot have another number of rounds, before anything
/// is run.
fn same_scenario(run: &PlannedRun<'_>) -> Result<(), Failure> {
    let scenario = run.point.scenario(run.seed);
    Resume::look(&Folder::new(&run.out), &scenario)?;
    Ok(())
}

fn shares(
    arguments: &Run,
    process: &ProcessSettings,
    runs: usize,
) -> Result<(usize, usize), Failure> {
    let threads = process.threads(arguments.threads)?;
    // Nodes are processes of their own, whose memory nobody here can foresee.
    let wanted = match arguments.nodes {
        Some(_) => 1,
        None => arguments.jobs.map_or(threads, usize::from),
    };
    let jobs = wanted.min(runs).max(1);
    Ok((jobs, (threads / jobs).max(1)))
}

/// Everything that the threads share which drive the runs.
struct Crew<'a> {
    registry: &'a Registry,
    process: &'a ProcessSettings,
    nodes: Option<u16>,
    /// Of every run but for its folder.
    settings: Settings,
    runs: &'a [PlannedRun<'a>],
    /// Warnings that were shown before the first run.
    said: BTreeSet<String>,
    queue: Queue,
    progress: Mutex<SweepProgress>,
    stop: &'a Arc<AtomicBool>,
}

impl Crew<'_> {
    /// Runs everything, or what can be run before it is stopped.
    fn work(self, jobs: usize) -> Result<Vec<Outcome>, Failure> {
        thread::scope(|scope| {
            for _ in 0..jobs {
                let drive = || self.drive();
                thread::Builder::new()
                    .stack_size(STACK)
                    .spawn_scoped(scope, drive)
                    .map_err(|e| {
                        self.stop.store(true, Ordering::Relaxed);
                        Failure::other(format!("no thread for a run: {e}"))
                    })?;
            }
            Ok::<(), Failure>(())
        })?;
        self.shown(SweepProgress::end);
        Ok(self.queue.outcomes())
    }

    fn drive(&self) {
        let held = |sentence: String| self.shown(|progress| progress.say(&sentence));
        while let Some(index) = self.queue.next(self.stop, &held) {
            let result = catch_unwind(AssertUnwindSafe(|| self.one(index)));
            let outcome = match result {
                Ok(Ok(summary)) => Outcome::Over(Box::new(summary)),
                Ok(Err(failure)) if failure.can_go_on() => Outcome::Held(failure.sentence()),
                Ok(Err(failure)) => Outcome::Failed(failure.sentence()),
                Err(_) => Outcome::Failed("it panicked".into()),
            };
            self.shown(|progress| {
                let name = self.runs[index].name();
                progress.over(index, self.runs[index].rounds(), &name, &said(&outcome));
            });
            self.queue.settle(index, outcome);
        }
    }

    fn one(&self, index: usize) -> Result<Summary, Failure> {
        let run = &self.runs[index];
        let scenario = run.point.scenario(run.seed);
        let settings = Settings {
            out: run.out.clone(),
            started: Instant::now(),
            ..self.settings.clone()
        };
        let mut observe = |event: &Event| match event {
            Event::Timing { round, .. } => {
                self.queue.grown(index);
                self.shown(|progress| progress.round(index, round.0 + 1));
            }
            Event::Warned { message } if self.said.contains(message) => {}
            Event::Warned { message } => self.shown(|progress| progress.warn(message)),
            _ => {}
        };
        execute(
            self.registry,
            self.process,
            self.nodes,
            (&scenario, &settings),
            self.stop,
            &mut observe,
        )
    }

    fn shown(&self, change: impl FnOnce(&mut SweepProgress)) {
        change(&mut self.progress.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

fn said(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Over(summary) if summary.status == Status::Paused => "paused".into(),
        Outcome::Over(summary) => {
            let accuracy = summary.final_accuracy;
            accuracy.map_or_else(|| "done".into(), |a| format!("accuracy {:.2} %", 100.0 * a))
        }
        Outcome::Failed(reason) => format!("failed: {reason}"),
        Outcome::Held(reason) => format!("stopped: {reason}"),
        Outcome::Waiting => "not begun".into(),
    }
}

/// The runs for the table, and how many are left to be run.
fn settle(runs: &[PlannedRun<'_>], outcomes: Vec<Outcome>) -> (Vec<Labelled>, usize) {
    let mut labelled = Vec::new();
    for (run, outcome) in runs.iter().zip(outcomes) {
        let outcome = match outcome {
            Outcome::Over(summary) if summary.status == Status::Paused => continue,
            Outcome::Waiting | Outcome::Held(_) => continue,
            Outcome::Over(summary) => Ok(*summary),
            Outcome::Failed(reason) => Err(reason),
        };
        labelled.push(Labelled {
            label: run.point.label.clone(),
            seed: run.seed,
            settings: run.point.settings.clone(),
            folder: Some(run.out.display().to_string()),
            outcome,
        });
    }
    let left = runs.len() - labelled.len();
    (labelled, left)
}

/// Says how to go on.
fn paused(arguments: &Run, planned: &Planned<'_>, left: usize) -> Failure {
    let all = planned.runs.len();
    line(format_args!(
        "paused    {} of {all} runs are over",
        all - left
    ));
    let out = planned.folder.as_deref().or(arguments.out.as_deref());
    line(format_args!(
        "resume    {}",
        resume_command(std::env::args(), out)
    ));
    Failure::unfinished()
}

/// Prints and writes what came out.
pub(crate) fn tell(sweep: &Sweep, planned: &Planned<'_>, runs: &[Labelled]) -> Result<(), Failure> {
    let labels: Vec<&str> = sweep.points.iter().map(|p| p.label.as_str()).collect();
    let mut comparison = compare(runs, &baselines(&labels, sweep.baseline.as_deref()));
    comparison.notes.extend(effects(runs));
    match &planned.folder {
        Some(folder) => {
            comparison.write(folder, "sweep").map_err(Failure::other)?;
            write_runs(folder, "runs", runs).map_err(Failure::other)?;
        }
        None => each(planned, runs),
    }
    line(format_args!("{comparison}"));
    if let Some(folder) = &planned.folder {
        line(format_args!("folder    {}", folder.display()));
    }
    let failed = runs.iter().filter(|run| run.outcome.is_err()).count();
    match failed {
        0 => Ok(()),
        _ => Err(Failure::other(format!(
            "{failed} of {} runs failed",
            runs.len()
        ))),
    }
}

/// Reports every run by itself.
fn each(planned: &Planned<'_>, runs: &[Labelled]) {
    for (planned, run) in planned.runs.iter().zip(runs) {
        if let Ok(summary) = &run.outcome {
            report(summary, &planned.out);
        }
    }
}
