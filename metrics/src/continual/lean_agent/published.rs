//! The form of the authors' script.

use super::{AccuracyMatrix, LeanAgent, curve, incremental_plasticity, resilience};
use crate::continual::mean_of;

/// The six measures as the authors' script computes them. `window` is w of WF and WP; WF needs more
/// tasks than that, IP the validation values of all tasks.
pub fn published(matrix: &AccuracyMatrix, validation: &[Option<f64>], window: usize) -> LeanAgent {
    LeanAgent {
        wf: windowed_forgetting(matrix, window),
        fm: forgetting(matrix),
        cfr: resilience(matrix),
        ebwt: expanded_backward_transfer(matrix),
        wp: windowed_plasticity(matrix, window),
        ip: incremental_plasticity(validation),
    }
}

fn windowed_forgetting(matrix: &AccuracyMatrix, window: usize) -> Option<f64> {
    if window == 0 {
        return None;
    }
    curve(matrix)?
        .windows(window + 1)
        .filter_map(|values| {
            let (last, earlier) = values.split_last()?;
            Some(earlier.iter().copied().reduce(f64::max)? - last)
        })
        .reduce(f64::max)
        .map(|worst| worst.max(0.0))
}

/// Task i - 1 of the text is `learned` here: the last one learned at that time.
fn forgetting(matrix: &AccuracyMatrix) -> Option<f64> {
    mean_of(matrix.earlier_tasks().map(|learned| {
        let row: Option<Vec<f64>> = (0..=learned)
            .map(|task| matrix.after(learned, task))
            .collect();
        Some(row?.into_iter().reduce(f64::max)? - matrix.at_end(learned)?)
    }))
}

fn expanded_backward_transfer(matrix: &AccuracyMatrix) -> Option<f64> {
    mean_of(matrix.earlier_tasks().flat_map(|learned| {
        (0..=learned)
            .map(move |task| Some(matrix.after(learned, task)? - matrix.just_learned(task)?))
    }))
}

fn windowed_plasticity(matrix: &AccuracyMatrix, window: usize) -> Option<f64> {
    let curve = curve(matrix)?;
    let rise = |i: usize| (curve[i] - curve[i.saturating_sub(window)]).max(0.0);
    mean_of((0..curve.len()).map(|i| Some(rise(i))))
}
