//! How well a learner still learns, against references that saw more or less than it did.

use super::{AccuracyMatrix, mean_of};

/// Intransigence: mean over the tasks k of a*(k) - R(k, k), a*(k) being the value on task k of a
/// reference trained jointly on the data of all tasks up to k. High when the learner cannot learn.
///
/// Chaudhry et al. 2018 (Riemannian walk), averaged over tasks.
pub fn intransigence(matrix: &AccuracyMatrix, joint: &[Option<f64>]) -> Option<f64> {
    against(matrix, joint, |learner, joint| Some(joint - learner))
}

/// Plasticity against single-task experts, as a ratio: mean over the tasks j of R(j, j) / e(j), e(j)
/// being the value on task j of a learner trained on nothing else. `None` if an expert has 0.
pub fn plasticity_ratio(matrix: &AccuracyMatrix, expert: &[Option<f64>]) -> Option<f64> {
    against(matrix, expert, |learner, expert| {
        (expert != 0.0).then(|| learner / expert)
    })
}

/// Plasticity against single-task experts, as a difference: mean over the tasks j of R(j, j) - e(j).
/// Positive where earlier tasks helped.
pub fn plasticity_difference(matrix: &AccuracyMatrix, expert: &[Option<f64>]) -> Option<f64> {
    against(matrix, expert, |learner, expert| Some(learner - expert))
}

fn against(
    matrix: &AccuracyMatrix,
    reference: &[Option<f64>],
    compare: impl Fn(f64, f64) -> Option<f64>,
) -> Option<f64> {
    mean_of((0..matrix.tasks()).map(|task| {
        let reference = *reference.get(task)?;
        compare(matrix.just_learned(task)?, reference?)
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::continual::measures::tests::{close, three_tasks};

    /// Diagonal 0.8 0.9 0.7. Joint 0.9 0.9 0.8: (0.1 + 0 + 0.1) / 3. Experts 1.0 0.9 0.7:
    /// (0.8 + 1 + 1) / 3 and (-0.2 + 0 + 0) / 3.
    #[test]
    fn references_by_hand() {
        let joint = [0.9, 0.9, 0.8].map(Some);
        close(intransigence(&three_tasks(), &joint), 0.2 / 3.0);
        let expert = [1.0, 0.9, 0.7].map(Some);
        close(plasticity_ratio(&three_tasks(), &expert), 2.8 / 3.0);
        close(plasticity_difference(&three_tasks(), &expert), -0.2 / 3.0);
    }

    #[test]
    fn a_missing_or_useless_reference_gives_nothing() {
        assert_eq!(intransigence(&three_tasks(), &[Some(0.9)]), None);
        assert_eq!(
            plasticity_ratio(&three_tasks(), &[Some(0.0), Some(1.0), Some(1.0)]),
            None
        );
    }
}
