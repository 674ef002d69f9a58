//! Performance maintenance: what becomes of a task while others are learned.

use super::lifetime::{Block, BlockKind};
use super::transfer::places;
use std::collections::BTreeMap;

/// What a later evaluation is compared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reference {
    /// The first evaluation after the latest learning that has one.
    Evaluation,
    /// The latest learning itself.
    Learning,
}

/// For each evaluation of the task after its first reference evaluation, but no reference itself: its
/// terminal performance minus that of its reference. By block index; `terminal` is per block.
///
/// Baker et al. 2023, "performance maintenance": relative to the most recent evaluation ("mrlep") or
/// learning ("mrtlp") performance.
pub(super) fn maintenance(
    blocks: &[Block],
    considered: &[usize],
    terminal: &[f64],
    task: &str,
    reference: Reference,
) -> BTreeMap<usize, f64> {
    let learned = places(blocks, considered, task, BlockKind::Train);
    let evaluated = places(blocks, considered, task, BlockKind::Test);
    let references: Vec<usize> = learned
        .iter()
        .filter_map(|learning| evaluated.iter().copied().find(|at| at > learning))
        .collect();
    let latest = |of: &[usize], at: usize| of.iter().rev().copied().find(|&place| place < at);
    evaluated
        .iter()
        .filter(|at| !references.contains(at))
        .filter_map(|&at| {
            let evaluation = latest(&references, at)?;
            let compared = match reference {
                Reference::Evaluation => evaluation,
                Reference::Learning => latest(&learned, at)?,
            };
            Some((at, terminal[at] - terminal[compared]))
        })
        .collect()
}

/// Values in runs: a block of the task without a value ends one. `places` are all blocks of the task.
pub(super) fn runs(values: &BTreeMap<usize, f64>, places: &[usize]) -> Vec<Vec<f64>> {
    let mut runs: Vec<Vec<f64>> = Vec::new();
    let mut open = false;
    for place in places {
        match (values.get(place), runs.last_mut()) {
            (Some(&value), Some(run)) if open => run.push(value),
            (Some(&value), _) => runs.push(vec![value]),
            (None, _) => {}
        }
        open = values.contains_key(place);
    }
    runs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_without_a_value_ends_a_run() {
        let values = BTreeMap::from([(1, 0.1), (2, 0.2), (5, 0.5)]);
        let found = runs(&values, &[0, 1, 2, 3, 5, 6]);
        assert_eq!(found, [vec![0.1, 0.2], vec![0.5]]);
        assert_eq!(runs(&BTreeMap::new(), &[0, 1]), Vec::<Vec<f64>>::new());
    }
}
