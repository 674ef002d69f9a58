//! Pairs of texts: what is looked for, and what answers it.

mod lean;
mod text;

pub use lean::{Asked, LeanPremises, Part};
