//! `lyceum metrics`: measures of continual learning from what was recorded.

mod lifetime;
mod matrix;
mod options;
mod recorded;
mod table;
mod units;

pub(crate) use options::Options;

use crate::failure::Failure;
use crate::output::line;
use lyceum_metrics::{continual::TaskValues, l2log, read_matrices};
use lyceum_scenarios::Registry;
use options::Format;
use serde::Serialize;
use table::Table;

/// Reads what was recorded and prints its measures.
pub(crate) fn metrics(registry: &Registry, options: &Options) -> Result<(), Failure> {
    let path = options.file.as_path();
    if path.join(l2log::LOGGER_INFO).is_file() {
        options.refuse_those_of_matrices()?;
        return lifetime::print(options);
    }
    options.refuse_those_of_lifetimes()?;
    if path.is_dir() {
        return recorded::print(registry, options);
    }
    options.refuse_those_of_runs()?;
    if !path.exists() {
        return Err(Failure::input(format_args!(
            "{}: there is no such file or folder; expected a CSV file with an accuracy matrix, a lifetime's folder or a run's",
            path.display()
        )));
    }
    let setups = read_matrices(path).map_err(Failure::input)?;
    let known = vec![TaskValues::default(); setups.len()];
    matrix::print(options, &setups, known, Vec::new())
}

/// Prints in the form that was asked for: `json` if it is JSON, otherwise the table below its title and above its notes.
fn show(
    options: &Options,
    title: &str,
    table: &Table,
    notes: &[String],
    json: &impl Serialize,
) -> Result<(), Failure> {
    match options.format() {
        Format::Json => {
            let text = serde_json::to_string_pretty(json).map_err(Failure::other)?;
            line(format_args!("{text}"));
        }
        Format::Markdown => {
            let notes = lines(notes, "* ");
            line(format_args!("{}{notes}", table.to_markdown().trim_end()));
        }
        Format::Text => {
            let notes = lines(notes, "");
            let table = table.to_string();
            line(format_args!("{title}\n\n{}{notes}", table.trim_end()));
        }
    }
    Ok(())
}

/// Notes, each in a line of its own, behind an empty one.
fn lines(notes: &[String], bullet: &str) -> String {
    let lines = notes.iter().map(|note| format!("\n{bullet}{note}"));
    std::iter::once("\n".to_owned())
        .filter(|_| !notes.is_empty())
        .chain(lines)
        .collect()
}
