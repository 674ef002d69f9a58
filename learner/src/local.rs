//! A network that draws what its dense layers give, on the fused engine.

use crate::FusedLearner;
use lyceum_core::{Batch, Learner, Mode, Network, Params, Samples, Update, step_by_gradient, wide};

/// Takes the mean over draws of what dense layers give, where weights are distributions with
/// [`local`](lyceum_core::Variational::local). Tests take the means.
#[derive(Debug)]
pub struct LocalLearner {
    inner: FusedLearner,
    draws: u32,
    /// The gradient of a further draw.
    grad: Vec<f32>,
}

impl LocalLearner {
    /// A learner with all parameters zero.
    ///
    /// # Panics
    ///
    /// Unless the weights of the network are distributions.
    pub fn new(network: &Network) -> Self {
        let how = network.posterior().expect("a variational network");
        Self {
            inner: FusedLearner::new(network),
            draws: how.draws,
            grad: Vec::new(),
        }
    }
}

impl Learner for LocalLearner {
    fn load(&mut self, params: &Params) {
        self.inner.load(params);
    }

    fn expect(&self, pool: &Samples, places: &mut dyn Iterator<Item = u32>) {
        self.inner.expect(pool, places);
    }

    fn params(&self) -> &[f32] {
        self.inner.params()
    }

    fn params_mut(&mut self) -> &mut [f32] {
        self.inner.params_mut()
    }

    fn backward(&mut self, batch: &Batch, mode: Mode<'_>, grad: &mut [f32]) -> f32 {
        let Mode::Train { noise, fixed } = mode else {
            return self.inner.backward(batch, mode, grad);
        };
        let mut loss = self.inner.backward(batch, mode, grad);
        for draw in 1..self.draws {
            self.grad.resize(grad.len(), 0.0);
            let noise = noise.of_draw(draw);
            let mode = Mode::Train { noise, fixed };
            loss += self.inner.backward(batch, mode, &mut self.grad);
            wide(
                #[inline(always)]
                || {
                    let sites = grad.iter_mut().zip(&self.grad);
                    sites.for_each(|(sum, g)| *sum += g);
                },
            );
        }
        if self.draws > 1 {
            let share = 1.0 / self.draws as f32;
            grad.iter_mut().for_each(|g| *g *= share);
            loss *= share;
        }
        loss
    }

    fn step(&mut self, batch: &Batch, mode: Mode<'_>, update: &mut Update<'_>) -> f32 {
        match self.draws {
            1 => self.inner.step(batch, mode, update),
            _ => step_by_gradient(self, batch, mode, update),
        }
    }

    fn logits(&mut self, batch: &Batch, out: &mut Vec<f32>) {
        self.inner.logits(batch, out);
    }

    fn features(&mut self, batch: &Batch, out: &mut Vec<f32>) {
        self.inner.features(batch, out);
    }

    fn seen_logits(&mut self, out: &mut Vec<f32>) {
        self.inner.seen_logits(out);
    }

    fn seen_squares(&self) -> f64 {
        self.inner.seen_squares()
    }
}
