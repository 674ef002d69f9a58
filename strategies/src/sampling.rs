//! Weighted draws and permutations that need no memory.

use lyceum_core::Stream;
use rand::RngExt;

/// `amount` distinct positions, drawn one after another with probabilities proportional to the
/// weights of those that are left; in the order of the draws; all of them if there are fewer.
///
/// The first `k` of a longer draw are a draw of `k`. Infinite weights come first and zero weights
/// last, each group in random order; negative weights and NaN count as zero. Draws one number per
/// weight (Efraimidis & Spirakis 2006, algorithm A: the largest keys `u^(1/w)`, here as `ln(u) / w`
/// so that nothing underflows).
pub fn weighted_sample(weights: &[f64], amount: usize, rng: &mut Stream) -> Vec<u32> {
    let mut keys: Vec<(u8, f64, u32)> = weights
        .iter()
        .zip(0..)
        .map(|(&weight, position)| {
            let (group, key) = key(weight, 1.0 - rng.random::<f64>());
            (group, key, position)
        })
        .collect();
    keys.sort_unstable_by(|a, b| {
        (a.0.cmp(&b.0))
            .then(b.1.total_cmp(&a.1))
            .then(a.2.cmp(&b.2))
    });
    keys.truncate(amount);
    keys.into_iter().map(|(_, _, position)| position).collect()
}

/// Group and key of one item, for `u` in (0, 1].
fn key(weight: f64, u: f64) -> (u8, f64) {
    match weight {
        w if w == f64::INFINITY => (0, u.ln()),
        w if w > 0.0 => (1, u.ln() / w),
        _ => (2, u.ln()),
    }
}

/// The image of `position` under the permutation of `0..len` that `key` names.
///
/// A permutation of any size without a table: eight Feistel rounds over a power of four below
/// `4 len` (at least 256, so that few items are mixed well), repeated along the cycle until the image
/// is below `len` (Black & Rogaway 2002).
///
/// **Invariant:** `position` is below `len`.
pub fn permuted(key: u64, len: u64, position: u64) -> u64 {
    debug_assert!(position < len, "position {position} of {len}");
    let bits = u64::BITS - len.saturating_sub(1).leading_zeros();
    let half = bits.div_ceil(2).max(4);
    let mut image = feistel(key, half, position);
    while image >= len {
        image = feistel(key, half, image);
    }
    image
}

fn feistel(key: u64, half: u32, value: u64) -> u64 {
    let mask = u64::MAX >> (u64::BITS - half);
    let (mut left, mut right) = (value >> half, value & mask);
    for round in 0..8_u64 {
        let mixed = mix(right ^ mix(key.wrapping_add(round.wrapping_mul(GOLDEN))));
        (left, right) = (right, left ^ (mixed & mask));
    }
    left << half | right
}

const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

/// The finaliser of SplitMix64 (Steele, Lea & Flood 2014).
fn mix(z: u64) -> u64 {
    let z = z.wrapping_add(GOLDEN);
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;
    use lyceum_core::{Purpose, Seed};

    fn rng() -> Stream {
        Seed(5).once(Purpose::SELECTION)
    }

    #[test]
    fn first_draws_follow_the_weights() {
        let (mut rng, mut hits) = (rng(), [0_u32; 3]);
        for _ in 0..6000 {
            hits[weighted_sample(&[1.0, 2.0, 3.0], 1, &mut rng)[0] as usize] += 1;
        }
        for (hits, want) in hits.into_iter().zip([1000.0, 2000.0, 3000.0_f64]) {
            assert!((f64::from(hits) - want).abs() < 5.0 * want.sqrt(), "{hits}");
        }
    }

    /// Weights 1, 2, 3: the pair {2, 3} comes first with probability 2/6 * 3/4 + 3/6 * 2/3 = 7/12.
    #[test]
    fn pairs_follow_successive_draws() {
        let (mut rng, mut pairs) = (rng(), 0);
        for _ in 0..6000 {
            let mut drawn = weighted_sample(&[1.0, 2.0, 3.0], 2, &mut rng);
            drawn.sort_unstable();
            pairs += u32::from(drawn == [1, 2]);
        }
        assert!((f64::from(pairs) - 3500.0).abs() < 200.0, "{pairs}");
    }

    #[test]
    fn extreme_weights_keep_their_place() {
        let mut rng = rng();
        let weights = [
            0.0,
            f64::INFINITY,
            1e-300,
            f64::NAN,
            1e300,
            f64::INFINITY,
            -1.0,
        ];
        let mut firsts = std::collections::BTreeSet::new();
        for _ in 0..50 {
            let drawn = weighted_sample(&weights, 10, &mut rng);
            assert_eq!(drawn.len(), 7);
            firsts.insert(drawn[0]);
            assert!(drawn[..2].contains(&1) && drawn[..2].contains(&5));
            assert_eq!(drawn[2..4], [4, 2]);
        }
        assert_eq!(
            firsts.len(),
            2,
            "infinite weights are drawn in random order"
        );
        assert!(weighted_sample(&[], 3, &mut rng).is_empty());
    }

    #[test]
    fn a_longer_draw_begins_with_the_shorter() {
        let weights = [0.5, 3.0, 0.25, 1.0, 9.0];
        let long = weighted_sample(&weights, 5, &mut rng());
        assert_eq!(long[..2], weighted_sample(&weights, 2, &mut rng()));
    }

    #[test]
    fn every_size_is_permuted() {
        for len in (1..=300).chain([1023, 1024, 1025, 5000]) {
            let mut images: Vec<u64> = (0..len).map(|p| permuted(len ^ 77, len, p)).collect();
            images.sort_unstable();
            assert!(images.into_iter().eq(0..len), "{len}");
        }
        assert!(permuted(1, 1 << 53, 12345) < 1 << 53);
        assert!(permuted(1, u64::MAX, 12345) < u64::MAX);
    }

    /// Every one of the 24 orders of four things is about equally frequent over keys.
    #[test]
    fn small_permutations_are_about_uniform() {
        let mut orders = std::collections::BTreeMap::new();
        for key in 0..24_000_u64 {
            let order: Vec<u64> = (0..4).map(|p| permuted(key, 4, p)).collect();
            *orders.entry(order).or_insert(0_u32) += 1;
        }
        assert_eq!(orders.len(), 24);
        assert!(
            orders.values().all(|n| n.abs_diff(1000) < 160),
            "{orders:?}"
        );
    }
}
