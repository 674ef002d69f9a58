//! Statistics of rankings: how well two agree, and whether orders differ by more than seeds do.

use lyceum_core::{Purpose, Seed, Ticket, shuffle};

/// Up to so many items all permutations are looked at: 7! = 5,040.
const EXACT: usize = 7;

/// Statistics closer than this, relative to the observed one, are taken as equal.
const SLACK: f64 = 1e-12;

/// Ranks from 1, the least value first; equal values share the mean of their ranks.
pub fn ranks(values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|&a, &b| values[a].total_cmp(&values[b]));
    let mut ranks = vec![0.0; values.len()];
    let mut before = 0;
    for same in order.chunk_by(|&a, &b| values[a] == values[b]) {
        let rank = before as f64 + (same.len() + 1) as f64 / 2.0;
        same.iter().for_each(|&at| ranks[at] = rank);
        before += same.len();
    }
    ranks
}

/// Spearman's rank correlation: Pearson's correlation of the [`ranks`], so ties are right.
///
/// `None` for lists of different lengths, below two values, a value that is not finite, or a list whose
/// values are all equal.
pub fn spearman(a: &[f64], b: &[f64]) -> Option<f64> {
    let finite = |values: &[f64]| values.iter().all(|value| value.is_finite());
    if a.len() != b.len() || !finite(a) || !finite(b) {
        return None;
    }
    pearson(&ranks(a), &ranks(b))
}

fn pearson(a: &[f64], b: &[f64]) -> Option<f64> {
    let (mean_a, mean_b) = (crate::mean(a)?, crate::mean(b)?);
    let products = |a: &[f64], mean_a: f64, b: &[f64], mean_b: f64| -> f64 {
        let pairs = a.iter().zip(b);
        pairs.map(|(a, b)| (a - mean_a) * (b - mean_b)).sum()
    };
    let spread = products(a, mean_a, a, mean_a) * products(b, mean_b, b, mean_b);
    (spread > 0.0).then(|| (products(a, mean_a, b, mean_b) / spread.sqrt()).clamp(-1.0, 1.0))
}

/// Recall at k: the share of the `relevant` items with the highest `actual` scores that are among the
/// `k` items with the highest `predicted` scores.
///
/// Of equal scores the earlier item is the higher. By chance it is k / n on average. `None` for lists of
/// different lengths, or where `k` or `relevant` is 0 or more than there are items.
pub fn recall_at(predicted: &[f64], actual: &[f64], k: usize, relevant: usize) -> Option<f64> {
    let possible = 1..=predicted.len();
    if predicted.len() != actual.len() || !possible.contains(&k) || !possible.contains(&relevant) {
        return None;
    }
    let found = top(predicted, k);
    let wanted = top(actual, relevant);
    let hits = wanted.iter().filter(|item| found.contains(item)).count();
    Some(hits as f64 / relevant as f64)
}

fn top(scores: &[f64], count: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..scores.len()).collect();
    order.sort_by(|&a, &b| scores[b].total_cmp(&scores[a]));
    order.truncate(count);
    order
}

/// A statistic and how often chance does as well.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PermutationTest {
    /// Of the data as they are.
    pub statistic: f64,
    /// Share of permutations whose statistic is at least as extreme. Exact: count / n!, the data themselves
    /// among them. Sampled: (1 + count) / (1 + permutations).
    pub p: f64,
    /// Permutations looked at.
    pub permutations: u64,
    /// Whether these are all there are.
    pub exact: bool,
}

/// What counts as extreme.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tail {
    /// A correlation as far from 0.
    Both,
    /// A correlation as high.
    Upper,
}

