//! How accuracy on a task follows its weight, for several ways to choose preferences.

use super::{base::Base, judge::Judge, preferences};
use crate::failure::Failure;
use lyceum_core::TaskId;
use lyceum_metrics::ranks::spearman;
use serde::Serialize;

/// Preferences that are spread evenly.
const EVEN: u64 = 100;
/// Weights of a task that varies alone.
const STEPS: usize = 21;

/// Spearman's correlation of a task's weight with the point model's accuracy on it, by task; `None` where one of them never varies.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Correlations {
    /// Over 100 preferences that are spread evenly over all there are.
    pub(crate) even: Vec<Option<f64>>,
    /// Over 21 weights of the task from 0 to 1, the others alike.
    pub(crate) alone: Vec<Option<f64>>,
}

impl Correlations {
    /// Of a knowledge base as it is.
    pub(super) fn of(base: &Base, judge: &Judge, seed: u64) -> Result<Self, Failure> {
        let tasks = base.knowledge.learned();
        let even: Vec<Vec<f64>> = (0..EVEN)
            .map(|number| preferences::even(tasks.len(), seed, number))
            .collect();
        let designs = (0..tasks.len()).map(|place| alone(tasks.len(), place));
        let designs: Vec<Vec<Vec<f64>>> = std::iter::once(even).chain(designs).collect();
        let all: Vec<Vec<f64>> = designs.iter().flatten().cloned().collect();
        let mut worth = accuracies(base, judge, &all, &tasks)?.into_iter();
        let worth = designs
            .iter()
            .map(|one| worth.by_ref().take(one.len()).collect());
        let worth: Vec<Vec<Vec<f64>>> = worth.collect();
        let follows = |design: usize, place| follows(&designs[design], &worth[design], place);
        let places = 0..tasks.len();
        let even = places.clone().map(|place| follows(0, place)).collect();
        let alone = places.map(|place| follows(1 + place, place)).collect();
        Ok(Self { even, alone })
    }

    /// In another order of the tasks.
    pub(super) fn at(&self, places: &[usize]) -> Self {
        let at = |all: &[Option<f64>]| places.iter().map(|place| all[*place]).collect();
        Self {
            even: at(&self.even),
            alone: at(&self.alone),
        }
    }
}

/// Preferences in which one task's weight goes from 0 to 1, and the others share the rest equally.
fn alone(tasks: usize, place: usize) -> Vec<Vec<f64>> {
    let most = (STEPS - 1) as f64;
    let one = |step: usize| {
        let own = if tasks > 1 { step as f64 / most } else { 1.0 };
        let rest = (1.0 - own) / (tasks.max(2) - 1) as f64;
        let weight = |task| if task == place { own } else { rest };
        (0..tasks).map(weight).collect()
    };
    (0..STEPS).map(one).collect()
}

/// Accuracies of the point models of preferences.
fn accuracies(
    base: &Base,
    judge: &Judge,
    preferences: &[Vec<f64>],
    tasks: &[TaskId],
) -> Result<Vec<Vec<f64>>, Failure> {
    let models = preferences.iter();
    let models = models.map(|weights| Ok(base.combined(weights)?.means));
    judge.accuracies(&models.collect::<Result<Vec<_>, Failure>>()?, tasks)
}

fn follows(preferences: &[Vec<f64>], accuracies: &[Vec<f64>], place: usize) -> Option<f64> {
    let of = |all: &[Vec<f64>]| all.iter().map(|one| one[place]).collect::<Vec<f64>>();
    spearman(&of(preferences), &of(accuracies))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_weight_varies_and_the_others_share_the_rest() {
        let all = alone(3, 1);
        assert_eq!(all[0], [0.5, 0.0, 0.5]);
        assert_eq!(all[10], [0.25, 0.5, 0.25]);
        assert_eq!(all[20], [0.0, 1.0, 0.0]);
        assert_eq!(alone(1, 0)[0], [1.0]);
    }
}
