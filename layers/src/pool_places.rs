//! One vector from all places of a sequence.

use crate::positions::sequence;
use crate::room;
use lyceum_core::{Backward, Forward, LayerKind, Operation, wide};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// From all places of a sequence to one vector: their mean, the largest value of each feature, or the last place.
///
/// In: `[places, width]`; out: `[width]`. No tensors.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PoolPlaces {
    /// What is taken of the places; their mean by default.
    #[serde(default)]
    pub kind: Pooled,
}

/// What is taken of the places.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Pooled {
    /// The mean of each feature.
    #[default]
    Mean,
    /// The largest value of each feature; of several that are as large, the first has the slope.
    Max,
    /// The last place.
    Last,
}

impl LayerKind for PoolPlaces {
    fn output(&self, input: &[usize]) -> Result<Vec<usize>, String> {
        let [_, width] = sequence(input)?;
        Ok(vec![width])
    }

    fn operation(&self, _: usize, input: &[usize]) -> Box<dyn Operation> {
        let width = crate::last(input);
        Box::new(PoolOperation {
            kind: self.kind,
            places: input.iter().product::<usize>() / width,
            width,
            chosen: Vec::new(),
        })
    }
}

#[derive(Debug)]
struct PoolOperation {
    kind: Pooled,
    places: usize,
    width: usize,
    /// The place that each result is from.
    chosen: Vec<u32>,
}

impl PoolOperation {
    fn largest(&mut self, pass: Forward<'_>) {
        let (sample, width) = (self.places * self.width, self.width);
        let chosen = room(&mut self.chosen, pass.output.len());
        chosen.fill(0);
        wide(
            #[inline(always)]
            || {
                let samples = pass.input.chunks_exact(sample);
                let results = pass.output.chunks_exact_mut(width);
                let results = results.zip(chosen.chunks_exact_mut(width));
                for (x, (out, chosen)) in samples.zip(results) {
                    let (first, rest) = x.split_at(width);
                    out.copy_from_slice(first);
                    for (place, x) in (1_u32..).zip(rest.chunks_exact(width)) {
                        for ((out, at), x) in out.iter_mut().zip(&mut *chosen).zip(x) {
                            // What is no number stays.
                            let is_new = *x > *out || x.is_nan();
                            *at = if is_new { place } else { *at };
                            *out = if is_new { *x } else { *out };
                        }
                    }
                }
            },
        );
    }

    fn mean(&self, pass: Forward<'_>) {
        let (sample, width) = (self.places * self.width, self.width);
        let share = 1.0 / self.places as f32;
        wide(
            #[inline(always)]
            || {
                let samples = pass.input.chunks_exact(sample);
                for (x, out) in samples.zip(pass.output.chunks_exact_mut(width)) {
                    out.fill(0.0);
                    for x in x.chunks_exact(width) {
                        out.iter_mut().zip(x).for_each(|(o, x)| *o += x);
                    }
                    out.iter_mut().for_each(|o| *o *= share);
                }
            },
        );
    }
}

impl Operation for PoolOperation {
    fn forward(&mut self, pass: Forward<'_>) {
        let (sample, width) = (self.places * self.width, self.width);
        match self.kind {
            Pooled::Mean => self.mean(pass),
            Pooled::Max => self.largest(pass),
            Pooled::Last => {
                let samples = pass.input.chunks_exact(sample);
                for (x, out) in samples.zip(pass.output.chunks_exact_mut(width)) {
                    out.copy_from_slice(&x[sample - width..]);
                }
            }
        }
    }

    fn backward(&mut self, pass: Backward<'_>) {
        let (sample, width) = (self.places * self.width, self.width);
        let Some(next) = pass.wanted else { return };
        let share = 1.0 / self.places as f32;
        next.fill(0.0);
        let slopes = pass.slope.chunks_exact(width).enumerate();
        for (next, (row, slope)) in next.chunks_exact_mut(sample).zip(slopes) {
            match self.kind {
                Pooled::Mean => {
                    for next in next.chunks_exact_mut(width) {
                        next.iter_mut().zip(slope).for_each(|(n, s)| *n = s * share);
                    }
                }
                Pooled::Max => {
                    let chosen = &self.chosen[row * width..][..width];
                    for (feature, (place, s)) in chosen.iter().zip(slope).enumerate() {
                        next[*place as usize * width + feature] = *s;
                    }
                }
                Pooled::Last => next[sample - width..].copy_from_slice(slope),
            }
        }
    }
}
