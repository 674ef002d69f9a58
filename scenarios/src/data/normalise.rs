use lyceum_core::{Affine, Features, Samples};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What happens to feature values before a model sees them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Normalisation {
    /// Nothing: bytes become 0 to 255.
    None,
    /// The data set's own scale, which takes bytes to the range from 0 to 1 (default).
    #[default]
    Unit,
    /// Mean 0 and variance 1 over the training samples, per channel of images and per feature of
    /// flat samples. What never varies becomes 0.
    Standard,
}

/// Sets what a packed value becomes, for training and test samples alike.
pub fn normalise(how: Normalisation, train: &mut Samples, test: &mut Samples) {
    let affine = match how {
        Normalisation::None => Affine::identity(),
        Normalisation::Unit => return,
        Normalisation::Standard => standard(train),
    };
    train.affine = affine.clone();
    test.affine = affine;
}

fn standard(train: &Samples) -> Affine {
    if train.is_empty() || train.width() == 0 {
        return Affine::identity();
    }
    let channels = if train.shape.len() == 3 {
        train.shape[0]
    } else {
        train.width()
    };
    let plane = train.width() / channels;
    let moments = match &train.features {
        Features::U8(bytes) => byte_moments(bytes, channels, plane),
        Features::F32(values) => float_moments(values, channels, plane),
        // Tokens and counts stay what they are.
        Features::U16(_) | Features::Sparse(_) | Features::Pairs(_) => return Affine::identity(),
    };
    // A deviation that is only rounding counts as none.
    let scale = |(mean, sd): (f64, f64)| {
        if sd > 1e-9 * mean.abs() {
            (1.0 / sd) as f32
        } else {
            1.0
        }
    };
    Affine {
        shift: moments.iter().map(|&(mean, _)| mean as f32).collect(),
        scale: moments.iter().map(|&m| scale(m)).collect(),
    }
}

/// Mean and standard deviation per channel, exact up to the last division.
fn byte_moments(bytes: &[u8], channels: usize, plane: usize) -> Vec<(f64, f64)> {
    let mut sums = vec![(0_u64, 0_u64); channels];
    for sample in bytes.chunks_exact(channels * plane) {
        for (sum, values) in sums.iter_mut().zip(sample.chunks_exact(plane)) {
            for &value in values {
                sum.0 += u64::from(value);
                sum.1 += u64::from(value) * u64::from(value);
            }
        }
    }
    let count = (bytes.len() / channels) as f64;
    let moments = |&(sum, squares): &(u64, u64)| {
        let mean = sum as f64 / count;
        (mean, (squares as f64 / count - mean * mean).max(0.0).sqrt())
    };
    sums.iter().map(moments).collect()
}

/// Mean and standard deviation per channel, in two passes.
fn float_moments(values: &[f32], channels: usize, plane: usize) -> Vec<(f64, f64)> {
    let count = (values.len() / channels) as f64;
    let pass = |term: &dyn Fn(usize, f64) -> f64| {
        let mut sums = vec![0.0; channels];
        for sample in values.chunks_exact(channels * plane) {
            for (channel, part) in sample.chunks_exact(plane).enumerate() {
                sums[channel] += part
                    .iter()
                    .map(|&v| term(channel, f64::from(v)))
                    .sum::<f64>();
            }
        }
        sums.iter().map(|sum| sum / count).collect::<Vec<f64>>()
    };
    let means = pass(&|_, value| value);
    let variances = pass(&|channel, value| (value - means[channel]).powi(2));
    means
        .iter()
        .copied()
        .zip(variances.iter().map(|v| v.sqrt()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn samples(shape: &[usize], features: Features) -> Samples {
        Samples {
            shape: shape.to_vec(),
            classes: 2,
            features,
            labels: vec![0, 1],
            targets: Vec::new(),
            goals: Vec::new(),
            affine: Affine {
                shift: vec![0.0],
                scale: vec![0.5],
            },
        }
    }

    fn packed(samples: &Samples) -> Vec<f32> {
        (0..samples.len()).flat_map(|i| samples.values(i)).collect()
    }

    fn standardised(shape: &[usize], features: Features) -> Vec<f32> {
        let mut train = samples(shape, features);
        let mut test = train.clone();
        normalise(Normalisation::Standard, &mut train, &mut test);
        assert_eq!(train, test);
        packed(&train)
    }

    #[test]
    fn images_are_standardised_per_channel() {
        let bytes = vec![0, 4, 7, 7, 4, 0, 7, 7];
        let expected = [-1.0, 1.0, 0.0, 0.0, 1.0, -1.0, 0.0, 0.0];
        assert_eq!(
            standardised(&[2, 1, 2], Features::U8(bytes.clone())),
            expected
        );
        let floats = bytes.iter().map(|&b| f32::from(b)).collect();
        assert_eq!(standardised(&[2, 1, 2], Features::F32(floats)), expected);
    }

    #[test]
    fn flat_samples_are_standardised_per_feature() {
        let values = vec![1.0, 10.0, 5.0, 20.0];
        let expected = [-1.0, -1.0, 1.0, 1.0];
        assert_eq!(standardised(&[2], Features::F32(values)), expected);
    }

    #[test]
    fn none_keeps_raw_values_and_unit_the_scale_of_the_set() {
        for (how, expected) in [
            (Normalisation::None, [2.0, 4.0]),
            (Normalisation::Unit, [1.0, 2.0]),
        ] {
            let mut train = samples(&[1], Features::U8(vec![2, 4]));
            let mut test = train.clone();
            normalise(how, &mut train, &mut test);
            assert_eq!(packed(&train), expected);
        }
    }
}
