//! Why work fails.

use lyceum_core::{ClientId, FactError, SlotFault, SumError};

/// Why a unit could not be worked on at all.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum NodeError {
    /// The engine cannot be used here.
    #[error("{0}")]
    Engine(String),
    /// The assignment asks for samples that this node does not have.
    #[error("the assignment names {0}, which this node does not have")]
    Data(&'static str),
    /// The sum of a unit cannot hold its terms.
    #[error("a unit cannot be summed: {0}")]
    Sum(SumError),
    /// The stream cannot take what it is told.
    #[error("{0}")]
    Facts(FactError),
    /// What a client keeps, or was sent to go on from, is none of this run's.
    #[error("the state of client {client}: {fault}")]
    Slot {
        /// Who.
        client: ClientId,
        /// What is wrong.
        fault: SlotFault,
    },
    /// A model cannot answer.
    #[error("a model cannot be judged: {0}")]
    Answer(String),
    /// Nobody wants the work any more.
    #[error("the work was given up")]
    Halted,
    /// The assignment's model is not the scenario's.
    #[error("the assignment's model has {got} parameters, the scenario's has {want}")]
    Model {
        /// In the assignment.
        got: usize,
        /// In the scenario.
        want: usize,
    },
}
