//! What layer and root-mean-square normalisation share.

use crate::{room, sum};
use lyceum_core::{Backward, Forward, Operation, wide};

pub(crate) fn epsilon() -> f64 {
    1e-5
}

pub(crate) fn check(epsilon: f64) -> Result<(), String> {
    match epsilon > 0.0 && (epsilon as f32).is_normal() {
        true => Ok(()),
        false => Err(format!(
            "epsilon {epsilon} is out of range: above 0, as a 32-bit number"
        )),
    }
}

/// What values are measured from.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Centre {
    Mean,
    Zero,
}

/// Normalises each run of `features` values, then scales, and shifts if it has a centre.
#[derive(Debug)]
pub(crate) struct NormOperation {
    features: usize,
    epsilon: f32,
    centre: Centre,
    /// Normalised values.
    normal: Vec<f32>,
    /// One over the deviation of each place.
    scale: Vec<f32>,
}

impl NormOperation {
    pub(crate) fn new(features: usize, epsilon: f64, centre: Centre) -> Self {
        Self {
            features,
            epsilon: epsilon as f32,
            centre,
            normal: Vec::new(),
            scale: Vec::new(),
        }
    }
}

impl Operation for NormOperation {
    fn forward(&mut self, pass: Forward<'_>) {
        let Self {
            features, centre, ..
        } = *self;
        let share = 1.0 / features as f32;
        let (weight, bias) = pass.params.split_at(features);
        let normal = room(&mut self.normal, pass.input.len());
        let scale = room(&mut self.scale, pass.input.len() / features);
        wide(
            #[inline(always)]
            || {
                let places = pass.input.chunks_exact(features).zip(&mut *scale);
                let results = normal.chunks_exact_mut(features);
                for ((x, scale), normal) in places.zip(results) {
                    let mean = match centre {
                        Centre::Mean => share * sum(x.iter().copied()),
                        Centre::Zero => 0.0,
                    };
                    let square = sum(x.iter().map(|v| (v - mean) * (v - mean)));
                    *scale = 1.0 / (share * square + self.epsilon).sqrt();
                    let sites = normal.iter_mut().zip(x);
                    sites.for_each(|(n, v)| *n = (v - mean) * *scale);
                }
            },
        );
        for (out, normal) in pass
            .output
            .chunks_exact_mut(features)
            .zip(normal.chunks_exact(features))
        {
            let sites = out.iter_mut().zip(normal).zip(weight);
            sites.for_each(|((o, n), w)| *o = n * w);
            out.iter_mut().zip(bias).for_each(|(o, b)| *o += b);
        }
    }

    fn backward(&mut self, pass: Backward<'_>) {
        let Self {
            features, centre, ..
        } = *self;
        let share = 1.0 / features as f32;
        let normal = &self.normal[..pass.input.len()];
        pass.gradient.fill(0.0);
        let (of_weight, of_bias) = pass.gradient.split_at_mut(features);
        let weight = &pass.params[..features];
        let places = pass.slope.chunks_exact_mut(features);
        for (slope, normal) in places.zip(normal.chunks_exact(features)) {
            let sites = of_weight.iter_mut().zip(&*slope).zip(normal);
            sites.for_each(|((g, s), n)| *g += s * n);
            of_bias.iter_mut().zip(&*slope).for_each(|(g, s)| *g += s);
            slope.iter_mut().zip(weight).for_each(|(s, w)| *s *= w);
        }
        let Some(next) = pass.wanted else { return };
        let slope = &*pass.slope;
        wide(
            #[inline(always)]
            || {
                let places = slope
                    .chunks_exact(features)
                    .zip(normal.chunks_exact(features));
                let results = next.chunks_exact_mut(features).zip(&self.scale);
                for ((slope, normal), (next, scale)) in places.zip(results) {
                    let shift = match centre {
                        Centre::Mean => share * sum(slope.iter().copied()),
                        Centre::Zero => 0.0,
                    };
                    let stretch = share * sum(slope.iter().zip(normal).map(|(s, n)| s * n));
                    for ((next, s), n) in next.iter_mut().zip(slope).zip(normal) {
                        *next = (s - shift - n * stretch) * scale;
                    }
                }
            },
        );
    }
}
