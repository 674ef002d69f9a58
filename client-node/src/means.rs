//! Answers by the nearest mean of features (Rebuffi et al. 2017, algorithm 1).

use lyceum_core::normalised;

/// Means of the classes that have one, each of length 1.
pub(crate) struct Means {
    /// A mean per class; empty where there is none.
    means: Vec<Vec<f32>>,
}

impl Means {
    /// Reads a model's tensor of means: classes x (features + 1).
    pub(crate) fn read(values: &[f32], classes: usize) -> Self {
        let width = values.len() / classes.max(1);
        let mean = |row: &[f32]| match row.split_last() {
            Some((share, sum)) if *share > 0.0 => normalised(sum),
            _ => Vec::new(),
        };
        let means = values.chunks_exact(width.max(1)).map(mean).collect();
        Self { means }
    }

    /// Minus the squared distance of each row's normalised features to each mean, rows x classes; replaces `out`.
    pub(crate) fn closeness(&self, features: &[f32], out: &mut Vec<f32>) {
        let Some(width) = self.means.iter().map(Vec::len).find(|&len| len > 0) else {
            return;
        };
        out.clear();
        for row in features.chunks_exact(width) {
            let row = normalised(row);
            out.extend(self.means.iter().map(|mean| {
                match mean.is_empty() {
                    true => f32::NEG_INFINITY,
                    false => -row
                        .iter()
                        .zip(mean)
                        .map(|(a, b)| (a - b) * (a - b))
                        .sum::<f32>(),
                }
            }));
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
        let mut out = Vec::new();
        means.closeness(&[2.0, 0.0, 0.1, 9.0], &mut out);
        assert_eq!(out.len(), 6);
        assert!(out[0] == 0.0 && out[0] > out[2] && out[5] > out[3]);
        assert!(out[1] == f32::NEG_INFINITY && out[4] == f32::NEG_INFINITY);
    }
}
