//! Whether the points of a sweep differ by more than its seeds do, and whether a number that was swept ranks them.

use crate::{
    Labelled, Measure, Status,
    ranks::{PermutationTest, Tail, group_effect_test, rank_correlation_test},
    statistics::holm,
};
use lyceum_core::Seed;
use std::collections::{BTreeMap, BTreeSet};

/// Points from which on something is tested.
const POINTS: usize = 3;
/// Different numbers of a key from which on they can rank points.
const NUMBERS: usize = 5;
/// Permutations that are drawn.
const PERMUTATIONS: u64 = 999;

/// A measure's values: one list per point, in the order of the points, its seeds in ascending order.
type Table<'a> = Vec<(&'a Labelled, Vec<f64>)>;

/// What a test found: a sentence, and the test.
type Found = (String, PermutationTest);

/// A sentence for every measure and test that finished runs of a sweep are enough for; p-values are corrected for the
/// number of tests (Holm 1979).
pub fn effects(runs: &[Labelled]) -> Vec<String> {
    let found = tests(runs);
    let p_values: Vec<f64> = found.iter().map(|(_, test)| test.p).collect();
    let several = found.len() > 1;
    let one = |((sentence, test), corrected): (&Found, f64)| {
        let corrected = several.then_some((corrected, found.len()));
        format!("{sentence}, p = {}", p_value(test, corrected))
    };
    found.iter().zip(holm(&p_values)).map(one).collect()
}

fn tests(runs: &[Labelled]) -> Vec<Found> {
    let mut notes = Vec::new();
    for measure in measures(runs) {
        let table = table(runs, &measure);
        if table.len() < POINTS {
            continue;
        }
        notes.extend(of_points(&measure, &table));
        notes.extend(of_numbers(&measure, &table));
    }
    notes
}

/// Measures of the runs, each once.
fn measures(runs: &[Labelled]) -> Vec<Measure> {
    let mut all: Vec<Measure> = Vec::new();
    for run in runs {
        let summary = run.outcome.as_ref().ok();
        for (measure, _) in summary.into_iter().flat_map(|s| s.measured()) {
            if !all.contains(&measure) {
                all.push(measure);
            }
        }
    }
    all
}

/// The points that have the measure for every seed of the sweep.
fn table<'a>(runs: &'a [Labelled], measure: &Measure) -> Table<'a> {
    let mut points: Vec<(&Labelled, BTreeMap<u64, f64>)> = Vec::new();
    let mut seeds = BTreeSet::new();
    for run in runs {
        let Ok(summary) = &run.outcome else { continue };
        if summary.status != Status::Finished {
            continue;
        }
        let found = summary.measured().into_iter().find(|(m, _)| m == measure);
        let Some((_, value)) = found else { continue };
        seeds.insert(run.seed);
        match points.iter_mut().find(|(p, _)| p.label == run.label) {
            Some((_, values)) => {
                values.insert(run.seed, value);
            }
            None => points.push((run, [(run.seed, value)].into())),
        }
    }
    points.retain(|(_, values)| values.len() == seeds.len());
    let values = |(point, values): (&'a Labelled, BTreeMap<u64, f64>)| {
        (point, values.into_values().collect())
    };
    points.into_iter().map(values).collect()
}

fn of_points(measure: &Measure, table: &Table<'_>) -> Option<Found> {
    let values: Vec<Vec<f64>> = table.iter().map(|(_, values)| values.clone()).collect();
    let test = group_effect_test(&values, Seed(0), PERMUTATIONS)?;
    let sentence = format!(
        "{}: variance between points over variance between seeds {:.2}",
        measure.title, test.statistic
    );
    Some((sentence, test))
}

/// Correlations with the keys that are numbers.
fn of_numbers(measure: &Measure, table: &Table<'_>) -> Vec<Found> {
    let means: Vec<f64> = table
        .iter()
        .filter_map(|(_, values)| crate::mean(values))
        .collect();
    let keys = table.first().map_or(&[][..], |(point, _)| &point.settings);
    let one = |(key, _): &(String, String)| {
        let number = |(point, _): &(&Labelled, Vec<f64>)| -> Option<f64> {
            let setting = point.settings.iter().find(|(k, _)| k == key)?;
            setting.1.parse().ok()
        };
        let numbers: Vec<f64> = table.iter().map(number).collect::<Option<_>>()?;
        let distinct: BTreeSet<u64> = numbers.iter().map(|n| n.to_bits()).collect();
        if distinct.len() < NUMBERS {
            return None;
        }
        let test = rank_correlation_test(&numbers, &means, Tail::Both, Seed(0), PERMUTATIONS)?;
        let sentence = format!(
            "{}: rank correlation with {key} {:+.3}",
            measure.title, test.statistic
        );
        Some((sentence, test))
    };
    keys.iter().filter_map(one).collect()
}

/// A p-value and, where there are several tests, what is left of it.
fn p_value(test: &PermutationTest, corrected: Option<(f64, usize)>) -> String {
    let kind = if test.exact { "all" } else { "drawn" };
    let corrected = corrected.map_or_else(String::new, |(p, tests)| {
        format!(", corrected for {tests} tests {p:.3}")
    });
    format!(
        "{:.3}{corrected} ({} permutations, {kind})",
        test.p, test.permutations
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Conditions, SummaryBuilder};

    fn run(point: u32, seed: u64, accuracy: f64) -> Labelled {
        let mut summary = SummaryBuilder::new().summary(Conditions::default());
        summary.final_accuracy = Some(accuracy);
        summary.status = Status::Finished;
        Labelled {
            label: format!("rank={point}"),
            seed,
            settings: vec![("rank".into(), point.to_string())],
            folder: None,
            outcome: Ok(summary),
        }
    }

    #[test]
    fn points_that_differ_and_are_ranked_by_a_number_are_told() {
        let runs: Vec<_> = (0..6)
            .flat_map(|p| (0..4).map(move |s| run(p, s, f64::from(p) * 0.1 + s as f64 * 0.001)))
            .collect();
        let notes = effects(&runs);
        assert_eq!(notes.len(), 2, "{notes:?}");
        let corrected = "p = 0.001, corrected for 2 tests 0.002 (";
        assert!(notes[0].contains("final: variance") && notes[0].contains(corrected));
        assert!(
            notes[1].contains("correlation with rank +1.000"),
            "{}",
            notes[1]
        );
        assert!(effects(&runs[..8]).is_empty(), "two points are too few");
    }
}
