//! The loss of logits, and its slope there. Logits and slopes are columns: classes x rows.

use lyceum_core::{exp, exp_all};

/// Weighted sum over the rows of the cross entropy in nats; writes to `slope`, of each row,
/// `weight * share * (softmax - one-hot label)`. A row without a weight has weight 1. Beside it, the sum of the squares without
/// weights.
pub(super) fn softmax_slopes(
    logits: &[f32],
    (labels, weights): (&[u32], &[f32]),
    share: f32,
    slope: &mut [f32],
    (tops, sums): (&mut Vec<f32>, &mut Vec<f32>),
) -> (f32, f64) {
    let rows = labels.len();
    tops.clear();
    tops.resize(rows, f32::NEG_INFINITY);
    sums.clear();
    sums.resize(rows, 0.0);
    for column in logits.chunks_exact(rows) {
        for (top, &z) in tops.iter_mut().zip(column) {
            *top = if z > *top { z } else { *top };
        }
    }
    for (slope, column) in slope.chunks_exact_mut(rows).zip(logits.chunks_exact(rows)) {
        for ((to, z), top) in slope.iter_mut().zip(column).zip(&*tops) {
            *to = z - top;
        }
    }
    exp_all(slope);
    for column in slope.chunks_exact(rows) {
        sums.iter_mut().zip(column).for_each(|(sum, e)| *sum += e);
    }
    let (mut total, mut squares) = (0.0, 0.0);
    for (row, (&label, (top, sum))) in labels.iter().zip(tops.iter().zip(&mut *sums)).enumerate() {
        let weight = weights.get(row).copied().unwrap_or(1.0);
        let loss = sum.ln() - (logits[label as usize * rows + row] - top);
        total += weight * loss;
        squares += square(loss);
        *sum = weight * share / *sum;
    }
    for column in slope.chunks_exact_mut(rows) {
        column
            .iter_mut()
            .zip(&*sums)
            .for_each(|(p, factor)| *p *= factor);
    }
    for (row, &label) in labels.iter().enumerate() {
        let weight = weights.get(row).copied().unwrap_or(1.0);
        slope[label as usize * rows + row] -= weight * share;
    }
    (total, squares)
}

/// Exact, as no square of an `f32` overflows an `f64`.
pub(super) fn square(loss: f32) -> f64 {
    f64::from(loss) * f64::from(loss)
}

/// Sum over the classes of the binary cross entropies of one row, in nats; replaces its logits by
/// `factor * (sigmoid - one-hot label)`. With `s` the logit, negated for the row's class, a term is `ln(1 + e^s)`.
pub(super) fn sigmoid_slope(row: &mut [f32], label: usize, factor: f32) -> f32 {
    let mut loss = 0.0;
    for (class, z) in row.iter_mut().enumerate() {
        let sign = if class == label { -1.0 } else { 1.0 };
        let signed = sign * *z;
        let small = exp(-z.abs());
        let share = if signed < 0.0 { small } else { 1.0 } / (1.0 + small);
        *z = sign * factor * share;
        loss += signed.max(0.0) + small.ln_1p();
    }
    loss
}
