//! Whole-system tests, one file per promise.

// Helpers of tests may unwrap as tests do, and a measured figure or a reason to skip is printed.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

mod addresses;
mod bad_input;
mod budgets;
mod catalogue;
mod checks;
mod continual_metrics;
mod damage;
mod determinism;
mod divergence;
mod doubts;
mod engines;
mod evidence;
mod exit_codes;
mod floors;
mod gate;
mod golden;
mod happenings;
mod hostile;
mod knowledge;
mod lengthening;
mod measures;
mod memories;
mod nodes;
mod oort;
mod output;
mod pass_modes;
mod passes;
mod personal;
mod processes;
mod real_client;
mod resume;
mod retrieval;
mod schema;
mod security;
mod server_rules;
mod shape;
mod start;
mod statistics;
mod streams;
mod sweep;
mod tables;
mod transforms;
mod words;
