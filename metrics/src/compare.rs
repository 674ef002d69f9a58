//! Groups of runs side by side.

mod group;

use crate::labelled::Labelled;
use crate::measure::{Measure, Unit};
use crate::replacement::Replacement;
use crate::rows::{Cell, Kind};
use crate::run_table::{Columns, SettingColumns, real};
use crate::statistics::{Interval, holm, p_value};
use crate::tables::{TableError, csv_text, write_both};
use group::{Group, grouped, measures};
use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, Write};
use std::path::Path;

/// A group of runs.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// Name of the group.
    pub label: String,
    /// What sets it apart.
    pub settings: Vec<(String, String)>,
    /// Runs in it that count: finished ones, one for each seed.
    pub runs: usize,
    /// A cell for each measure of the comparison, over the runs that have it.
    pub values: Vec<Option<Interval>>,
    /// The group that this one is compared with.
    pub baseline: Option<String>,
    /// A cell for each measure: its runs minus the baseline's runs of the same seeds.
    pub differences: Vec<Option<Interval>>,
    /// A cell for each measure: the p-value of that difference, corrected for the number of all in the table (Holm 1979).
    /// `None` where there are not several.
    pub p_values: Vec<Option<f64>>,
}

/// Groups of runs side by side; as text by [`fmt::Display`], as Markdown by [`Comparison::to_markdown`], as files by
/// [`Comparison::write`]. People see `mean ± half width` of the 95 % interval of Student's t over the seeds, and the
/// bare mean where there is one run.
#[derive(Clone, Debug, PartialEq)]
pub struct Comparison {
    /// What is compared: every measure that any run has.
    pub measures: Vec<Measure>,
    /// One a group, in the order in which the groups came.
    pub rows: Vec<Row>,
    /// Runs that are in no number, and why.
    pub left_out: Vec<String>,
    /// What else a reader of the numbers has to know.
    pub notes: Vec<String>,
}

/// Aggregates runs by label: the finished ones, one for each seed. `baselines` names, for each label, the one that it is
/// paired with by seed; a label that it does not name, or names as its own, has no difference.
pub fn compare(runs: &[Labelled], baselines: &BTreeMap<String, String>) -> Comparison {
    let (groups, left_out) = grouped(runs);
    let measures = measures(&groups);
    let mut notes: Vec<String> = groups.iter().filter_map(Group::unmeasured).collect();
    let rows = groups.iter().map(|group| {
        let baseline = baselines
            .get(group.label)
            .and_then(|label| groups.iter().find(|other| other.label == label))
            .filter(|other| other.label != group.label);
        notes.extend(baseline.and_then(|other| group.unpaired(other)));
        let cell = |measure: &Measure| baseline.and_then(|other| group.minus(other, &measure.key));
        Row {
            label: group.label.to_owned(),
            settings: group.settings.to_vec(),
            runs: group.runs.len(),
            values: measures.iter().map(|m| group.over(&m.key)).collect(),
            baseline: baseline.map(|other| other.label.to_owned()),
            differences: measures.iter().map(cell).collect(),
            p_values: vec![None; measures.len()],
        }
    });
    let mut rows: Vec<Row> = rows.collect();
    correct(&mut rows);
    Comparison {
        measures,
        rows,
        left_out,
        notes,
    }
}

/// Gives each difference its p-value, corrected for their number, where there are several.
fn correct(rows: &mut [Row]) {
    let cells = rows.iter_mut().flat_map(|row| {
        let pairs = row.differences.iter().zip(&mut row.p_values);
        pairs.filter_map(|(difference, slot)| Some((p_value(difference.as_ref()?)?, slot)))
    });
    let (p_values, slots): (Vec<f64>, Vec<_>) = cells.unzip();
    if p_values.len() < 2 {
        return;
    }
    for (slot, p) in slots.into_iter().zip(holm(&p_values)) {
        *slot = Some(p);
    }
}

