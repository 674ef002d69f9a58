//! Cutting lists in given proportions.

/// Lengths of contiguous cuts of `total` items in the proportions of `weights`; their sum is
/// `total`. The boundaries are the cumulative weights, rounded down. If no weight is above 0, the
/// cuts are even.
pub(super) fn lengths(total: usize, weights: impl Iterator<Item = f64> + Clone) -> Vec<usize> {
    let sum: f64 = weights.clone().sum();
    let count = weights.clone().count();
    if !(sum > 0.0 && sum.is_finite()) {
        return even(total, count).collect();
    }
    let mut reached = 0.0;
    let mut begin = 0;
    let cut = |(at, weight): (usize, f64)| {
        reached += weight;
        let share = (reached / sum * total as f64) as usize;
        let end = if at + 1 == count {
            total
        } else {
            share.clamp(begin, total)
        };
        let length = end - begin;
        begin = end;
        length
    };
    weights.enumerate().map(cut).collect()
}

/// Lengths of `parts` cuts of `total` items that differ by at most one, longer ones first.
pub(super) fn even(total: usize, parts: usize) -> impl Iterator<Item = usize> {
    (0..parts).map(move |part| total / parts + usize::from(part < total % parts))
}

/// Deals contiguous cuts of `items` to the parts: `lengths[i]` of them to part i.
pub(super) fn deal(items: &[u32], lengths: &[usize], parts: &mut [Vec<u32>]) {
    let mut rest = items;
    for (part, &length) in parts.iter_mut().zip(lengths) {
        let (cut, left) = rest.split_at(length.min(rest.len()));
        part.extend_from_slice(cut);
        rest = left;
    }
}

/// Puts every part into ascending order.
pub(super) fn ascending(mut parts: Vec<Vec<u32>>) -> Vec<Vec<u32>> {
    parts.iter_mut().for_each(|part| part.sort_unstable());
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(total: usize, weights: &[f64]) -> Vec<usize> {
        lengths(total, weights.iter().copied())
    }

    #[test]
    fn cuts_follow_the_weights_and_use_everything() {
        assert_eq!(cut(10, &[1.0, 1.0, 2.0]), [2, 3, 5]);
        assert_eq!(cut(10, &[0.0, 0.0]), [5, 5]);
        assert_eq!(cut(7, &[0.0, 0.1, 0.2]), [0, 2, 5]);
        assert_eq!(cut(0, &[1.0, 2.0]), [0, 0]);
        assert_eq!(cut(5, &[1e-300, 1e300]), [0, 5]);
        assert_eq!(even(8, 3).collect::<Vec<_>>(), [3, 3, 2]);
    }

    #[test]
    fn dealing_is_in_order() {
        let mut parts = vec![vec![9], vec![], vec![]];
        deal(&[4, 5, 6, 7], &[1, 0, 3], &mut parts);
        assert_eq!(parts, [vec![9, 4], vec![], vec![5, 6, 7]]);
    }
}
