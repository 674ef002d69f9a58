//! What is said of a single curve.

use super::lifetime::{Block, BlockKind, Experience};
use super::smooth::smooth;

/// Share of a learning block whose mean is its terminal performance.
const TERMINAL_SHARE: f64 = 0.1;

/// Performance per experience number: values of equal number are averaged. The numbers do not decrease.
pub(super) fn per_experience(experiences: &[Experience]) -> Vec<f64> {
    experiences
        .chunk_by(|a, b| a.number == b.number)
        .map(|same| mean(same.iter().map(|experience| experience.performance)))
        .collect()
}

/// Terminal performance: mean of the last tenth of a learning block, at least one value, and of all of
/// an evaluation block.
pub(super) fn terminal_performance(block: &Block) -> f64 {
    let values = per_experience(&block.experiences);
    let from = match block.kind {
        BlockKind::Test => 0,
        BlockKind::Train => ((1.0 - TERMINAL_SHARE) * values.len() as f64) as usize,
    };
    mean(values[from..].iter().copied())
}

/// Index of the first value of at least `least`; if there is none, one more than the block has
/// experiences.
pub(super) fn experiences_to_reach(block: &Block, least: f64) -> usize {
    per_experience(&block.experiences)
        .iter()
        .position(|&value| value >= least)
        .unwrap_or(block.experiences.len() + 1)
}

/// Where a curve is highest.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Saturation {
    pub(super) value: f64,
    /// Index of its first occurrence.
    pub(super) experiences: usize,
}

/// Saturation of a curve after smoothing by the default window, whatever was smoothed before; `None` for
/// an empty curve.
pub(super) fn saturation(curve: &[f64]) -> Option<Saturation> {
    let smoothed = smooth(curve, None);
    let value = smoothed.iter().copied().reduce(f64::max)?;
    let experiences = smoothed.iter().position(|&at| at == value)?;
    Some(Saturation { value, experiences })
}

/// The mean of at least one value.
pub(super) fn mean(values: impl Iterator<Item = f64>) -> f64 {
    let (sum, count) = values.fold((0.0, 0_usize), |(sum, count), value| {
        (sum + value, count + 1)
    });
    sum / count as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(kind: BlockKind, values: &[(u64, f64)]) -> Block {
        let experiences = values
            .iter()
            .map(|&(number, performance)| Experience {
                number,
                performance,
            })
            .collect();
        Block {
            number: 0,
            kind,
            asleep: false,
            task: "a".to_owned(),
            experiences,
        }
    }

    #[test]
    fn the_last_tenth_of_learning_and_all_of_an_evaluation() {
        let values: Vec<_> = (0..20).map(|i| (i, i as f64)).collect();
        assert_eq!(
            terminal_performance(&block(BlockKind::Train, &values)),
            18.5
        );
        assert_eq!(terminal_performance(&block(BlockKind::Test, &values)), 9.5);
        assert_eq!(
            terminal_performance(&block(BlockKind::Train, &values[..3])),
            2.0
        );
    }

    #[test]
    fn workers_at_one_experience_are_averaged() {
        let block = block(BlockKind::Train, &[(0, 1.0), (0, 3.0), (1, 5.0)]);
        assert_eq!(per_experience(&block.experiences), [2.0, 5.0]);
        assert_eq!(experiences_to_reach(&block, 2.5), 1);
        assert_eq!(experiences_to_reach(&block, 5.5), 4);
    }

    #[test]
    fn saturation_is_the_first_highest_value() {
        let found = saturation(&[1.0, 3.0, 2.0, 3.0]).unwrap();
        assert_eq!((found.value, found.experiences), (3.0, 1));
        assert_eq!(saturation(&[]), None);
    }
}
