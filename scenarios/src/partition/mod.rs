//! Partitions: which client owns which training samples.
//!
//! A partition divides positions, never samples, and gives every part's positions in ascending
//! order. It may make more parts than there are clients; the caller takes the first ones.
//! **Invariant:** no position is in two parts.

mod by_client;
mod by_difficulty;
mod cuts;
mod dirichlet;
mod dirichlet_equal;
mod error;
mod iid;
mod labels_per_client;
#[cfg(test)]
mod laws;
mod quantity_skew;

pub use by_client::ByClient;
pub use by_difficulty::{ByDifficulty, DifficultyOrder};
pub use dirichlet::Dirichlet;
pub use dirichlet_equal::DirichletEqual;
pub use error::PartitionError;
pub use iid::Iid;
pub use labels_per_client::LabelsPerClient;
pub use quantity_skew::QuantitySkew;

use lyceum_core::Stream;

/// A rule that divides training samples, as the scenario file describes it.
pub trait Partition: Send + Sync {
    /// One ascending list of positions per part, `input.parts` in all; no position twice.
    fn divide(&self, input: &Divide<'_>, rng: &mut Stream)
    -> Result<Vec<Vec<u32>>, PartitionError>;

    /// Whether client i is owner i of the data set.
    fn keeps_owners(&self) -> bool {
        false
    }

    /// Whether [`Divide::difficulty`] must be there: the losses of a centrally trained expert.
    fn needs_difficulty(&self) -> bool {
        false
    }
}

/// The training samples that are divided; their positions are `0..labels.len()`.
#[derive(Clone, Copy, Debug)]
pub struct Divide<'a> {
    /// Class of each sample.
    pub labels: &'a [u32],
    /// Number of classes; every label is below it.
    pub classes: usize,
    /// Number of parts, at least 1.
    pub parts: usize,
    /// Owner of each sample, if the data set knows owners.
    pub natural: Option<&'a [u32]>,
    /// Loss of each sample under an expert, if the partition asked for it.
    pub difficulty: Option<&'a [f32]>,
}

impl Divide<'_> {
    /// Checks what every partition relies on.
    fn check(&self) -> Result<(), PartitionError> {
        if self.parts == 0 {
            return Err(PartitionError::NoParts);
        }
        let samples = self.labels.len();
        if samples > u32::MAX as usize {
            return Err(PartitionError::TooManySamples { samples });
        }
        let beyond = |&label: &u32| label as usize >= self.classes;
        if let Some(label) = self.labels.iter().copied().find(beyond) {
            let classes = self.classes;
            return Err(PartitionError::Label { label, classes });
        }
        Ok(())
    }

    /// Refuses to make parts when there is not a sample for each.
    fn enough(&self) -> Result<(), PartitionError> {
        self.check()?;
        self.at_least(1)
    }

    /// Refuses to make parts when there are not `each` samples for each.
    fn at_least(&self, each: usize) -> Result<(), PartitionError> {
        let samples = self.labels.len();
        match self.parts.checked_mul(each) {
            Some(needed) if needed <= samples => Ok(()),
            _ => Err(PartitionError::TooFewSamples {
                samples,
                parts: self.parts,
                each,
            }),
        }
    }

    /// Positions of each class, ascending. Labels must have been checked.
    fn by_class(&self) -> Vec<Vec<u32>> {
        let mut held = vec![Vec::new(); self.classes];
        for (position, &label) in self.labels.iter().enumerate() {
            held[label as usize].push(position as u32);
        }
        held
    }
}
