//! What a knowledge base was worth each time a task was over, as the paper measures it.

use super::{
    base::Base,
    calibrated::{self, Sure, predictors},
    designs::Correlations,
    judge::Judge,
    preferences,
};
use crate::{failure::Failure, grid::Grid, output::line};
use lyceum_core::{Seed, TaskId};
use lyceum_metrics::{hypervolume, ranks::spearman};
use lyceum_strategies::knowledge::{Region, RegionKind};
use serde::Serialize;
use std::thread;

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
    /// Of the accuracies of the preferences' point models, with reference point 0.
    pub(crate) hypervolume: f64,
    /// Over the preferences, by how much they weigh a task, and the mean of these over the tasks; by predictor.
    pub(crate) calibration: Vec<Sure>,
    /// The same by task and predictor.
    calibration_by_task: Vec<Vec<Sure>>,
    /// As `rank_correlation`, for other ways to choose preferences.
    pub(crate) correlations: Correlations,
}

/// What is found of the models of the preferences.
struct Found {
    /// By task: accuracy by kind, and the rank correlation of its weight and the point model's accuracy.
    by_task: Vec<(Kinds, Option<f64>)>,
    hypervolume: f64,
    calibration: Vec<Vec<Sure>>,
    correlations: Correlations,
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
        let found = found(&base, judge, &tasks[..over], how)?;
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
    line(format_args!("calibration, mean over tasks"));
    let of = |moment: &Moment| (moment.tasks.to_string(), moment.calibration.clone());
    let rows: Vec<_> = moments.iter().map(of).collect();
    line(format_args!(
        "{}\n",
        calibrated::table("tasks", &rows).text()
    ));
    if let Some(last) = moments.last() {
        line(format_args!(
            "rank correlation of a task's weight and accuracy on it, all tasks over"
        ));
        line(format_args!("{}\n", correlations(last).text()));
    }
    line(format_args!("hypervolume of the point models"));
    let of = |moment: &Moment| {
        vec![
            moment.tasks.to_string(),
            format!("{:.4}", moment.hypervolume),
        ]
    };
    let mut lines = vec![["tasks", "hypervolume"].map(String::from).to_vec()];
    lines.extend(moments.iter().map(of));
    line(format_args!("{}", Grid { lines, words: &[] }.text()));
    Ok(())
}

fn correlations(moment: &Moment) -> Grid {
    let head = [
        "place of the task",
        "10 random",
        "100 spread evenly",
        "its weight alone varies",
    ];
    let shown = |value: &Option<f64>| value.map_or("-".into(), |value| format!("{value:.2}"));
    let all = &moment.correlations;
    let columns = [&moment.rank_correlation, &all.even, &all.alone];
    let row = |place: usize| {
        let cells = columns.iter().map(|column| shown(&column[place]));
        std::iter::once(place.to_string()).chain(cells).collect()
    };
    let rows = (0..moment.rank_correlation.len()).map(row);
    let head = head.map(String::from).to_vec();
    let lines = std::iter::once(head).chain(rows).collect();
    Grid { lines, words: &[] }
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

/// Accuracy on each task: the mean over preferences by how much each weighs the task, one by kind of model; and what else is measured of
/// the models.
fn found(base: &Base, judge: &Judge, tasks: &[TaskId], how: Draws) -> Result<Found, Failure> {
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
    let place = |task: &TaskId| learned.iter().position(|l| l == task).unwrap_or(0);
    let of_task = |task: &TaskId| {
        let place = place(task);
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
    let places: Vec<usize> = tasks.iter().map(place).collect();
    let sure = sure_by_task(judge, (&all, &models), each, &learned)?;
    let fronts = accuracies.chunks(each).map(|models| models[0].clone());
    Ok(Found {
        by_task: tasks.iter().map(of_task).collect(),
        hypervolume: hypervolume(&fronts.collect::<Vec<_>>()),
        calibration: places.iter().map(|place| sure[*place].clone()).collect(),
        correlations: Correlations::of(base, judge, seed)?.at(&places),
    })
}

/// Calibration by task and predictor, of `each` models a preference.
fn sure_by_task(
    judge: &Judge,
    (preferences, models): (&[Vec<f64>], &[Vec<f32>]),
    each: usize,
    tasks: &[TaskId],
) -> Result<Vec<Vec<Sure>>, Failure> {
    let draws = (each - 1) / RegionKind::ALL.len();
    let one = |models: &[Vec<f32>]| calibrated::of_preference(judge, models, draws, tasks);
    let share = each * preferences.len().div_ceil(judge.threads());
    let some = |models: &[Vec<f32>]| -> Result<Vec<_>, Failure> {
        models.chunks(each).map(&one).collect()
    };
    let parts: Vec<Result<Vec<Vec<Vec<Sure>>>, Failure>> = thread::scope(|scope| {
        let some = &some;
        let workers: Vec<_> = models
            .chunks(share)
            .map(|models| scope.spawn(move || some(models)))
            .collect();
        let ended = || Failure::other("a thread that judged models ended early");
        let join = |worker: thread::ScopedJoinHandle<'_, _>| {
            worker.join().unwrap_or_else(|_| Err(ended()))
        };
        workers.into_iter().map(join).collect()
    });
    let parts: Vec<Vec<Vec<Vec<Sure>>>> = parts.into_iter().collect::<Result<_, _>>()?;
    let by_preference: Vec<Vec<Vec<Sure>>> = parts.into_iter().flatten().collect();
    let of_task = |place: usize| {
        let weights: Vec<f64> = preferences.iter().map(|weights| weights[place]).collect();
        let of = |predictor: usize| {
            let all = by_preference.iter().map(|tasks| tasks[place][predictor]);
            Sure::mean(&all.collect::<Vec<Sure>>(), &weights)
        };
        (0..predictors().len()).map(of).collect()
    };
    Ok((0..tasks.len()).map(of_task).collect())
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

fn moment(base: &Base, found: Found, before: &[Moment]) -> Moment {
    let by_task = found.by_task.into_iter();
    let (accuracy, rank_correlation): (Vec<Kinds>, Vec<Option<f64>>) = by_task.unzip();
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
        hypervolume: found.hypervolume,
        calibration: over_tasks(&found.calibration),
        calibration_by_task: found.calibration,
        correlations: found.correlations,
    }
}

/// Means over the tasks, by predictor.
fn over_tasks(by_task: &[Vec<Sure>]) -> Vec<Sure> {
    let weights = vec![1.0; by_task.len()];
    let of = |predictor: usize| {
        let all: Vec<Sure> = by_task.iter().map(|all| all[predictor]).collect();
        Sure::mean(&all, &weights)
    };
    (0..predictors().len()).map(of).collect()
}
