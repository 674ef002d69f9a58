//! Features that are fixed before the run: what a model sees in place of the data's own values.

use super::{
    DataError,
    encoder::{Encoder, Origin},
    linear::Linear,
    principal::components,
};
use lyceum_core::{Samples, units::Count};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// Values of all features, and weights, at most: 4 GiB.
const LARGEST: usize = 1 << 30;

/// `[data.features]`: values that are computed once from each sample, and that a model sees in its place.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum FixedFeatures {
    /// `max(W x + b, 0)` with fixed normal weights of variance 1 over the number of inputs, and normal biases, drawn from the seed.
    RandomRelu {
        /// Number of features.
        size: Count,
    },
    /// The components in which training samples vary most, around their mean (PCA).
    Pca {
        /// Number of components, at most that of the inputs.
        size: Count,
        /// They are fitted to the training samples of these classes alone, such as those of the first task or of none: to all by
        /// default.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        classes: Option<Vec<u32>>,
        /// Divide each by its deviation; false by default.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        whiten: bool,
    },
    /// The values in front of the last dense layer of a model that another run trained, as its last checkpoint has it.
    Encoder {
        /// Folder of the finished run; a relative path is looked for here and in the data folders.
        run: PathBuf,
    },
}

impl FixedFeatures {
    /// Replaces samples by their features.
    pub(crate) fn apply(
        &self,
        origin: &Origin<'_>,
        train: &mut Samples,
        test: &mut Samples,
    ) -> Result<(), DataError> {
        match self {
            Self::RandomRelu { size } => {
                let rows = train.len() + test.len();
                small_enough(size.get(), train.width(), rows)?;
                let map = Linear::random(train.width(), size.get(), origin.seed);
                [train, test]
                    .into_iter()
                    .for_each(|samples| map.apply(samples, true));
            }
            Self::Pca {
                size,
                classes,
                whiten,
            } => {
                let rows = train.len() + test.len();
                small_enough(size.get(), train.width(), rows)?;
                let map = components(train, size.get(), classes.as_deref(), *whiten)?;
                [train, test]
                    .into_iter()
                    .for_each(|samples| map.apply(samples, false));
            }
            Self::Encoder { run } => {
                let mut encoder = Encoder::read(run, origin)?;
                encoder.fits(run, train)?;
                [train, test]
                    .into_iter()
                    .for_each(|samples| encoder.apply(samples));
            }
        }
        Ok(())
    }
}

/// Refuses a number of features whose weights or values no memory holds.
fn small_enough(size: usize, inputs: usize, samples: usize) -> Result<(), DataError> {
    let values = size.saturating_mul(inputs.max(samples));
    match values <= LARGEST {
        true => Ok(()),
        false => Err(DataError::Features {
            message: format!(
                "{size} features of {inputs} inputs and {samples} samples are {values} values: at most {} features here",
                LARGEST / inputs.max(samples)
            ),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lyceum_core::{Affine, Features, Seed};

    #[test]
    fn features_are_those_of_one_layer_whoever_comes_beside() {
        let samples = |count: usize| Samples {
            shape: vec![1, 1, 3],
            classes: 2,
            features: Features::U8((0..3 * count as u8).collect()),
            labels: vec![0; count],
            targets: Vec::new(),
            goals: Vec::new(),
            affine: Affine::identity(),
        };
        let (mut train, mut test) = (samples(13), samples(2));
        let map = Linear::random(3, 5, Seed(4));
        let want = |place: usize, feature: usize| {
            let x = samples(13).values(place);
            let sum: f64 = (0..3)
                .map(|i| f64::from(x[i]) * f64::from(map.weights[i * 5 + feature]))
                .sum();
            (sum + f64::from(map.biases[feature])).max(0.0)
        };
        let size = Count::new(5).unwrap();
        let features = FixedFeatures::RandomRelu { size };
        let origin = Origin {
            seed: Seed(4),
            engine: None,
            folders: &[],
        };
        features.apply(&origin, &mut train, &mut test).unwrap();
        assert_eq!((&train.shape[..], train.len()), (&[5][..], 13));
        for place in 0..13 {
            for (feature, got) in train.values(place).into_iter().enumerate() {
                let want = want(place, feature);
                assert!((f64::from(got) - want).abs() < 1e-5 * (1.0 + want));
            }
        }
        assert_eq!(train.values(1), test.values(1));
        assert!(train.values(12).iter().any(|v| *v > 0.0));
    }
}
