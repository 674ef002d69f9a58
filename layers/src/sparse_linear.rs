//! Sums of vectors, one for each value that is not zero.

use crate::{matrix::Matrix, nonzero::Nonzero};
use lyceum_core::{Backward, Forward, LayerKind, Operation, Sparse, Tensor, units::Positive};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// `y = x W` along the last axis, the same at every place in front of it: a vector for each value, times it, all added up, as the
/// SparseLinear of PyTorch with weights of samples does. Values that are zero cost nothing where most are, as in bags of words.
///
/// In: `[..., features]`; out: `[..., units]`. Tensor: `weight`, features x units.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SparseLinear {
    /// Number of outputs at a place, at least 1.
    pub units: usize,
    /// Standard deviation of the normal distribution that initial weights are drawn from; by default they are drawn as the model says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deviation: Option<Positive>,
}

impl LayerKind for SparseLinear {
    fn output(&self, input: &[usize]) -> Result<Vec<usize>, String> {
        crate::at_least_one("units", self.units)?;
        let (_, places) = input.split_last().ok_or("needs a value")?;
        Ok([places, &[self.units]].concat())
    }

    fn tensors(&self, input: &[usize]) -> Vec<Tensor> {
        let features = crate::last(input);
        let start = crate::weights(self.deviation, features as f64, self.units as f64);
        vec![Tensor::trainable(
            "weight",
            vec![features, self.units],
            start,
        )]
    }

    fn multiplications(&self, input: &[usize], output: &[usize]) -> u64 {
        output.iter().product::<usize>() as u64 * crate::last(input) as u64
    }

    fn operation(&self, _: usize, input: &[usize]) -> Box<dyn Operation> {
        Box::new(BagOperation {
            features: crate::last(input),
            units: self.units,
            few: Nonzero::default(),
            has_few: false,
            expected: 0,
            turned: Vec::new(),
        })
    }
}

#[derive(Debug)]
struct BagOperation {
    features: usize,
    units: usize,
    /// What is not zero in the last input, where that is little.
    few: Nonzero,
    has_few: bool,
    /// Values of the next input, where what of it is not zero is taken up already; else 0.
    expected: usize,
    /// The weights turned round.
    turned: Vec<f32>,
}

impl Operation for BagOperation {
    fn expect_few(&mut self, rows: &Sparse, values: usize) {
        let known = self.few.take_known(rows, (values, self.features));
        self.expected = if known { values } else { 0 };
    }

    fn forward(&mut self, pass: Forward<'_>) {
        let (features, units) = (self.features, self.units);
        let known = std::mem::take(&mut self.expected) == pass.input.len();
        self.has_few = known || self.few.take_up(pass.input, features);
        if self.has_few {
            return self.few.times(pass.params, units, pass.output);
        }
        let places = pass.input.len() / features;
        let weight = Matrix::new(pass.params, features, units);
        Matrix::new(pass.input, places, features).times(weight, pass.output);
    }

    fn backward(&mut self, pass: Backward<'_>) {
        let (features, units) = (self.features, self.units);
        let places = pass.input.len() / features;
        let slope = Matrix::new(pass.slope, places, units);
        if self.has_few {
            self.few.gradient(pass.slope, features, pass.gradient);
        } else {
            let input = Matrix::new(pass.input, places, features);
            input.turned_times(slope, pass.gradient);
        }
        if let Some(next) = pass.wanted {
            let weight = Matrix::new(pass.params, features, units);
            slope.times_turned(weight, next, &mut self.turned);
        }
    }
}
