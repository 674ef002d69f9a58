//! What rows of a batch lose by besides their labels: masked classes, and logits to be matched.

use crate::{Loss, Target, exp};
use std::sync::Arc;

/// Stands for all classes where a set of classes is named.
pub const ALL_CLASSES: u32 = u32::MAX;

/// Which logits take part in each row's loss, and what else the row is to match. Empty for plain training.
///
/// The loss of row `r` is `weights[r] * label loss + matches[r].weight * match loss`; the batch's is the mean over its
/// rows.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Aims {
    /// Sets of classes, each as one flag a class; set once.
    pub sets: Arc<Vec<Vec<bool>>>,
    /// Set of each row's label loss: a position in `sets`, or [`ALL_CLASSES`]. Empty means all for all.
    pub open: Vec<u32>,
    /// What each row is matched to. Empty means nothing for all.
    pub matches: Vec<Match>,
    /// Logits to be matched, rows x classes; empty where `matches` is.
    pub values: Vec<f32>,
}

/// What a row is matched to besides its label.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Match {
    /// How.
    pub kind: MatchKind,
    /// Times this.
    pub weight: f32,
    /// Over these classes: a position in [`Aims::sets`], or [`ALL_CLASSES`].
    pub open: u32,
}

/// How logits `z` are matched to logits `t`.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum MatchKind {
    /// Not at all.
    #[default]
    Nothing,
    /// Mean over the classes of `(z - t)^2` (Buzzega et al. 2020, equation 5).
    Logits,
    /// Cross entropy of `softmax(z / T)` against `softmax(t / T)` (Hinton et al. 2015, without the factor T^2).
    Softmax {
        /// T, above 0.
        temperature: f32,
    },
    /// Sum over the classes of the binary cross entropies of `sigmoid(z)` against `sigmoid(t)` (Rebuffi et al. 2017).
    Sigmoid,
}

impl Aims {
    /// Whether rows lose by their labels alone, over all classes.
    pub fn is_empty(&self) -> bool {
        self.open.is_empty() && self.matches.is_empty()
    }

    /// Forgets the rows, keeps the sets.
    pub fn clear(&mut self) {
        self.open.clear();
        self.matches.clear();
        self.values.clear();
    }

    fn set(&self, index: u32) -> Option<&[bool]> {
        self.sets.get(index as usize).map(Vec::as_slice)
    }

    /// The loss of one row in nats, times its weights; writes `share` times its slope at the logits `z` to `out`.
    pub fn slope(
        &self,
        loss: Loss,
        row: usize,
        z: &[f32],
        (target, weight): (Target<'_>, f32),
        share: f32,
        out: &mut [f32],
    ) -> f32 {
        out.fill(0.0);
        let open = self.open.get(row).and_then(|&set| self.set(set));
        let mut total = 0.0;
        if weight != 0.0 {
            let scale = weight * share;
            total += weight
                * match (loss, target) {
                    (Loss::CrossEntropy, Target::Class(label)) => {
                        label_softmax(z, label as usize, open, scale, out)
                    }
                    (Loss::Sigmoid, Target::Class(label)) => {
                        label_sigmoid(z, label as usize, open, scale, out)
                    }
                    _ => loss.slope(z, target, open, scale, out),
                };
        }
        if let Some(aim) = self.matches.get(row).filter(|m| m.weight != 0.0) {
            let target = &self.values[row * z.len()..][..z.len()];
            let open = self.set(aim.open);
            let scale = aim.weight * share;
            total += aim.weight
                * match aim.kind {
                    MatchKind::Nothing => 0.0,
                    MatchKind::Logits => match_logits(z, target, open, scale, out),
                    MatchKind::Softmax { temperature } => {
                        match_softmax(z, target, temperature, open, scale, out)
                    }
                    MatchKind::Sigmoid => match_sigmoid(z, target, open, scale, out),
                };
        }
        total
    }
}

/// Positions of the classes that take part.
fn classes(len: usize, open: Option<&[bool]>) -> impl Iterator<Item = usize> + Clone + '_ {
    (0..len).filter(move |&c| open.is_none_or(|open| open.get(c).copied().unwrap_or(false)))
}

/// The largest logit of `at`, and the sum of the exponentials of all less it.
fn partition(z: impl Fn(usize) -> f32, at: impl Iterator<Item = usize> + Clone) -> (f32, f32) {
    let top = at.clone().map(&z).fold(f32::NEG_INFINITY, f32::max);
    (top, at.map(|c| exp(z(c) - top)).sum())
}

fn label_softmax(
    z: &[f32],
    label: usize,
    open: Option<&[bool]>,
    scale: f32,
    out: &mut [f32],
) -> f32 {
    let at = classes(z.len(), open);
    let (top, sum) = partition(|c| z[c], at.clone());
    at.for_each(|c| out[c] += scale * exp(z[c] - top) / sum);
    out[label] -= scale;
    sum.ln() + top - z[label]
}

fn label_sigmoid(
    z: &[f32],
    label: usize,
    open: Option<&[bool]>,
    scale: f32,
    out: &mut [f32],
) -> f32 {
    let mut loss = 0.0;
    for c in classes(z.len(), open) {
        let target = f32::from(u8::from(c == label));
        loss += binary(z[c], target);
        out[c] += scale * (sigmoid(z[c]) - target);
    }
    loss
}

