//! Runs that some measures are against: a single-task expert for each task, and one learner of all tasks at once.
//!
//! They are made when a measure needs them, in the folder of the run that they belong to, and found there again.

use crate::{failure::Failure, settings::ProcessSettings};
use lyceum_core::{Event, Probe, TaskId};
use lyceum_metrics::{EVENTS, EventReader, Status, StreamRecord, continual::TaskValues};
use lyceum_scenarios::{Registry, Scenario};
use lyceum_simulation::{Settings, run};
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::atomic::AtomicBool,
    time::{Duration, Instant},
};

/// Folder of these runs in that of the run they belong to.
const FOLDER: &str = "experts";

/// What references need besides the run's folder.
pub(crate) struct Bench<'a> {
    pub(crate) registry: &'a Registry,
    pub(crate) process: &'a ProcessSettings,
    /// Where data sets are looked for.
    pub(crate) data: &'a [PathBuf],
    /// Says what is going on.
    pub(crate) say: &'a dyn Fn(&str),
}

/// Values of the references for tasks in the order of a curve: an expert's on its own task, and the joint learner's.
pub(crate) fn values(
    bench: &Bench<'_>,
    folder: &Path,
    record: &StreamRecord,
    tasks: &[TaskId],
) -> Result<TaskValues, Failure> {
    let rounds = rounds_per_task(record);
    let mut values = TaskValues::default();
    for task in tasks {
        let name = format!("task-{task}");
        let order = format!("order={{ given = {{ tasks = [{task}] }} }}");
        let found = reference(
            bench,
            folder,
            &name,
            rounds,
            &[order, "method=\"naive\"".into()],
        )?;
        values.expert.push(found.get(task).copied());
    }
    let joint = reference(bench, folder, "joint", rounds, &["method=\"joint\"".into()])?;
    values.joint = tasks.iter().map(|task| joint.get(task).copied()).collect();
    Ok(values)
}

/// Rounds that the first task lasts.
fn rounds_per_task(record: &StreamRecord) -> u64 {
    let first = record.order().first();
    first.map_or(1, |visit| visit.ends.saturating_sub(visit.begins).max(1))
}

/// Accuracy per task at the end of a reference run, which is made if it is not there.
fn reference(
    bench: &Bench<'_>,
    folder: &Path,
    name: &str,
    rounds: u64,
    keys: &[String],
) -> Result<BTreeMap<TaskId, f64>, Failure> {
    let file = folder.join("scenario.toml");
    let text = std::fs::read_to_string(&file)
        .map_err(|e| Failure::input(format_args!("{}: {e}", file.display())))?;
    let plain = Scenario::read(bench.registry, &file.display().to_string(), &text, &[])?;
    let Some(stream) = &plain.stream else {
        return Err(Failure::input(format_args!(
            "{}: there is no stream of tasks",
            file.display()
        )));
    };
    let kind = stream.kind.name;
    let text = undisturbed(&plain, kind);
    let mut set: Vec<String> = keys
        .iter()
        .map(|key| format!("scenario.{kind}.{key}"))
        .collect();
    set.push(format!("run.rounds={rounds}"));
    set.push(format!("evaluation.every={rounds}"));
    set.push(format!("scenario.{kind}.arrival.rounds_per_task={rounds}"));
    let scenario = Scenario::read(bench.registry, &file.display().to_string(), &text, &set)?;
    let out = folder.join(FOLDER).join(name);
    let settings = Settings {
        threads: bench.process.threads(None)?,
        folders: bench
            .process
            .folders(bench.data, &file, &plain.data.folders),
        resume: out.exists(),
        out: out.clone(),
        checkpoint_every: Duration::from_secs(10),
        updates_bytes: bench.process.updates_bytes(),
        facts: None,
        started: Instant::now(),
    };
    (bench.say)(&format!("{name}: {rounds} rounds"));
    let never = AtomicBool::new(false);
    let observe = &mut |event: &Event| {
        // A reference has the tasks that it is for.
        let told = |message: &&String| !message.starts_with(lyceum_scenarios::LEFT_OUT);
        if let Some(message) = warned(event).filter(told) {
            (bench.say)(&format!("warning: {message}"));
        }
    };
    let summary = run(&scenario, bench.registry, &settings, &never, observe)?;
    if summary.status != Status::Finished {
        return Err(Failure::other(format!(
            "{}: {}",
            out.display(),
            summary.status
        )));
    }
    last_accuracies(&out.join(EVENTS))
}

/// A scenario without what says when tasks and clients come: a reference has one task, or all, and every client, from its
/// first round to its last.
fn undisturbed(scenario: &Scenario, kind: &str) -> String {
    let mut table = scenario.resolved();
    table.remove("timeline");
    let stream = table.get_mut("scenario").and_then(|s| s.get_mut(kind));
    if let Some(stream) = stream.and_then(toml::Value::as_table_mut) {
        stream.remove("gate");
        stream.remove("arrival");
    }
    table.to_string()
}

fn warned(event: &Event) -> Option<&String> {
    match event {
        Event::Warned { message } => Some(message),
        _ => None,
    }
}

fn last_accuracies(events: &Path) -> Result<BTreeMap<TaskId, f64>, Failure> {
    let mut last = BTreeMap::new();
    for event in EventReader::open(events).map_err(Failure::other)? {
        if let Event::Evaluated {
            probe: Probe::Task(task),
            accuracy,
            ..
        } = event.map_err(Failure::other)?
        {
            last.insert(task, accuracy);
        }
    }
    Ok(last)
}
