//! What a learner loses, in definitions that differ.

use super::{AccuracyMatrix, mean_of};

/// Forgetting by "max over earlier minus last": mean over the tasks j < N of
/// max over l < N of R(l, j), minus R(N, j).
///
/// Chaudhry et al. 2018 (Riemannian walk), definition of forgetting at the last task: the maximum is over all
/// earlier rows l < N, so also over rows from before task j was learned where they were measured.
/// The rows from j on have to be measured. Negative if every task ends above its earlier best.
pub fn forgetting_max(matrix: &AccuracyMatrix) -> Option<f64> {
    mean_of(matrix.earlier_tasks().map(|task| {
        let best = best_before_end(matrix, task)?;
        Some(best - matrix.at_end(task)?)
    }))
}

fn best_before_end(matrix: &AccuracyMatrix, task: usize) -> Option<f64> {
    let rows = matrix.earlier_tasks();
    let since_learned: Option<Vec<f64>> = (task..rows.end)
        .map(|row| matrix.after(row, task))
        .collect();
    let before_learned = (0..task).filter_map(|row| matrix.after(row, task));
    since_learned?
        .into_iter()
        .chain(before_learned)
        .reduce(f64::max)
}

/// Forgetting by "just learned minus last": mean over the tasks j < N of R(j, j) - R(N, j).
///
/// The negative of [`backward_transfer`]; Avalanche's "forgetting" is this one per task.
pub fn forgetting_just_learned(matrix: &AccuracyMatrix) -> Option<f64> {
    backward_transfer(matrix).map(|transfer| -transfer)
}

/// Backward transfer: mean over the tasks j < N of R(N, j) - R(j, j). Negative when forgetting.
///
/// Lopez-Paz and Ranzato 2017 (GEM), equation 3, "BWT".
pub fn backward_transfer(matrix: &AccuracyMatrix) -> Option<f64> {
    mean_of(
        matrix
            .earlier_tasks()
            .map(|task| Some(matrix.at_end(task)? - matrix.just_learned(task)?)),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::continual::measures::tests::{close, three_tasks};
    use proptest::prelude::*;

    /// R = [0.8 0.1 0.2; 0.6 0.9 0.3; 0.7 0.5 0.7].
    /// Max: (0.8 - 0.7 + 0.9 - 0.5) / 2 = 0.25. BWT: (0.7 - 0.8 + 0.5 - 0.9) / 2 = -0.25.
    #[test]
    fn forgetting_by_hand() {
        close(forgetting_max(&three_tasks()), 0.25);
        close(forgetting_just_learned(&three_tasks()), 0.25);
        close(backward_transfer(&three_tasks()), -0.25);
    }

    /// Task 0 improves to 0.9 after task 1 and ends at 0.6: max says 0.3, just-learned 0.1.
    /// Task 1 was at 0.95 before it was learned, at 0.7 just after, at 0.5 in the end: 0.45 and 0.2.
    #[test]
    fn the_definitions_differ_where_a_task_improved_in_between() {
        let rows = [[0.7, 0.95, 0.0], [0.9, 0.7, 0.0], [0.6, 0.5, 1.0]];
        let rows = rows.map(|row| row.map(Some).to_vec()).to_vec();
        let matrix = AccuracyMatrix::from_rows(rows).unwrap();
        close(forgetting_max(&matrix), 0.375);
        close(forgetting_just_learned(&matrix), 0.15);
    }

    #[test]
    fn one_task_has_nothing_to_forget() {
        let matrix = AccuracyMatrix::from_lower_triangle(&[vec![0.5]]).unwrap();
        assert_eq!(forgetting_max(&matrix), None);
        assert_eq!(backward_transfer(&matrix), None);
    }

    proptest! {
        #[test]
        fn the_maximum_is_never_below_the_just_learned(
            values in proptest::collection::vec(0.0..1.0_f64, 25)
        ) {
            let rows = values.chunks(5).map(|row| row.iter().copied().map(Some).collect());
            let matrix = AccuracyMatrix::from_rows(rows.collect()).unwrap();
            let max = forgetting_max(&matrix).unwrap();
            prop_assert!(max >= forgetting_just_learned(&matrix).unwrap() - 1e-12);
        }

        #[test]
        fn a_direct_transcription_agrees(
            values in proptest::collection::vec(0.0..1.0_f64, 16)
        ) {
            let rows = values.chunks(4).map(|row| row.iter().copied().map(Some).collect());
            let matrix = AccuracyMatrix::from_rows(rows.collect()).unwrap();
            let at = |i: usize, j: usize| values[4 * i + j];
            let mut sum = 0.0;
            for j in 0..3 {
                sum += at(0, j).max(at(1, j)).max(at(2, j)) - at(3, j);
            }
            prop_assert!((forgetting_max(&matrix).unwrap() - sum / 3.0).abs() < 1e-12);
        }
    }
}
