//! What training minimises, and what scores and evaluations report.

use crate::{
    argmax, exp,
    units::{Fraction, Positive},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The loss of a row of outputs and what they should be: a class, or values.
///
/// Where values are asked for and there is a class, they are 1 for the class and 0 for the others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Loss {
    /// Cross entropy of the softmax, in nats.
    #[default]
    CrossEntropy,
    /// Sum over the classes of the binary cross entropy of each logit's sigmoid against the one-hot label.
    ///
    /// The loss of iCaRL (Rebuffi et al. 2017).
    Sigmoid,
    /// Cross entropy against a label of which a share is spread over all classes (Szegedy et al. 2016, section 7).
    Smoothed(Smoothed),
    /// Mean over the outputs of the squared error.
    MeanSquared,
    /// Mean over the outputs of the squared error up to a distance, and of the absolute one beyond (Huber 1964).
    Huber(Huber),
    /// One less the cosine of outputs and values.
    Cosine,
    /// Mean over the outputs of the binary cross entropy of each one's sigmoid against its value, 0 or 1: several labels a sample.
    MultiLabel,
    /// Of pairs: cross entropy of each query's own candidate among those of the batch, by the cosine of both halves of the outputs
    /// over a temperature (InfoNCE; van den Oord et al. 2018, Karpukhin et al. 2020 for in-batch candidates). Other candidates that
    /// answer the query are left out.
    Contrastive(Contrastive),
}

/// Settings of the contrastive loss.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Contrastive {
    /// What cosines are divided by; 0.1 by default.
    #[serde(default = "tenth_of_one")]
    pub temperature: Positive,
}

/// Settings of the smoothed cross entropy.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Smoothed {
    /// Share of the label that is spread over all classes, itself included; 0.1 by default.
    #[serde(default = "tenth")]
    pub share: Fraction,
}

/// Settings of the Huber loss.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Huber {
    /// Error from which on the loss is linear; 1 by default.
    #[serde(default = "unit")]
    pub delta: Positive,
}

fn tenth() -> Fraction {
    Fraction::new(0.1).expect("0.1 is in range")
}

fn tenth_of_one() -> Positive {
    Positive::new(0.1).expect("0.1 is in range")
}

fn unit() -> Positive {
    Positive::new(1.0).expect("1 is in range")
}

/// What the outputs of a row should be.
#[derive(Clone, Copy, Debug)]
pub enum Target<'a> {
    /// A class.
    Class(u32),
    /// A value for each output.
    Values(&'a [f32]),
}

impl Target<'_> {
    /// Whether the largest output stands at the class, or at the largest value.
    pub fn is_hit(&self, outputs: &[f32]) -> bool {
        match self {
            Self::Class(class) => argmax(outputs) == *class as usize,
            Self::Values(values) => argmax(outputs) == argmax(values),
        }
    }

    fn value(&self, at: usize) -> f32 {
        match self {
            Self::Class(class) => f32::from(u8::from(*class as usize == at)),
            Self::Values(values) => values[at],
        }
    }
}

/// What the outputs of all rows should be.
#[derive(Clone, Copy, Debug)]
pub enum Targets<'a> {
    /// A class each.
    Classes(&'a [u32]),
    /// Values, rows x outputs.
    Values {
        /// Row by row.
        values: &'a [f32],
        /// How many a row has.
        outputs: usize,
    },
}

impl<'a> Targets<'a> {
    /// Number of rows.
    pub fn len(&self) -> usize {
        match self {
            Self::Classes(classes) => classes.len(),
            Self::Values { values, outputs } => values.len() / (*outputs).max(1),
        }
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What one row should be.
    pub fn of(&self, row: usize) -> Target<'a> {
        match *self {
            Self::Classes(classes) => Target::Class(classes[row]),
            Self::Values { values, outputs } => {
                Target::Values(&values[row * outputs..(row + 1) * outputs])
            }
        }
    }
}

impl Loss {
    /// Its settings, where it is one of a whole batch of pairs.
    pub fn contrastive(self) -> Option<Contrastive> {
        match self {
            Self::Contrastive(how) => Some(how),
            _ => None,
        }
    }

    /// Whether it is a loss of class labels alone.
    pub fn needs_classes(self) -> bool {
        matches!(self, Self::CrossEntropy | Self::Sigmoid | Self::Smoothed(_))
    }

    /// The loss of each row of `outputs` (rows x outputs); replaces `out`.
    pub fn of_rows(self, outputs: &[f32], targets: Targets<'_>, out: &mut Vec<f32>) {
        let width = outputs.len() / targets.len().max(1);
        let rows = outputs.chunks_exact(width.max(1)).take(targets.len());
        out.clear();
        out.extend(
            rows.enumerate()
                .map(|(row, z)| self.of_row(z, targets.of(row))),
        );
    }

    fn of_row(self, z: &[f32], target: Target<'_>) -> f32 {
        match (self, target) {
            (Self::CrossEntropy, Target::Class(label)) => cross_entropy(z, label as usize),
            (Self::Sigmoid, Target::Class(label)) => sigmoid(z, label as usize),
            _ => self.visit(z, target, None, &mut |_, _| {}),
        }
    }

    /// The loss of one row, and `scale` times its slope, added to `out`. Where some classes are open, the others take no part.
    pub fn slope(
        self,
        z: &[f32],
        target: Target<'_>,
        open: Option<&[bool]>,
        scale: f32,
        out: &mut [f32],
    ) -> f32 {
        self.visit(z, target, open, &mut |at, slope| out[at] += scale * slope)
    }