fn shown(interval: Option<Interval>, unit: Unit, signed: bool) -> String {
    let Some(Interval {
        mean, half_width, ..
    }) = interval
    else {
        return "-".to_owned();
    };
    let mean = unit.show(mean, signed);
    match half_width {
        Some(half) => format!("{mean} ± {}", unit.show(half, false)),
        None => mean,
    }
}

/// A corrected p-value, behind its interval.
fn with_p(cell: String, p: Option<f64>) -> String {
    match p {
        None => cell,
        Some(p) if p < 0.001 => format!("{cell} (p < 0.001)"),
        Some(p) => format!("{cell} (p {p:.3})"),
    }
}

impl Comparison {
    /// Differences that have a corrected p-value.
    fn tested(&self) -> usize {
        let all = self.rows.iter().flat_map(|row| &row.p_values);
        all.filter(|p| p.is_some()).count()
    }

    /// Whether any group is compared with another.
    fn differs(&self) -> bool {
        self.rows.iter().any(|row| row.baseline.is_some())
    }

    /// The group that all others are compared with, if it is one.
    fn one_baseline(&self) -> Option<&str> {
        let mut baselines = self.rows.iter().filter_map(|row| row.baseline.as_deref());
        let first = baselines.next()?;
        baselines.all(|other| other == first).then_some(first)
    }

    fn header(&self) -> Vec<String> {
        let mut cells = vec!["group".to_owned(), "runs".to_owned()];
        cells.extend(self.measures.iter().map(Measure::head));
        if self.differs() {
            let deltas = self.measures.iter().map(|m| format!("Δ {}", m.title));
            cells.extend(deltas);
            if self.one_baseline().is_none() {
                cells.push("against".to_owned());
            }
        }
        cells
    }

    fn cells(&self, row: &Row) -> Vec<String> {
        let of = |cells: &[Option<Interval>], signed| -> Vec<String> {
            let cells = cells.iter().zip(&self.measures);
            cells.map(|(&c, m)| shown(c, m.unit, signed)).collect()
        };
        let mut line = vec![row.label.clone(), row.runs.to_string()];
        line.extend(of(&row.values, false));
        if self.differs() {
            let cells = of(&row.differences, true).into_iter().zip(&row.p_values);
            line.extend(cells.map(|(cell, &p)| with_p(cell, p)));
            if self.one_baseline().is_none() {
                line.push(row.baseline.clone().unwrap_or_else(|| "-".to_owned()));
            }
        }
        line
    }

    /// What the columns are, then the notes.
    fn remarks(&self) -> Vec<String> {
        let against = self
            .one_baseline()
            .unwrap_or("the group in the last column");
        let legend = format!("Δ: difference from {against}, paired by seed");
        let legend = self.differs().then_some(legend);
        let several = self.rows.iter().any(|row| row.runs > 1);
        let interval = several.then(|| "±: half of the 95 % interval".to_owned());
        let tested = self.tested();
        let p = format!("p: of the paired t test, corrected for {tested} differences (Holm)");
        let p = (tested > 0).then_some(p);
        let legends = legend.into_iter().chain(interval).chain(p);
        legends.chain(self.notes.iter().cloned()).collect()
    }

    /// The table as Markdown, between what is left out and its notes.
    pub fn to_markdown(&self) -> String {
        let header = self.header();
        let left_out = self.left_out.iter().map(|one| format!("* left out: {one}"));
        let mut lines: Vec<String> = left_out.collect();
        if !lines.is_empty() {
            lines.push(String::new());
        }
        lines.push(format!("| {} |", header.join(" | ")));
        lines.push(format!("| --- |{}", " ---: |".repeat(header.len() - 1)));
        for row in &self.rows {
            let cells = self.cells(row).into_iter();
            let cells: Vec<_> = cells.map(|cell| cell.replace('|', "\\|")).collect();
            lines.push(format!("| {} |", cells.join(" | ")));
        }
        let remarks = self.remarks();
        if !remarks.is_empty() {
            lines.push(String::new());
        }
        lines.extend(remarks.iter().map(|remark| format!("* {remark}")));
        lines.join("\n") + "\n"
    }

