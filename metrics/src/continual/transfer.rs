//! What earlier tasks do for one that is not learned yet.

use super::{AccuracyMatrix, mean_of};

/// Forward transfer: mean over the tasks j >= 2 (from 1) of R(j - 1, j) - b(j), b being the value
/// before any training.
///
/// Lopez-Paz and Ranzato 2017 (GEM), equation 4, "FWT". Trap: in class-incremental learning a class
/// that was never seen is never predicted, so this is about -b.
pub fn forward_transfer(matrix: &AccuracyMatrix) -> Option<f64> {
    mean_of(
        (1..matrix.tasks()).map(|task| Some(matrix.after(task - 1, task)? - matrix.before(task)?)),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::continual::measures::tests::{close, three_tasks};

    /// Before: 0.15 0.05 0.1. (0.1 - 0.05 + 0.3 - 0.1) / 2 = 0.125.
    #[test]
    fn forward_transfer_by_hand() {
        close(forward_transfer(&three_tasks()), 0.125);
        assert_eq!(forward_transfer(&AccuracyMatrix::new(3)), None);
    }
}
