//! Layer normalisation along the last axis.

use crate::norm::{Centre, NormOperation};
use lyceum_core::{Initial, LayerKind, Operation, Tensor};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The values of each place less their mean, over their deviation, times a weight, plus a bias (Ba, Kiros and Hinton 2016).
///
/// Shape stays. The last axis is normalised: of `[..., features]`, each place by itself. Tensors: `weight` and `bias`, one of each
/// a feature. The same in training and after it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LayerNorm {
    /// Added to the variance, above 0; 1e-5 by default.
    #[serde(default = "crate::norm::epsilon")]
    pub epsilon: f64,
}

impl LayerKind for LayerNorm {
    fn output(&self, input: &[usize]) -> Result<Vec<usize>, String> {
        crate::norm::check(self.epsilon)?;
        Ok(input.to_vec())
    }

    fn tensors(&self, input: &[usize]) -> Vec<Tensor> {
        let features = || vec![crate::last(input)];
        vec![
            Tensor::trainable("weight", features(), Initial::Constant(1.0)),
            Tensor::trainable("bias", features(), Initial::Constant(0.0)),
        ]
    }

    fn is_norm(&self) -> bool {
        true
    }

    fn operation(&self, _: usize, input: &[usize]) -> Box<dyn Operation> {
        let features = crate::last(input);
        Box::new(NormOperation::new(features, self.epsilon, Centre::Mean))
    }
}