/// Tests whether two scores of the same items rank them alike: Spearman's correlation against those after
/// `b` is permuted.
///
/// All permutations up to 7 items, otherwise `permutations` that are drawn from `seed`, each from a stream
/// of its own. `None` where there is no correlation ([`spearman`]).
pub fn rank_correlation_test(
    a: &[f64],
    b: &[f64],
    tail: Tail,
    seed: Seed,
    permutations: u64,
) -> Option<PermutationTest> {
    let statistic = spearman(a, b)?;
    let (a, b) = (ranks(a), ranks(b));
    let extreme = |order: &[usize]| {
        let permuted: Vec<f64> = order.iter().map(|&at| b[at]).collect();
        let found = pearson(&a, &permuted).unwrap_or(0.0);
        match tail {
            Tail::Both => reaches(found.abs(), statistic.abs()),
            Tail::Upper => reaches(found, statistic),
        }
    };
    let mut order: Vec<usize> = (0..b.len()).collect();
    if b.len() <= EXACT {
        return Some(all_permutations(&mut order, statistic, extreme));
    }
    let purpose = Purpose::named("rank_correlation_test");
    let drawn = |&permutation: &u64| {
        let mut order = order.clone();
        shuffle(
            &mut order,
            &mut seed.stream(purpose, Ticket(permutation), None),
        );
        extreme(&order)
    };
    let count = (0..permutations).filter(drawn).count();
    Some(sampled(statistic, count, permutations))
}

/// Tests whether groups, such as orders of tasks, differ by more than seeds do: the variance of the groups'
/// means over the mean variance within a group, against what comes out when the values of each seed are
/// permuted among the groups.
///
/// `values[group][seed]`; the same seed means the same draws in every group, so permuting within a seed
/// keeps what the seed does to all of them. Variances are of samples (n - 1). `permutations` are drawn from
/// `seed`, each from a stream of its own; large statistics are extreme. `None` below two groups or two
/// seeds, with groups of different sizes or a value that is not finite, or where nothing varies. A statistic
/// is infinite where groups differ and seeds do not.
pub fn group_effect_test(
    values: &[Vec<f64>],
    seed: Seed,
    permutations: u64,
) -> Option<PermutationTest> {
    let seeds = values.first()?.len();
    let whole = |group: &Vec<f64>| group.len() == seeds && group.iter().all(|v| v.is_finite());
    if values.len() < 2 || seeds < 2 || !values.iter().all(whole) {
        return None;
    }
    let statistic = variance_ratio(values)?;
    let purpose = Purpose::named("group_effect_test");
    let drawn = |&permutation: &u64| {
        let mut stream = seed.stream(purpose, Ticket(permutation), None);
        let mut permuted = values.to_vec();
        for column in 0..seeds {
            let mut of_seed: Vec<f64> = values.iter().map(|group| group[column]).collect();
            shuffle(&mut of_seed, &mut stream);
            for (group, value) in permuted.iter_mut().zip(of_seed) {
                group[column] = value;
            }
        }
        variance_ratio(&permuted).is_some_and(|found| reaches(found, statistic))
    };
    let count = (0..permutations).filter(drawn).count();
    Some(sampled(statistic, count, permutations))
}

/// Variance of the means over the mean of the variances; `None` where both are 0.
fn variance_ratio(groups: &[Vec<f64>]) -> Option<f64> {
    let means: Vec<f64> = groups
        .iter()
        .filter_map(|group| crate::mean(group))
        .collect();
    let within: Vec<f64> = groups.iter().map(|group| variance(group)).collect();
    let (between, within) = (variance(&means), crate::mean(&within)?);
    (between > 0.0 || within > 0.0).then(|| between / within)
}

/// Variance of a sample of at least two values.
fn variance(values: &[f64]) -> f64 {
    let mean = values.iter().sum::<f64>() / values.len() as f64;
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    squares / (values.len() - 1) as f64
}

fn reaches(found: f64, observed: f64) -> bool {
    found >= observed - SLACK * observed.abs()
}

fn sampled(statistic: f64, count: usize, permutations: u64) -> PermutationTest {
    PermutationTest {
        statistic,
        p: (1 + count) as f64 / (1 + permutations) as f64,
        permutations,
        exact: false,
    }
}

