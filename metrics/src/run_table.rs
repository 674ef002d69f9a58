//! Runs and groups of runs as tables whose columns are not known beforehand.

use crate::labelled::Labelled;
use crate::rows::{Cell, Column, Kind, column};
use crate::tables::{TableError, write_both};
use std::collections::BTreeMap;
use std::path::Path;

/// Columns with names of their own.
#[derive(Default)]
pub(crate) struct Columns(Vec<(String, Kind, bool)>);

impl Columns {
    /// A column whose cells are never empty.
    pub(crate) fn always(&mut self, name: impl Into<String>, kind: Kind) {
        self.0.push((name.into(), kind, false));
    }

    /// A column whose cells may be empty.
    pub(crate) fn sometimes(&mut self, name: impl Into<String>, kind: Kind) {
        self.0.push((name.into(), kind, true));
    }

    pub(crate) fn list(&self) -> Vec<Column<'_>> {
        let columns = self.0.iter();
        columns
            .map(|(name, kind, optional)| column(name, *kind, *optional))
            .collect()
    }
}

/// The keys that runs were set apart by, and whether the values of each are all numbers.
pub(crate) struct SettingColumns(Vec<(String, Kind)>);

impl SettingColumns {
    /// The keys of all these, in the order in which they are met.
    pub(crate) fn of<'a>(all: impl Iterator<Item = &'a [(String, String)]>) -> Self {
        let mut columns: Vec<(String, Kind)> = Vec::new();
        for (key, value) in all.flatten() {
            let kind = match value.parse::<f64>() {
                Ok(_) => Kind::Real,
                Err(_) => Kind::Text,
            };
            match columns.iter_mut().find(|(known, _)| known == key) {
                Some((_, known)) if kind == Kind::Text => *known = kind,
                Some(_) => {}
                None => columns.push((key.clone(), kind)),
            }
        }
        Self(columns)
    }

    pub(crate) fn add_to(&self, columns: &mut Columns) {
        for (key, kind) in &self.0 {
            columns.sometimes(key, *kind);
        }
    }

    /// The cells of one row; empty where it does not set a key.
    pub(crate) fn cells(&self, settings: &[(String, String)]) -> Vec<Cell> {
        let settings: BTreeMap<_, _> = settings.iter().map(|(k, v)| (k, v)).collect();
        let cell = |(key, kind): &(String, Kind)| match (settings.get(key), kind) {
            (Some(value), Kind::Real) => value.parse().map_or(Cell::Empty, Cell::Real),
            (Some(value), _) => Cell::Text((*value).clone()),
            (None, _) => Cell::Empty,
        };
        self.0.iter().map(cell).collect()
    }
}

/// A value, or an empty cell.
pub(crate) fn real(value: Option<f64>) -> Cell {
    value.map_or(Cell::Empty, Cell::Real)
}

/// Writes `<stem>.csv` and `<stem>.parquet` with a row per run: label, seed, what sets it apart, how it ended, its
/// measures, its fingerprint and, if it failed, why. Shares are shares, not percent.
pub fn write_runs(folder: &Path, stem: &str, runs: &[Labelled]) -> Result<(), TableError> {
    let settings = SettingColumns::of(runs.iter().map(|run| run.settings.as_slice()));
    let measures = measure_keys(runs);
    let mut columns = Columns::default();
    columns.always("label", Kind::Text);
    columns.always("seed", Kind::Count);
    settings.add_to(&mut columns);
    columns.always("status", Kind::Text);
    columns.sometimes("rounds", Kind::Count);
    measures
        .iter()
        .for_each(|key| columns.sometimes(key, Kind::Real));
    columns.sometimes("fingerprint", Kind::Text);
    columns.sometimes("reason", Kind::Text);
    let rows = runs.iter().map(|run| {
        let mut row = vec![Cell::Text(run.label.clone()), Cell::Count(run.seed)];
        row.extend(settings.cells(&run.settings));
        row.extend(ending(run, &measures));
        row
    });
    write_both(folder, stem, &columns.list(), rows.collect())
}

/// Names of all measures, in the order in which they are met.
fn measure_keys(runs: &[Labelled]) -> Vec<String> {
    let mut keys: Vec<String> = Vec::new();
    for summary in runs.iter().filter_map(|run| run.outcome.as_ref().ok()) {
        for (measure, _) in summary.measured() {
            if !keys.contains(&measure.key) {
                keys.push(measure.key);
            }
        }
    }
    keys
}

/// The cells from the status on.
fn ending(run: &Labelled, measures: &[String]) -> Vec<Cell> {
    let mut cells = Vec::new();
    match &run.outcome {
        Ok(summary) => {
            let values: BTreeMap<_, _> = summary
                .measured()
                .into_iter()
                .map(|(measure, value)| (measure.key, value))
                .collect();
            cells.push(Cell::Text(summary.status.to_string()));
            cells.push(Cell::Count(summary.rounds));
            cells.extend(measures.iter().map(|key| real(values.get(key).copied())));
            cells.push(Cell::Text(summary.fingerprint.to_string()));
            cells.push(Cell::Empty);
        }
        Err(reason) => {
            cells.push(Cell::Text("failed".to_owned()));
            cells.resize(measures.len() + 3, Cell::Empty);
            cells.push(Cell::Text(reason.clone()));
        }
    }
    cells
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::summary::Status;
    use crate::{Conditions, Summary, SummaryBuilder};

    #[test]
    fn a_row_per_run_holds_what_sets_it_apart_and_how_it_ended() {
        let folder = tempfile::tempdir().unwrap();
        let settings = |rate: &str, rule: &str| {
            let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
            vec![pair("training.rate", rate), pair("strategy", rule)]
        };
        let summary = Summary {
            seed: 3,
            status: Status::Finished,
            final_accuracy: Some(0.5),
            ..SummaryBuilder::new().summary(Conditions::default())
        };
        let fingerprint = summary.fingerprint;
        let good = Labelled {
            label: "a".to_owned(),
            settings: settings("0.10", "fed_avg"),
            ..Labelled::named(summary)
        };
        let failed = Labelled {
            label: "b".to_owned(),
            seed: 4,
            settings: settings("1", "2"),
            folder: None,
            outcome: Err("it diverged, badly".to_owned()),
        };
        write_runs(folder.path(), "runs", &[good, failed]).unwrap();
        let text = std::fs::read_to_string(folder.path().join("runs.csv")).unwrap();
        let expected = format!(
            "label,seed,training.rate,strategy,status,rounds,final_accuracy,fingerprint,reason\n\
             a,3,0.1,fed_avg,finished,0,0.5,{fingerprint},\n\
             b,4,1,2,failed,,,,\"it diverged, badly\"\n"
        );
        assert_eq!(text, expected);
        assert!(folder.path().join("runs.parquet").exists());
    }
}
