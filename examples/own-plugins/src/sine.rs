//! A layer of our own, written in Burn and differentiated by it.

use lyceum::{
    core::{Initial, LayerKind, Operation, Tensor},
    learner::{Differentiable, burn::tensor, by_autodiff},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// `y = sin(w x)` with a frequency `w` for each feature, which is trained (after Sitzmann et al. 2020).
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Sine {
    /// The frequencies before training.
    start: f32,
}

impl LayerKind for Sine {
    fn output(&self, input: &[usize]) -> Result<Vec<usize>, String> {
        match (input, self.start.is_finite()) {
            ([_], true) => Ok(input.to_vec()),
            ([_], false) => Err("start must be a number".into()),
            _ => Err(format!("needs flat values, but its input is {input:?}")),
        }
    }

    fn tensors(&self, input: &[usize]) -> Vec<Tensor> {
        let start = Initial::Constant(self.start);
        vec![Tensor::trainable("frequency", input.to_vec(), start)]
    }

    fn operation(&self, _: usize, input: &[usize]) -> Box<dyn Operation> {
        by_autodiff(self.clone(), input)
    }
}

impl Differentiable for Sine {
    fn forward(
        &self,
        tensors: &[tensor::Tensor<1>],
        input: tensor::Tensor<2>,
        shape: &[usize],
    ) -> tensor::Tensor<2> {
        (input * tensors[0].clone().reshape([1, shape[0]])).sin()
    }
}
