//! How a model's answer is found: the largest logit, the nearest class mean, or what a method brings.
//!
//! Authors implement [`Predict`], an immutable rule that a method or a scenario chooses; judging takes it up once for a model
//! and asks the [`Predictor`] for each batch.

use crate::{Batch, Learner, Network};

/// A way to answer.
pub trait Predict: Send + Sync + 'static {
    /// Takes up a model: reads from its parameters what all its answers need. The reason where the model lacks it.
    fn take_up(&self, network: &Network, params: &[f32]) -> Result<Box<dyn Predictor>, String>;
}

/// A way to answer with one model.
pub trait Predictor {
    /// Turns the logits of rows into scores, rows x classes: a row's answer is the class of its largest one, and the first of
    /// several. A class at minus infinity is never answered; the loss has been taken from the logits before.
    fn score(&mut self, scores: &mut [f32], rows: &mut Rows<'_>);
}

/// The rows of a batch and the model that looks at them.
pub struct Rows<'a> {
    /// Holds the model.
    pub learner: &'a mut dyn Learner,
    /// The rows.
    pub batch: &'a Batch,
}

impl Rows<'_> {
    /// Values in front of the last dense layer, rows x features; replaces `out`.
    pub fn features(&mut self, out: &mut Vec<f32>) {
        self.learner.features(self.batch, out);
    }
}

/// The class of the largest logit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LargestLogit;

impl Predict for LargestLogit {
    fn take_up(&self, _: &Network, _: &[f32]) -> Result<Box<dyn Predictor>, String> {
        Ok(Box::new(*self))
    }
}

impl Predictor for LargestLogit {
    fn score(&mut self, _: &mut [f32], _: &mut Rows<'_>) {}
}
