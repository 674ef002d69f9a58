//! What training minimises, and what scores and evaluations report.

use crate::exp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The loss of a row of logits and its class, in nats.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Loss {
    /// Cross entropy of the softmax.
    #[default]
    CrossEntropy,
    /// Sum over the classes of the binary cross entropy of each logit's sigmoid against the one-hot label.
    ///
    /// The loss of iCaRL (Rebuffi et al. 2017).
    Sigmoid,
}

impl Loss {
    /// The loss of each row of `logits` (rows x classes); replaces `out`.
    pub fn of_rows(self, logits: &[f32], labels: &[u32], out: &mut Vec<f32>) {
        let of_row = match self {
            Self::CrossEntropy => cross_entropy,
            Self::Sigmoid => sigmoid,
        };
        let classes = logits.len() / labels.len().max(1);
        let rows = logits.chunks_exact(classes.max(1)).zip(labels);
        out.clear();
        out.extend(rows.map(|(row, &label)| of_row(row, label as usize)));
    }
}

fn cross_entropy(row: &[f32], label: usize) -> f32 {
    let top = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let sum: f32 = row.iter().map(|&z| exp(z - top)).sum();
    sum.ln() + top - row[label]
}

/// With `s` the logit, negated for the row's own class, each term is `ln(1 + e^s)`.
fn sigmoid(row: &[f32], label: usize) -> f32 {
    let term = |(class, &z): (usize, &f32)| {
        let signed = if class == label { -z } else { z };
        signed.max(0.0) + exp(-signed.abs()).ln_1p()
    };
    row.iter().enumerate().map(term).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn losses(loss: Loss, logits: &[f32], labels: &[u32]) -> Vec<f32> {
        let mut out = vec![f32::NAN];
        loss.of_rows(logits, labels, &mut out);
        out
    }

    #[test]
    fn large_logits_are_survived() {
        let logits = [1000.0, 0.0, 0.0, 1000.0];
        assert_eq!(losses(Loss::CrossEntropy, &logits, &[0, 0]), [0.0, 1000.0]);
        let half = std::f32::consts::LN_2;
        assert_eq!(
            losses(Loss::Sigmoid, &logits, &[0, 0]),
            [half, half + 1000.0]
        );
    }

    /// ln(1 + e^-1) + ln(1 + e^-2) + ln(1 + e^0.5).
    #[test]
    fn sigmoid_by_hand() {
        let got = losses(Loss::Sigmoid, &[-2.0, 1.0, 0.5], &[1])[0];
        let want = [-1.0_f64, -2.0, 0.5].map(|s| (1.0 + s.exp()).ln());
        assert!(
            (f64::from(got) - want.iter().sum::<f64>()).abs() < 1e-6,
            "{got}"
        );
    }

    #[test]
    fn one_class_is_certain_for_the_softmax_only() {
        assert_eq!(losses(Loss::CrossEntropy, &[-3.0], &[0]), [0.0]);
        assert!(losses(Loss::Sigmoid, &[-3.0], &[0])[0] > 3.0);
    }

    #[test]
    fn a_logit_that_is_no_number_gives_no_number() {
        for loss in [Loss::CrossEntropy, Loss::Sigmoid] {
            assert!(losses(loss, &[f32::NAN, 0.0], &[0])[0].is_nan());
        }
        assert!(losses(Loss::Sigmoid, &[], &[]).is_empty());
    }
}
