//! The same dense layer at every place of a sequence.

use crate::{
    matrix::{Matrix, add_bias, bias_gradient},
    nonzero::Nonzero,
};
use lyceum_core::{
    Backward, Forward, Initial, LayerKind, Operation, Sparse, Tensor, units::Positive,
};
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
        let start = match self.deviation {
            Some(deviation) => Initial::Normal {
                deviation: deviation.get(),
            },
            None => Initial::Weight {
                fan_in,
                fan_out: units as f64,
            },
        };
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
            few: Nonzero::default(),
            has_few: false,
            expected: 0,
        })
    }
}

#[derive(Debug)]
struct LinearOperation {
    features: usize,
    units: usize,
    /// The weights turned round.
    turned: Vec<f32>,
    /// What is not zero in the last input, where that is little.
    few: Nonzero,
    has_few: bool,
    /// Values of the next input, where what of it is not zero is taken up already; else 0.
    expected: usize,
}

impl LinearOperation {
    fn weights(&self) -> usize {
        self.features * self.units
    }
}

impl Operation for LinearOperation {
    fn expect_few(&mut self, rows: &Sparse, values: usize) {
        let known = self.few.take_known(rows, (values, self.features));
        self.expected = if known { values } else { 0 };
    }

    fn forward(&mut self, pass: Forward<'_>) {
        let Self {
            features, units, ..
        } = *self;
        let places = pass.input.len() / features;
        let (weight, bias) = pass.params.split_at(self.weights());
        let weight = Matrix::new(weight, units, features);
        let known = std::mem::take(&mut self.expected) == pass.input.len();
        self.has_few = known || self.few.take_up(pass.input, features);
        if self.has_few {
            let turned = weight.turned(&mut self.turned).values();
            self.few.times(turned, units, pass.output);
        } else {
            let input = Matrix::new(pass.input, places, features);
            input.times_turned(weight, pass.output, &mut self.turned);
        }
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
        match self.has_few {
            true => self.few.gradient(pass.slope, features, weight),
            false => slope.turned_times(input, weight),
        }
        if !bias.is_empty() {
            bias_gradient(pass.slope, bias);
        }
        if let Some(next) = pass.wanted {
            let weight = Matrix::new(&pass.params[..self.weights()], units, features);
            slope.times(weight, next);
        }
    }
}
