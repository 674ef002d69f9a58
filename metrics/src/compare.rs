//! Groups of runs side by side.

use crate::measure::{Measure, Unit};
use crate::replacement::Replacement;
use crate::rows::{Cell, Kind};
use crate::run_table::{Columns, SettingColumns, real};
use crate::statistics::{Interval, interval, paired};
use crate::summary::{Status, Summary};
use crate::tables::{TableError, csv_text, write_both};
use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, Write};
use std::path::Path;

/// A run and the group that it belongs to.
#[derive(Clone, Debug, PartialEq)]
pub struct Labelled {
    /// Name of the group; the runs of a group differ in their seeds.
    pub label: String,
    /// Root of all randomness.
    pub seed: u64,
    /// What sets the group apart: dotted keys with their values, in the order of columns.
    pub settings: Vec<(String, String)>,
    /// The run, or why it failed.
    pub outcome: Result<Summary, String>,
}

impl Labelled {
    /// A run that is labelled by its name.
    pub fn named(summary: Summary) -> Self {
        Self {
            label: summary.name.clone(),
            seed: summary.seed,
            settings: Vec::new(),
            outcome: Ok(summary),
        }
    }
}

/// A group of runs.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// Name of the group.
    pub label: String,
    /// What sets it apart.
    pub settings: Vec<(String, String)>,
    /// Runs in it that did not fail.
    pub runs: usize,
    /// A cell for each measure of the comparison, over the runs that have it.
    pub values: Vec<Option<Interval>>,
    /// The group that this one is compared with.
    pub baseline: Option<String>,
    /// A cell for each measure: its runs minus the baseline's runs of the same seeds.
    pub differences: Vec<Option<Interval>>,
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
    /// What a reader of the numbers has to know.
    pub notes: Vec<String>,
}

/// Aggregates runs by label. `baselines` names, for each label, the one that it is paired with by seed; a label that it
/// does not name, or names as its own, has no difference.
pub fn compare(runs: &[Labelled], baselines: &BTreeMap<String, String>) -> Comparison {
    let groups = grouped(runs);
    let mut notes: Vec<_> = runs.iter().filter_map(unfinished).collect();
    for group in &groups {
        notes.extend(group.repeated());
    }
    let measures = measures(&groups);
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
        }
    });
    let rows = rows.collect();
    Comparison {
        measures,
        rows,
        notes,
    }
}

/// The runs of one label.
struct Group<'a> {
    label: &'a str,
    settings: &'a [(String, String)],
    runs: Vec<Measured>,
}

/// A run by its measures.
struct Measured {
    seed: u64,
    values: Vec<(Measure, f64)>,
}

impl Measured {
    fn value(&self, key: &str) -> Option<f64> {
        let mut values = self.values.iter();
        Some(values.find(|(measure, _)| measure.key == key)?.1)
    }
}

/// Groups in the order of their first runs.
fn grouped(runs: &[Labelled]) -> Vec<Group<'_>> {
    let mut groups: Vec<Group<'_>> = Vec::new();
    let mut places = BTreeMap::new();
    for run in runs {
        let place = *places.entry(run.label.as_str()).or_insert(groups.len());
        if place == groups.len() {
            groups.push(Group {
                label: &run.label,
                settings: &run.settings,
                runs: Vec::new(),
            });
        }
        if let Ok(summary) = &run.outcome {
            groups[place].runs.push(Measured {
                seed: run.seed,
                values: summary.measured(),
            });
        }
    }
    groups
}

/// Every measure that any run has, in the order in which they are met.
fn measures(groups: &[Group<'_>]) -> Vec<Measure> {
    let mut found: Vec<Measure> = Vec::new();
    let runs = groups.iter().flat_map(|group| &group.runs);
    for (measure, _) in runs.flat_map(|run| &run.values) {
        if !found.iter().any(|known| known.key == measure.key) {
            found.push(measure.clone());
        }
    }
    found
}

impl Group<'_> {
    fn over(&self, key: &str) -> Option<Interval> {
        let values: Vec<_> = self.runs.iter().filter_map(|run| run.value(key)).collect();
        interval(&values)
    }

    fn minus(&self, other: &Self, key: &str) -> Option<Interval> {
        let (ours, theirs): (Vec<_>, Vec<_>) = self
            .seeds()
            .into_iter()
            .filter_map(|seed| {
                let ours = self.of_seed(seed)?.value(key)?;
                Some((ours, other.of_seed(seed)?.value(key)?))
            })
            .unzip();
        paired(&ours, &theirs)
    }

    fn of_seed(&self, seed: u64) -> Option<&Measured> {
        self.runs.iter().find(|run| run.seed == seed)
    }

    /// The seeds of the group, each once, in order.
    fn seeds(&self) -> Vec<u64> {
        let mut seeds: Vec<_> = self.runs.iter().map(|run| run.seed).collect();
        seeds.sort_unstable();
        seeds.dedup();
        seeds
    }

    fn repeated(&self) -> Option<String> {
        let label = self.label;
        (self.seeds().len() < self.runs.len())
            .then(|| format!("{label}: a seed occurs more than once; its first run is paired"))
    }

    fn unpaired(&self, other: &Self) -> Option<String> {
        let alone = |a: &Self, b: &Self| -> Vec<u64> {
            let seeds = a.seeds().into_iter();
            seeds.filter(|&seed| b.of_seed(seed).is_none()).collect()
        };
        let mut seeds = [alone(self, other), alone(other, self)].concat();
        seeds.sort_unstable();
        let list: Vec<_> = seeds.iter().map(u64::to_string).collect();
        let noun = if seeds.len() == 1 { "seed" } else { "seeds" };
        (!seeds.is_empty()).then(|| {
            format!(
                "{}: not paired with {}: {noun} {}",
                self.label,
                other.label,
                list.join(", ")
            )
        })
    }
}

