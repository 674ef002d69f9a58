//! The measure by which orders of tasks are ranked in *Learning to Learn*.

use super::{AccuracyMatrix, final_average_accuracy};

/// The two sides of a curriculum's score, and the score.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FirstTask {
    /// Final average accuracy.
    pub alpha: f64,
    /// Forgetting of the first task: R(1, 1) - R(N, 1).
    pub beta: f64,
    /// F = 2 alpha / (alpha beta + 1), the harmonic mean of alpha and 1 / beta.
    pub f: f64,
}

/// Singh et al. 2023 (*Learning to Learn: How to Continuously Teach Humans and Machines*), section 3.
///
/// Accuracies are shares between 0 and 1: unlike most measures F depends on the unit. Traps: F grows
/// without bound as beta falls, so a network that never learned the first task looks good; read alpha
/// and beta beside it. In the published numbers the class with label 0 alone decides most of F
/// (`docs/METRICS.md`). `None` where alpha beta = -1.
pub fn first_task(matrix: &AccuracyMatrix) -> Option<FirstTask> {
    let alpha = final_average_accuracy(matrix)?;
    let beta = matrix.just_learned(0)? - matrix.at_end(0)?;
    let below = alpha * beta + 1.0;
    (below != 0.0).then(|| FirstTask {
        alpha,
        beta,
        f: 2.0 * alpha / below,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::continual::measures::tests::{close, three_tasks};

    /// alpha = 19/30, beta = 0.8 - 0.7 = 0.1, F = 2 (19/30) / (19/300 + 1) = 380/319.
    #[test]
    fn a_score_by_hand() {
        let found = first_task(&three_tasks()).unwrap();
        close(Some(found.alpha), 19.0 / 30.0);
        close(Some(found.beta), 0.1);
        close(Some(found.f), 380.0 / 319.0);
    }
}
