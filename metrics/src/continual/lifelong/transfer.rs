//! Forward and backward transfer from one task to another.

use super::lifetime::{Block, BlockKind};
use std::collections::BTreeMap;

/// Values from one task (outer key) to another (inner key), in order of time.
pub(super) type Transfers = BTreeMap<String, BTreeMap<String, Vec<f64>>>;

/// Forward and backward transfer by one formula.
#[derive(Debug, Default, PartialEq)]
pub(super) struct TransferTable {
    /// To a task that was not learned before.
    pub(super) forward: Transfers,
    /// To a task that was.
    pub(super) backward: Transfers,
}

/// Block indices of a task and a kind, among those considered, in order.
pub(super) fn places(
    blocks: &[Block],
    considered: &[usize],
    task: &str,
    kind: BlockKind,
) -> Vec<usize> {
    let is = |&at: &usize| blocks[at].task == task && blocks[at].kind == kind;
    considered.iter().copied().filter(is).collect()
}

/// Transfer for every pair of tasks: where the other task was evaluated before and after a learning block
/// of the first, `compare(before, after)` of its terminal performances.
///
/// An evaluation has one value: where several learning blocks lie between two evaluations, the last pair
/// of tasks in order of first appearance overwrites the others, as in l2metrics 3.1.
pub(super) fn transfers(
    blocks: &[Block],
    considered: &[usize],
    terminal: &[f64],
    compare: impl Fn(f64, f64) -> Option<f64>,
) -> TransferTable {
    let mut forward = BTreeMap::new();
    let mut backward = BTreeMap::new();
    for (task, other) in pairs(blocks, considered) {
        let learned = places(blocks, considered, other, BlockKind::Train);
        let evaluated = places(blocks, considered, other, BlockKind::Test);
        for at in places(blocks, considered, task, BlockKind::Train) {
            let around = evaluated
                .windows(2)
                .find(|pair| pair[0] < at && at < pair[1]);
            let Some(&[before, after]) = around else {
                continue;
            };
            let Some(value) = compare(terminal[before], terminal[after]) else {
                continue;
            };
            let known = learned.first().is_some_and(|&first| first < at);
            let values = if known { &mut backward } else { &mut forward };
            values.insert(after, (task, value));
        }
    }
    TransferTable {
        forward: by_pair(blocks, forward),
        backward: by_pair(blocks, backward),
    }
}

/// All ordered pairs of different tasks, in order of first appearance.
fn pairs<'a>(blocks: &'a [Block], considered: &[usize]) -> Vec<(&'a str, &'a str)> {
    let mut tasks: Vec<&str> = Vec::new();
    for &at in considered {
        if !tasks.contains(&blocks[at].task.as_str()) {
            tasks.push(&blocks[at].task);
        }
    }
    let others = |task| tasks.iter().map(move |&other| (task, other));
    tasks
        .iter()
        .flat_map(|&task| others(task))
        .filter(|(task, other)| task != other)
        .collect()
}

fn by_pair(blocks: &[Block], values: BTreeMap<usize, (&str, f64)>) -> Transfers {
    let mut table = Transfers::new();
    for (at, (task, value)) in values {
        let from = table.entry(task.to_owned()).or_default();
        from.entry(blocks[at].task.clone()).or_default().push(value);
    }
    table
}

/// after / before; nothing where before is 0.
pub(super) fn ratio(before: f64, after: f64) -> Option<f64> {
    (before != 0.0).then(|| after / before)
}

/// (after - before) / (after + before); nothing where the sum is 0.
pub(super) fn contrast(before: f64, after: f64) -> Option<f64> {
    (before + after != 0.0).then(|| (after - before) / (after + before))
}
