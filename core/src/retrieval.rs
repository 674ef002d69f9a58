//! How many of the candidates that answer a query stand among the first: recall, and the mean reciprocal rank.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Shares are rounded once to multiples of this, so that their sums do not depend on the order of addition.
const GRID: u64 = 1 << 30;

/// Queries by label, which is their task. Merging is exact, in any order.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Retrieval {
    by_label: BTreeMap<u32, Found>,
}

/// Sums over queries, in multiples of 2^-30.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Found {
    queries: u64,
    recall_1: u64,
    recall_10: u64,
    reciprocal: u64,
}

/// Where the relevant candidates of one query stand in the order of the scores.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// How many there are, whether the query sees them or not.
    pub relevant: u64,
    /// How many of them stand first: 0 or 1.
    pub in_1: u64,
    /// How many of them stand among the first ten.
    pub in_10: u64,
    /// Place of the first of them, from 1; `None` where the query sees none.
    pub first: Option<u64>,
}

/// `part / whole` in multiples of 2^-30, at most 1.
fn share(part: u64, whole: u64) -> u64 {
    let exact = u128::from(part) * u128::from(GRID);
    let whole = u128::from(whole.max(1));
    ((exact + whole / 2) / whole).min(GRID.into()) as u64
}

impl Found {
    fn lists(&mut self) -> [&mut u64; 4] {
        [
            &mut self.queries,
            &mut self.recall_1,
            &mut self.recall_10,
            &mut self.reciprocal,
        ]
    }

    fn numbers(mut self) -> [u64; 4] {
        self.lists().map(|n| *n)
    }

    fn add(&mut self, other: Self) {
        let sums = self.lists().into_iter().zip(other.numbers());
        sums.for_each(|(own, other)| *own = own.saturating_add(other));
    }

    fn mean(&self, sum: u64) -> Option<f64> {
        (self.queries > 0).then(|| sum as f64 / GRID as f64 / self.queries as f64)
    }

    fn means(&self) -> [(&'static str, Option<f64>); 3] {
        [
            ("recall_1", self.mean(self.recall_1)),
            ("recall_10", self.mean(self.recall_10)),
            ("reciprocal_rank", self.mean(self.reciprocal)),
        ]
    }
}

impl Retrieval {
    /// Counts one query.
    pub fn add(&mut self, label: u32, standing: Standing) {
        self.by_label.entry(label).or_default().add(Found {
            queries: 1,
            recall_1: share(standing.in_1, standing.relevant),
            recall_10: share(standing.in_10, standing.relevant),
            reciprocal: standing.first.map_or(0, |first| share(1, first)),
        });
    }

    /// Adds other queries.
    pub fn merge(&mut self, other: &Self) {
        for (label, found) in &other.by_label {
            self.by_label.entry(*label).or_default().add(*found);
        }
    }

    /// All that is counted, as numbers.
    pub fn numbers(&self) -> impl Iterator<Item = u64> {
        let all = self.by_label.iter();
        all.flat_map(|(label, found)| std::iter::once((*label).into()).chain(found.numbers()))
    }

    /// Whether so many queries can have been counted so.
    pub fn is_of(&self, samples: u64) -> bool {
        let mut all = self.by_label.values();
        let counted = all.try_fold(0_u64, |sum, found| sum.checked_add(found.queries));
        let fits = |found: &Found| {
            let most = found.queries.saturating_mul(GRID);
            found.numbers()[1..].iter().all(|sum| *sum <= most)
        };
        counted == Some(samples) && self.by_label.values().all(fits)
    }

    fn all(&self) -> Found {
        let mut all = Found::default();
        self.by_label.values().for_each(|found| all.add(*found));
        all
    }

    /// Mean over the queries of the share of the relevant candidates that stand among the first ten.
    pub fn recall_10(&self) -> Option<f64> {
        let all = self.all();
        all.mean(all.recall_10)
    }

    /// As [`recall_10`](Self::recall_10), if labels came as often as these counts say.
    pub fn recall_10_among(&self, counts: &[u64]) -> Option<f64> {
        let (mut sum, mut weight) = (0.0, 0.0);
        for (label, found) in &self.by_label {
            let count = counts.get(*label as usize).copied().unwrap_or(0) as f64;
            sum += count * found.mean(found.recall_10).unwrap_or(0.0);
            weight += count;
        }
        (weight > 0.0).then(|| sum / weight)
    }

    /// What it says, by name: over all queries and, of several tasks, the mean over the tasks and each of them.
    pub fn means(&self) -> Vec<(String, Option<f64>)> {
        let all = self.all().means().into_iter();
        let mut named: Vec<_> = all.map(|(n, value)| (n.to_owned(), value)).collect();
        let tasks = self.by_label.len();
        if tasks < 2 {
            return named;
        }
        for (at, (name, _)) in Found::default().means().into_iter().enumerate() {
            let of_task = |found: &Found| found.means()[at].1.unwrap_or(0.0);
            let sum: f64 = self.by_label.values().map(of_task).sum();
            named.push((format!("{name}_macro"), Some(sum / tasks as f64)));
        }
        for (label, found) in &self.by_label {
            let each = found.means().into_iter();
            named.extend(each.map(|(name, value)| (format!("{name}.task_{label}"), value)));
        }
        named
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn standing(relevant: u64, in_1: u64, in_10: u64, first: Option<u64>) -> Standing {
        Standing {
            relevant,
            in_1,
            in_10,
            first,
        }
    }

    /// Task 0: 2 of 3 among the ten, the first at 2; none of 1, at 20. Task 4: 1 of 2, at the top.
    #[test]
    fn by_hand() {
        let mut all = Retrieval::default();
        all.add(0, standing(3, 0, 2, Some(2)));
        all.add(0, standing(1, 0, 0, Some(20)));
        let mut other = Retrieval::default();
        other.add(4, standing(2, 1, 1, Some(1)));
        let mut turned = other.clone();
        turned.merge(&all);
        all.merge(&other);
        assert_eq!(all, turned);
        let close = |found: f64, want: f64| assert!((found - want).abs() < 1e-9, "{found} {want}");
        let means: BTreeMap<_, _> = all.means().into_iter().collect();
        let found = |name: &str| means[name].expect("it is there");
        close(found("recall_10"), (2.0 / 3.0 + 0.5) / 3.0);
        close(found("recall_1"), 0.5 / 3.0);
        close(found("reciprocal_rank"), (0.5 + 0.05 + 1.0) / 3.0);
        close(found("recall_10_macro"), (1.0 / 3.0 + 0.5) / 2.0);
        close(found("recall_10.task_0"), 1.0 / 3.0);
        close(found("reciprocal_rank.task_4"), 1.0);
        assert!(all.is_of(3) && !all.is_of(2));
        close(
            all.recall_10_among(&[3, 0, 0, 0, 1]).expect("some"),
            (1.0 + 0.5) / 4.0,
        );
        assert_eq!(Retrieval::default().recall_10(), None);
    }

    #[test]
    fn a_query_that_sees_no_answer_has_none() {
        let mut all = Retrieval::default();
        all.add(1, standing(2, 0, 0, None));
        assert_eq!(all.recall_10(), Some(0.0));
        assert_eq!(all.means().len(), 3);
    }
}
