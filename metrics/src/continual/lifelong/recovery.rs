//! How fast a learner gets back to where it was on a task.

use super::block_statistics::experiences_to_reach;
use super::lifetime::Block;

/// For the second and every later learning block of a task: how many experiences it takes to reach the
/// terminal performance of the block before; one more than it has if it never does. `learned` are the
/// task's learning blocks, `terminal` is per block.
///
/// On smoothed curves; one high value counts.
pub(super) fn recovery_times(blocks: &[Block], learned: &[usize], terminal: &[f64]) -> Vec<f64> {
    learned
        .windows(2)
        .map(|pair| experiences_to_reach(&blocks[pair[1]], terminal[pair[0]]) as f64)
        .collect()
}

/// Performance recovery: minus the Theil-Sen slope of the recovery times, the median over all pairs of
/// (later - earlier) / distance. Positive where recovery gets faster; `None` below two times.
pub(super) fn performance_recovery(times: &[f64]) -> Option<f64> {
    let slopes: Vec<f64> = times
        .iter()
        .enumerate()
        .flat_map(|(i, earlier)| {
            let later = times[i + 1..].iter().enumerate();
            later.map(move |(ahead, time)| (time - earlier) / (ahead + 1) as f64)
        })
        .collect();
    crate::median(&slopes).map(|slope| -slope)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Slopes of 0 18 12: 18, -6, and 12/2 = 6, median 6. Of 9 6 3 0: always -3.
    #[test]
    fn slopes_by_hand() {
        assert_eq!(performance_recovery(&[0.0, 18.0, 12.0]), Some(-6.0));
        assert_eq!(performance_recovery(&[9.0, 6.0, 3.0, 0.0]), Some(3.0));
        assert_eq!(performance_recovery(&[4.0]), None);
    }
}
