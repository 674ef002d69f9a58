//! Values of an accuracy matrix that are hardly accuracies of one unit, in sentences.

use lyceum_metrics::{
    Setup,
    continual::{AccuracyMatrix, Scale},
};

/// What of the setups' values is hardly meant. `name` says which setup a sentence is about.
pub(super) fn doubts(setups: &[Setup]) -> Vec<String> {
    let mut all: Vec<String> = Vec::new();
    for setup in setups {
        let name = setup.name.as_ref();
        let name = name.map_or_else(String::new, |name| format!("{name}: "));
        let found = mixed(setup).into_iter().chain(below_zero(&setup.matrix));
        all.extend(found.map(|doubt| format!("{name}{doubt}")));
    }
    all.extend(unlike(setups));
    all
}

/// The values after each task.
fn rows(matrix: &AccuracyMatrix) -> Vec<Vec<Option<f64>>> {
    let all = 0..matrix.tasks();
    let row = |learned| {
        all.clone()
            .map(|task| matrix.after(learned, task))
            .collect()
    };
    all.clone().map(row).collect()
}

/// The scale of values, if one of them is above 0: nothing but zeros is both percent and shares.
fn scale(values: &[Option<f64>]) -> Option<Scale> {
    let told = values.iter().flatten().any(|value| *value != 0.0);
    Scale::of(values.iter()).filter(|_| told)
}

/// A task after which, or on which, all values are shares, where others are beyond 1.
fn mixed(setup: &Setup) -> Option<String> {
    if setup.matrix.scale() == Scale::Shares {
        return None;
    }
    let rows = rows(&setup.matrix);
    let column = |task: usize| rows.iter().map(|row| row[task]).collect::<Vec<_>>();
    let all = 0..setup.tasks.len();
    let after = all
        .clone()
        .find(|&task| scale(&rows[task]) == Some(Scale::Shares));
    let on = || {
        all.clone()
            .find(|&task| scale(&column(task)) == Some(Scale::Shares))
    };
    let (word, task) = after
        .map(|task| ("after", task))
        .or_else(|| on().map(|task| ("on", task)))?;
    Some(format!(
        "all values {word} task `{}` are within 0 to 1, and others are beyond: percent beside shares makes every measure wrong",
        setup.tasks[task]
    ))
}

fn below_zero(matrix: &AccuracyMatrix) -> Option<String> {
    let lowest = rows(matrix)
        .into_iter()
        .flatten()
        .flatten()
        .reduce(f64::min)?;
    (lowest < 0.0).then(|| format!("{lowest} is below 0, which no accuracy is"))
}

/// Setups whose values are in another unit than those of the first one.
fn unlike(setups: &[Setup]) -> Option<String> {
    let first = setups.first()?;
    let other = setups
        .iter()
        .find(|setup| setup.matrix.scale() != first.matrix.scale())?;
    let name = |setup: &Setup| setup.name.clone().unwrap_or_default();
    Some(format!(
        "the values of `{}` and `{}` are in different units: one of both is in shares, the other is not, and they cannot be compared",
        name(first),
        name(other)
    ))
}