fn match_logits(z: &[f32], t: &[f32], open: Option<&[bool]>, scale: f32, out: &mut [f32]) -> f32 {
    let at = classes(z.len(), open);
    let share = 1.0 / at.clone().count().max(1) as f32;
    let mut loss = 0.0;
    for c in at {
        let off = z[c] - t[c];
        loss += share * off * off;
        out[c] += scale * share * 2.0 * off;
    }
    loss
}

fn match_softmax(
    z: &[f32],
    t: &[f32],
    temperature: f32,
    open: Option<&[bool]>,
    scale: f32,
    out: &mut [f32],
) -> f32 {
    let at = classes(z.len(), open);
    let (own, teacher) = (|c: usize| z[c] / temperature, |c: usize| t[c] / temperature);
    let (own_top, own_sum) = partition(own, at.clone());
    let (top, sum) = partition(teacher, at.clone());
    let mut loss = 0.0;
    for c in at {
        let want = exp(teacher(c) - top) / sum;
        let log = own(c) - own_top - own_sum.ln();
        loss -= want * log;
        out[c] += scale * (exp(log) - want) / temperature;
    }
    loss
}

fn match_sigmoid(z: &[f32], t: &[f32], open: Option<&[bool]>, scale: f32, out: &mut [f32]) -> f32 {
    let mut loss = 0.0;
    for c in classes(z.len(), open) {
        let want = sigmoid(t[c]);
        loss += binary(z[c], want);
        out[c] += scale * (sigmoid(z[c]) - want);
    }
    loss
}

fn sigmoid(z: f32) -> f32 {
    let small = exp(-z.abs());
    if z < 0.0 {
        small / (1.0 + small)
    } else {
        1.0 / (1.0 + small)
    }
}

/// `-target ln sigmoid(z) - (1 - target) ln(1 - sigmoid(z))`.
fn binary(z: f32, target: f32) -> f32 {
    z.max(0.0) - target * z + exp(-z.abs()).ln_1p()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn aims(kind: MatchKind, open: u32, match_open: u32) -> Aims {
        Aims {
            sets: Arc::new(vec![vec![true, false, true, true]]),
            open: vec![open],
            matches: vec![Match {
                kind,
                weight: 0.7,
                open: match_open,
            }],
            values: vec![0.3, -1.0, 2.0, 0.1],
        }
    }

    /// Every slope is the numeric derivative of its loss, masked or not.
    #[test]
    fn slopes_are_derivatives() {
        let kinds = [
            MatchKind::Nothing,
            MatchKind::Logits,
            MatchKind::Softmax { temperature: 2.0 },
            MatchKind::Sigmoid,
        ];
        let z = [0.5_f32, -0.2, 1.5, -1.0];
        for kind in kinds {
            for loss in [Loss::CrossEntropy, Loss::Sigmoid] {
                for (open, match_open) in [(ALL_CLASSES, 0), (0, ALL_CLASSES)] {
                    let aims = aims(kind, open, match_open);
                    let value = |z: &[f32]| {
                        aims.slope(loss, 0, z, (Target::Class(2), 1.3), 0.25, &mut [0.0; 4]) * 0.25
                    };
                    let mut slope = [0.0; 4];
                    aims.slope(loss, 0, &z, (Target::Class(2), 1.3), 0.25, &mut slope);
                    for c in 0..4 {
                        let (mut up, mut down) = (z, z);
                        up[c] += 1e-2;
                        down[c] -= 1e-2;
                        let numeric = (value(&up) - value(&down)) / 2e-2;
                        assert!(
                            (numeric - slope[c]).abs() < 1e-3,
                            "{kind:?} {loss:?} {open}: {numeric} {}",
                            slope[c]
                        );
                    }
                }
            }
        }
    }

    #[test]
    fn a_closed_class_neither_loses_nor_moves() {
        let aims = Aims {
            matches: vec![],
            ..aims(MatchKind::Nothing, 0, 0)
        };
        let mut slope = [9.0; 4];
        let loss = |z1: f32, slope: &mut [f32]| {
            aims.slope(
                Loss::CrossEntropy,
                0,
                &[1.0, z1, 0.0, 0.0],
                (Target::Class(0), 1.0),
                1.0,
                slope,
            )
        };
        assert_eq!(loss(0.0, &mut slope), loss(50.0, &mut slope));
        assert_eq!(slope[1], 0.0);
    }

    #[test]
    fn a_perfect_match_has_no_slope() {
        for kind in [
            MatchKind::Logits,
            MatchKind::Softmax { temperature: 2.0 },
            MatchKind::Sigmoid,
        ] {
            let aims = aims(kind, ALL_CLASSES, ALL_CLASSES);
            let mut slope = [0.0; 4];
            let z = aims.values.clone();
            aims.slope(
                Loss::CrossEntropy,
                0,
                &z,
                (Target::Class(0), 0.0),
                1.0,
                &mut slope,
            );
            assert!(slope.iter().all(|s| s.abs() < 1e-6), "{kind:?}: {slope:?}");
        }
    }
}
