//! The workers of a node: they take units and sum what belongs together.
//!
//! [`CrewMachine`] decides; [`Threads`] and the simulated worlds drive it.

mod machine;
#[cfg(test)]
mod tests;
mod threads;

#[cfg(feature = "mutants")]
pub use machine::Mutant;
pub use machine::{CrewEvent, CrewMachine, Failure, Handing, Step};
pub use threads::{AtStart, Listener, Terms, Threads};

use lyceum_core::Assignment;

/// Works on units, of one generation or several. Sums of a generation are handed in when they are asked for and none of its
/// units waits.
pub trait Crew: Send {
    /// Takes a unit.
    fn work(&mut self, generation: u64, assignment: Assignment);
    /// Whether sums of a generation are to be handed in as soon as none of its units waits.
    fn flush(&mut self, generation: u64, on: bool);
    /// Throws away what waits of a generation, and what was summed.
    fn clear(&mut self, generation: u64);
}
