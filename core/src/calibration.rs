//! Whether a model is as often right as it is sure.

use crate::{Loss, Targets, argmax, exp};
use serde::{Deserialize, Serialize};

/// Confidences from 0 to 1 in ranges of equal width, as in Guo et al. 2017 (arXiv 1706.04599): the k-th of them ends with k / 15.
const BINS: usize = 15;
/// Confidences and losses are rounded once to multiples of this, so that their sums do not depend on the order of addition.
const GRID: f64 = 1.0 / (1_u64 << 30) as f64;
/// A loss beyond this counts as this: 2^20 nats.
const MOST: f64 = (1_u64 << 20) as f64;

/// What the softmax of logits says of judged samples, beside what is right. Merging is exact, in any order.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Calibration {
    /// By confidence, the probability of the likeliest class.
    bins: [Bin; BINS],
    /// Sum of the negative logarithms of the probabilities of labels, in nats times 2^30.
    loss: u128,
    /// Samples whose logits give no probabilities, which are in no bin.
    undefined: u64,
}

/// Samples of like confidence.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Bin {
    count: u64,
    /// Samples whose likeliest class is theirs.
    correct: u64,
    /// Sum of confidences, times 2^30.
    confidence: u64,
}

impl Calibration {
    /// Counts rows of logits (rows x classes). Closed classes stand at minus infinity.
    pub fn count(&mut self, logits: &[f32], labels: &[u32]) {
        let mut losses = Vec::new();
        Loss::CrossEntropy.of_rows(logits, Targets::Classes(labels), &mut losses);
        let rows = logits.chunks_exact((logits.len() / labels.len().max(1)).max(1));
        for ((row, &label), &loss) in rows.zip(labels).zip(&losses) {
            let best = argmax(row);
            let sum: f32 = row.iter().map(|&z| exp(z - row[best])).sum();
            self.add(1.0 / f64::from(sum), best == label as usize, loss.into());
        }
    }

    /// Counts one sample.
    pub fn add(&mut self, confidence: f64, hit: bool, loss: f64) {
        if !(confidence > 0.0 && confidence <= 1.0 && loss.is_finite()) {
            self.undefined += 1;
            return;
        }
        let place = (confidence * BINS as f64).ceil() as usize;
        let bin = &mut self.bins[place.clamp(1, BINS) - 1];
        bin.count += 1;
        bin.correct += u64::from(hit);
        bin.confidence += (confidence / GRID).round() as u64;
        self.loss += (loss.clamp(0.0, MOST) / GRID).round() as u128;
    }

    /// Adds other samples.
    pub fn merge(&mut self, other: &Self) {
        for (bin, other) in self.bins.iter_mut().zip(&other.bins) {
            bin.count = bin.count.saturating_add(other.count);
            bin.correct = bin.correct.saturating_add(other.correct);
            bin.confidence = bin.confidence.saturating_add(other.confidence);
        }
        self.loss = self.loss.saturating_add(other.loss);
        self.undefined = self.undefined.saturating_add(other.undefined);
    }

    /// All that is counted, as numbers.
    pub fn numbers(&self) -> impl Iterator<Item = u64> {
        let bins = self.bins.iter();
        let halves = [self.loss as u64, (self.loss >> 64) as u64];
        bins.flat_map(|bin| [bin.count, bin.correct, bin.confidence])
            .chain(halves)
            .chain([self.undefined])
    }

    /// Whether so many samples can have been counted so.
    pub fn is_of(&self, samples: u64) -> bool {
        let mut all = self.bins.iter();
        let counted = all.try_fold(self.undefined, |sum, bin| sum.checked_add(bin.count));
        let one = (1.0 / GRID) as u128;
        let fits = |bin: &Bin| {
            let most = u128::from(bin.count) * one;
            bin.correct <= bin.count && u128::from(bin.confidence) <= most
        };
        let most = u128::from(samples) * one * MOST as u128;
        counted == Some(samples) && self.bins.iter().all(fits) && self.loss <= most
    }

    /// Mean over the samples of the distance between a bin's mean confidence and its share of hits (ECE); `None` without samples and
    /// where some have no probabilities.
    pub fn error(&self) -> Option<f64> {
        let gap = |bin: &Bin| (bin.correct as f64 - bin.confidence as f64 * GRID).abs();
        Some(self.bins.iter().map(gap).sum::<f64>() / self.samples()?)
    }

    /// Mean negative log likelihood in nats; `None` as for the [error](Self::error).
    pub fn negative_log_likelihood(&self) -> Option<f64> {
        Some(self.loss as f64 * GRID / self.samples()?)
    }

    fn samples(&self) -> Option<f64> {
        let all: u64 = self.bins.iter().map(|bin| bin.count).sum();
        (all > 0 && self.undefined == 0).then_some(all as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two samples with 3/4 for a class, one of them right: 1/4 off. A third is sure and right.
    #[test]
    fn by_hand() {
        let three = 3.0_f32.ln();
        let mut all = Calibration::default();
        all.count(&[three, 0.0, 0.0, three, 0.0, -200.0], &[0, 0, 0]);
        let error = all.error().unwrap();
        assert!((error - 0.5 / 3.0).abs() < 1e-7, "{error}");
        let want = ((4.0_f64 / 3.0).ln() + 4.0_f64.ln()) / 3.0;
        let found = all.negative_log_likelihood().unwrap();
        assert!((found - want).abs() < 1e-6, "{found}");
        assert!(all.is_of(3) && !all.is_of(2));
    }

    #[test]
    fn parts_give_the_same_in_any_order() {
        let logits: Vec<f32> = (0..300).map(|i| ((i * 37) % 101) as f32 / 17.0).collect();
        let labels: Vec<u32> = (0..100).map(|i| i % 3).collect();
        let mut whole = Calibration::default();
        whole.count(&logits, &labels);
        let mut apart = Calibration::default();
        for part in [70..100, 0..1, 1..70] {
            let mut own = Calibration::default();
            own.count(&logits[3 * part.start..3 * part.end], &labels[part]);
            apart.merge(&own);
        }
        assert_eq!(apart, whole);
        assert!(whole.is_of(100));
    }

    #[test]
    fn what_has_no_probability_is_in_no_bin_and_leaves_no_measure() {
        let mut all = Calibration::default();
        all.count(&[f32::NAN, 0.0, 0.0, f32::NEG_INFINITY], &[0, 1]);
        assert_eq!((all.error(), all.undefined), (None, 2));
        assert_eq!(Calibration::default().negative_log_likelihood(), None);
        assert!(all.is_of(2));
    }

    /// The ends of bins belong to them: 8/15 is in the eighth.
    #[test]
    fn confidences_at_the_ends_of_bins() {
        let mut all = Calibration::default();
        let sure = [8.0 / 15.0, 1.0, 1e-9].into_iter();
        sure.for_each(|sure| all.add(sure, true, 0.0));
        let filled: Vec<usize> = (0..BINS).filter(|b| all.bins[*b].count > 0).collect();
        assert_eq!(filled, [0, 7, 14]);
    }
}
