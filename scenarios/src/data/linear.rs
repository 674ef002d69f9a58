//! Maps of samples to other values, by weights that are fixed.

use lyceum_core::{Affine, Features, Purpose, Samples, Seed, wide};
use rand_distr::{Distribution, StandardNormal};

/// Samples that go through the weights together.
const TOGETHER: usize = 8;

/// `W x + b`.
pub(super) struct Linear {
    /// inputs x size.
    pub(super) weights: Vec<f32>,
    pub(super) biases: Vec<f32>,
}

impl Linear {
    /// Normal weights of variance 1 over the number of inputs, and normal biases, drawn from the seed.
    pub(super) fn random(inputs: usize, size: usize, seed: Seed) -> Self {
        let mut rng = seed.once(Purpose::FEATURES);
        let scale = 1.0 / (inputs.max(1) as f64).sqrt();
        let mut normal = |scale: f64| -> f32 {
            let z: f64 = StandardNormal.sample(&mut rng);
            (scale * z) as f32
        };
        Self {
            weights: (0..inputs * size).map(|_| normal(scale)).collect(),
            biases: (0..size).map(|_| normal(1.0)).collect(),
        }
    }

    /// Replaces samples by what comes of them, or by 0 where that is below 0 and `cut` says so.
    pub(super) fn apply(&self, samples: &mut Samples, cut: bool) {
        let size = self.biases.len();
        let mut values = Vec::with_capacity(samples.len() * size);
        let mut inputs = vec![Vec::new(); TOGETHER];
        for first in (0..samples.len()).step_by(TOGETHER) {
            let last = samples.len().min(first + TOGETHER);
            let places = first..last;
            for (row, place) in inputs.iter_mut().zip(places.clone()) {
                *row = samples.values(place);
            }
            let start = values.len();
            places
                .clone()
                .for_each(|_| values.extend_from_slice(&self.biases));
            self.add(&inputs[..places.len()], &mut values[start..]);
        }
        if cut {
            let values = values.iter_mut();
            values.for_each(|v| *v = if *v > 0.0 { *v } else { 0.0 });
        }
        samples.features = Features::F32(values);
        samples.shape = vec![size];
        samples.affine = Affine::identity();
    }

    /// Adds the products of a few samples, input after input.
    fn add(&self, inputs: &[Vec<f32>], out: &mut [f32]) {
        let size = self.biases.len();
        wide(
            #[inline(always)]
            || {
                for (at, weights) in self.weights.chunks_exact(size).enumerate() {
                    for (row, out) in inputs.iter().zip(out.chunks_exact_mut(size)) {
                        let x = row[at];
                        if x == 0.0 {
                            continue;
                        }
                        out.iter_mut().zip(weights).for_each(|(o, w)| *o += x * w);
                    }
                }
            },
        );
    }
}
