//! `lyceum tasks`: a database of tasks, as files, tables and JSON.

mod options;
mod show;
mod write;

pub(crate) use options::Options;

use crate::{
    failure::Failure,
    output::{line, warn},
};
use lyceum_scenarios::Registry;
use lyceum_task_store::{Store, StoreOptions};
use options::Tasks;
use serde::Serialize;
use std::path::{Path, PathBuf};

/// What a store is in a folder, or in the folder of a run.
const LOG: &str = "tasks.jsonl";
/// Where a run has its store.
const OF_RUN: &str = "tasks";

/// Does what was asked of a store.
pub(crate) fn tasks(registry: &Registry, options: &Options) -> Result<(), Failure> {
    let folder = found(&options.folder);
    let of_process = StoreOptions {
        rules: registry.merge_rules.clone(),
        ..StoreOptions::default()
    };
    if let Tasks::Check { repair, json } = &options.command {
        return show::check(&folder, of_process, *repair, *json);
    }
    if let Tasks::Add(add) = &options.command {
        return write::add(&folder, of_process, add);
    }
    let mut store = opened(Store::open(&folder, of_process)?);
    match &options.command {
        Tasks::List { unknown, json } => show::list(&store, *unknown, *json),
        Tasks::Show {
            task,
            samples,
            json,
        } => show::show(&store, task, *samples, *json),
        Tasks::Export(export) => write::export(&store, export),
        Tasks::Merge { task, of, rule } => write::merge(&mut store, task, of, rule),
        Tasks::Solved(solved) => write::solved(&mut store, &registry.solvers, solved),
        Tasks::Add(_) | Tasks::Check { .. } => Ok(()),
    }
}

/// Where the store is, or would be made: in the folder, or below it if it is a run's.
fn found(folder: &Path) -> PathBuf {
    let below = folder.join(OF_RUN);
    let is_run = folder.join("scenario.toml").is_file();
    match !folder.join(LOG).is_file() && (is_run || below.join(LOG).is_file()) {
        true => below,
        false => folder.to_path_buf(),
    }
}

/// Tells what was damaged and was made again.
fn opened(store: Store) -> Store {
    store.notes().iter().for_each(|note| warn(note));
    store
}

fn print_json(value: &impl Serialize) -> Result<(), Failure> {
    let text = serde_json::to_string_pretty(value).map_err(Failure::other)?;
    line(format_args!("{text}"));
    Ok(())
}
