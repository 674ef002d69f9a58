//! Answers by the nearest mean of features (Rebuffi et al. 2017, algorithm 1).

use lyceum_core::{MEANS, Network, Predict, Predictor, Rows, normalised};

/// The class whose mean of normalised features is the nearest; the model holds the means as its tensor [`MEANS`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NearestMean;

impl Predict for NearestMean {
    fn take_up(&self, network: &Network, params: &[f32]) -> Result<Box<dyn Predictor>, String> {
        let entry = network.layout().find(MEANS);
        let entry = entry.ok_or("the model has no means of classes")?;
        let means = Means::read(&params[entry.range()], network.classes());
        let features = Vec::new();
        Ok(Box::new(Nearest { means, features }))
    }
}

struct Nearest {
    means: Means,
    /// Of the rows at work.
    features: Vec<f32>,
}

impl Predictor for Nearest {
    fn score(&mut self, scores: &mut [f32], rows: &mut Rows<'_>) {
        rows.features(&mut self.features);
        self.means.closeness(&self.features, scores);
    }
}

/// Means of the classes that have one, each of length 1.
struct Means {
    /// A mean per class; empty where there is none.
    means: Vec<Vec<f32>>,
}

impl Means {
    /// Reads a model's tensor of means: classes x (features + 1).
    fn read(values: &[f32], classes: usize) -> Self {
        let width = values.len() / classes.max(1);
        let mean = |row: &[f32]| match row.split_last() {
            Some((share, sum)) if *share > 0.0 => normalised(sum),
            _ => Vec::new(),
        };
        let means = values.chunks_exact(width.max(1)).map(mean).collect();
        Self { means }
    }

    /// Minus the squared distance of each row's normalised features to each mean, rows x classes. As they are where there is
    /// no mean at all.
    fn closeness(&self, features: &[f32], scores: &mut [f32]) {
        let Some(width) = self.means.iter().map(Vec::len).find(|&len| len > 0) else {
            return;
        };
        let rows = scores.chunks_exact_mut(self.means.len());
        for (scores, row) in rows.zip(features.chunks_exact(width)) {
            let row = normalised(row);
            for (score, mean) in scores.iter_mut().zip(&self.means) {
                *score = match mean.is_empty() {
                    true => f32::NEG_INFINITY,
                    false => -row
                        .iter()
                        .zip(mean)
                        .map(|(a, b)| (a - b) * (a - b))
                        .sum::<f32>(),
                };
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_mean_is_closest_and_a_missing_one_never_is() {
        // Class 0 at (0.5, 0), seen by half of the clients; class 2 at (0, 3).
        let means = Means::read(&[0.5, 0.0, 0.5, 0.0, 0.0, 0.0, 0.0, 3.0, 1.0], 3);
        let mut out = vec![0.0; 6];
        means.closeness(&[2.0, 0.0, 0.1, 9.0], &mut out);
        assert!(out[0] == 0.0 && out[0] > out[2] && out[5] > out[3]);
        assert!(out[1] == f32::NEG_INFINITY && out[4] == f32::NEG_INFINITY);
    }

    #[test]
    fn without_any_mean_the_logits_answer() {
        let mut out = vec![0.25, 0.75];
        Means::read(&[0.0; 6], 2).closeness(&[1.0, 1.0], &mut out);
        assert_eq!(out, [0.25, 0.75]);
    }
}
