//! What a knowledge base was worth each time a task was over, as the paper measures it.

use super::{base::Base, judge::Judge, preferences};
use crate::{failure::Failure, grid::Grid, output::line};
use lyceum_core::{Seed, TaskId};
use lyceum_metrics::ranks::spearman;
use lyceum_strategies::knowledge::{Region, RegionKind};
use serde::Serialize;

/// Preferences where none are given, as in the paper.
pub(crate) const PREFERENCES: usize = 10;

/// Accuracies by kind of model: the point model, and for each region the mean and the best of its draws.
type Kinds = Vec<f64>;

/// What is drawn for the measures.
#[derive(Clone, Copy)]
pub(crate) struct Draws {
    /// The mass that regions leave out.
    pub(crate) alpha: f64,
    /// Models from each region, at least 1.
    pub(crate) draws: u64,
    /// Of preferences and draws.
    pub(crate) seed: u64,
}

/// A knowledge base when a task was over.
#[derive(Serialize)]
pub(crate) struct Moment {
    /// Tasks that are over.
    tasks: usize,
    /// Posteriors that are kept.
    pub(crate) kept: usize,
    /// Bytes that they take.
    bytes: usize,
    /// Accuracy on each task over the preferences, by how much they weigh it; by kind.
    accuracy: Vec<Kinds>,
    /// Spearman's correlation, over the preferences, of a task's weight with the point model's accuracy on it; by task, and `None` where
    /// one of them never varies.
    pub(crate) rank_correlation: Vec<Option<f64>>,
    /// Mean of these over the tasks.
    pub(crate) average: Kinds,
    /// Largest of these.
    pub(crate) peak: Kinds,
    /// Mean over the tasks before the last of accuracy less that of when the task was over; `None` for the first task.
    pub(crate) backward_transfer: Option<Kinds>,
    /// As the published code has it: mean difference of neighbours in a row.
    pub(crate) backward_transfer_published: Option<Kinds>,
}

/// Measures a knowledge base as it was behind each task; `read` gives it as it was when so many were over, and of 0 all of it.
pub(super) fn moments(
    read: &dyn Fn(usize) -> Result<Base, Failure>,
    judge: &Judge,
    how: Draws,
) -> Result<Vec<Moment>, Failure> {
    let tasks = read(0)?.knowledge.tasks();
    let mut moments: Vec<Moment> = Vec::new();
    for over in 1..=tasks.len() {
        let base = read(over)?;
        let found = by_task(&base, judge, &tasks[..over], how)?;
        moments.push(moment(&base, found, &moments));
    }
    Ok(moments)
}

/// Prints the measures.
pub(super) fn print(moments: &[Moment], json: bool) -> Result<(), Failure> {
    if json {
        let text = serde_json::to_string_pretty(moments).map_err(Failure::other)?;
        line(format_args!("{text}"));
        return Ok(());
    }
    let named = ["average", "peak", "backward transfer", "as published"];
    for (place, kind) in kinds().iter().enumerate() {
        line(format_args!("{kind}"));
        let value = |all: &Kinds| format!("{:.2} %", 100.0 * all[place]);
        let or_none = |all: &Option<Kinds>| all.as_ref().map_or("-".into(), value);
        let head = ["tasks", "kept", "bytes"].iter().chain(&named);
        let mut lines: Vec<Vec<String>> = vec![head.map(|word| (*word).to_owned()).collect()];
        lines.extend(moments.iter().map(|moment| {
            let counts = [moment.tasks, moment.kept, moment.bytes].map(|n| n.to_string());
            let measured = [
                value(&moment.average),
                value(&moment.peak),
                or_none(&moment.backward_transfer),
                or_none(&moment.backward_transfer_published),
            ];
            counts.into_iter().chain(measured).collect()
        }));
        line(format_args!("{}\n", Grid { lines, words: &[] }.text()));
    }
    Ok(())
}

/// What the kinds of models are called.
pub(crate) fn kinds() -> Vec<String> {
    let regions = RegionKind::ALL.iter();
    let drawn =
        regions.flat_map(|kind| ["mean", "best"].map(|of| format!("{}, {of}", kind.name())));
    std::iter::once("point model".to_owned())
        .chain(drawn)
        .collect()
}

