//! A learner that learns nothing.

use lyceum_core::{Batch, Learner, Mode, Network, Params, Update};

/// Keeps the parameters that it was given. Losses and logits are zero.
#[derive(Debug)]
pub struct IdleLearner {
    params: Vec<f32>,
    classes: usize,
}

impl IdleLearner {
    /// A learner with all parameters zero.
    pub fn new(network: &Network) -> Self {
        Self {
            params: vec![0.0; network.layout().len()],
            classes: network.classes() * network.answers(),
        }
    }
}

impl Learner for IdleLearner {
    fn load(&mut self, params: &Params) {
        self.params.copy_from_slice(params);
    }

    fn params(&self) -> &[f32] {
        &self.params
    }

    fn params_mut(&mut self) -> &mut [f32] {
        &mut self.params
    }

    fn backward(&mut self, _: &Batch, _: Mode<'_>, grad: &mut [f32]) -> f32 {
        grad.fill(0.0);
        0.0
    }

    fn step(&mut self, _: &Batch, _: Mode<'_>, _: &mut Update<'_>) -> f32 {
        0.0
    }

    fn logits(&mut self, batch: &Batch, out: &mut Vec<f32>) {
        out.clear();
        out.resize(batch.rows() * self.classes, 0.0);
    }

    fn features(&mut self, batch: &Batch, out: &mut Vec<f32>) {
        self.logits(batch, out);
    }

    fn seen_squares(&self) -> f64 {
        0.0
    }

    fn seen_logits(&mut self, out: &mut Vec<f32>) {
        out.clear();
    }
}
