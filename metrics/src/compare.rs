//! Groups of runs side by side.

use crate::statistics::{Interval, interval, paired};
use crate::summary::{Status, Summary};
use std::fmt;

/// A run and the group that it belongs to.
#[derive(Clone, Debug, PartialEq)]
pub struct Labelled {
    /// Name of the group; the runs of a group differ in their seeds.
    pub label: String,
    /// The run.
    pub summary: Summary,
}

/// The test accuracies of a group, or differences of them, as shares.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Measures {
    /// Of the last evaluation.
    pub final_accuracy: Option<Interval>,
    /// Mean of the last 10 evaluations.
    pub mean_last_10_accuracy: Option<Interval>,
    /// Largest of a run.
    pub best_accuracy: Option<Interval>,
}

/// A group of runs.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// Name of the group.
    pub label: String,
    /// Runs in it.
    pub runs: usize,
    /// Over its runs that have the measure.
    pub accuracy: Measures,
    /// Its runs minus the first group's runs of the same seeds; `None` for the first group.
    pub difference: Option<Measures>,
}

/// Groups of runs side by side; as text by [`fmt::Display`], as Markdown by
/// [`Comparison::to_markdown`]. Both show percent, `mean ± half width` of the 95 % interval of
/// Student's t over the seeds, and the bare number where there is one run.
#[derive(Clone, Debug, PartialEq)]
pub struct Comparison {
    /// One a group, in the order in which the groups came.
    pub rows: Vec<Row>,
    /// What a reader of the numbers has to know.
    pub notes: Vec<String>,
}

type Measure = fn(&Summary) -> Option<f64>;

const FINAL: Measure = |summary| summary.final_accuracy;
const MEAN_LAST_10: Measure = |summary| summary.mean_last_10_accuracy;
const BEST: Measure = |summary| summary.best_accuracy;

const HEADER: [&str; 8] = [
    "group",
    "runs",
    "final %",
    "mean last 10 %",
    "best %",
    "Δ final",
    "Δ mean last 10",
    "Δ best",
];

/// Aggregates runs by label, and pairs each group with the first by seed.
pub fn compare(runs: &[Labelled]) -> Comparison {
    let groups = grouped(runs);
    let mut notes: Vec<_> = runs.iter().filter_map(unfinished).collect();
    for (label, group) in &groups {
        notes.extend(repeated(label, group));
    }
    let first = groups.first().map(|(_, group)| group.clone());
    let rows = groups.iter().enumerate().map(|(i, (label, group))| Row {
        label: (*label).to_owned(),
        runs: group.len(),
        accuracy: measures(|measure| over(group, measure)),
        difference: first.as_ref().filter(|_| i > 0).map(|first| {
            notes.extend(unpaired(label, group, groups[0].0, first));
            measures(|measure| difference(group, first, measure))
        }),
    });
    Comparison {
        rows: rows.collect(),
        notes,
    }
}

/// Groups in the order of their first runs.
fn grouped(runs: &[Labelled]) -> Vec<(&str, Vec<&Summary>)> {
    let mut groups: Vec<(&str, Vec<&Summary>)> = Vec::new();
    for run in runs {
        match groups.iter_mut().find(|(label, _)| *label == run.label) {
            Some((_, group)) => group.push(&run.summary),
            None => groups.push((&run.label, vec![&run.summary])),
        }
    }
    groups
}

fn measures(of: impl Fn(Measure) -> Option<Interval>) -> Measures {
    Measures {
        final_accuracy: of(FINAL),
        mean_last_10_accuracy: of(MEAN_LAST_10),
        best_accuracy: of(BEST),
    }
}

fn over(group: &[&Summary], measure: Measure) -> Option<Interval> {
    let values: Vec<_> = group.iter().filter_map(|run| measure(run)).collect();
    interval(&values)
}

fn difference(group: &[&Summary], first: &[&Summary], measure: Measure) -> Option<Interval> {
    let (ours, theirs): (Vec<_>, Vec<_>) = seeds(group)
        .into_iter()
        .filter_map(|seed| {
            let ours = measure(of_seed(group, seed)?)?;
            Some((ours, measure(of_seed(first, seed)?)?))
        })
        .unzip();
    paired(&ours, &theirs)
}

fn of_seed<'a>(group: &[&'a Summary], seed: u64) -> Option<&'a Summary> {
    group.iter().copied().find(|run| run.seed == seed)
}

/// The seeds of a group, each once, in order.
fn seeds(group: &[&Summary]) -> Vec<u64> {
    let mut seeds: Vec<_> = group.iter().map(|run| run.seed).collect();
    seeds.sort_unstable();
    seeds.dedup();
    seeds
}

fn unfinished(run: &Labelled) -> Option<String> {
    let Labelled { label, summary } = run;
    (summary.status != Status::Finished).then(|| {
        format!(
            "{label}, seed {}: {} after {} of {} rounds",
            summary.seed, summary.status, summary.rounds, summary.rounds_planned
        )
    })
}

fn repeated(label: &str, group: &[&Summary]) -> Option<String> {
    (seeds(group).len() < group.len())
        .then(|| format!("{label}: a seed occurs more than once; its first run is paired"))
}

