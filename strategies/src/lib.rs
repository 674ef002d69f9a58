//! Aggregation, robust aggregation, client selection, local ordering, continual learning, personal models and transforms
//! of updates: one file per algorithm.
//!
//! Pure like the core: no input or output, no clock, no thread, no tensor library. **The type of an
//! algorithm is its configuration**: what a scenario file says is read straight into the value that
//! does the work, the doc comment of a key is its description in the JSON Schema, and a number out
//! of range is refused where it stands.

#![forbid(unsafe_code)]

pub mod aggregation;
pub mod continual;
pub mod knowledge;
pub mod ordering;
pub mod personal;
pub mod robust;
pub mod sampling;
pub mod selection;
pub mod steering;
pub mod transforms;

#[cfg(test)]
mod tests;
