//! What judging counts of a model: everything that crosses from nodes to the coordinator of an evaluation.
//!
//! A new reduction of judged samples is a field here that counts, merges, and says what it found under a name.

use crate::{Calibration, Chain, F1, Loss, Retrieval, Roc, Targets, Top};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Hits and losses per class; a measure: merging is associative, counts are exact.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Tally {
    /// Samples of each class.
    pub count: Vec<u64>,
    /// Samples of each class whose largest logit was theirs.
    pub correct: Vec<u64>,
    /// Sum of the cross entropies of each class, in nats.
    pub loss: Vec<f64>,
    /// Whether it is as often right as it is sure, where the scenario asks for that.
    pub calibration: Option<Box<Calibration>>,
    /// Precision and recall by class, where the scenario asks for that.
    pub f1: Option<Box<F1>>,
    /// Whether what is right stands among the first, where the scenario asks for that.
    pub top: Option<Top>,
    /// How the probabilities of two classes stand, where the scenario asks for that.
    pub roc: Option<Box<Roc>>,
    /// What the mean loss says in another unit, where the scenario asks for that.
    pub unit: Option<LossUnit>,
    /// How far up stands what answers a query, where samples are pairs. Then [`correct`](Self::correct) counts the queries with an
    /// answer among the first ten.
    pub retrieval: Option<Box<Retrieval>>,
}

/// A mean loss in another unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum LossUnit {
    /// `e^loss`: the perplexity of a cross entropy.
    Perplexity,
    /// The root of a mean squared error.
    RootMeanSquare,
}

impl LossUnit {
    /// What goes with a loss, if anything does.
    pub fn of(loss: Loss) -> Option<Self> {
        match loss {
            Loss::CrossEntropy => Some(Self::Perplexity),
            Loss::MeanSquared => Some(Self::RootMeanSquare),
            _ => None,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Perplexity => "perplexity",
            Self::RootMeanSquare => "root_mean_square_error",
        }
    }

    fn value(self, loss: f64) -> f64 {
        match self {
            Self::Perplexity => loss.exp(),
            Self::RootMeanSquare => loss.sqrt(),
        }
    }
}

impl Tally {
    /// Nothing counted yet.
    pub fn new(classes: usize) -> Self {
        Self {
            count: vec![0; classes],
            correct: vec![0; classes],
            loss: vec![0.0; classes],
            ..Self::default()
        }
    }

    /// Counts rows of outputs (rows x classes) in all that is asked for besides hits and losses.
    pub fn count_further(&mut self, outputs: &[f32], wanted: Targets<'_>) {
        if let Some(f1) = &mut self.f1 {
            f1.count(outputs, wanted);
        }
        let Targets::Classes(labels) = wanted else {
            return;
        };
        if let Some(sure) = &mut self.calibration {
            sure.count(outputs, labels);
        }
        if let Some(top) = &mut self.top {
            top.count(outputs, labels);
        }
        if let Some(roc) = &mut self.roc {
            roc.count(outputs, labels);
        }
    }

    /// Counts one sample.
    pub fn add(&mut self, label: u32, hit: bool, loss: f32) {
        let class = label as usize;
        self.count[class] += 1;
        self.correct[class] += u64::from(hit);
        self.loss[class] += f64::from(loss);
    }

    /// Adds another tally over the same classes.
    pub fn merge(&mut self, other: &Self) {
        self.count
            .iter_mut()
            .zip(&other.count)
            .for_each(|(a, b)| *a += b);
        self.correct
            .iter_mut()
            .zip(&other.correct)
            .for_each(|(a, b)| *a += b);
        self.loss
            .iter_mut()
            .zip(&other.loss)
            .for_each(|(a, b)| *a += b);
        if let Some(other) = &other.calibration {
            self.calibration.get_or_insert_default().merge(other);
        }
        if let Some(other) = &other.f1 {
            self.f1.get_or_insert_default().merge(other);
        }
        if let Some(other) = &other.top {
            self.top.get_or_insert_default().merge(other);
        }
        if let Some(other) = &other.roc {
            self.roc.get_or_insert_default().merge(other);
        }
        if let Some(other) = &other.retrieval {
            self.retrieval.get_or_insert_default().merge(other);
        }
        self.unit = self.unit.or(other.unit);
    }

    /// Number of samples.
    pub fn samples(&self) -> u64 {
        self.count.iter().sum()
    }

    /// Share of hits, or the recall among the first ten where samples are pairs; 0 without samples.
    pub fn accuracy(&self) -> f64 {
        if let Some(found) = &self.retrieval {
            return found.recall_10().unwrap_or(0.0);
        }
        self.correct.iter().sum::<u64>() as f64 / self.samples().max(1) as f64
    }

