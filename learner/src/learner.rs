//! Flat vectors outside, tensors inside.

use crate::pass::{Pass, Weights};
use burn::tensor::Device;
use lyceum_core::{Batch, Learner, Mode, Network, Params};

/// A learner for any network on any Burn device.
///
/// **Invariant:** between calls it owns nothing but the flat parameters; tensors live for one pass.
pub struct BurnLearner {
    network: Network,
    params: Vec<f32>,
    device: Device,
    /// Logits of the last step, if its batch asked for them.
    seen: Vec<f32>,
    /// Sum of the squared losses of its rows.
    squares: f64,
}

impl BurnLearner {
    /// A learner with all parameters zero; `device` is taken without automatic differentiation.
    pub fn new(network: &Network, device: Device) -> Self {
        Self {
            network: network.clone(),
            params: vec![0.0; network.layout().len()],
            device: device.without_autodiff(),
            seen: Vec::new(),
            squares: 0.0,
        }
    }

    fn pass<'a>(&'a self, batch: &'a Batch, mode: Mode<'a>) -> Pass<'a> {
        Pass {
            network: &self.network,
            weights: Weights::Flat(&self.params),
            batch,
            device: &self.device,
            mode,
        }
    }
}

impl std::fmt::Debug for BurnLearner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BurnLearner")
            .field("network", &self.network)
            .field("device", &self.device)
            .finish_non_exhaustive()
    }
}

impl Learner for BurnLearner {
    fn load(&mut self, params: &Params) {
        self.params.copy_from_slice(params);
    }

    fn params(&self) -> &[f32] {
        &self.params
    }

    fn params_mut(&mut self) -> &mut [f32] {
        &mut self.params
    }

    fn backward(&mut self, batch: &Batch, mode: Mode<'_>, grad: &mut [f32]) -> f32 {
        if batch.rows() == 0 {
            grad.fill(0.0);
            self.squares = 0.0;
            return 0.0;
        }
        let mut seen = std::mem::take(&mut self.seen);
        let (loss, squares) = self.pass(batch, mode).backward(grad, &mut seen);
        (self.seen, self.squares) = (seen, squares);
        loss
    }

    fn logits(&mut self, batch: &Batch, out: &mut Vec<f32>) {
        out.clear();
        if batch.rows() == 0 {
            return;
        }
        self.pass(batch, Mode::Evaluate).logits(out);
    }

    fn features(&mut self, batch: &Batch, out: &mut Vec<f32>) {
        out.clear();
        let body = self.network.without_head().filter(|_| batch.rows() > 0);
        let Some(body) = body else { return };
        let pass = Pass {
            network: &body,
            weights: Weights::Flat(&self.params[..body.layout().len()]),
            ..self.pass(batch, Mode::Evaluate)
        };
        pass.logits(out);
    }

    fn seen_squares(&self) -> f64 {
        self.squares
    }

    fn seen_logits(&mut self, out: &mut Vec<f32>) {
        out.clear();
        out.extend_from_slice(&self.seen);
    }
}
