//! Softmax over what each place sees of the others.

use lyceum_core::{exp, wide};

/// Sixteen lanes at once, then over the lanes: an order that every width of vectors keeps.
#[inline(always)]
fn fold(values: &[f32], start: f32, join: impl Fn(f32, f32) -> f32) -> f32 {
    let (chunks, rest) = values.as_chunks::<16>();
    let mut lanes = [start; 16];
    for chunk in chunks {
        let sites = lanes.iter_mut().zip(chunk);
        sites.for_each(|(lane, v)| *lane = join(*lane, *v));
    }
    let all = lanes.into_iter().fold(start, &join);
    rest.iter().fold(all, |sum, v| join(sum, *v))
}

/// How many places a place sees.
fn seen(place: usize, places: usize, causal: bool) -> usize {
    if causal { place + 1 } else { places }
}

/// From scores to shares, each line by itself; what a place does not see has no share.
pub(crate) fn softmax(scores: &mut [f32], places: usize, causal: bool) {
    wide(
        #[inline(always)]
        || {
            for (place, line) in scores.chunks_exact_mut(places).enumerate() {
                let (line, unseen) = line.split_at_mut(seen(place, places, causal));
                let top = fold(line, f32::NEG_INFINITY, |a, b| if b > a { b } else { a });
                line.iter_mut().for_each(|s| *s = exp(*s - top));
                let share = 1.0 / fold(line, 0.0, |a, b| a + b);
                line.iter_mut().for_each(|s| *s *= share);
                unseen.fill(0.0);
            }
        },
    );
}

/// From slopes at shares to slopes at scores.
pub(crate) fn softmax_back(shares: &[f32], slopes: &mut [f32], places: usize, causal: bool) {
    wide(
        #[inline(always)]
        || {
            let lines = slopes.chunks_exact_mut(places);
            for (place, (slopes, shares)) in lines.zip(shares.chunks_exact(places)).enumerate() {
                let (slopes, unseen) = slopes.split_at_mut(seen(place, places, causal));
                slopes.iter_mut().zip(shares).for_each(|(s, p)| *s *= p);
                let mean = fold(slopes, 0.0, |a, b| a + b);
                slopes
                    .iter_mut()
                    .zip(shares)
                    .for_each(|(s, p)| *s -= mean * p);
                unseen.fill(0.0);
            }
        },
    );
}
