//! One vector for a bag of words.

use crate::{embedding::check_deviation, room};
use lyceum_core::{Backward, Forward, Initial, LayerKind, Operation, Tensor};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The weighted sum or mean of a vector for each feature, of which most are zero: words by count, hashed or not.
///
/// In: `[size]`, counts or weights `c`; out: `[width]`, `sum_j c_j w_j`, or that over `sum_j |c_j|` (0 where that is 0). Tensor:
/// `weight`, size x width, which starts normal. As PyTorch's bag with weights by sample; only features that are not zero cost
/// products.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EmbeddingBag {
    /// Values of a vector, at least 1.
    pub width: usize,
    /// What is taken of the vectors; their sum, each times its count, by default.
    #[serde(default)]
    pub mode: Bag,
    /// Standard deviation of the initial values, above 0; 1 by default.
    #[serde(default = "one")]
    pub deviation: f64,
}

/// What a bag takes of its vectors.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Bag {
    /// Their sum, each times its count or weight.
    #[default]
    Sum,
    /// That over the sum of the sizes of all counts.
    Mean,
}

fn one() -> f64 {
    1.0
}

impl LayerKind for EmbeddingBag {
    fn output(&self, input: &[usize]) -> Result<Vec<usize>, String> {
        crate::at_least_one("width", self.width)?;
        check_deviation(self.deviation)?;
        match input {
            [_] => Ok(vec![self.width]),
            _ => Err(format!("needs flat values, but its input is {input:?}")),
        }
    }

    fn tensors(&self, input: &[usize]) -> Vec<Tensor> {
        let deviation = self.deviation;
        vec![Tensor::trainable(
            "weight",
            vec![crate::last(input), self.width],
            Initial::Normal { deviation },
        )]
    }

    fn operation(&self, _: usize, input: &[usize]) -> Box<dyn Operation> {
        Box::new(BagOperation {
            size: crate::last(input),
            width: self.width,
            mode: self.mode,
            scale: Vec::new(),
        })
    }
}

#[derive(Debug)]
struct BagOperation {
    size: usize,
    width: usize,
    mode: Bag,
    /// What the sum of each row is multiplied by.
    scale: Vec<f32>,
}

/// Values that are looked at together.
const RUN: usize = 16;

/// Calls `each` for the values of a row that are not zero, in order.
#[inline(always)]
fn filled(row: &[f32], mut each: impl FnMut(usize, f32)) {
    for (run, values) in row.chunks(RUN).enumerate() {
        if values.iter().all(|v| *v == 0.0) {
            continue;
        }
        for (at, value) in values.iter().enumerate().filter(|(_, v)| **v != 0.0) {
            each(run * RUN + at, *value);
        }
    }
}

impl Operation for BagOperation {
    fn forward(&mut self, pass: Forward<'_>) {
        let Self { size, width, .. } = *self;
        let scale = room(&mut self.scale, pass.rows);
        let rows = pass.input.chunks_exact(size).zip(scale);
        for ((row, scale), out) in rows.zip(pass.output.chunks_exact_mut(width)) {
            out.fill(0.0);
            let mut total = 0.0;
            filled(row, |at, count| {
                total += count.abs();
                let line = &pass.params[at * width..][..width];
                out.iter_mut().zip(line).for_each(|(o, w)| *o += count * w);
            });
            *scale = match self.mode {
                Bag::Sum => 1.0,
                Bag::Mean if total == 0.0 => 0.0,
                Bag::Mean => 1.0 / total,
            };
            out.iter_mut().for_each(|o| *o *= *scale);
        }
    }

    fn backward(&mut self, pass: Backward<'_>) {
        let Self { size, width, .. } = *self;
        pass.gradient.fill(0.0);
        let slopes = pass.slope.chunks_exact_mut(width);
        let rows = pass.input.chunks_exact(size).zip(&self.scale);
        for ((row, scale), slope) in rows.zip(slopes) {
            slope.iter_mut().for_each(|s| *s *= scale);
            filled(row, |at, count| {
                let line = &mut pass.gradient[at * width..][..width];
                line.iter_mut()
                    .zip(&*slope)
                    .for_each(|(g, s)| *g += count * s);
            });
        }
        let Some(next) = pass.wanted else { return };
        let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f32>();
        let slopes = pass.slope.chunks_exact(width);
        let rows = pass
            .input
            .chunks_exact(size)
            .zip(next.chunks_exact_mut(size));
        for (((row, next), slope), out) in rows.zip(slopes).zip(pass.output.chunks_exact(width)) {
            // A mean shrinks with each count that joins it.
            let shrink = match self.mode {
                Bag::Sum => 0.0,
                Bag::Mean => dot(out, slope),
            };
            let lines = pass.params.chunks_exact(width);
            for ((next, count), line) in next.iter_mut().zip(row).zip(lines) {
                let sign = if *count == 0.0 { 0.0 } else { count.signum() };
                *next = dot(line, slope) - shrink * sign;
            }
        }
    }
}
