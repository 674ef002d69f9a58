//! Whole-system tests, one file per promise.

// Helpers of tests may unwrap as tests do, and a measured figure or a reason to skip is printed.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

mod bad_input;
mod catalogue;
mod continual_metrics;
mod determinism;
mod divergence;
mod engines;
mod evidence;
mod floors;
mod gate;
mod hostile;
mod memories;
mod nodes;
mod oort;
mod output;
mod real_client;
mod resume;
mod security;
mod server_rules;
mod statistics;
mod streams;
mod sweep;
