use lyceum_core::wide;

/// Positions of the rows whose mean comes closest to `aim`, the best first: each is the one that, with those before it,
/// brings the mean closest (Rebuffi et al. 2017, algorithm 4). Every row is picked at most once; the first of several
/// that are equally good. `rows` holds rows of as many values as `aim` has.
pub fn herd(rows: &[f32], aim: &[f32], amount: usize) -> Vec<usize> {
    let width = aim.len();
    let count = rows.len() / width.max(1);
    let squares: Vec<f32> = rows.chunks_exact(width.max(1)).map(|r| dot(r, r)).collect();
    let mut free = vec![true; count];
    // `k * aim` less the sum of what is picked already: the row that is best is the nearest to it.
    let mut wanted = vec![0.0; width];
    let mut picked = Vec::with_capacity(amount.min(count));
    while picked.len() < amount.min(count) {
        wanted.iter_mut().zip(aim).for_each(|(w, a)| *w += a);
        let best = nearest(rows, &squares, &free, &wanted);
        free[best] = false;
        picked.push(best);
        let row = &rows[best * width..][..width];
        wanted.iter_mut().zip(row).for_each(|(w, r)| *w -= r);
    }
    picked
}

/// The mean of rows of `width` values; zeros if there is none.
pub(in crate::continual) fn mean_of(rows: &[f32], width: usize) -> Vec<f32> {
    let mut sum = vec![0.0_f64; width];
    for row in rows.chunks_exact(width.max(1)) {
        sum.iter_mut()
            .zip(row)
            .for_each(|(s, &v)| *s += f64::from(v));
    }
    let count = (rows.len() / width.max(1)).max(1) as f64;
    sum.iter().map(|s| (s / count) as f32).collect()
}

/// The free row nearest to `wanted`; there is one.
fn nearest(rows: &[f32], squares: &[f32], free: &[bool], wanted: &[f32]) -> usize {
    let mut best = (f32::INFINITY, None);
    wide(
        #[inline(always)]
        || {
            let rows = rows.chunks_exact(wanted.len()).zip(squares).zip(free);
            for (place, ((row, square), free)) in rows.enumerate() {
                if !free {
                    continue;
                }
                let distance = square - 2.0 * dot(row, wanted);
                if distance < best.0 || best.1.is_none() {
                    best = (distance, Some(place));
                }
            }
        },
    );
    best.1.expect("fewer rows are picked than there are")
}

/// Lanes of a dot product. Fixed, so that no result depends on the machine.
const LANES: usize = 16;

#[inline(always)]
fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut lanes = [0.0_f32; LANES];
    let (a_blocks, b_blocks) = (a.chunks_exact(LANES), b.chunks_exact(LANES));
    let rest = a_blocks.remainder().iter().zip(b_blocks.remainder());
    let rest: f32 = rest.map(|(a, b)| a * b).sum();
    for (a, b) in a_blocks.zip(b_blocks) {
        for ((lane, a), b) in lanes.iter_mut().zip(a).zip(b) {
            *lane += a * b;
        }
    }
    lanes.iter().sum::<f32>() + rest
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The rule of the paper, word by word.
    fn plain(rows: &[f32], aim: &[f32], amount: usize) -> Vec<usize> {
        let width = aim.len();
        let all: Vec<&[f32]> = rows.chunks_exact(width).collect();
        let mut picked: Vec<usize> = Vec::new();
        for k in 1..=amount.min(all.len()) {
            let distance = |place: usize| -> f64 {
                let at = |i: usize| {
                    let sum: f32 = picked.iter().chain([&place]).map(|&p| all[p][i]).sum();
                    f64::from(aim[i]) - f64::from(sum) / k as f64
                };
                (0..width).map(|i| at(i) * at(i)).sum()
            };
            let free = (0..all.len()).filter(|p| !picked.contains(p));
            let best = free.min_by(|&a, &b| distance(a).total_cmp(&distance(b)));
            picked.extend(best);
        }
        picked
    }

    proptest! {
        #[test]
        fn herding_is_the_rule_of_the_paper(
            rows in prop::collection::vec(-1.0_f32..1.0, 3 * 20),
            aim in prop::collection::vec(-1.0_f32..1.0, 3),
            amount in 0_usize..25,
        ) {
            prop_assert_eq!(herd(&rows, &aim, amount), plain(&rows, &aim, amount));
        }
    }

    #[test]
    fn the_first_exemplar_is_the_nearest_to_the_mean() {
        let rows = [0.0, 0.0, 4.0, 4.0, 1.9, 2.1, 2.0, 6.0];
        let mean = mean_of(&rows, 2);
        assert_eq!(herd(&rows, &mean, 1), [2]);
        assert_eq!(herd(&rows, &mean, 9).len(), 4);
        assert!(herd(&[], &mean, 3).is_empty());
    }

    #[test]
    fn dot_products_count_every_value() {
        let a: Vec<f32> = (0..37).map(|v| v as f32).collect();
        assert_eq!(dot(&a, &a), (0..37).map(|v| (v * v) as f32).sum::<f32>());
    }
}
