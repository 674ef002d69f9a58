//! The measures of LeanAgent, as its script computes them and as they are usually defined.
//!
//! Kumarappan et al. 2025 (LeanAgent, ICLR), section 4 and the authors' script. With R the test recall
//! after each task, A(i) the mean over j <= i of R(i, j), V(i) the validation recall of task i right
//! after it was learned, and w a window (5 in the paper):
//!
//! | measure | as published | standard |
//! |---|---|---|
//! | WF | max over i > w of max(A(i-w) .. A(i-1)) - A(i), at least 0 | mean over tasks of the largest drop within w evaluations |
//! | FM | mean over i = 2..N of max over j < i of R(i-1, j), minus R(N, i-1) | [`forgetting_max`](super::forgetting_max) |
//! | CFR | min A / max A | the same |
//! | EBWT | mean over i = 2..N, j < i of R(i-1, j) - R(j, j) | mean over i = 2..N, j < i of R(i, j) - R(j, j) |
//! | WP | mean over i of max(0, A(i) - A(max(1, i-w))) | mean over tasks of the largest rise within w evaluations |
//! | IP | mean over i of V(i+1) - V(i) = (V(N) - V(1)) / (N - 1) | the same |
//!
//! Traps: A(i) averages over a growing set of tasks, so the published WF and WP and both CFR move with
//! the hardness of the tasks that join, without any forgetting. The published EBWT is one task late, so
//! that its N - 1 terms with j = i-1 are always 0. IP is two numbers.

mod composite;
#[cfg(test)]
mod golden;
mod published;
mod standard;

pub use composite::{Composite, composites};
pub use published::published;
pub use standard::{standard, windowed_forgetting, windowed_plasticity};

use super::{AccuracyMatrix, accuracy_so_far};

/// The window of the paper.
pub const WINDOW: usize = 5;

/// The six measures in one of the two forms; what could not be computed is `None`.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct LeanAgent {
    /// Windowed forgetting; low is good.
    pub wf: Option<f64>,
    /// Forgetting measure; low is good.
    pub fm: Option<f64>,
    /// Catastrophic forgetting resilience.
    pub cfr: Option<f64>,
    /// Expanded backward transfer.
    pub ebwt: Option<f64>,
    /// Windowed plasticity.
    pub wp: Option<f64>,
    /// Incremental plasticity.
    pub ip: Option<f64>,
}

/// A(1) to A(N).
fn curve(matrix: &AccuracyMatrix) -> Option<Vec<f64>> {
    (0..matrix.tasks())
        .map(|learned| accuracy_so_far(matrix, learned))
        .collect()
}

/// Catastrophic forgetting resilience: min over i of A(i) / max over i of A(i); `None` where no A is
/// above 0. Both forms.
fn resilience(matrix: &AccuracyMatrix) -> Option<f64> {
    let curve = curve(matrix)?;
    let least = curve.iter().copied().reduce(f64::min)?;
    let most = curve.iter().copied().reduce(f64::max)?;
    (most > 0.0).then(|| least / most)
}

