//! What was found, learner by learner.

use super::{
    Values,
    claims::{Baseline, Variant, shown},
};
use crate::{grid::Grid, knowledge::kinds, output::line};
use lyceum_metrics::interval;

/// Prints a table whose first line is its head.
pub(super) fn show(lines: Vec<Vec<String>>, markdown: bool) {
    let words = &[0, 1, 3];
    let grid = Grid { lines, words };
    let text = match markdown {
        true => grid.markdown(),
        false => grid.text(),
    };
    line(format_args!("{text}\n"));
}

/// All learners, with what they cost.
pub(super) fn figures(variants: &[Variant], baselines: &[Baseline]) -> Vec<Vec<String>> {
    let head = [
        "learner",
        "models of a preference",
        "trained",
        "steps",
        "average",
        "peak",
        "backward transfer",
        "hypervolume",
        "ECE",
        "NLL",
    ];
    let mut lines = vec![head.map(String::from).to_vec()];
    for variant in variants {
        for (kind, values) in kinds().iter().zip(&variant.by_kind) {
            lines.push(cells(variant.name, kind, values));
        }
    }
    for baseline in baselines {
        let learner = &baseline.learner;
        let models = match learner.each_preference {
            true => "one of its own",
            false => "the same for all",
        };
        lines.push(cells(learner.name, models, &baseline.values));
        if let Some(values) = &baseline.on_components {
            let name = format!("{}, on principal components", learner.name);
            lines.push(cells(&name, models, values));
        }
    }
    lines
}

fn cells(name: &str, kind: &str, values: &Values) -> Vec<String> {
    let mut cells = vec![name.to_owned(), kind.to_owned()];
    cells.extend([values.models.to_string(), values.steps.to_string()]);
    cells.extend([&values.average, &values.peak, &values.transfer].map(|all| shown(all)));
    cells.extend([&values.hypervolume, &values.error, &values.likelihood].map(|all| plain(all)));
    cells
}

/// A mean with its 95 % interval.
fn plain(values: &[f64]) -> String {
    interval(values).map_or_else(
        || "-".into(),
        |found| match found.half_width {
            Some(half) => format!("{:.3} ± {half:.3}", found.mean),
            None => format!("{:.3}", found.mean),
        },
    )
}

/// How the knowledge base grows for each threshold.
pub(super) fn growth(growth: &[(f64, Vec<u64>)]) -> Vec<Vec<String>> {
    let head = ["threshold", "posteriors kept behind each task"].map(String::from);
    let rows = growth.iter().map(|(threshold, kept)| {
        let kept: Vec<String> = kept.iter().map(u64::to_string).collect();
        vec![threshold.to_string(), kept.join(", ")]
    });
    std::iter::once(head.to_vec()).chain(rows).collect()
}
