//! Learned positions of a sequence.

use crate::{
    embedding::check_deviation,
    matrix::{add_bias, bias_gradient},
};
use lyceum_core::{Backward, Forward, Initial, LayerKind, Operation, Tensor};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Adds to each place of a sequence a learned vector of its own (Gehring et al. 2017).
///
/// Shape stays: `[places, width]`. Tensor: `weight`, places x width, which starts normal.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Positions {
    /// Standard deviation of the initial values, above 0; 0.02 by default.
    #[serde(default = "fiftieth")]
    pub deviation: f64,
}

fn fiftieth() -> f64 {
    0.02
}

/// Places and width of a sequence of vectors, or what is wrong with it.
pub(crate) fn sequence(input: &[usize]) -> Result<[usize; 2], String> {
    input
        .try_into()
        .map_err(|_| format!("needs a sequence (places x width), but its input is {input:?}"))
}

impl LayerKind for Positions {
    fn output(&self, input: &[usize]) -> Result<Vec<usize>, String> {
        check_deviation(self.deviation)?;
        sequence(input).map(Vec::from)
    }

    fn tensors(&self, input: &[usize]) -> Vec<Tensor> {
        let deviation = self.deviation;
        vec![Tensor::trainable(
            "weight",
            input.to_vec(),
            Initial::Normal { deviation },
        )]
    }

    fn operation(&self, _: usize, _: &[usize]) -> Box<dyn Operation> {
        Box::new(PositionsOperation)
    }
}

#[derive(Debug)]
struct PositionsOperation;

impl Operation for PositionsOperation {
    fn forward(&mut self, pass: Forward<'_>) {
        pass.output.copy_from_slice(pass.input);
        add_bias(pass.output, pass.params);
    }

    fn backward(&mut self, pass: Backward<'_>) {
        bias_gradient(pass.slope, pass.gradient);
        if let Some(next) = pass.wanted {
            next.copy_from_slice(pass.slope);
        }
    }
}
