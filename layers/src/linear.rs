//! The same dense layer at every place of a sequence.

use crate::matrix::{Matrix, add_bias, bias_gradient};
use lyceum_core::{Backward, Forward, Initial, LayerKind, Operation, Tensor, units::Positive};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// `y = W x + b` along the last axis, the same at every place in front of it.
///
/// In: `[..., features]`; out: `[..., units]`. Tensors: `weight`, units x features, and `bias`, units.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Linear {
    /// Number of outputs at a place, at least 1.
    pub units: usize,
    /// Whether a bias is added; true by default.
    #[serde(default = "yes")]
    pub bias: bool,
    /// Standard deviation of the normal distribution that initial weights are drawn from; by default they are drawn as the model says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deviation: Option<Positive>,
}

fn yes() -> bool {
    true
}

impl LayerKind for Linear {
    fn output(&self, input: &[usize]) -> Result<Vec<usize>, String> {
        crate::at_least_one("units", self.units)?;
        let (_, places) = input.split_last().ok_or("needs a value")?;
        Ok([places, &[self.units]].concat())
    }

    fn tensors(&self, input: &[usize]) -> Vec<Tensor> {
        let (features, units) = (crate::last(input), self.units);
        let fan_in = features as f64;
        let start = crate::weights(self.deviation, fan_in, units as f64);
        let weight = Tensor::trainable("weight", vec![units, features], start);
        let bias = Tensor::trainable("bias", vec![units], Initial::Bias { fan_in });
        std::iter::once(weight)
            .chain(self.bias.then_some(bias))
            .collect()
    }

    fn multiplications(&self, input: &[usize], output: &[usize]) -> u64 {
        output.iter().product::<usize>() as u64 * crate::last(input) as u64
    }

    fn operation(&self, _: usize, input: &[usize]) -> Box<dyn Operation> {
        Box::new(LinearOperation {
            features: crate::last(input),
            units: self.units,
            turned: Vec::new(),
        })
    }
}

#[derive(Debug)]
struct LinearOperation {
    features: usize,
    units: usize,
    /// The weights turned round.
    turned: Vec<f32>,
}

impl LinearOperation {
    fn weights(&self) -> usize {
        self.features * self.units
    }
}

impl Operation for LinearOperation {
    fn forward(&mut self, pass: Forward<'_>) {
        let Self {
            features, units, ..
        } = *self;
        let places = pass.input.len() / features;
        let (weight, bias) = pass.params.split_at(self.weights());
        let weight = Matrix::new(weight, units, features);
        Matrix::new(pass.input, places, features).times_turned(
            weight,
            pass.output,
            &mut self.turned,
        );
        if !bias.is_empty() {
            add_bias(pass.output, bias);
        }
    }

    fn backward(&mut self, pass: Backward<'_>) {
        let Self {
            features, units, ..
        } = *self;
        let places = pass.input.len() / features;
        let input = Matrix::new(pass.input, places, features);
        let slope = Matrix::new(pass.slope, places, units);
        let (weight, bias) = pass.gradient.split_at_mut(self.weights());
        slope.turned_times(input, weight);
        if !bias.is_empty() {
            bias_gradient(pass.slope, bias);
        }
        if let Some(next) = pass.wanted {
            let weight = Matrix::new(&pass.params[..self.weights()], units, features);
            slope.times(weight, next);
        }
    }
}
