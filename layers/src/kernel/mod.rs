//! The only unsafe code of training: matrix products, matrices turned round, and windows that slide over images.
//! Every function checks its slices before it touches them.
#![allow(unsafe_code)]

mod dots;
mod near;
mod product;
mod scarce;
mod sparse;
mod turn;
mod window;

pub use dots::row_product;
pub use near::all_near;
pub use product::{Onto, View, product};
pub use scarce::{Scarce, scarce_image_slopes, scarce_weight_gradients};
pub use sparse::{Marks, Panel, marked_product, marked_product_turned};
pub use turn::transpose;
pub use window::{Correlation, Lines, channels_padded, correlate, dispatch, weight_gradients};
