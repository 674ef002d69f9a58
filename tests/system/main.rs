//! Whole-system tests, one file per promise.

mod bad_input;
mod catalogue;
mod determinism;
mod divergence;
mod evidence;
mod floors;
mod output;
mod resume;
