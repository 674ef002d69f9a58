//! The one door to training: a model on an engine, seen as flat vectors.

use crate::{Batch, Mode, Moments, Network, Params, Samples, Update, wide};

/// One model on one engine, owned by one thread.
pub trait Learner: Send {
    /// Takes over these parameters; `params` has the length of the network's layout. They may be copied later, or never.
    fn load(&mut self, params: &Params);

    /// Says which samples of a pool are likely to be packed soon, which may save time and changes nothing else.
    fn expect(&self, _pool: &Samples, _places: &mut dyn Iterator<Item = u32>) {}

    /// The parameters as they are now.
    fn params(&self) -> &[f32];

    /// The parameters, to be changed in place.
    fn params_mut(&mut self) -> &mut [f32];

    /// Mean over the rows of weight times the batch's loss; writes its gradient to `grad`.
    ///
    /// A running statistic has no gradient. Its place in `grad` gets the step that `Update::apply` will take off
    /// it: `momentum * (running - observed)`, with `observed` taken from this batch; 0 where the mode normalises by
    /// the running statistics. The gradient is then that of a fixed affine map.
    fn backward(&mut self, batch: &Batch, mode: Mode<'_>, grad: &mut [f32]) -> f32;

    /// Backward and update in one; returns the loss before the update. Engines may fuse both.
    fn step(&mut self, batch: &Batch, mode: Mode<'_>, update: &mut Update<'_>) -> f32 {
        step_by_gradient(self, batch, mode, update)
    }

    /// Writes moments to a call's memory that the engine kept elsewhere while it took the call's steps. To be called before
    /// somebody reads them.
    fn settle(&mut self, _memory: &mut Moments) {}

    /// Writes to `out` what one step of plain gradient descent from `start` adds to it: `-rate` times the gradient.
    /// Returns the loss at `start`.
    ///
    /// Afterwards the learner's parameters are to be loaded anew.
    fn descend(
        &mut self,
        start: &Params,
        batch: &Batch,
        mode: Mode<'_>,
        rate: f32,
        out: &mut Vec<f32>,
    ) -> f32 {
        self.load(start);
        out.resize(start.len(), 0.0);
        let loss = self.backward(batch, mode, out);
        wide(
            #[inline(always)]
            || out.iter_mut().for_each(|g| *g *= -rate),
        );
        loss
    }

    /// How far the parameters are from `global`, which is as long as they are. Takes the place of what `delta` holds.
    fn delta(&self, global: &[f32], mut delta: Vec<f32>) -> Params {
        let params = self.params();
        delta.clear();
        delta.reserve_exact(global.len());
        wide(
            #[inline(always)]
            || delta.extend(params.iter().zip(global).map(|(w, g)| w - g)),
        );
        delta.into()
    }

    /// Logits of each row in [`Mode::Evaluate`], row-major, rows x classes; replaces `out`.
    fn logits(&mut self, batch: &Batch, out: &mut Vec<f32>);

    /// Values in front of the last dense layer, as [`logits`](Self::logits) would see them, row-major, rows x
    /// [`Network::features`]; replaces `out`.
    fn features(&mut self, batch: &Batch, out: &mut Vec<f32>);

    /// Logits that the last [`step`](Self::step) or [`backward`](Self::backward) saw, row-major, rows x classes;
    /// replaces `out`. Only if its batch asked for it by `keep_logits`, and before anything else is computed.
    fn seen_logits(&mut self, out: &mut Vec<f32>);

    /// Sum over the rows of the squared loss that the last [`step`](Self::step), [`backward`](Self::backward) or
    /// [`descend`](Self::descend) saw: of each row by itself and without its weight; of one that is masked or matched, as it
    /// counts.
    fn seen_squares(&self) -> f64;
}

/// A step that knows the whole gradient before it changes a parameter.
pub fn step_by_gradient<L: Learner + ?Sized>(
    learner: &mut L,
    batch: &Batch,
    mode: Mode<'_>,
    update: &mut Update<'_>,
) -> f32 {
    let mut grad = std::mem::take(&mut update.memory.grad);
    let loss = learner.backward(batch, mode, &mut grad);
    update.memory.grad = grad;
    update.apply(learner.params_mut());
    loss
}

/// Position of the largest logit; the first of several.
pub fn argmax(row: &[f32]) -> usize {
    row.iter()
        .enumerate()
        .fold((0, f32::NEG_INFINITY), |best, (i, &v)| {
            if v > best.1 { (i, v) } else { best }
        })
        .0
}

/// A vector scaled to length 1; as it is if it has no length.
pub fn normalised(values: &[f32]) -> Vec<f32> {
    let square: f32 = values.iter().map(|v| v * v).sum();
    let scale = if square > 0.0 {
        square.sqrt().recip()
    } else {
        1.0
    };
    values.iter().map(|v| v * scale).collect()
}

/// What can build learners: one entry of the engine list.
#[derive(Clone, Copy)]
pub struct Engine {
    /// Name in the scenario file.
    pub name: &'static str,
    /// One line for lists.
    pub summary: &'static str,
    /// Makes a learner, or says why it cannot and what to do.
    pub build: fn(&Network) -> Result<Box<dyn Learner>, String>,
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

/// Scales `grad` down so that its Euclidean norm is at most `limit`.
pub fn clip_to_norm(grad: &mut [f32], limit: f32) {
    let norm = grad
        .iter()
        .map(|&g| f64::from(g) * f64::from(g))
        .sum::<f64>()
        .sqrt();
    if norm > f64::from(limit) {
        let factor = (f64::from(limit) / norm) as f32;
        grad.iter_mut().for_each(|g| *g *= factor);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clipping_keeps_the_direction() {
        let mut g = [3.0, 4.0];
        clip_to_norm(&mut g, 1.0);
        assert!((g[0] - 0.6).abs() < 1e-6 && (g[1] - 0.8).abs() < 1e-6);
        clip_to_norm(&mut g, 2.0);
        assert!((g[0] - 0.6).abs() < 1e-6);
    }

    #[test]
    fn the_first_of_several_largest_logits_wins() {
        assert_eq!(argmax(&[1.0, 3.0, 3.0]), 1);
    }
}