fn unfinished(run: &Labelled) -> Option<String> {
    let Labelled { label, seed, .. } = run;
    match &run.outcome {
        Err(reason) => Some(format!("{label}, seed {seed}: failed: {reason}")),
        Ok(summary) => (summary.status != Status::Finished).then(|| {
            format!(
                "{label}, seed {seed}: {} after {} of {} rounds",
                summary.status, summary.rounds, summary.rounds_planned
            )
        }),
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

impl Comparison {
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
            line.extend(of(&row.differences, true));
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
        let legends = legend.into_iter().chain(interval);
        legends.chain(self.notes.iter().cloned()).collect()
    }

    /// The table and its notes as Markdown.
    pub fn to_markdown(&self) -> String {
        let header = self.header();
        let mut lines = vec![
            format!("| {} |", header.join(" | ")),
            format!("| --- |{}", " ---: |".repeat(header.len() - 1)),
        ];
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
            for end in ["", "_half_width", "_difference", "_difference_half_width"] {
                columns.sometimes(format!("{key}{end}"), Kind::Real);
            }
        }
        let rows = self.rows.iter().map(|row| {
            let mut cells = vec![Cell::Text(row.label.clone())];
            cells.extend(settings.cells(&row.settings));
            cells.push(Cell::Count(row.runs as u64));
            cells.push(row.baseline.clone().map_or(Cell::Empty, Cell::Text));
            let pairs = row.values.iter().zip(&row.differences);
            cells.extend(pairs.flat_map(|(&value, &difference)| {
                let [mean, half] = numbers(value);
                let [by, by_half] = numbers(difference);
                [mean, half, by, by_half]
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
mod tests {
    use super::*;
    use crate::{Conditions, SummaryBuilder};

    fn run(label: &str, seed: u64, accuracy: f64) -> Labelled {
        let summary = Summary {
            seed,
            status: Status::Finished,
            final_accuracy: Some(accuracy),
            mean_last_10_accuracy: Some(accuracy - 0.01),
            best_accuracy: None,
            ..SummaryBuilder::new().summary(Conditions::default())
        };
        Labelled {
            label: label.to_owned(),
            ..Labelled::named(summary)
        }
    }

    fn against(baseline: &str, runs: &[Labelled]) -> Comparison {
        let pair = |run: &Labelled| (run.label.clone(), baseline.to_owned());
        compare(runs, &runs.iter().map(pair).collect())
    }

    fn three_groups() -> Comparison {
        let mut paused = run("prox", 4, 0.9);
        if let Ok(summary) = &mut paused.outcome {
            summary.status = Status::Paused;
            (summary.rounds, summary.rounds_planned) = (5, 9);
        }
        let runs = [
            run("avg", 1, 0.50),
            run("avg", 2, 0.60),
            run("prox", 2, 0.63),
            run("prox", 1, 0.51),
            paused,
            run("one|run", 1, 0.25),
        ];
        against("avg", &runs)
    }

    #[test]
    fn differences_are_paired_by_seed() {
        let comparison = three_groups();
        let [avg, prox, one] = &comparison.rows[..] else {
            panic!("three groups");
        };
        assert_eq!((avg.runs, &avg.baseline), (2, &None));
        assert_eq!(avg.differences, [None, None]);
        assert_eq!(avg.values[0], interval(&[0.5, 0.6]));
        assert_eq!(prox.values[0], interval(&[0.63, 0.51, 0.9]));
        assert_eq!(prox.baseline.as_deref(), Some("avg"));
        assert_eq!(prox.differences[0], paired(&[0.51, 0.63], &[0.5, 0.6]));
        assert_eq!(one.differences[0].unwrap().n, 1);
        assert_eq!(comparison.measures.len(), 2, "nobody has a best accuracy");
    }

    #[test]
    fn the_text_is_aligned() {
        let expected = "\
group    runs        final %  mean last 10 %        Δ final  Δ mean last 10
avg         2  55.00 ± 63.53   54.00 ± 63.53              -               -
prox        3  68.00 ± 49.62   67.00 ± 49.62  +2.00 ± 12.71   +2.00 ± 12.71
one|run     1          25.00           24.00         -25.00          -25.00

Δ: difference from avg, paired by seed
±: half of the 95 % interval
prox, seed 4: paused after 5 of 9 rounds
prox: not paired with avg: seed 4
one|run: not paired with avg: seed 2
";
        assert_eq!(three_groups().to_string(), expected);
    }

    #[test]
    fn markdown_has_the_same_cells() {
        let text = three_groups().to_markdown();
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines[1], "| --- | ---: | ---: | ---: | ---: | ---: |");
        assert_eq!(
            lines[4],
            "| one\\|run | 1 | 25.00 | 24.00 | -25.00 | -25.00 |"
        );
        assert_eq!(lines[8], "* prox, seed 4: paused after 5 of 9 rounds");
        assert_eq!(lines.len(), 11);
    }

    #[test]
    fn files_hold_every_number() {
        let folder = tempfile::tempdir().unwrap();
        let mut runs = [run("a", 1, 0.5), run("b", 1, 0.75)];
        runs[1].settings = vec![("training.rate".to_owned(), "0.1".to_owned())];
        let comparison = against("a", &runs);
        comparison.write(folder.path(), "sweep").unwrap();
        let text = std::fs::read_to_string(folder.path().join("sweep.csv")).unwrap();
        assert_eq!(text, comparison.to_csv().unwrap());
        let lines: Vec<_> = text.lines().collect();
        assert!(
            lines[0].starts_with(
                "label,training.rate,runs,baseline,final_accuracy,final_accuracy_half_width,\
                 final_accuracy_difference,final_accuracy_difference_half_width,mean_"
            ),
            "{text}"
        );
        assert!(lines[1].starts_with("a,,1,,0.5,,,,0.49,"), "{text}");
        assert!(
            lines[2].starts_with("b,0.1,1,a,0.75,,0.25,,0.74,"),
            "{text}"
        );
        for end in ["parquet", "md"] {
            assert!(folder.path().join(format!("sweep.{end}")).exists());
        }
    }

    #[test]
    fn each_group_may_have_a_baseline_of_its_own() {
        let runs = [
            run("rate=1,avg", 1, 0.5),
            run("rate=2,avg", 1, 0.5),
            run("rate=1,prox", 1, 0.6),
            run("rate=2,prox", 1, 0.7),
        ];
        let pair = |a: &str, b: &str| (a.to_owned(), b.to_owned());
        let baselines = [
            pair("rate=1,prox", "rate=1,avg"),
            pair("rate=2,prox", "rate=2,avg"),
        ];
        let text = compare(&runs, &baselines.into()).to_string();
        assert!(text.contains("against"), "{text}");
        let last = text.lines().nth(4).unwrap();
        assert!(last.contains("+20.00"), "{text}");
        assert!(last.ends_with("rate=2,avg"), "{text}");
    }

    #[test]
    fn further_measures_are_columns_where_any_run_has_them() {
        let mut runs = [run("a", 1, 0.5), run("b", 1, 0.5)];
        if let Ok(summary) = &mut runs[1].outcome {
            summary.measures.insert("forgetting".to_owned(), 0.125);
            summary.measures.insert("drift".to_owned(), 2.0);
        }
        let text = compare(&runs, &BTreeMap::new()).to_string();
        let lines: Vec<_> = text.lines().collect();
        assert!(lines[0].ends_with("drift  forgetting %"), "{text}");
        assert!(lines[1].ends_with("    -             -"), "{text}");
        assert!(lines[2].ends_with("2.0000         12.50"), "{text}");
    }

    #[test]
    fn a_failed_run_is_told_and_not_counted() {
        let mut runs = [run("a", 1, 0.5), run("a", 2, 0.7)];
        runs[1].outcome = Err("it stopped in round 3".to_owned());
        let comparison = compare(&runs, &BTreeMap::new());
        assert_eq!(comparison.rows[0].runs, 1);
        assert_eq!(
            comparison.notes,
            ["a, seed 2: failed: it stopped in round 3"]
        );
    }

    #[test]
    fn a_repeated_seed_is_said() {
        let comparison = against("avg", &[run("avg", 1, 0.5), run("avg", 1, 0.5)]);
        assert_eq!(
            comparison.notes,
            ["avg: a seed occurs more than once; its first run is paired"]
        );
        assert!(compare(&[], &BTreeMap::new()).rows.is_empty());
    }
}
