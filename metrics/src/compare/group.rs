//! The runs of one label, and which of them count.

use crate::labelled::Labelled;
use crate::measure::Measure;
use crate::statistics::{Interval, interval, paired};
use crate::summary::{Status, Summary};
use std::collections::BTreeMap;

/// The runs of one label that count: finished ones, one for each seed.
pub(super) struct Group<'a> {
    pub(super) label: &'a str,
    pub(super) settings: &'a [(String, String)],
    pub(super) runs: Vec<Measured<'a>>,
}

/// A run by its measures.
pub(super) struct Measured<'a> {
    run: &'a Labelled,
    summary: &'a Summary,
    values: Vec<(Measure, f64)>,
}

impl Measured<'_> {
    fn value(&self, key: &str) -> Option<f64> {
        let mut values = self.values.iter();
        Some(values.find(|(measure, _)| measure.key == key)?.1)
    }
}

/// Groups in the order of their first runs, and a sentence for every run that is in none.
pub(super) fn grouped(runs: &[Labelled]) -> (Vec<Group<'_>>, Vec<String>) {
    let mut groups: Vec<Group<'_>> = Vec::new();
    let mut left_out = Vec::new();
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
        match finished(run) {
            Ok(summary) => left_out.extend(groups[place].take(run, summary)),
            Err(reason) => left_out.push(reason),
        }
    }
    (groups, left_out)
}

/// The summary of a run that came to its end, or why it does not count.
fn finished(run: &Labelled) -> Result<&Summary, String> {
    match &run.outcome {
        Err(reason) => Err(format!("{}: failed: {reason}", run.called())),
        Ok(summary) if summary.status == Status::Finished => Ok(summary),
        Ok(summary) => Err(format!(
            "{}: {} after {} of {} rounds",
            run.called(),
            summary.status,
            summary.rounds,
            summary.rounds_planned
        )),
    }
}

impl Labelled {
    /// Label, seed and, where it is known, folder.
    fn called(&self) -> String {
        let folder = self.folder.as_ref();
        let folder = folder.map_or_else(String::new, |folder| format!(" ({folder})"));
        format!("{}, seed {}{folder}", self.label, self.seed)
    }
}

/// Every measure that any run has, in the order in which they are met.
pub(super) fn measures(groups: &[Group<'_>]) -> Vec<Measure> {
    let mut found: Vec<Measure> = Vec::new();
    let runs = groups.iter().flat_map(|group| &group.runs);
    for (measure, _) in runs.flat_map(|run| &run.values) {
        if !found.iter().any(|known| known.key == measure.key) {
            found.push(measure.clone());
        }
    }
    found
}

impl<'a> Group<'a> {
    /// Counts a run, unless its seed is there already; then says so.
    fn take(&mut self, run: &'a Labelled, summary: &'a Summary) -> Option<String> {
        let Some(first) = self.of_seed(run.seed) else {
            self.runs.push(Measured {
                run,
                summary,
                values: summary.measured(),
            });
            return None;
        };
        let same = first.summary.fingerprint == summary.fingerprint;
        let with = match same {
            true => "the same fingerprint",
            false => "another fingerprint, which the same settings should not give",
        };
        let first = first.run.folder.as_ref();
        let first = first.map_or_else(String::new, |folder| format!(", in {folder}"));
        Some(format!(
            "{}: this seed is there already{first}; {with}",
            run.called()
        ))
    }

    pub(super) fn over(&self, key: &str) -> Option<Interval> {
        let values: Vec<_> = self.runs.iter().filter_map(|run| run.value(key)).collect();
        interval(&values)
    }

    pub(super) fn minus(&self, other: &Self, key: &str) -> Option<Interval> {
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

    fn of_seed(&self, seed: u64) -> Option<&Measured<'a>> {
        self.runs.iter().find(|measured| measured.run.seed == seed)
    }

    /// The seeds of the group, in order.
    fn seeds(&self) -> Vec<u64> {
        let mut seeds: Vec<_> = self.runs.iter().map(|measured| measured.run.seed).collect();
        seeds.sort_unstable();
        seeds
    }

    /// Why measures of the group are missing, as the first run says that lacks any.
    pub(super) fn unmeasured(&self) -> Option<String> {
        let lacking = |measured: &&Measured<'_>| !measured.summary.unmeasured.is_empty();
        let reasons = &self.runs.iter().find(lacking)?.summary.unmeasured;
        Some(format!("{}: {}", self.label, reasons.join("; ")))
    }

    pub(super) fn unpaired(&self, other: &Self) -> Option<String> {
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
