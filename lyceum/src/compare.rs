//! `lyceum compare`: a table over finished runs.

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
        println!("{}", table.to_markdown())
    } else {
        println!("{table}")
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
