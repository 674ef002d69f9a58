//! Claims of the paper, beside what was found.

use super::{ON_COMPONENTS, ROUNDS, TASKS, Values, learners::Learner};
use crate::knowledge::kinds;
use lyceum_metrics::interval;

/// Ranks follow weights from this correlation on.
const FOLLOWS: f64 = 0.8;
/// Backward transfer is near 0 down to this.
const NEAR: f64 = -0.01;
/// Kinds of models: the point model, and the best of the box.
const POINT: usize = 0;
const BEST: usize = 2;

/// Shares in points.
const POINTS: f64 = 100.0;

/// What was run: the values of a variant of IBCL, by kind of model.
pub(super) struct Variant {
    pub(super) name: &'static str,
    pub(super) by_kind: Vec<Values>,
    /// It learns on the features that the baselines learn on.
    pub(super) same_features: bool,
}

/// What was run of a learner without a knowledge base.
pub(super) struct Baseline {
    pub(super) learner: Learner,
    pub(super) values: Values,
    /// On principal components.
    pub(super) on_components: Option<Values>,
}

/// A claim in numbers, under a condition.
struct Case {
    condition: String,
    values: Vec<f64>,
}

/// Whether a claim holds: as it is said, or else under the first condition of those that were run.
fn judge(values: &[f64], bound: f64, conditions: &[Case], unit: f64) -> String {
    let plain = verdict(values, bound);
    if plain == "holds" {
        return plain.into();
    }
    let met = |case: &&Case| verdict(&case.values, bound) == "holds";
    match conditions.iter().find(met) {
        Some(case) => format!(
            "holds if {} ({})",
            case.condition,
            in_units(&case.values, unit)
        ),
        None => plain.into(),
    }
}

/// Whether values are above a bound, by their interval.
fn verdict(values: &[f64], bound: f64) -> &'static str {
    let Some(found) = interval(values) else {
        return "not run";
    };
    let half = found.half_width.unwrap_or(f64::INFINITY);
    match found.mean - bound {
        above if above - half > 0.0 => "holds",
        above if above + half < 0.0 => "does not hold",
        _ => "not decided",
    }
}

/// A mean with its 95 % interval, in points.
pub(super) fn shown(values: &[f64]) -> String {
    in_units(values, POINTS)
}

fn in_units(values: &[f64], unit: f64) -> String {
    let Some(found) = interval(values) else {
        return "-".into();
    };
    match found.half_width {
        Some(half) => format!("{:+.2} ± {:.2}", unit * found.mean, unit * half),
        None => format!("{:+.2}", unit * found.mean),
    }
}

fn row(cells: [&str; 4]) -> Vec<String> {
    cells.map(String::from).to_vec()
}

/// Ours less theirs, by seed.
fn apart(ours: &[f64], theirs: &[f64]) -> Vec<f64> {
    ours.iter().zip(theirs).map(|(a, b)| a - b).collect()
}

/// The table of claims.
pub(super) fn claims(
    variants: &[Variant],
    baselines: &[Baseline],
    kept: &[usize],
    growth: &[(f64, Vec<u64>)],
) -> Vec<Vec<String>> {
    let mut lines = vec![row(["claim", "published", "ours, points", "verdict"])];
    let most = kept.iter().max().copied().unwrap_or(0);
    let counted = format!("{most} kept of {TASKS} tasks, for any number of preferences");
    let holds = match most <= ROUNDS as usize * TASKS as usize {
        true => "holds",
        false => "does not hold",
    };
    lines.push(row(["at most 3 models a task", "3", &counted, holds]));
    let average: fn(&Values) -> &[f64] = |values| &values.average;
    let peak: fn(&Values) -> &[f64] = |values| &values.peak;
    for (what, published, of) in [
        ("average", "up to +23", average),
        ("peak", "up to +15", peak),
    ] {
        lines.push(overall((what, published), variants, baselines, of));
        let rows = baselines.iter().map(|baseline| {
            let claim = format!("{what} above {}", baseline.learner.name);
            above((&claim, published), variants, baseline, of)
        });
        lines.extend(rows);
    }
    lines.extend(transfers(variants));
    lines.extend((0..TASKS as usize).map(|task| correlation(variants, baselines, task)));
    lines.push(flat(growth));
    lines
}

