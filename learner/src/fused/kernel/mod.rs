//! The only unsafe code of the crate: matrix products, matrices turned round, and windows that slide over images.
//! Every function checks its slices before it touches them.
#![allow(unsafe_code)]

mod dots;
mod near;
mod product;
mod sparse;
mod turn;
mod window;

pub(super) use dots::row_product;
pub(super) use near::all_near;
pub(super) use product::{Onto, View, product};
pub(super) use sparse::{Marks, Panel, marked_product, marked_product_turned};
pub(super) use turn::transpose;
pub(super) use window::{
    Correlation, Lines, channels_padded, correlate, dispatch, weight_gradients,
};
