//! The form of the papers that the names come from.

use super::{AccuracyMatrix, LeanAgent, incremental_plasticity, resilience};
use crate::continual::{forgetting_max, mean_of};

/// The six measures in their standard definitions. `window` is the number of evaluations that
/// [`windowed_forgetting`] and [`windowed_plasticity`] look at together.
pub fn standard(matrix: &AccuracyMatrix, validation: &[Option<f64>], window: usize) -> LeanAgent {
    LeanAgent {
        wf: windowed_forgetting(matrix, window),
        fm: forgetting_max(matrix),
        cfr: resilience(matrix),
        ebwt: expanded_backward_transfer(matrix),
        wp: windowed_plasticity(matrix, window),
        ip: incremental_plasticity(validation),
    }
}

/// Windowed forgetting: mean over tasks of the largest drop of the task's value between two of any
/// `window` consecutive evaluations, the earlier minus the later, at least 0.
///
/// De Lange et al. 2023 (*Continual evaluation for lifelong learning: identifying the stability gap*),
/// WF^w. A task's evaluations are the measured entries of its column in order, that before any
/// training first; a task with one evaluation counts 0. `None` where an entry is missing between or
/// after measured ones, the window holds fewer than two, or no task has two. Published with evaluations after every
/// step; here there is one per task.
pub fn windowed_forgetting(matrix: &AccuracyMatrix, window: usize) -> Option<f64> {
    largest_change(matrix, window, |earlier, later| earlier - later)
}

/// Windowed plasticity: mean over tasks of the largest rise of the task's value between two of any
/// `window` consecutive evaluations, the later minus the earlier, at least 0.
///
/// De Lange et al. 2023, WP^w; evaluations as in [`windowed_forgetting`]. What a task gains while it is
/// learned counts only where it was evaluated before that.
pub fn windowed_plasticity(matrix: &AccuracyMatrix, window: usize) -> Option<f64> {
    largest_change(matrix, window, |earlier, later| later - earlier)
}

fn largest_change(
    matrix: &AccuracyMatrix,
    window: usize,
    change: impl Fn(f64, f64) -> f64,
) -> Option<f64> {
    let judged = |task| evaluations(matrix, task).map_or(0, |values| values.len());
    if window < 2 || (0..matrix.tasks()).all(|task| judged(task) < 2) {
        return None;
    }
    mean_of((0..matrix.tasks()).map(|task| {
        let values = evaluations(matrix, task)?;
        let changes = values.iter().enumerate().flat_map(|(at, &earlier)| {
            let later = values[at + 1..].iter().take(window - 1);
            later.map(move |&later| (earlier, later))
        });
        Some(changes.fold(0.0, |most: f64, (earlier, later)| {
            most.max(change(earlier, later))
        }))
    }))
}

/// The measured values of a task in order, from the first measured one to the end.
fn evaluations(matrix: &AccuracyMatrix, task: usize) -> Option<Vec<f64>> {
    let rows = (0..matrix.tasks()).map(|learned| matrix.after(learned, task));
    let found: Option<Vec<f64>> = std::iter::once(matrix.before(task))
        .chain(rows)
        .skip_while(Option::is_none)
        .collect();
    found.filter(|values| !values.is_empty())
}

/// Expanded backward transfer: mean over i = 2..N and j < i of R(i, j) - R(j, j).
///
/// Díaz-Rodríguez et al. 2018 (*Don't forget, there is more than forgetting*), their backward transfer.
fn expanded_backward_transfer(matrix: &AccuracyMatrix) -> Option<f64> {
    mean_of((1..matrix.tasks()).flat_map(|learned| {
        (0..learned)
            .map(move |task| Some(matrix.after(learned, task)? - matrix.just_learned(task)?))
    }))
}
