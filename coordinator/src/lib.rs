//! The round machine, what gives its units to nodes, and the files of a run.
//!
//! **Invariant:** [`RoundMachine`] and [`dispatch`] do no input or output, read no clock and start no thread. Drivers
//! call [`RoundMachine::handle`], then [`RoundMachine::poll`] until it is empty; they own sockets,
//! threads, files and time. It sees vectors, never networks.

#![forbid(unsafe_code)]

pub mod conductor;
pub mod dispatch;
mod machine;
#[cfg(feature = "mutants")]
mod mutant;
mod plan;
pub mod quic;
mod round;
pub mod rounds;
pub mod run;
mod schedule;
mod snapshot;
#[cfg(test)]
mod tests;
mod updates;

pub use machine::RoundMachine;
#[cfg(feature = "mutants")]
pub use mutant::Mutant;
pub use plan::{Input, InputError, Output, Plan, SelectionPhase, SteeringPlan};
pub use schedule::{Closing, FlightView, Schedule, Synchronous, Verdict};
pub use snapshot::{Best, Page, Snapshot};
pub use updates::Spill;
