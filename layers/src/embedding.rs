//! Vectors for tokens.

use lyceum_core::{Backward, Forward, Initial, LayerKind, Operation, Tensor};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A vector for each token of a sequence.
///
/// In: `[places]`, whole numbers from 0 to below `size`; out: `[places, width]`. Tensor: `weight`, size x width, which starts
/// normal. A number that is no token gives a vector that is no number, so that the run says so.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Embedding {
    /// Number of tokens, the vocabulary: from 1 to 16,777,216.
    pub size: usize,
    /// Values of a vector, at least 1.
    pub width: usize,
    /// Standard deviation of the initial values, above 0; 1 by default.
    #[serde(default = "one")]
    pub deviation: f64,
}

fn one() -> f64 {
    1.0
}

/// Every whole number below is a 32-bit floating-point number.
const MOST_TOKENS: usize = 1 << 24;

/// A standard deviation of initial values, or what is wrong with it.
pub(crate) fn check_deviation(deviation: f64) -> Result<(), String> {
    match deviation > 0.0 && (deviation as f32).is_normal() {
        true => Ok(()),
        false => Err(format!(
            "deviation {deviation} is out of range: above 0, as a 32-bit number"
        )),
    }
}

impl LayerKind for Embedding {
    fn output(&self, input: &[usize]) -> Result<Vec<usize>, String> {
        if !(1..=MOST_TOKENS).contains(&self.size) {
            return Err(format!(
                "size {} is out of range: from 1 to {MOST_TOKENS}",
                self.size
            ));
        }
        crate::at_least_one("width", self.width)?;
        check_deviation(self.deviation)?;
        match input {
            [places] => Ok(vec![*places, self.width]),
            _ => Err(format!(
                "needs a sequence of tokens, but its input is {input:?}"
            )),
        }
    }

    fn tensors(&self, _: &[usize]) -> Vec<Tensor> {
        let deviation = self.deviation;
        vec![Tensor::trainable(
            "weight",
            vec![self.size, self.width],
            Initial::Normal { deviation },
        )]
    }

    fn vocabulary(&self) -> Option<usize> {
        Some(self.size)
    }

    fn operation(&self, _: usize, _: &[usize]) -> Box<dyn Operation> {
        Box::new(EmbeddingOperation {
            size: self.size,
            width: self.width,
        })
    }
}

#[derive(Debug)]
struct EmbeddingOperation {
    size: usize,
    width: usize,
}

impl EmbeddingOperation {
    fn token(&self, value: f32) -> Option<usize> {
        // What is negative or no number becomes 0, which is unlike it.
        let token = value as usize;
        (token < self.size && token as f32 == value).then_some(token)
    }
}

impl Operation for EmbeddingOperation {
    fn forward(&mut self, pass: Forward<'_>) {
        let width = self.width;
        for (out, value) in pass.output.chunks_exact_mut(width).zip(pass.input) {
            match self.token(*value) {
                Some(token) => out.copy_from_slice(&pass.params[token * width..][..width]),
                None => out.fill(f32::NAN),
            }
        }
    }

    fn backward(&mut self, pass: Backward<'_>) {
        let width = self.width;
        pass.gradient.fill(0.0);
        for (slope, value) in pass.slope.chunks_exact(width).zip(pass.input) {
            if let Some(token) = self.token(*value) {
                let line = &mut pass.gradient[token * width..][..width];
                line.iter_mut().zip(slope).for_each(|(g, s)| *g += s);
            }
        }
        if let Some(next) = pass.wanted {
            next.fill(0.0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lyceum_core::Mode;

    #[test]
    fn what_is_no_token_gives_what_is_no_number() {
        let embedding = Embedding {
            size: 3,
            width: 1,
            deviation: 1.0,
        };
        let mut operation = embedding.operation(0, &[7]);
        let input = [2.0, 3.0, -1.0, 0.5, f32::NAN, f32::INFINITY, 0.0];
        let mut output = [0.0; 7];
        operation.forward(Forward {
            params: &[5.0, 6.0, 7.0],
            input: &input,
            rows: 1,
            mode: Mode::Evaluate,
            output: &mut output,
        });
        assert_eq!([output[0], output[6]], [7.0, 5.0]);
        assert!(output[1..6].iter().all(|v| v.is_nan()));
        let mut gradient = [f32::NAN; 3];
        operation.backward(Backward {
            params: &[5.0, 6.0, 7.0],
            input: &input,
            output: &output,
            slope: &mut [1.0; 7],
            rows: 1,
            gradient: &mut gradient,
            wanted: None,
        });
        assert_eq!(gradient, [1.0, 0.0, 1.0]);
    }

    #[test]
    fn sizes_and_shapes_out_of_range_are_refused() {
        let of = |size, width, deviation| Embedding {
            size,
            width,
            deviation,
        };
        assert_eq!(of(3, 2, 1.0).output(&[5]), Ok(vec![5, 2]));
        assert!(of(0, 2, 1.0).output(&[5]).is_err());
        assert!(of(1 << 25, 2, 1.0).output(&[5]).is_err());
        assert!(of(3, 0, 1.0).output(&[5]).is_err());
        assert!(of(3, 2, 0.0).output(&[5]).is_err());
        assert!(of(3, 2, 1.0).output(&[5, 1]).is_err());
    }
}