    /// Share of hits if classes came as often as these counts say; `None` where no class that does has a sample here.
    pub fn accuracy_among(&self, counts: &[u64]) -> Option<f64> {
        if let Some(found) = &self.retrieval {
            return found.recall_10_among(counts);
        }
        let classes = self.correct.iter().zip(&self.count).zip(counts);
        let met = classes.filter(|((_, samples), count)| **samples > 0 && **count > 0);
        let sum = |(hits, all): (f64, u64), ((correct, samples), count): ((&u64, &u64), &u64)| {
            let share = *correct as f64 / *samples as f64;
            (hits + share * *count as f64, all + count)
        };
        let (hits, all) = met.fold((0.0, 0), sum);
        (all > 0).then(|| hits / all as f64)
    }

    /// Mean of the scenario's loss in nats; 0 without samples.
    pub fn mean_loss(&self) -> f64 {
        self.loss.iter().sum::<f64>() / self.samples().max(1) as f64
    }

    /// Whether it counts so many samples, each once, and as a hit at most once.
    pub fn is_of(&self, samples: u64) -> bool {
        let counted = (self.count.iter()).try_fold(0_u64, |sum, n| sum.checked_add(*n));
        let classes = self.count.len();
        let whole = self.correct.len() == classes && self.loss.len() == classes;
        let hits = self.correct.iter().zip(&self.count).all(|(c, n)| c <= n);
        let sure = self.calibration.as_ref();
        let f1 = self.f1.as_ref();
        whole
            && hits
            && counted == Some(samples)
            && sure.is_none_or(|sure| sure.is_of(samples))
            && f1.is_none_or(|f1| f1.is_of(samples, classes))
            && self.top.is_none_or(|top| top.is_of(samples))
            && self.roc.as_ref().is_none_or(|roc| roc.is_of(samples))
            && self.retrieval.as_ref().is_none_or(|r| r.is_of(samples))
    }

    /// Adds what is counted to a link.
    pub fn chained(&self, chain: &mut Chain) {
        self.correct.iter().chain(&self.count).for_each(|&n| {
            chain.number(n);
        });
        let sure = self.calibration.iter().flat_map(|sure| sure.numbers());
        let f1 = self.f1.iter().flat_map(|f1| f1.numbers());
        let top = self.top.iter().flat_map(Top::numbers);
        let roc = self.roc.iter().flat_map(|roc| roc.numbers());
        let found = self.retrieval.iter().flat_map(|found| found.numbers());
        let all = sure.chain(f1).chain(top).chain(roc).chain(found);
        all.for_each(|n| {
            chain.number(n);
        });
    }

    /// What it says besides accuracy and loss, by name: an open list, of which summaries and tables show the last on the test
    /// samples. What is no number is left out.
    pub fn further(&self) -> BTreeMap<String, f64> {
        let sure = self.calibration.as_ref();
        let all = [
            ("calibration_error", sure.and_then(|sure| sure.error())),
            (
                "negative_log_likelihood",
                sure.and_then(|sure| sure.negative_log_likelihood()),
            ),
            ("f1_macro", self.f1.as_ref().and_then(|f1| f1.macro_())),
            ("f1_micro", self.f1.as_ref().and_then(|f1| f1.micro())),
            (
                "f1_of_second",
                self.f1.as_ref().and_then(|f1| f1.of_second()),
            ),
            ("roc_auc", self.roc.as_ref().and_then(|roc| roc.area())),
        ];
        let samples = self.samples();
        let top = self
            .top
            .map(|top| (format!("top_{}", top.k), top.share(samples)));
        let unit = self.unit.filter(|_| samples > 0);
        let unit = unit.map(|unit| (unit.name().to_owned(), Some(unit.value(self.mean_loss()))));
        let named = all.map(|(name, value)| (name.to_owned(), value));
        let found = self.retrieval.iter().flat_map(|found| found.means());
        let there = named.into_iter().chain(top).chain(unit).chain(found);
        there
            .filter_map(|(name, value)| Some((name, value?)))
            .filter(|(_, value)| value.is_finite())
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Half of class 0 and a quarter of class 1 are hit: for three of class 0 and one of class 1 that is 7/16. Nobody knows of
    /// class 2.
    #[test]
    fn hits_count_as_classes_come() {
        let tally = Tally {
            count: vec![4, 8, 0],
            correct: vec![2, 2, 0],
            loss: vec![0.0; 3],
            ..Tally::default()
        };
        assert_eq!(tally.accuracy_among(&[3, 1, 0]), Some(7.0 / 16.0));
        assert_eq!(tally.accuracy_among(&[3, 1, 9]), Some(7.0 / 16.0));
        assert_eq!(tally.accuracy_among(&[4, 8, 0]), Some(tally.accuracy()));
        assert_eq!(tally.accuracy_among(&[0, 0, 9]), None);
    }
}