    /// The table as comma-separated text with a line of names: means, half widths of intervals, and the same of the
    /// differences. Shares are shares, not percent.
    pub fn to_csv(&self) -> Result<String, TableError> {
        let (columns, rows) = self.in_full();
        csv_text(&columns.list(), &rows)
    }

    /// Writes the table as `<stem>.csv`, `<stem>.parquet` and `<stem>.md`.
    pub fn write(&self, folder: &Path, stem: &str) -> Result<(), TableError> {
        let (columns, rows) = self.in_full();
        write_both(folder, stem, &columns.list(), rows)?;
        let path = folder.join(format!("{stem}.md"));
        let written = write_text(&path, &self.to_markdown());
        written.map_err(|e| TableError::Csv {
            path,
            source: e.into(),
        })
    }

    /// Columns and rows for programs.
    fn in_full(&self) -> (Columns, Vec<Vec<Cell>>) {
        let settings = SettingColumns::of(self.rows.iter().map(|row| row.settings.as_slice()));
        let mut columns = Columns::default();
        columns.always("label", Kind::Text);
        settings.add_to(&mut columns);
        columns.always("runs", Kind::Count);
        columns.sometimes("baseline", Kind::Text);
        for key in self.measures.iter().map(|measure| &measure.key) {
            for end in [
                "",
                "_half_width",
                "_difference",
                "_difference_half_width",
                "_difference_p_holm",
            ] {
                columns.sometimes(format!("{key}{end}"), Kind::Real);
            }
        }
        let rows = self.rows.iter().map(|row| {
            let mut cells = vec![Cell::Text(row.label.clone())];
            cells.extend(settings.cells(&row.settings));
            cells.push(Cell::Count(row.runs as u64));
            cells.push(row.baseline.clone().map_or(Cell::Empty, Cell::Text));
            let differences = row.differences.iter().zip(&row.p_values);
            let pairs = row.values.iter().zip(differences);
            cells.extend(pairs.flat_map(|(&value, (&difference, &p))| {
                let [mean, half] = numbers(value);
                let [by, by_half] = numbers(difference);
                [mean, half, by, by_half, real(p)]
            }));
            cells
        });
        let rows = rows.collect();
        (columns, rows)
    }
}

fn numbers(interval: Option<Interval>) -> [Cell; 2] {
    let half_width = interval.and_then(|i| i.half_width);
    [interval.map(|i| i.mean), half_width].map(real)
}

fn write_text(path: &Path, text: &str) -> io::Result<()> {
    let (replacement, mut file) = Replacement::begin(path)?;
    file.write_all(text.as_bytes())?;
    replacement.commit(file)
}

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for one in &self.left_out {
            writeln!(f, "left out: {one}")?;
        }
        if !self.left_out.is_empty() {
            writeln!(f)?;
        }
        let mut lines = vec![self.header()];
        lines.extend(self.rows.iter().map(|row| self.cells(row)));
        let width = |column: usize| lines.iter().map(|line| line[column].chars().count()).max();
        let widths: Vec<_> = (0..lines[0].len()).filter_map(width).collect();
        for line in &lines {
            write!(f, "{:<width$}", line[0], width = widths[0])?;
            for (cell, width) in line.iter().zip(&widths).skip(1) {
                write!(f, "  {cell:>width$}")?;
            }
            writeln!(f)?;
        }
        let remarks = self.remarks();
        if !remarks.is_empty() {
            writeln!(f)?;
        }
        remarks
            .iter()
            .try_for_each(|remark| writeln!(f, "{remark}"))
    }
}

#[cfg(test)]
mod tests;
