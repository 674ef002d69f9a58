//! Whole-system tests, one file per promise.

// Helpers of tests may unwrap as tests do.
#![allow(clippy::unwrap_used)]

mod bad_input;
mod catalogue;
mod determinism;
mod divergence;
mod evidence;
mod floors;
mod output;
mod resume;
