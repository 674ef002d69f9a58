//! `lyceum compare`: a table over finished runs.

use crate::output::line;
use crate::{arguments::Compare, failure::Failure};
use lyceum_metrics::{Labelled, Summary, compare as table};
use std::path::Path;

/// Reads the summaries of runs and prints them side by side.
pub(crate) fn compare(arguments: &Compare) -> Result<(), Failure> {
    let runs = arguments
        .runs
        .iter()
        .map(|path| read(path))
        .collect::<Result<Vec<_>, _>>()?;
    let table = table(&runs);
    if arguments.markdown {
        line(format_args!("{}", table.to_markdown()))
    } else {
        line(format_args!("{table}"))
    }
    Ok(())
}

fn read(folder: &Path) -> Result<Labelled, Failure> {
    let summary = Summary::read(&folder.join("summary.json")).map_err(Failure::input)?;
    Ok(Labelled {
        label: summary.name.clone(),
        summary,
    })
}