fn unpaired(label: &str, group: &[&Summary], against: &str, first: &[&Summary]) -> Option<String> {
    let mut alone = seeds(group);
    alone.retain(|&seed| of_seed(first, seed).is_none());
    let theirs = seeds(first).into_iter();
    alone.extend(theirs.filter(|&seed| of_seed(group, seed).is_none()));
    alone.sort_unstable();
    let list: Vec<_> = alone.iter().map(u64::to_string).collect();
    (!alone.is_empty()).then(|| {
        let noun = if alone.len() == 1 { "seed" } else { "seeds" };
        format!(
            "{label}: not paired with {against}: {noun} {}",
            list.join(", ")
        )
    })
}

impl Measures {
    fn list(&self) -> [Option<Interval>; 3] {
        [
            self.final_accuracy,
            self.mean_last_10_accuracy,
            self.best_accuracy,
        ]
    }
}

impl Row {
    fn cells(&self) -> [String; 8] {
        let [last, mean, best] = self.accuracy.list().map(|i| percent(i, false));
        let difference = self.difference.unwrap_or_default();
        let [dlast, dmean, dbest] = difference.list().map(|i| percent(i, true));
        let (label, runs) = (self.label.clone(), self.runs.to_string());
        [label, runs, last, mean, best, dlast, dmean, dbest]
    }
}

fn percent(interval: Option<Interval>, signed: bool) -> String {
    let Some(Interval {
        mean, half_width, ..
    }) = interval
    else {
        return "-".to_owned();
    };
    let mean = 100.0 * mean;
    let mean = if signed {
        format!("{mean:+.2}")
    } else {
        format!("{mean:.2}")
    };
    match half_width {
        Some(half) => format!("{mean} ± {:.2}", 100.0 * half),
        None => mean,
    }
}

impl Comparison {
    /// The table and its notes as Markdown.
    pub fn to_markdown(&self) -> String {
        let mut lines = vec![
            format!("| {} |", HEADER.join(" | ")),
            format!("| --- |{}", " ---: |".repeat(HEADER.len() - 1)),
        ];
        for row in &self.rows {
            let cells = row.cells().map(|cell| cell.replace('|', "\\|"));
            lines.push(format!("| {} |", cells.join(" | ")));
        }
        if !self.notes.is_empty() {
            lines.push(String::new());
        }
        lines.extend(self.notes.iter().map(|note| format!("* {note}")));
        lines.join("\n") + "\n"
    }
}

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut lines = vec![HEADER.map(str::to_owned)];
        lines.extend(self.rows.iter().map(Row::cells));
        let width = |column: usize| lines.iter().map(|line| line[column].chars().count()).max();
        let widths: Vec<_> = (0..HEADER.len()).filter_map(width).collect();
        for [label, numbers @ ..] in &lines {
            write!(f, "{label:<width$}", width = widths[0])?;
            for (cell, width) in numbers.iter().zip(&widths[1..]) {
                write!(f, "  {cell:>width$}")?;
            }
            writeln!(f)?;
        }
        if !self.notes.is_empty() {
            writeln!(f)?;
        }
        self.notes.iter().try_for_each(|note| writeln!(f, "{note}"))
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
            summary,
        }
    }

    fn three_groups() -> Comparison {
        let mut paused = run("prox", 4, 0.9);
        paused.summary.status = Status::Paused;
        (paused.summary.rounds, paused.summary.rounds_planned) = (5, 9);
        compare(&[
            run("avg", 1, 0.50),
            run("avg", 2, 0.60),
            run("prox", 2, 0.63),
            run("prox", 1, 0.51),
            paused,
            run("one|run", 1, 0.25),
        ])
    }

    #[test]
    fn differences_are_paired_by_seed() {
        let comparison = three_groups();
        let [avg, prox, one] = &comparison.rows[..] else {
            panic!("three groups");
        };
        assert_eq!((avg.runs, avg.difference), (2, None));
        assert_eq!(avg.accuracy.final_accuracy, interval(&[0.5, 0.6]));
        assert_eq!(prox.accuracy.final_accuracy, interval(&[0.63, 0.51, 0.9]));
        let difference = prox.difference.unwrap().final_accuracy;
        assert_eq!(difference, paired(&[0.51, 0.63], &[0.5, 0.6]));
        assert_eq!(one.difference.unwrap().final_accuracy.unwrap().n, 1);
        assert_eq!(one.accuracy.best_accuracy, None);
    }

    #[test]
    fn the_text_is_aligned() {
        let expected = "\
group    runs        final %  mean last 10 %  best %        Δ final  Δ mean last 10  Δ best
avg         2  55.00 ± 63.53   54.00 ± 63.53       -              -               -       -
prox        3  68.00 ± 49.62   67.00 ± 49.62       -  +2.00 ± 12.71   +2.00 ± 12.71       -
one|run     1          25.00           24.00       -         -25.00          -25.00       -

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
        assert_eq!(
            lines[1],
            "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |"
        );
        assert_eq!(
            lines[4],
            "| one\\|run | 1 | 25.00 | 24.00 | - | -25.00 | -25.00 | - |"
        );
        assert_eq!(lines[6], "* prox, seed 4: paused after 5 of 9 rounds");
        assert_eq!(lines.len(), 9);
    }

    #[test]
    fn a_repeated_seed_is_said() {
        let comparison = compare(&[run("avg", 1, 0.5), run("avg", 1, 0.5)]);
        assert_eq!(
            comparison.notes,
            ["avg: a seed occurs more than once; its first run is paired"]
        );
        assert!(compare(&[]).rows.is_empty());
    }
}
