//! `lyceum compare`: a table over finished runs.

mod alike;

use crate::output::{complain, line};
use crate::{
    arguments::Compare,
    failure::Failure,
    folder::{has_run, readable},
};
use alike::{Found, label};
use lyceum_metrics::compare as table;
use lyceum_scenarios::baselines;
use std::path::{Path, PathBuf};

const SUMMARY: &str = "summary.json";

/// Reads the summaries of runs and prints them side by side.
pub(crate) fn compare(arguments: &Compare) -> Result<(), Failure> {
    let folders = arguments.runs.iter().flat_map(|path| runs_in(path));
    let mut unended = Vec::new();
    let mut found = Vec::new();
    let mut damaged: Vec<Failure> = Vec::new();
    for folder in folders {
        match folder.join(SUMMARY).is_file() {
            true => match Found::read(&folder) {
                Ok(run) => found.push(run),
                Err(failure) => damaged.push(failure),
            },
            false => unended.push(without_summary(&folder)?),
        }
    }
    if found.is_empty() {
        damaged.extend((!unended.is_empty()).then(|| Failure::input(unended.join("\n"))));
        return all_of(damaged);
    }
    let (runs, renamed) = label(found);
    let mut labels: Vec<&str> = Vec::new();
    for run in &runs {
        if !labels.contains(&run.label.as_str()) {
            labels.push(&run.label);
        }
    }
    let baselines = baselines(&labels, arguments.baseline.as_deref());
    if let Some(wanted) = arguments
        .baseline
        .as_deref()
        .filter(|_| baselines.is_empty())
    {
        let labels = labels.join(", ");
        return Err(Failure::input(format!(
            "--baseline {wanted}: expected a name among these runs, or parts of one: {labels}"
        )));
    }
    let mut table = table(&runs, &baselines);
    table.notes.extend(renamed);
    table.left_out.extend(unended);
    if arguments.csv {
        let text = table.to_csv().map_err(Failure::other)?;
        line(format_args!("{}", text.trim_end()));
        // A program reads the table, a person what is not in it.
        for one in &table.left_out {
            complain(&format!("left out: {one}\n"));
        }
    } else if arguments.markdown {
        line(format_args!("{}", table.to_markdown()));
    } else {
        line(format_args!("{table}"));
    }
    all_of(damaged)
}

/// Several failures as one; none is none.
fn all_of(failures: Vec<Failure>) -> Result<(), Failure> {
    let told: Vec<String> = failures.iter().map(Failure::sentence).collect();
    match told.is_empty() {
        true => Ok(()),
        false => Err(Failure::input(told.join("\nerror: "))),
    }
}

/// What to say of a run that has no summary; an error where there is no run at all.
fn without_summary(folder: &Path) -> Result<String, Failure> {
    readable(folder)?;
    let shown = folder.display();
    if has_run(folder) && folder.join("checkpoint/finished.json").is_file() {
        return Ok(format!(
            "{shown}: the run is finished, and its {SUMMARY} is gone; `lyceum run` with --resume makes it again"
        ));
    }
    if has_run(folder) {
        return Ok(format!(
            "{shown}: it was killed, or is still running; `lyceum run` with --resume goes on with it"
        ));
    }
    let what = match (folder.is_dir(), folder.exists()) {
        (true, _) => "the folder holds no run",
        (_, true) => "this is no folder of a run",
        _ => "there is no such folder",
    };
    Err(Failure::input(format!("{shown}: {what}")))
}

/// The folder of a run, or the folders of runs in that of a sweep.
fn runs_in(path: &Path) -> Vec<PathBuf> {
    let summary = |folder: &Path| folder.join(SUMMARY).is_file();
    let inside = std::fs::read_dir(path).into_iter().flatten().flatten();
    let mut folders: Vec<PathBuf> = inside
        .map(|entry| entry.path())
        .filter(|folder| summary(folder))
        .collect();
    folders.sort();
    match summary(path) || folders.is_empty() {
        true => vec![path.to_path_buf()],
        false => folders,
    }
}
