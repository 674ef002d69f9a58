//! Whether models of a knowledge base are as often right as they are sure.

use super::judge::Judge;
use crate::{failure::Failure, grid::Grid};
use lyceum_core::{Batch, Calibration, TaskId, argmax, exp};
use lyceum_strategies::knowledge::RegionKind;
use serde::Serialize;

/// Expected calibration error and negative log likelihood, in nats; `None` where some sample has no probabilities.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Sure {
    /// Over 15 ranges of confidence.
    pub(crate) calibration_error: Option<f64>,
    /// Mean over the samples.
    pub(crate) negative_log_likelihood: Option<f64>,
}

impl Sure {
    fn of(found: &Calibration) -> Self {
        Self {
            calibration_error: found.error(),
            negative_log_likelihood: found.negative_log_likelihood(),
        }
    }

    /// Mean of several by their weights.
    pub(super) fn mean(all: &[Self], weights: &[f64]) -> Self {
        let sum: f64 = weights.iter().sum();
        let mean = |value: &dyn Fn(&Self) -> Option<f64>| {
            let terms = all.iter().zip(weights);
            let terms = terms.map(|(one, weight)| Some(weight / sum * value(one)?));
            terms.sum::<Option<f64>>()
        };
        Self {
            calibration_error: mean(&|one| one.calibration_error),
            negative_log_likelihood: mean(&|one| one.negative_log_likelihood),
        }
    }

    fn cells(self) -> [String; 2] {
        let shown = |value: Option<f64>| value.map_or("-".into(), |value| format!("{value:.4}"));
        [
            shown(self.calibration_error),
            shown(self.negative_log_likelihood),
        ]
    }
}

/// What is looked at: the point model, and for each region the mean of the probabilities of its draws.
pub(crate) fn predictors() -> Vec<String> {
    let drawn = RegionKind::ALL.iter();
    let drawn = drawn.map(|kind| format!("{}, averaged", kind.name()));
    std::iter::once("point".to_owned()).chain(drawn).collect()
}

/// A line a name, two columns a predictor.
pub(super) fn table(first: &str, rows: &[(String, Vec<Sure>)]) -> Grid {
    let shown = rows.first().map_or(0, |(_, all)| all.len());
    let heads = predictors().into_iter().take(shown);
    let heads = heads.flat_map(|of| [format!("{of} ECE"), format!("{of} NLL")]);
    let mut lines: Vec<Vec<String>> =
        vec![std::iter::once(first.to_owned()).chain(heads).collect()];
    lines.extend(rows.iter().map(|(name, all)| {
        let cells = all.iter().flat_map(|sure| sure.cells());
        std::iter::once(name.clone()).chain(cells).collect()
    }));
    Grid { lines, words: &[0] }
}

/// Of the models of a preference, the point model first and then the draws of each region: by task, the predictors.
pub(super) fn of_preference(
    judge: &Judge,
    models: &[Vec<f32>],
    draws: usize,
    tasks: &[TaskId],
) -> Result<Vec<Vec<Sure>>, Failure> {
    let of_task = |task: &TaskId| {
        let batches = judge.batches(*task);
        let labels: Vec<u32> = batches.iter().flat_map(|b| b.labels.clone()).collect();
        let logits = judge.logits(models, &batches, *task)?;
        let (point, drawn) = logits.split_at(1);
        let groups = std::iter::once(point).chain(drawn.chunks(draws.max(1)));
        let found = groups.map(|group| Sure::of(&averaged(group, &labels)));
        Ok(found.collect())
    };
    tasks.iter().map(of_task).collect()
}

/// The mean of the probabilities that models give, beside labels.
fn averaged(models: &[Vec<f32>], labels: &[u32]) -> Calibration {
    let mut found = Calibration::default();
    let classes = models[0].len() / labels.len().max(1);
    let mut mean = vec![0.0_f32; classes];
    for (row, &label) in labels.iter().enumerate() {
        mean.fill(0.0);
        let mut logs = Vec::with_capacity(models.len());
        for model in models {
            let own = &model[row * classes..][..classes];
            let top = own[argmax(own)];
            let sum: f32 = own.iter().map(|&z| exp(z - top)).sum();
            let shares = own.iter().map(|&z| exp(z - top) / sum);
            mean.iter_mut().zip(shares).for_each(|(m, p)| *m += p);
            logs.push(own[label as usize] - top - sum.ln());
        }
        let count = models.len() as f32;
        let best = argmax(&mean);
        let most = logs.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let sum: f32 = logs.iter().map(|&log| exp(log - most)).sum();
        let loss = f64::from(count.ln() - sum.ln() - most);
        let confidence = f64::from(mean[best] / count).min(1.0);
        found.add(confidence, best == label as usize, loss);
    }
    found
}

impl Judge {
    /// Logits of models, samples x classes each; those of classes that are no answers to the task are minus infinity.
    fn logits(
        &self,
        models: &[Vec<f32>],
        batches: &[Batch],
        task: TaskId,
    ) -> Result<Vec<Vec<f32>>, Failure> {
        let mut learner = self.plain_learner()?;
        let closed = self.closed(task);
        let classes = closed.len();
        let mut part = Vec::new();
        let mut of_model = |model: &Vec<f32>| {
            learner.load(&model.clone().into());
            let mut all = Vec::new();
            for batch in batches {
                learner.logits(batch, &mut part);
                all.extend_from_slice(&part);
            }
            for row in all.chunks_exact_mut(classes) {
                let closed = row.iter_mut().zip(&closed).filter(|(_, closed)| **closed);
                closed.for_each(|(z, _)| *z = f32::NEG_INFINITY);
            }
            all
        };
        Ok(models.iter().map(&mut of_model).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two models that say 3/4 and 1/4 are together as unsure as can be.
    #[test]
    fn probabilities_are_averaged_and_not_logits() {
        let three = 3.0_f32.ln();
        let models = [vec![three, 0.0], vec![0.0, three]];
        let even = Sure::of(&averaged(&models, &[0]));
        assert!((even.negative_log_likelihood.unwrap() - std::f64::consts::LN_2).abs() < 1e-6);
        assert!((even.calibration_error.unwrap() - 0.5).abs() < 1e-6);
        let one = Sure::of(&averaged(&models[..1], &[0]));
        assert!((one.calibration_error.unwrap() - 0.25).abs() < 1e-6);
        let both = Sure::mean(&[even, one], &[1.0, 3.0]);
        assert!((both.calibration_error.unwrap() - 0.3125).abs() < 1e-6);
    }
}
