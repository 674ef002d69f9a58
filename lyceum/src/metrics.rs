//! `lyceum metrics`: measures of continual learning from what was recorded.

mod lifetime;
mod matrix;
mod options;
mod table;

pub(crate) use options::Options;

use crate::failure::Failure;
use crate::output::line;
use lyceum_metrics::{EVENTS, Setup, l2log, read_matrices};
use options::Format;
use serde::Serialize;
use std::path::Path;
use table::Table;

/// Reads what was recorded and prints its measures.
pub(crate) fn metrics(options: &Options) -> Result<(), Failure> {
    let path = options.file.as_path();
    if path.join(l2log::LOGGER_INFO).is_file() {
        options.refuse_those_of_matrices()?;
        return lifetime::print(options);
    }
    options.refuse_those_of_lifetimes()?;
    let setups = if path.is_dir() {
        run_matrices(path)?
    } else {
        read_matrices(path).map_err(Failure::input)?
    };
    matrix::print(options, &setups)
}

/// The accuracy matrices that a run of Lyceum recorded, one for each stream of tasks.
fn run_matrices(folder: &Path) -> Result<Vec<Setup>, Failure> {
    let name = folder.display();
    if !folder.join(EVENTS).is_file() {
        return Err(Failure::input(format_args!(
            "{name}: the folder holds neither {EVENTS} nor {}; a run, a lifetime or an accuracy matrix \
             as CSV is right",
            l2log::LOGGER_INFO
        )));
    }
    Err(Failure::input(format_args!(
        "{name}/{EVENTS}: the run holds no task stream, so there is nothing to remember or forget; \
         `lyceum compare {name}` shows what it holds"
    )))
}

/// Prints in the form that was asked for: `json` if it is JSON, otherwise the table below its title.
fn show(
    options: &Options,
    title: &str,
    table: &Table,
    json: &impl Serialize,
) -> Result<(), Failure> {
    match options.format() {
        Format::Json => {
            let text = serde_json::to_string_pretty(json).map_err(Failure::other)?;
            line(format_args!("{text}"));
        }
        Format::Markdown => line(format_args!("{}", table.to_markdown().trim_end())),
        Format::Text => line(format_args!("{title}\n\n{}", table.to_string().trim_end())),
    }
    Ok(())
}
