//! What kinds of recurrent units differ in.

use std::fmt::Debug;

/// What a kind of recurrent unit does at one place, for one panel of units and all samples. Slices hold a sample after the other;
/// of each sample all gates, and of each gate one value a unit.
pub(crate) trait Cell: Debug + Send {
    /// Gates of a unit, in PyTorch's order.
    const GATES: usize;
    /// Values that a unit keeps of a place besides its gates and its state.
    const KEPT: usize;
    /// Whether slopes at the products with the state are other ones than those at the products with the input.
    const SPLIT: bool;

    /// From the gates' sums to the new state.
    fn forward(&self, step: &mut Step<'_>);

    /// From the slope at the new state to that at the gates' sums.
    fn backward(&self, step: &mut BackStep<'_>);
}

/// One place on the way forward.
#[derive(Debug)]
pub(crate) struct Step<'a> {
    /// Products with the input; takes what the way back needs of the gates.
    pub(crate) gates: &'a mut [f32],
    /// Products with the state.
    pub(crate) hidden: &'a [f32],
    /// Added to both products: one value for each gate and unit.
    pub(crate) biases: [&'a [f32]; 2],
    /// Of the tensor that a unit has for itself, if the kind has one.
    pub(crate) own: &'a [f32],
    /// The state before.
    pub(crate) before: &'a [f32],
    /// What was kept of the place before; zeros at the first.
    pub(crate) kept_before: &'a [f32],
    pub(crate) kept: &'a mut [f32],
    /// Takes the new state.
    pub(crate) state: &'a mut [f32],
}

/// One place on the way back.
#[derive(Debug)]
pub(crate) struct BackStep<'a> {
    /// As the way forward left them; takes the slopes at their sums, of products with the input.
    pub(crate) gates: &'a mut [f32],
    /// Takes the slopes at the products with the state, if they are other ones.
    pub(crate) hidden: &'a mut [f32],
    pub(crate) own: &'a [f32],
    pub(crate) before: &'a [f32],
    pub(crate) kept_before: &'a [f32],
    pub(crate) kept: &'a [f32],
    /// Slope at the new state.
    pub(crate) slope: &'a [f32],
    /// What the place after this one says besides the products with the state; takes the same for the place before.
    pub(crate) carry: &'a mut [f32],
    /// Is added to.
    pub(crate) own_gradient: &'a mut [f32],
}
