//! Whole-system tests, one file per promise.

// Helpers of tests may unwrap as tests do, and a measured figure or a reason to skip is printed.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

mod bad_input;
mod budgets;
mod catalogue;
mod continual_metrics;
mod determinism;
mod divergence;
mod engines;
mod evidence;
mod floors;
mod gate;
mod hostile;
mod measures;
mod nodes;
mod output;
mod real_client;
mod resume;
mod security;
mod streams;
mod sweep;
