//! How good a learner is: at the end, along the way, and just after learning.

use super::{AccuracyMatrix, mean_of};

/// Final average accuracy: mean over all tasks j of R(N, j).
///
/// Lopez-Paz and Ranzato 2017 (GEM), equation 2, "ACC".
pub fn final_average_accuracy(matrix: &AccuracyMatrix) -> Option<f64> {
    mean_of((0..matrix.tasks()).map(|task| matrix.at_end(task)))
}

/// A(i), the mean over the tasks j <= i seen so far of R(i, j).
///
/// Chaudhry et al. 2018 (Riemannian walk), "average accuracy".
pub fn accuracy_so_far(matrix: &AccuracyMatrix, learned: usize) -> Option<f64> {
    mean_of((0..=learned).map(|task| matrix.after(learned, task)))
}

/// Mean of the curve: mean over i of A(i), see [`accuracy_so_far`].
///
/// Rebuffi et al. 2017 (iCaRL), "average incremental accuracy". It averages over a growing
/// set of tasks, so the order of easy and hard tasks alone changes it.
pub fn mean_of_curve(matrix: &AccuracyMatrix) -> Option<f64> {
    mean_of((0..matrix.tasks()).map(|learned| accuracy_so_far(matrix, learned)))
}

/// Learning accuracy: mean over all tasks j of R(j, j).
///
/// Riemer et al. 2019 (meta-experience replay).
pub fn learning_accuracy(matrix: &AccuracyMatrix) -> Option<f64> {
    mean_of((0..matrix.tasks()).map(|task| matrix.just_learned(task)))
}

/// Mean of an online accuracy by the trapezoid rule: the area under the line through the points
/// (x, accuracy) divided by the distance from the first x to the last.
///
/// x may be samples, steps or rounds and has to grow from point to point; otherwise, and with fewer
/// than two points, `None`. After Koh et al. 2022 (i-Blurry), who sum rectangles.
pub fn area_under_online_accuracy(points: &[(f64, f64)]) -> Option<f64> {
    let grows = points.windows(2).all(|pair| pair[0].0 < pair[1].0);
    let (first, last) = (points.first()?.0, points.last()?.0);
    let area: f64 = points
        .windows(2)
        .map(|pair| (pair[1].0 - pair[0].0) * (pair[0].1 + pair[1].1) / 2.0)
        .sum();
    (grows && last > first).then(|| area / (last - first))
}

/// Mean online accuracy: the plain mean over points, whatever lies between them. `None` without
/// points.
///
/// Cai et al. 2021 (online continual learning with natural distribution shifts), where each point is the accuracy on a batch before it is trained on.
pub fn mean_online_accuracy(points: &[(f64, f64)]) -> Option<f64> {
    mean_of(points.iter().map(|&(_, accuracy)| Some(accuracy)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::continual::measures::tests::{close, three_tasks};

    /// R = [0.8 0.1 0.2; 0.6 0.9 0.3; 0.7 0.5 0.7].
    /// End: (0.7 + 0.5 + 0.7) / 3 = 19/30. A = 0.8, (0.6 + 0.9) / 2 = 0.75, 19/30; their mean is
    /// (24/30 + 22.5/30 + 19/30) / 3 = 65.5/90. Diagonal: (0.8 + 0.9 + 0.7) / 3 = 0.8.
    #[test]
    fn accuracies_by_hand() {
        let matrix = three_tasks();
        close(final_average_accuracy(&matrix), 19.0 / 30.0);
        close(accuracy_so_far(&matrix, 1), 0.75);
        close(mean_of_curve(&matrix), 65.5 / 90.0);
        close(learning_accuracy(&matrix), 0.8);
    }

    #[test]
    fn a_missing_entry_is_not_guessed() {
        let mut rows = vec![vec![Some(0.5); 2]; 2];
        rows[1][0] = None;
        let matrix = AccuracyMatrix::from_rows(rows).unwrap();
        assert_eq!(final_average_accuracy(&matrix), None);
        assert_eq!(mean_of_curve(&matrix), None);
        assert_eq!(learning_accuracy(&matrix), Some(0.5));
        assert_eq!(final_average_accuracy(&AccuracyMatrix::new(0)), None);
    }

    /// Trapezoids: 1 x (0 + 0.5)/2 + 3 x (0.5 + 0.7)/2 = 0.25 + 1.8 = 2.05 over a distance of 4.
    #[test]
    fn the_area_weighs_by_distance_and_the_mean_does_not() {
        let points = [(1.0, 0.0), (2.0, 0.5), (5.0, 0.7)];
        close(area_under_online_accuracy(&points), 0.5125);
        close(mean_online_accuracy(&points), 0.4);
        assert_eq!(area_under_online_accuracy(&points[..1]), None);
        assert_eq!(area_under_online_accuracy(&[(1.0, 0.0), (1.0, 1.0)]), None);
        assert_eq!(area_under_online_accuracy(&[]), None);
        assert_eq!(mean_online_accuracy(&[]), None);
    }
}
