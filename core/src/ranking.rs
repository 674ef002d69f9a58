//! How far up what is right stands: top-k accuracy, and the area under the ROC curve.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Samples whose class is among the k largest outputs. Merging is exact, in any order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Top {
    /// How many outputs count.
    pub k: u32,
    hits: u64,
}

impl Top {
    /// Nothing counted yet.
    pub fn new(k: u32) -> Self {
        Self { k, hits: 0 }
    }

    /// Counts rows of outputs (rows x classes). Of equal outputs the first stands before the others.
    pub fn count(&mut self, outputs: &[f32], labels: &[u32]) {
        let rows = outputs.chunks_exact((outputs.len() / labels.len().max(1)).max(1));
        for (row, &label) in rows.zip(labels) {
            let own = row[label as usize];
            let before = row.iter().enumerate().filter(|(at, z)| {
                **z > own || (**z == own && *at < label as usize) || !own.is_finite()
            });
            self.hits += u64::from(before.count() < self.k as usize);
        }
    }

    /// Adds other samples.
    pub fn merge(&mut self, other: &Self) {
        self.k = self.k.max(other.k);
        self.hits = self.hits.saturating_add(other.hits);
    }

    /// All that is counted.
    pub fn numbers(&self) -> [u64; 2] {
        [self.k.into(), self.hits]
    }

    /// Whether so many samples can have been counted so.
    pub fn is_of(&self, samples: u64) -> bool {
        self.hits <= samples
    }

    /// Share of hits among so many samples.
    pub fn share(&self, samples: u64) -> Option<f64> {
        (samples > 0).then(|| self.hits as f64 / samples as f64)
    }
}

/// The order of numbers as that of whole numbers.
fn order(value: f32) -> u32 {
    // Zero has two forms.
    let bits = (value + 0.0).to_bits();
    match bits >> 31 {
        0 => bits | 1 << 31,
        _ => !bits,
    }
}

/// Samples of two classes by how far the output of the second is above that of the first. Merging is exact, in any order.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Roc {
    /// By the place of that distance among all numbers: samples of the first class, and of the second.
    levels: BTreeMap<u32, (u64, u64)>,
    /// Samples without a distance.
    undefined: u64,
}

impl Roc {
    /// Counts rows of two outputs.
    pub fn count(&mut self, outputs: &[f32], labels: &[u32]) {
        for (row, &label) in outputs.chunks_exact(2).zip(labels) {
            let distance = row[1] - row[0];
            if distance.is_nan() {
                self.undefined += 1;
                continue;
            }
            let level = self.levels.entry(order(distance)).or_default();
            match label {
                0 => level.0 += 1,
                _ => level.1 += 1,
            }
        }
    }

    /// Adds other samples.
    pub fn merge(&mut self, other: &Self) {
        for (level, (first, second)) in &other.levels {
            let own = self.levels.entry(*level).or_default();
            *own = (own.0.saturating_add(*first), own.1.saturating_add(*second));
        }
        self.undefined = self.undefined.saturating_add(other.undefined);
    }

    /// All that is counted, as numbers.
    pub fn numbers(&self) -> impl Iterator<Item = u64> {
        let levels = self.levels.iter();
        let levels = levels.flat_map(|(level, (first, second))| [(*level).into(), *first, *second]);
        levels.chain([self.undefined])
    }

    /// Whether so many samples have been counted.
    pub fn is_of(&self, samples: u64) -> bool {
        let mut counts = self.levels.values().flat_map(|(a, b)| [*a, *b]);
        counts.try_fold(self.undefined, |sum, n| sum.checked_add(n)) == Some(samples)
    }

    /// Share of pairs, one of each class, of which the second class's has the larger distance; ties count half. `None` unless
    /// both classes are there and every sample has a distance.
    pub fn area(&self) -> Option<f64> {
        let (mut below, mut pairs, mut positive) = (0.0, 0.0, 0.0);
        for (first, second) in self.levels.values() {
            let (first, second) = (*first as f64, *second as f64);
            pairs += second * (below + 0.5 * first);
            below += first;
            positive += second;
        }
        let all = below * positive;
        (all > 0.0 && self.undefined == 0).then(|| pairs / all)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_class_must_be_among_the_first() {
        let mut top = Top::new(2);
        top.count(&[3.0, 2.0, 1.0, 3.0, 2.0, 1.0, 1.0, 1.0, 1.0], &[1, 2, 1]);
        assert_eq!(top.share(3), Some(2.0 / 3.0));
        let mut none = Top::new(2);
        none.count(&[f32::NAN, f32::NAN, f32::NAN], &[0]);
        assert_eq!(none.share(1), Some(0.0));
    }

    /// Scores 0.1 0.4 0.35 0.8 of classes 0 0 1 1: three of four pairs, as in scikit-learn's own example.
    #[test]
    fn the_area_by_hand() {
        let row = |p: f32| [0.0, (p / (1.0 - p)).ln()];
        let outputs = [0.1, 0.4, 0.35, 0.8].map(row);
        let mut roc = Roc::default();
        roc.count(outputs.as_flattened(), &[0, 0, 1, 1]);
        assert_eq!(roc.area(), Some(0.75));
        assert!(roc.is_of(4) && !roc.is_of(3));
        // However close together, and whichever sign.
        let mut close = Roc::default();
        close.count(
            &[0.0, -20.2, 0.0, -20.1, 0.0, -20.15, 0.0, 1e-9],
            &[0, 0, 1, 1],
        );
        assert_eq!(close.area(), Some(0.75));
        let mut tie = Roc::default();
        tie.count(&[0.0; 8], &[0, 1, 1, 0]);
        assert_eq!(tie.area(), Some(0.5));
    }
}