fn all_permutations(
    order: &mut [usize],
    statistic: f64,
    extreme: impl Fn(&[usize]) -> bool,
) -> PermutationTest {
    let (mut count, mut permutations) = (0_u64, 0_u64);
    loop {
        count += u64::from(extreme(order));
        permutations += 1;
        if !advance(order) {
            break;
        }
    }
    PermutationTest {
        statistic,
        p: count as f64 / permutations as f64,
        permutations,
        exact: true,
    }
}

/// Steps to the next permutation in the order of a dictionary; false after the last.
fn advance(order: &mut [usize]) -> bool {
    let Some(fall) = order.windows(2).rposition(|pair| pair[0] < pair[1]) else {
        return false;
    };
    let above = order.iter().rposition(|&item| item > order[fall]);
    order.swap(fall, above.expect("the next item is above"));
    order[fall + 1..].reverse();
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn equal_values_share_their_ranks() {
        assert_eq!(ranks(&[3.0, 1.0, 3.0, 2.0, 3.0]), [4.0, 1.0, 4.0, 2.0, 4.0]);
        assert_eq!(ranks(&[0.0, -0.0]), [1.5, 1.5]);
        assert!(ranks(&[]).is_empty());
    }

    /// Without ties rho = 1 - 6 sum d^2 / (n (n^2 - 1)): d = 1 1 0 0 2 ... by hand for 5 items: ranks
    /// 1 2 3 4 5 against 2 1 4 3 5 give sum d^2 = 4, rho = 1 - 24/120 = 0.8. With a tie: 1 2 3 against
    /// 1.5 1.5 3 is Pearson 1.5 / sqrt(2 x 1.5).
    #[test]
    fn rank_correlation_by_hand() {
        let found = spearman(&[1.0, 2.0, 3.0, 4.0, 5.0], &[0.2, 0.1, 0.8, 0.7, 9.0]).unwrap();
        assert!((found - 0.8).abs() < 1e-12);
        let found = spearman(&[1.0, 2.0, 3.0], &[5.0, 5.0, 7.0]).unwrap();
        assert!((found - 1.5 / 3_f64.sqrt()).abs() < 1e-12);
        assert_eq!(spearman(&[1.0, 2.0], &[1.0, 1.0]), None);
        assert_eq!(spearman(&[1.0, 2.0], &[1.0]), None);
        assert_eq!(spearman(&[1.0, f64::NAN], &[1.0, 2.0]), None);
        assert_eq!(spearman(&[1.0], &[1.0]), None);
    }

    #[test]
    fn recall_counts_what_is_among_the_first() {
        let predicted = [0.9, 0.1, 0.8, 0.3];
        let actual = [1.0, 4.0, 3.0, 2.0];
        assert_eq!(recall_at(&predicted, &actual, 2, 2), Some(0.5));
        assert_eq!(recall_at(&predicted, &actual, 3, 1), Some(0.0));
        assert_eq!(recall_at(&predicted, &actual, 4, 1), Some(1.0));
        assert_eq!(recall_at(&[1.0, 1.0], &[1.0, 0.0], 1, 1), Some(1.0));
        assert_eq!(recall_at(&predicted, &actual, 0, 1), None);
        assert_eq!(recall_at(&predicted, &actual, 1, 5), None);
    }

    /// Of the 24 orders of 4 items one has rho = 1 and one -1.
    #[test]
    fn small_lists_are_tested_exactly() {
        let a = [1.0, 2.0, 3.0, 4.0];
        let test = |b: &[f64], tail| rank_correlation_test(&a, b, tail, Seed(1), 9).unwrap();
        let upper = test(&[2.0, 3.0, 5.0, 7.0], Tail::Upper);
        assert_eq!((upper.statistic, upper.p), (1.0, 1.0 / 24.0));
        assert_eq!((upper.permutations, upper.exact), (24, true));
        assert_eq!(test(&[7.0, 5.0, 3.0, 2.0], Tail::Both).p, 2.0 / 24.0);
        assert_eq!(test(&[7.0, 5.0, 3.0, 2.0], Tail::Upper).p, 1.0);
    }

    #[test]
    fn long_lists_are_sampled_from_the_seed() {
        let a: Vec<f64> = (0..30).map(f64::from).collect();
        let b: Vec<f64> = a.iter().map(|value| value + (value * 7.0) % 11.0).collect();
        let found = rank_correlation_test(&a, &b, Tail::Both, Seed(3), 199).unwrap();
        assert_eq!(found.p, 1.0 / 200.0);
        assert!(!found.exact && found.permutations == 199);
        let c: Vec<f64> = a.iter().map(|value| (value * 17.0) % 31.0).collect();
        let one = rank_correlation_test(&a, &c, Tail::Both, Seed(3), 99).unwrap();
        assert_eq!(
            Some(one),
            rank_correlation_test(&a, &c, Tail::Both, Seed(3), 99)
        );
        assert!(one.p > 0.05, "{one:?}");
    }

    /// Means 2 and 6: variance 8; within 2 and 2. Ratio 4.
    #[test]
    fn groups_that_differ_by_more_than_seeds() {
        let pair = [vec![1.0, 3.0], vec![5.0, 7.0]];
        let found = group_effect_test(&pair, Seed(1), 10).unwrap();
        assert_eq!(found.statistic, 4.0);
        let groups: Vec<Vec<f64>> = (0..6)
            .map(|group| (0..5).map(|seed| f64::from(group * 10 + seed)).collect())
            .collect();
        let found = group_effect_test(&groups, Seed(1), 199).unwrap();
        assert_eq!(found.p, 1.0 / 200.0);
        let seeds_only: Vec<Vec<f64>> = (0..6)
            .map(|group| {
                (0..5)
                    .map(|seed| f64::from(group * 7 % 3 + seed * 10))
                    .collect()
            })
            .collect();
        assert!(
            group_effect_test(&seeds_only, Seed(1), 199)
                .unwrap()
                .statistic
                < 0.1
        );
        let chance = [
            vec![1.0, 9.0, 4.0],
            vec![8.0, 2.0, 5.0],
            vec![3.0, 6.0, 7.0],
        ];
        assert!(group_effect_test(&chance, Seed(1), 199).unwrap().p > 0.2);
    }

    #[test]
    fn groups_that_cannot_be_compared_have_no_test() {
        for groups in [
            vec![],
            vec![vec![1.0, 2.0]],
            vec![vec![1.0], vec![2.0]],
            vec![vec![1.0, 2.0], vec![2.0]],
            vec![vec![1.0, 1.0], vec![1.0, 1.0]],
            vec![vec![1.0, f64::NAN], vec![1.0, 1.0]],
        ] {
            assert_eq!(group_effect_test(&groups, Seed(1), 9), None, "{groups:?}");
        }
        let fixed = [vec![1.0, 1.0], vec![2.0, 2.0]];
        let found = group_effect_test(&fixed, Seed(1), 9).unwrap();
        assert_eq!(found.statistic, f64::INFINITY);
    }

    proptest! {
        #[test]
        fn a_rising_map_changes_no_correlation(
            pairs in proptest::collection::vec((-5.0..5.0_f64, 0_u8..4), 3..20)
        ) {
            let a: Vec<f64> = pairs.iter().map(|pair| pair.0).collect();
            let b: Vec<f64> = pairs.iter().map(|pair| f64::from(pair.1)).collect();
            let mapped: Vec<f64> = b.iter().map(|value| value.exp()).collect();
            prop_assert_eq!(spearman(&a, &b), spearman(&a, &mapped));
            prop_assert_eq!(spearman(&a, &b), spearman(&b, &a));
        }
    }
}
