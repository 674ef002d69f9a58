//! F1: precision and recall of every class in one number.

use crate::{Target, Targets, argmax};
use serde::{Deserialize, Serialize};

/// What was there, what was said, and what of it was right, by class. Merging is exact, in any order.
///
/// Of samples with one label each, the class with the largest output is said; of samples with several, those with an output above
/// 0, which is a probability above one half.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct F1 {
    there: Vec<u64>,
    said: Vec<u64>,
    right: Vec<u64>,
}

impl F1 {
    /// Nothing counted yet.
    pub fn new(classes: usize) -> Self {
        Self {
            there: vec![0; classes],
            said: vec![0; classes],
            right: vec![0; classes],
        }
    }

    /// Counts rows of outputs (rows x classes).
    pub fn count(&mut self, outputs: &[f32], wanted: Targets<'_>) {
        let rows = outputs.chunks_exact(self.there.len().max(1));
        for (row, z) in rows.take(wanted.len()).enumerate() {
            match wanted.of(row) {
                Target::Class(class) => {
                    let (class, said) = (class as usize, argmax(z));
                    self.there[class] += 1;
                    self.said[said] += 1;
                    self.right[class] += u64::from(said == class);
                }
                Target::Values(values) => {
                    for (class, (z, value)) in z.iter().zip(values).enumerate() {
                        let (there, said) = (*value > 0.5, *z > 0.0);
                        self.there[class] += u64::from(there);
                        self.said[class] += u64::from(said);
                        self.right[class] += u64::from(there && said);
                    }
                }
            }
        }
    }

    /// Adds other samples of the same classes.
    pub fn merge(&mut self, other: &Self) {
        let all = [
            (&mut self.there, &other.there),
            (&mut self.said, &other.said),
            (&mut self.right, &other.right),
        ];
        for (own, other) in all {
            own.resize(own.len().max(other.len()), 0);
            let sites = own.iter_mut().zip(other);
            sites.for_each(|(own, other)| *own = own.saturating_add(*other));
        }
    }

    /// All that is counted, as numbers.
    pub fn numbers(&self) -> impl Iterator<Item = u64> {
        self.there
            .iter()
            .chain(&self.said)
            .chain(&self.right)
            .copied()
    }

    /// Whether so many samples of so many classes can have been counted so.
    pub fn is_of(&self, samples: u64, classes: usize) -> bool {
        let lists = [&self.there, &self.said, &self.right];
        let within =
            |list: &&Vec<u64>| list.len() == classes && list.iter().all(|count| *count <= samples);
        let sites = self.right.iter().zip(self.there.iter().zip(&self.said));
        lists.iter().all(within) && sites.into_iter().all(|(r, (t, s))| r <= t.min(s))
    }

    /// Of all classes together: twice what was right over what was there and what was said; `None` where there is nothing.
    pub fn micro(&self) -> Option<f64> {
        let sum = |list: &[u64]| list.iter().map(|&n| n as f64).sum::<f64>();
        let all = sum(&self.there) + sum(&self.said);
        (all > 0.0).then(|| 2.0 * sum(&self.right) / all)
    }

    /// Mean over the classes that were there or were said.
    pub fn macro_(&self) -> Option<f64> {
        let of_class = |at: usize| {
            let all = self.there[at] as f64 + self.said[at] as f64;
            (all > 0.0).then(|| 2.0 * self.right[at] as f64 / all)
        };
        let found: Vec<f64> = (0..self.there.len()).filter_map(of_class).collect();
        let mean = found.iter().sum::<f64>() / found.len() as f64;
        (!found.is_empty()).then_some(mean)
    }

    /// Of the second of two classes, the one that is looked for; `None` for more.
    pub fn of_second(&self) -> Option<f64> {
        let all = *self.there.get(1)? as f64 + self.said[1] as f64;
        (self.there.len() == 2 && all > 0.0).then(|| 2.0 * self.right[1] as f64 / all)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Labels 0 0 1 1 1 2, answers 0 1 1 1 0 2: F1 of 2/4, 4/6 and 2/2, as scikit-learn has it.
    #[test]
    fn single_labels_by_hand() {
        let outputs = [0, 1, 1, 1, 0, 2].map(|said| {
            let mut row = [0.0_f32; 3];
            row[said] = 1.0;
            row
        });
        let mut f1 = F1::new(3);
        f1.count(
            outputs.as_flattened(),
            Targets::Classes(&[0, 0, 1, 1, 1, 2]),
        );
        let mean = (0.5 + 2.0 / 3.0 + 1.0) / 3.0;
        assert!((f1.macro_().unwrap() - mean).abs() < 1e-12);
        assert!((f1.micro().unwrap() - 4.0 / 6.0).abs() < 1e-12);
        assert!(f1.is_of(6, 3) && !f1.is_of(2, 3) && !f1.is_of(6, 2));
    }

    /// Two samples with labels {0, 1} and {1}; said {0} and {0, 1}: right 1 of 1 there and 2 said, and 1 of 2 there and 1 said.
    #[test]
    fn several_labels_by_hand() {
        let values = [1.0, 1.0, 0.0, 1.0];
        let wanted = Targets::Values {
            values: &values,
            outputs: 2,
        };
        let mut f1 = F1::new(2);
        f1.count(&[2.0, -1.0, 0.5, 0.1], wanted);
        assert!((f1.macro_().unwrap() - 2.0 / 3.0).abs() < 1e-12);
        assert!((f1.micro().unwrap() - 4.0 / 6.0).abs() < 1e-12);
        let mut twice = f1.clone();
        twice.merge(&f1);
        assert_eq!(twice.micro(), f1.micro());
    }
}