    /// The loss of one row; tells the slope at each output that takes part.
    fn visit(
        self,
        z: &[f32],
        target: Target<'_>,
        open: Option<&[bool]>,
        tell: &mut impl FnMut(usize, f32),
    ) -> f32 {
        let is_open = |c: &usize| open.is_none_or(|open| open.get(*c).copied().unwrap_or(false));
        let at = (0..z.len()).filter(is_open);
        let share = 1.0 / at.clone().count().max(1) as f32;
        match self {
            Self::CrossEntropy => softmax(z, at, |c| target.value(c), tell),
            Self::Smoothed(Smoothed { share: spread }) => {
                let spread = spread.get() as f32;
                softmax(
                    z,
                    at,
                    |c| (1.0 - spread) * target.value(c) + spread * share,
                    tell,
                )
            }
            Self::Sigmoid => binaries(z, at, &target, 1.0, tell),
            Self::MultiLabel => binaries(z, at, &target, share, tell),
            Self::MeanSquared => {
                let mut loss = 0.0;
                for c in at {
                    let off = z[c] - target.value(c);
                    loss += share * off * off;
                    tell(c, share * 2.0 * off);
                }
                loss
            }
            Self::Huber(Huber { delta }) => {
                let delta = delta.get() as f32;
                let mut loss = 0.0;
                for c in at {
                    let off = z[c] - target.value(c);
                    loss += share
                        * match off.abs() <= delta {
                            true => 0.5 * off * off,
                            false => delta * (off.abs() - 0.5 * delta),
                        };
                    tell(c, share * off.clamp(-delta, delta));
                }
                loss
            }
            Self::Cosine => cosine(z, at, &target, tell),
            Self::Contrastive(_) => unreachable!("is a loss of a whole batch"),
        }
    }
}

/// Cross entropy of the softmax against shares that sum to 1.
fn softmax(
    z: &[f32],
    at: impl Iterator<Item = usize> + Clone,
    want: impl Fn(usize) -> f32,
    tell: &mut impl FnMut(usize, f32),
) -> f32 {
    let top = at.clone().map(|c| z[c]).fold(f32::NEG_INFINITY, f32::max);
    let sum: f32 = at.clone().map(|c| exp(z[c] - top)).sum();
    let log = sum.ln() + top;
    let mut loss = 0.0;
    for c in at {
        let want = want(c);
        // A closed class may stand at minus infinity.
        if want != 0.0 {
            loss += want * (log - z[c]);
        }
        tell(c, exp(z[c] - top) / sum - want);
    }
    loss
}

/// Sum of the binary cross entropies, times a share.
fn binaries(
    z: &[f32],
    at: impl Iterator<Item = usize>,
    target: &Target<'_>,
    share: f32,
    tell: &mut impl FnMut(usize, f32),
) -> f32 {
    let mut loss = 0.0;
    for c in at {
        let want = target.value(c);
        let small = exp(-z[c].abs());
        let yes = if z[c] < 0.0 { small } else { 1.0 } / (1.0 + small);
        loss += share * (z[c].max(0.0) - want * z[c] + small.ln_1p());
        tell(c, share * (yes - want));
    }
    loss
}

/// `1 - z t / (|z| |t|)`. A row without length has no direction: it loses 1, and has no slope.
fn cosine(
    z: &[f32],
    at: impl Iterator<Item = usize> + Clone,
    target: &Target<'_>,
    tell: &mut impl FnMut(usize, f32),
) -> f32 {
    let sum = |of: &dyn Fn(usize) -> f32| at.clone().map(of).sum::<f32>();
    let along = sum(&|c| z[c] * target.value(c));
    let own = sum(&|c| z[c] * z[c]).sqrt();
    let other = sum(&|c| target.value(c) * target.value(c)).sqrt();
    let lengths = own * other;
    if lengths == 0.0 {
        return 1.0;
    }
    let cosine = along / lengths;
    for c in at {
        tell(c, cosine * z[c] / (own * own) - target.value(c) / lengths);
    }
    1.0 - cosine
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
        loss.of_rows(logits, Targets::Classes(labels), &mut out);
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

    /// Slopes are numeric derivatives, and losses those that PyTorch 2.15 computes of the same row (`tests/independent/losses.py`).
    #[test]
    fn losses_of_values_and_their_slopes() {
        let z = [0.5_f32, -1.2, 2.0];
        let values = [1.0, 0.0, 1.0];
        let smoothed = Loss::Smoothed(Smoothed { share: tenth() });
        let huber = Loss::Huber(Huber { delta: unit() });
        for (loss, target, want) in [
            (smoothed, Target::Class(2), 0.390_862_8),
            (Loss::CrossEntropy, Target::Class(2), 0.234_196_14),
            (Loss::MeanSquared, Target::Values(&values), 0.896_666_7),
            (huber, Target::Values(&values), 0.441_666_7),
            (Loss::Cosine, Target::Values(&values), 0.258_913_54),
            (Loss::MultiLabel, Target::Values(&values), 0.288_095_8),
        ] {
            let of = |z: &[f32]| loss.of_row(z, target);
            assert!((of(&z) - want).abs() < 1e-5, "{loss:?}: {}", of(&z));
            let mut slope = [0.0; 3];
            let told = loss.slope(&z, target, None, 1.0, &mut slope);
            assert!((told - of(&z)).abs() < 1e-6, "{loss:?}");
            for c in 0..3 {
                let (mut up, mut down) = (z, z);
                up[c] += 1e-2;
                down[c] -= 1e-2;
                let numeric = (of(&up) - of(&down)) / 2e-2;
                assert!(
                    (numeric - slope[c]).abs() < 2e-3,
                    "{loss:?}: {numeric} {}",
                    slope[c]
                );
            }
        }
    }
}
