//! What the round machine is told, and what it tells.

use crate::schedule::Schedule;
use lyceum_core::{
    AnySelector, AnySteering, AnyStrategy, Assignment, Attendance, ClientId, Contribution, Event,
    Params, Payload, Probe, Request, Round, Seed, TaskDefinition, TaskStream, Ticket, Transforms,
    Upload,
};
use std::{collections::BTreeMap, io, sync::Arc};

/// What the machine needs to know of a scenario.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Rounds to do.
    pub rounds: u64,
    /// Root of all randomness.
    pub seed: Seed,
    /// Probability that a selected client never answers.
    pub dropout: f64,
    /// Rounds between evaluations.
    pub evaluate_every: u64,
    /// Probes and their numbers of samples.
    pub probes: Vec<(Probe, u32)>,
    /// Classes of the data.
    pub classes: usize,
    /// What clients add to a round.
    pub contribution: Contribution,
    /// What happens to updates; here the server's halves.
    pub transforms: Transforms,
    /// First of the clients that must have a unit of their own, because they are real.
    pub alone_from: ClientId,
    /// When flights close.
    pub schedule: Arc<dyn Schedule>,
    /// What clients see when, where there is a stream of tasks.
    pub stream: Option<Arc<TaskStream>>,
    /// Whether tasks are judged before any client has begun them.
    pub judges_ahead: bool,
    /// Who is there when.
    pub attendance: Attendance,
    /// Settings that change, and when: for the log alone.
    pub changes: Vec<(Round, BTreeMap<String, String>)>,
    /// Selectors and dropouts of later rounds, in the order of time.
    pub phases: Vec<SelectionPhase>,
    /// Whether the initial model is judged.
    pub judges_before: bool,
    /// Tasks that another run was asked for, and the rounds in which they joined its stream.
    pub given: Vec<(Round, TaskDefinition)>,
    /// The prior of all models, where weights are distributions and no rule gives priors.
    pub prior: Option<Params>,
    /// What steers the run, if something does.
    pub steering: Option<SteeringPlan>,
}

/// A rule that steers a run, and what trains its models.
#[derive(Clone)]
pub struct SteeringPlan {
    /// The rule.
    pub rule: Arc<dyn AnySteering>,
    /// The strategy that each model has of its own.
    pub strategy: Arc<dyn AnyStrategy>,
}

impl std::fmt::Debug for SteeringPlan {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SteeringPlan").finish_non_exhaustive()
    }
}

/// How cohorts are found from a round on.
#[derive(Clone)]
pub struct SelectionPhase {
    /// First round.
    pub from: Round,
    /// Who takes part; `None` goes on as before.
    pub selector: Option<Arc<dyn AnySelector>>,
    /// Probability that a selected client never answers.
    pub dropout: f64,
}

impl std::fmt::Debug for SelectionPhase {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SelectionPhase")
            .field("from", &self.from)
            .field("dropout", &self.dropout)
            .finish_non_exhaustive()
    }
}

/// What a driver tells the machine.
#[derive(Clone, Debug)]
pub enum Input {
    /// Begin the next round; only between rounds.
    NextRound,
    /// A node finished a unit. Repeated and late ones are ignored.
    Upload(Upload),
    /// Somebody asks something; it is taken behind a round.
    Request(Request),
    /// Close the stage of a ticket with who is there; only while its [`verdict`](crate::RoundMachine::verdict) says so.
    Close(Ticket),
}

/// What the machine tells its driver.
#[derive(Clone, Debug, PartialEq)]
pub enum Output {
    /// Give this unit to a node.
    Assign(Assignment),
    /// Something happened.
    Event(Event),
    /// The validation set likes this model best so far.
    Best(Params),
    /// What the expert's training found, behind which a machine for it is done.
    Expert(Payload),
    /// A round and its evaluation are over; the machine waits for [`Input::NextRound`] and may be saved.
    RoundOver(Round),
    /// All rounds are done.
    Finished,
    /// The run cannot go on; the state before this round is the last good one.
    Stalled(String),
}

/// Why an input was not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InputError {
    /// A round is still in flight, or the run is over.
    #[error("the machine is not between two rounds")]
    NotBetween,
    /// A sum does not have the shape of this run's.
    #[error("unit {unit} of round {round} cannot be added: {reason}")]
    Sum {
        /// Which unit.
        unit: u64,
        /// Which round.
        round: u64,
        /// What is wrong with it.
        reason: String,
    },
    /// Updates do not fit into memory, and could not be put elsewhere.
    #[error("updates that do not fit into memory cannot be kept: {reason}{}", if *full { "; free some space, then go on with the run" } else { "" })]
    Spill {
        /// What the system said.
        reason: String,
        /// There is no space for them.
        full: bool,
    },
}

impl InputError {
    /// Updates could not be put elsewhere.
    pub(crate) fn spill(error: &io::Error) -> Self {
        Self::Spill {
            reason: error.to_string(),
            full: is_full(error),
        }
    }
}

/// Whether space is what is lacking.
pub(crate) fn is_full(error: &io::Error) -> bool {
    let lacking = [io::ErrorKind::StorageFull, io::ErrorKind::QuotaExceeded];
    lacking.contains(&error.kind())
}
