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

/// Sum over the classes of the binary cross entropies of one row, in nats; replaces its logits by
/// `factor * (sigmoid - one-hot label)`. With `s` the logit, negated for the row's class, a term is `ln(1 + e^s)`.
pub(super) fn sigmoid_slope(row: &mut [f32], label: usize, factor: f32) -> f32 {
    let mut loss = 0.0;
    for (class, z) in row.iter_mut().enumerate() {
        let sign = if class == label { -1.0 } else { 1.0 };
        let signed = sign * *z;
        let small = (-z.abs()).exp();
        let share = if signed < 0.0 { small } else { 1.0 } / (1.0 + small);
        *z = sign * factor * share;
        loss += signed.max(0.0) + small.ln_1p();
    }
    loss
}
