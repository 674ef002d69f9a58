//! The only unsafe code of the crate: matrix products, and windows that slide over images. Every function checks
//! its slices before it touches them.
#![allow(unsafe_code)]

mod product;
mod window;

pub(super) use product::{Onto, View, product};
pub(super) use window::{
    Correlation, Lines, channels_padded, correlate, dispatch, weight_gradients,
};