/// Accuracy on each task: the mean over preferences by how much each weighs the task, one by kind of model; and the rank correlation.
fn by_task(
    base: &Base,
    judge: &Judge,
    tasks: &[TaskId],
    how: Draws,
) -> Result<Vec<(Kinds, Option<f64>)>, Failure> {
    let learned = base.knowledge.learned();
    let all: Vec<Vec<f64>> = (0..PREFERENCES as u64)
        .map(|number| preferences::random(learned.len(), how.seed, number))
        .collect();
    let Draws { alpha, draws, seed } = how;
    let mut models = Vec::new();
    for (number, weights) in (0..).zip(&all) {
        let combined = base.combined(weights)?;
        models.push(combined.means.clone());
        for kind in RegionKind::ALL {
            let region = Region { kind, alpha };
            let draw = |draw| region.draw(Seed(seed), (number, draw), &combined);
            models.extend((0..draws).map(draw));
        }
    }
    let accuracies = judge.accuracies(&models, &learned)?;
    let each = 1 + RegionKind::ALL.len() * draws as usize;
    let of_task = |task: &TaskId| {
        let place = learned.iter().position(|l| l == task).unwrap_or(0);
        let weight: f64 = all.iter().map(|weights| weights[place]).sum();
        let mut sums: Kinds = vec![0.0; kinds().len()];
        for (weights, models) in all.iter().zip(accuracies.chunks(each)) {
            let found = kinds_of(models, place, draws as usize);
            let sites = sums.iter_mut().zip(found);
            sites.for_each(|(sum, value)| *sum += weights[place] / weight * value);
        }
        let weights: Vec<f64> = all.iter().map(|weights| weights[place]).collect();
        let points = accuracies.chunks(each).map(|models| models[0][place]);
        (sums, spearman(&weights, &points.collect::<Vec<f64>>()))
    };
    Ok(tasks.iter().map(of_task).collect())
}

/// Of the models of a preference: accuracy of the point model, then mean and best of each region.
fn kinds_of(models: &[Vec<f64>], place: usize, draws: usize) -> Kinds {
    let mut all = vec![models[0][place]];
    for drawn in models[1..].chunks(draws) {
        let values = drawn.iter().map(|accuracies| accuracies[place]);
        all.push(values.clone().sum::<f64>() / draws as f64);
        all.push(values.fold(0.0, f64::max));
    }
    all
}

fn moment(base: &Base, found: Vec<(Kinds, Option<f64>)>, before: &[Moment]) -> Moment {
    let (accuracy, rank_correlation): (Vec<Kinds>, Vec<Option<f64>>) = found.into_iter().unzip();
    let (tasks, kept) = (accuracy.len(), base.knowledge.kept().len());
    let over_kinds = |value: &dyn Fn(usize) -> f64| (0..accuracy[0].len()).map(value).collect();
    let average = over_kinds(&|kind| accuracy.iter().map(|a| a[kind]).sum::<f64>() / tasks as f64);
    let peak = over_kinds(&|kind| accuracy.iter().map(|a| a[kind]).fold(0.0, f64::max));
    let pairs = (tasks - 1) as f64;
    let transfer = |kind: usize| -> f64 {
        let own = before
            .iter()
            .enumerate()
            .map(|(l, then)| then.accuracy[l][kind]);
        own.zip(&accuracy)
            .map(|(then, now)| now[kind] - then)
            .sum::<f64>()
            / pairs
    };
    let published = |kind: usize| -> f64 {
        let neighbours = accuracy.windows(2);
        neighbours
            .map(|two| two[1][kind] - two[0][kind])
            .sum::<f64>()
            / pairs
    };
    Moment {
        tasks,
        kept,
        bytes: kept * 8 * base.halves.len,
        rank_correlation,
        average,
        peak,
        backward_transfer: (tasks > 1).then(|| over_kinds(&transfer)),
        backward_transfer_published: (tasks > 1).then(|| over_kinds(&published)),
        accuracy,
    }
}