/// Conditions under which other models than the first variant's point model are looked at: with their values.
fn others<'a>(
    variants: &'a [Variant],
    chosen: impl Fn(&&'a Variant) -> bool + Copy + 'a,
    of: impl Fn(&Values) -> &[f64] + 'a,
) -> impl Iterator<Item = (String, Vec<f64>)> + 'a {
    let points = variants.iter().skip(1).filter(chosen).map(|v| (v, POINT));
    let drawn = variants
        .iter()
        .filter(chosen)
        .flat_map(|v| (1..kinds().len()).map(move |kind| (v, kind)));
    points.chain(drawn).map(move |(variant, kind)| {
        let names = kinds();
        let condition = match (kind, variant.name == variants[0].name) {
            (POINT, _) => variant.name.to_owned(),
            (_, true) => names[kind].clone(),
            (_, false) => format!("{}, {}", variant.name, names[kind]),
        };
        (condition, of(&variant.by_kind[kind]).to_vec())
    })
}

/// The point model beside a baseline, paired by seed.
fn above(
    (claim, published): (&str, &str),
    variants: &[Variant],
    baseline: &Baseline,
    of: fn(&Values) -> &[f64],
) -> Vec<String> {
    let theirs = of(&baseline.values);
    let ours = apart(of(&variants[0].by_kind[POINT]), theirs);
    let case = |(condition, values): (String, Vec<f64>)| Case {
        condition,
        values: apart(&values, theirs),
    };
    let same = |variant: &&Variant| variant.same_features;
    let mut conditions: Vec<Case> = others(variants, same, of).map(case).collect();
    let twin = variants.iter().find(|v| v.name == ON_COMPONENTS);
    conditions.extend(
        twin.zip(baseline.on_components.as_ref())
            .map(|(v, theirs)| Case {
                condition: format!("{ON_COMPONENTS}, of both"),
                values: apart(of(&v.by_kind[POINT]), of(theirs)),
            }),
    );
    let verdict = judge(&ours, 0.0, &conditions, POINTS);
    row([claim, published, &shown(&ours), &verdict])
}

/// The point model beside all baselines at once.
fn overall(
    (what, published): (&str, &str),
    variants: &[Variant],
    baselines: &[Baseline],
    of: fn(&Values) -> &[f64],
) -> Vec<String> {
    let least = |chosen: &dyn Fn(&Learner) -> bool, kind: usize| -> Vec<f64> {
        let ours = of(&variants[0].by_kind[kind]);
        let beside = baselines.iter().filter(|beside| chosen(&beside.learner));
        let beside: Vec<Vec<f64>> = beside.map(|b| apart(ours, of(&b.values))).collect();
        let least = |seed: usize| {
            beside
                .iter()
                .map(|all| all[seed])
                .fold(f64::INFINITY, f64::min)
        };
        (0..ours.len()).map(least).collect()
    };
    let all: Vec<f64> = least(&|_| true, POINT);
    let best = format!(
        "compared with learners that keep no samples, {}",
        kinds()[BEST]
    );
    let conditions = [
        Case {
            condition: "compared with learners that keep no samples".into(),
            values: least(&Learner::keeps_nothing, POINT),
        },
        Case {
            condition: best,
            values: least(&Learner::keeps_nothing, BEST),
        },
    ];
    let verdict = judge(&all, 0.0, &conditions, POINTS);
    let claim = format!("{what} above the best baseline");
    row([&claim, published, &shown(&all), &verdict])
}

