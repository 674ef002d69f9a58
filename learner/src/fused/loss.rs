//! The loss of logits, and its slope there. Logits and slopes are columns: classes x rows.

/// Cross entropy of one row in nats; replaces its logits by `factor * (softmax - one-hot label)`.
pub(super) fn softmax_slope(row: &mut [f32], label: usize, factor: f32) -> f32 {
    let top = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let of_label = row[label] - top;
    let mut sum = 0.0;
    for z in row.iter_mut() {
        *z = (*z - top).exp();
        sum += *z;
    }
    row.iter_mut().for_each(|p| *p *= factor / sum);
    row[label] -= factor;
    sum.ln() - of_label
}