/// Incremental plasticity: (V(N) - V(1)) / (N - 1). Both forms.
fn incremental_plasticity(validation: &[Option<f64>]) -> Option<f64> {
    let values: Vec<f64> = validation.iter().copied().collect::<Option<_>>()?;
    let steps = values.len().checked_sub(1).filter(|&steps| steps > 0)?;
    Some((values[steps] - values[0]) / steps as f64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::continual::measures::tests::{close, three_tasks};
    use proptest::prelude::*;

    proptest! {
        /// Both forms again, by loops over tasks that count from 1.
        #[test]
        fn a_transcription_of_the_formulas_agrees(
            values in proptest::collection::vec(0.1..1.0_f64, 36), window in 2..6_usize
        ) {
            let n = 6;
            let rows = values.chunks(n).map(|row| row.iter().copied().map(Some).collect());
            let matrix = AccuracyMatrix::from_rows(rows.collect()).unwrap();
            let r = |i: usize, j: usize| values[n * (i - 1) + j - 1];
            let a = |i: usize| (1..=i).map(|j| r(i, j)).sum::<f64>() / i as f64;
            let (mut wf, mut wp) = (0.0_f64, 0.0);
            for i in 1..=n {
                wp += (a(i) - a(i.saturating_sub(window).max(1))).max(0.0) / n as f64;
                for back in 1..=window {
                    if i > window {
                        wf = wf.max(a(i - back) - a(i));
                    }
                }
            }
            let (mut fm, mut published_ebwt, mut ebwt, mut pairs) = (0.0, 0.0, 0.0, 0.0);
            for i in 2..=n {
                let best = (1..i).map(|j| r(i - 1, j)).fold(0.0, f64::max);
                fm += (best - r(n, i - 1)) / (n - 1) as f64;
                for j in 1..i {
                    published_ebwt += r(i - 1, j) - r(j, j);
                    ebwt += r(i, j) - r(j, j);
                    pairs += 1.0;
                }
            }
            let (mut drop, mut rise) = (0.0, 0.0);
            for j in 1..=n {
                let (mut most, mut least) = (0.0_f64, 0.0_f64);
                for later in 1..=n {
                    for earlier in 1..later {
                        if later - earlier < window {
                            most = most.max(r(earlier, j) - r(later, j));
                            least = least.min(r(earlier, j) - r(later, j));
                        }
                    }
                }
                drop += most / n as f64;
                rise -= least / n as f64;
            }
            let found = published(&matrix, &[], window);
            close(found.wf, wf);
            close(found.wp, wp);
            close(found.fm, fm);
            close(found.ebwt, published_ebwt / pairs);
            let found = standard(&matrix, &[], window);
            close(found.wf, drop);
            close(found.wp, rise);
            close(found.ebwt, ebwt / pairs);
        }
    }

    const VALIDATION: [Option<f64>; 3] = [Some(0.5), Some(0.9), Some(0.7)];

    /// R = [0.8; 0.6 0.9; 0.7 0.5 0.7], A = 0.8, 0.75, 19/30, w = 1 then 2.
    /// WF1 = max(0.8 - 0.75, 0.75 - 19/30) = 7/60; WF2 = max(0.8, 0.75) - 19/30 = 1/6.
    /// FM: i = 2: max(R(1,1)) - R(3,1) = 0.8 - 0.7; i = 3: max(0.6, 0.9) - R(3,2) = 0.9 - 0.5; mean 0.25.
    /// CFR = (19/30) / 0.8 = 19/24. EBWT: i = 2: R(1,1) - R(1,1) = 0; i = 3: 0.6 - 0.8 = -0.2 and 0;
    /// mean of three = -0.2/3. WP: A falls, so 0. IP = (0.7 - 0.5) / 2.
    #[test]
    fn the_published_form_by_hand() {
        let one = published(&three_tasks(), &VALIDATION, 1);
        close(one.wf, 7.0 / 60.0);
        close(one.fm, 0.25);
        close(one.cfr, 19.0 / 24.0);
        close(one.ebwt, -0.2 / 3.0);
        close(one.wp, 0.0);
        close(one.ip, 0.1);
        close(published(&three_tasks(), &VALIDATION, 2).wf, 1.0 / 6.0);
        assert_eq!(published(&three_tasks(), &VALIDATION, 3).wf, None);
    }

    /// R = [0.2; 0.6 0.4; 0.5 0.9 0.7], A = 0.2, 0.5, 0.7. WP with w = 1: (0 + 0.3 + 0.2) / 3; with
    /// w = 2: (0 + 0.3 + 0.5) / 3. WF1 = 0. FM: i = 2: 0.2 - 0.5 = -0.3; i = 3: max(0.6, 0.4) - 0.9
    /// = -0.3, where task 1 stands for task 2. EBWT: 0, 0.6 - 0.2 = 0.4, 0; mean 0.4/3.
    #[test]
    fn the_published_form_of_a_learner_that_improves() {
        let rows = [vec![0.2], vec![0.6, 0.4], vec![0.5, 0.9, 0.7]];
        let matrix = AccuracyMatrix::from_lower_triangle(&rows).unwrap();
        let one = published(&matrix, &[], 1);
        close(one.wp, 0.5 / 3.0);
        close(published(&matrix, &[], 2).wp, 0.8 / 3.0);
        close(one.wf, 0.0);
        close(one.fm, -0.3);
        close(one.ebwt, 0.4 / 3.0);
        close(one.cfr, 2.0 / 7.0);
        assert_eq!(one.ip, None);
    }

    /// The same matrix, lower triangle. Windows of 2 evaluations: task 1: 0.2 0.6 0.5 drops by 0.1 and
    /// rises by 0.4; task 2: 0.4 0.9 drops by 0 and rises by 0.5; task 3: one evaluation, 0.
    /// WF = 0.1/3, WP = 0.9/3. FM: (0.6 - 0.5 + 0.4 - 0.9) / 2 = -0.2.
    /// EBWT: (2,1): 0.4; (3,1): 0.3; (3,2): 0.5; mean 0.4.
    #[test]
    fn the_standard_form_by_hand() {
        let rows = [vec![0.2], vec![0.6, 0.4], vec![0.5, 0.9, 0.7]];
        let matrix = AccuracyMatrix::from_lower_triangle(&rows).unwrap();
        let found = standard(&matrix, &VALIDATION, 2);
        close(found.wf, 0.1 / 3.0);
        close(found.wp, 0.3);
        close(found.fm, -0.2);
        close(found.cfr, 2.0 / 7.0);
        close(found.ebwt, 0.4);
        close(found.ip, 0.1);
    }

    /// R(., 1) = 0.2 0.6 0.5 and R(., 2) = 0.3 0.4 0.9 and R(., 3) = 0.1 0.1 0.7, before 0.1 each.
    /// Windows of 3: drops 0.1, 0, 0; rises: 0.1 -> 0.6 = 0.5, 0.3 -> 0.9 = 0.6, 0.6.
    #[test]
    fn a_window_reaches_back_to_before_a_task_was_learned() {
        let rows = [[0.2, 0.3, 0.1], [0.6, 0.4, 0.1], [0.5, 0.9, 0.7]];
        let rows = rows.map(|row| row.map(Some).to_vec()).to_vec();
        let matrix = AccuracyMatrix::from_rows(rows).unwrap();
        let matrix = matrix.with_before(vec![Some(0.1); 3]).unwrap();
        close(windowed_forgetting(&matrix, 3), 0.1 / 3.0);
        close(windowed_plasticity(&matrix, 3), 1.7 / 3.0);
        close(windowed_plasticity(&matrix, 2), (0.4 + 0.5 + 0.6) / 3.0);
    }

    #[test]
    fn a_hole_between_evaluations_leaves_windows_undefined() {
        let mut rows = vec![vec![Some(0.5); 3]; 3];
        rows[1][0] = None;
        let matrix = AccuracyMatrix::from_rows(rows).unwrap();
        assert_eq!(windowed_forgetting(&matrix, 2), None);
        let triangle = [vec![0.5], vec![0.5, 0.5]];
        let matrix = AccuracyMatrix::from_lower_triangle(&triangle).unwrap();
        close(windowed_forgetting(&matrix, 2), 0.0);
        assert_eq!(windowed_forgetting(&matrix, 1), None);
    }
}