fn transfers(variants: &[Variant]) -> Vec<Vec<String>> {
    let own: fn(&Values) -> &[f64] = |values| &values.transfer;
    let published: fn(&Values) -> &[f64] = |values| &values.as_published;
    let one = |(claim, of): (&str, fn(&Values) -> &[f64])| {
        let ours = of(&variants[0].by_kind[POINT]);
        let case = |(condition, values)| Case { condition, values };
        let conditions: Vec<Case> = others(variants, |_| true, of).map(case).collect();
        let verdict = judge(ours, NEAR, &conditions, POINTS);
        row([claim, "near 0 or above", &shown(ours), &verdict])
    };
    [
        ("backward transfer, R[last][l] - R[l][l]", own),
        ("as the published code computes it", published),
    ]
    .map(one)
    .to_vec()
}

/// How accuracy on a task follows its weight.
fn correlation(variants: &[Variant], baselines: &[Baseline], task: usize) -> Vec<String> {
    let of_task = |all: &[Vec<f64>]| all.iter().map(|tasks| tasks[task]).collect::<Vec<f64>>();
    let first = &variants[0].by_kind[POINT];
    let ours = of_task(&first.correlations);
    let as_random = variants.iter().skip(1).map(|variant| Case {
        condition: variant.name.to_owned(),
        values: of_task(&variant.by_kind[POINT].correlations),
    });
    let designs = |variant: &Variant| {
        let point = &variant.by_kind[POINT];
        let named = |condition: &str, all: &[Vec<f64>]| {
            let condition = match variant.name == variants[0].name {
                true => condition.to_owned(),
                false => format!("{}, {condition}", variant.name),
            };
            let values = of_task(all);
            Case { condition, values }
        };
        [
            named("preferences are spread evenly", &point.even),
            named("its weight alone varies", &point.alone),
        ]
    };
    let conditions: Vec<Case> = as_random.chain(variants.iter().flat_map(designs)).collect();
    let verdict = judge(&ours, FOLLOWS, &conditions, 1.0);
    let claim = format!("rank correlation of weight and accuracy, task {task}, above 0.8");
    let trained = baselines.iter().rev().find(|b| b.learner.each_preference);
    let trained = trained.map_or_else(Vec::new, |b| of_task(&b.values.correlations));
    let found = format!(
        "{} ({} where a model is trained for each)",
        in_units(&ours, 1.0),
        in_units(&trained, 1.0)
    );
    row([&claim, "-", &found, &verdict])
}

/// Whether the buffer stops growing: for the last three tasks.
fn flat(growth: &[(f64, Vec<u64>)]) -> Vec<String> {
    let still = |kept: &[u64]| kept.len() > 3 && kept[kept.len() - 4] == kept[kept.len() - 1];
    let from = growth.iter().find(|(_, kept)| still(kept));
    let claim = "the knowledge base stops growing";
    let published = "after 6 of 10 tasks, d = 0.008";
    let last = |kept: &[u64]| kept.last().copied().unwrap_or(0).to_string();
    let ends: Vec<String> = growth.iter().map(|(_, kept)| last(kept)).collect();
    let found = format!("{} kept", ends.join(", "));
    match from {
        Some((threshold, _)) => {
            let verdict = format!("holds if the threshold is {threshold} or above");
            row([claim, published, &found, &verdict])
        }
        None => row([claim, published, &found, "does not hold"]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_verdict_is_that_of_the_interval_and_names_the_first_condition_that_holds() {
        let case = |condition: &str, values: [f64; 3]| Case {
            condition: condition.into(),
            values: values.to_vec(),
        };
        let conditions = [
            case("unsure", [0.5, -0.4, 0.1]),
            case("rain", [0.011, 0.01, 0.012]),
            case("snow", [0.5, 0.5, 0.5]),
        ];
        assert_eq!(judge(&[0.2, 0.21, 0.22], 0.0, &conditions, POINTS), "holds");
        let below = [-0.2, -0.21, -0.22];
        assert_eq!(
            judge(&below, 0.0, &conditions[..1], POINTS),
            "does not hold"
        );
        let found = judge(&below, 0.0, &conditions, POINTS);
        assert_eq!(found, "holds if rain (+1.10 ± 0.25)");
        assert_eq!(judge(&[0.2], 0.0, &[], POINTS), "not decided");
        assert_eq!(judge(&[], 0.0, &[], POINTS), "not run");
    }
}
