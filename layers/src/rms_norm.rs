//! Normalisation by the root of the mean square along the last axis.

use crate::norm::{Centre, NormOperation};
use lyceum_core::{Initial, LayerKind, Operation, Tensor};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The values of each place over the root of their mean square, times a weight (Zhang and Sennrich 2019, equation 4).
///
/// Shape stays. Tensor: `weight`, one a feature of the last axis. The same in training and after it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RmsNorm {
    /// Added to the mean square, above 0; 1e-5 by default.
    #[serde(default = "crate::norm::epsilon")]
    pub epsilon: f64,
}

impl LayerKind for RmsNorm {
    fn output(&self, input: &[usize]) -> Result<Vec<usize>, String> {
        crate::norm::check(self.epsilon)?;
        Ok(input.to_vec())
    }

    fn tensors(&self, input: &[usize]) -> Vec<Tensor> {
        let features = vec![crate::last(input)];
        vec![Tensor::trainable(
            "weight",
            features,
            Initial::Constant(1.0),
        )]
    }

    fn is_norm(&self) -> bool {
        true
    }

    fn operation(&self, _: usize, input: &[usize]) -> Box<dyn Operation> {
        let features = crate::last(input);
        Box::new(NormOperation::new(features, self.epsilon, Centre::Zero))
    }
}
