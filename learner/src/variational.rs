//! A network whose weights are normal distributions, on any engine.

use lyceum_core::{Batch, Halves, Learner, Mode, Network, Params, Samples, Variational, exp, wide};
use std::ops::Range;

/// Shows another learner draws of the weights in training, and their means in tests.
///
/// A gradient is that of the reparameterised weights: `w = mean + e^rho * noise`, so the gradient of a mean is that of the weight,
/// and that of `rho` is it times `e^rho * noise` (Blundell et al. 2015, section 3.2).
#[derive(Debug)]
pub struct VariationalLearner<L> {
    inner: L,
    how: Variational,
    halves: Halves,
    /// Where values that are distributions stand among the means.
    drawn: Vec<Range<usize>>,
    params: Vec<f32>,
    /// What the noise moved each weight by, in the draw at hand: `e^rho * noise`.
    moved: Vec<f32>,
    grad: Vec<f32>,
    /// Whether the other learner holds the means as they are now.
    holds_means: bool,
}

impl<L: Learner> VariationalLearner<L> {
    /// A learner with all parameters zero; `inner` is one of [`Network::plain`].
    ///
    /// # Panics
    ///
    /// Unless the weights of the network are distributions.
    pub fn new(network: &Network, inner: L) -> Self {
        let how = network.posterior().expect("a variational network");
        let halves = network.halves().expect("a variational network");
        Self {
            inner,
            how,
            halves,
            drawn: network.drawn(),
            params: vec![0.0; network.layout().len()],
            moved: vec![0.0; halves.len],
            grad: vec![0.0; halves.len],
            holds_means: false,
        }
    }

    fn show_means(&mut self) {
        if !self.holds_means {
            let means = &self.params[self.halves.means()];
            self.inner.params_mut().copy_from_slice(means);
            self.holds_means = true;
        }
    }

    /// Shows the inner learner a draw of the weights.
    fn show_draw(&mut self, noise: lyceum_core::Noise) {
        noise.normal(&mut self.moved);
        let (means, rest) = self.params.split_at(self.halves.len);
        let weights = self.inner.params_mut();
        weights.copy_from_slice(means);
        for at in &self.drawn {
            let (moved, rhos) = (&mut self.moved[at.clone()], &rest[at.clone()]);
            let weights = &mut weights[at.clone()];
            wide(
                #[inline(always)]
                || {
                    for ((w, moved), rho) in weights.iter_mut().zip(&mut *moved).zip(rhos) {
                        *moved *= exp(*rho);
                        *w += *moved;
                    }
                },
            );
        }
        self.holds_means = false;
    }

    /// Adds the gradient of a draw times `share`.
    fn add(&self, share: f32, grad: &mut [f32]) {
        let (means, rest) = grad.split_at_mut(self.halves.len);
        wide(
            #[inline(always)]
            || {
                let sites = means.iter_mut().zip(&self.grad);
                sites.for_each(|(to, g)| *to += share * g);
                for at in &self.drawn {
                    let sites = rest[at.clone()].iter_mut().zip(&self.grad[at.clone()]);
                    for ((to, g), moved) in sites.zip(&self.moved[at.clone()]) {
                        *to += share * g * moved;
                    }
                }
            },
        );
    }
}

impl<L: Learner> Learner for VariationalLearner<L> {
    fn load(&mut self, params: &Params) {
        self.params.copy_from_slice(params);
        self.holds_means = false;
    }

    fn expect(&self, pool: &Samples, places: &mut dyn Iterator<Item = u32>) {
        self.inner.expect(pool, places);
    }

    fn params(&self) -> &[f32] {
        &self.params
    }

    fn params_mut(&mut self) -> &mut [f32] {
        self.holds_means = false;
        &mut self.params
    }

    fn backward(&mut self, batch: &Batch, mode: Mode<'_>, grad: &mut [f32]) -> f32 {
        grad.fill(0.0);
        let Mode::Train { noise, fixed } = mode else {
            self.show_means();
            let means = &mut grad[self.halves.means()];
            return self.inner.backward(batch, mode, means);
        };
        let share = 1.0 / self.how.draws as f32;
        let mut loss = 0.0;
        for draw in 0..self.how.draws {
            let noise = noise.of_draw(draw);
            self.show_draw(noise);
            let mut own = std::mem::take(&mut self.grad);
            let mode = Mode::Train { noise, fixed };
            loss += share * self.inner.backward(batch, mode, &mut own);
            self.grad = own;
            self.add(share, grad);
        }
        loss
    }

    fn logits(&mut self, batch: &Batch, out: &mut Vec<f32>) {
        self.show_means();
        self.inner.logits(batch, out);
    }

    fn features(&mut self, batch: &Batch, out: &mut Vec<f32>) {
        self.show_means();
        self.inner.features(batch, out);
    }

    fn seen_logits(&mut self, out: &mut Vec<f32>) {
        self.inner.seen_logits(out);
    }

    fn seen_squares(&self) -> f64 {
        self.inner.seen_squares()
    }
}
