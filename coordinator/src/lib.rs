//! The round machine.
//!
//! **Invariant:** this crate does no input or output, reads no clock and starts no thread. Drivers
//! call [`RoundMachine::handle`], then [`RoundMachine::poll`] until it is empty; they own sockets,
//! threads, files and time. It sees vectors, never networks.

#![forbid(unsafe_code)]

mod machine;
mod round;
mod snapshot;
#[cfg(test)]
mod tests;

pub use machine::{Input, InputError, Output, Plan, RoundMachine};
pub use snapshot::{Best, Snapshot};
