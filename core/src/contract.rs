//! The whole contract between coordinator and node: an assignment goes out, an upload comes back.

use crate::{
    ClientId, ClientState, ClientTerm, ExactSum, Facts, Params, Probe, Round, SumError, Tally,
    TaskId, Ticket, UnitId,
};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// One work unit: a fixed list of jobs that is never split. Repeating it gives the same upload.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Assignment {
    /// Addresses the random streams of the work.
    pub ticket: Ticket,
    /// The round it belongs to.
    pub round: Round,
    /// Position within the ticket.
    pub unit: UnitId,
    /// What to do.
    pub work: Work,
    /// What the stream was told so far.
    pub facts: Facts,
    /// Name of the model in the book; `global` in a run of one model.
    pub model: Arc<str>,
    /// The model to start from.
    pub global: Params,
    /// Vectors that the strategy sends to every client of the round.
    pub vectors: Vec<Params>,
    /// On what.
    pub jobs: Vec<Job>,
}

/// What a node is asked to do with the jobs of a unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Work {
    /// Train each client's copy of the global model and sum the updates.
    Train,
    /// Mean loss of each client's samples.
    Score,
    /// Count hits and sum losses of probe samples.
    Evaluate,
    /// Train the expert on all samples in one place, then take the loss of each.
    Expert,
}

/// One piece of a unit.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Job {
    /// Which samples.
    pub data: DataRef,
    /// What the client left behind last time.
    pub state: ClientState,
}

/// Samples, by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DataRef {
    /// A client's training samples.
    Shard(ClientId),
    /// Samples `start..end` of a probe.
    Probe {
        /// Which one.
        probe: Probe,
        /// First sample.
        start: u32,
        /// One past the last sample.
        end: u32,
    },
    /// All training samples.
    Pool,
}

/// The answer to one assignment, or to several of one ticket whose clients were summed together.
///
/// It counts as a whole or not at all: where one of its units was answered before, none of it is taken.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Upload {
    /// The assignments' ticket.
    pub ticket: Ticket,
    /// The assignments' units, each once.
    pub units: Vec<UnitId>,
    /// The result.
    pub payload: Payload,
    /// Wall time of each job in microseconds; never part of a result.
    pub micros: Vec<u64>,
}

/// The result of a unit.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Payload {
    /// The sum over the clients that were accepted.
    Trained(Trained),
    /// One mean loss per job.
    Scored {
        /// In the order of the jobs.
        scores: Vec<(ClientId, f32)>,
        /// Samples that went through the model.
        samples: u64,
    },
    /// Hits and losses.
    Evaluated {
        /// Which probe.
        probe: Probe,
        /// Per class.
        tally: Tally,
    },
    /// The expert.
    Expert {
        /// Its parameters.
        params: Params,
        /// What it makes of each sample of the pool.
        scores: ExpertScores,
    },
}

/// What came of training the clients of one or several units.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Trained {
    /// Lanes of the strategy, over the clients that were accepted.
    pub sum: Addend,
    /// One per job, in the order of the jobs.
    pub reports: Vec<ClientReport>,
    /// Successors of the states of accepted clients.
    pub states: Vec<(ClientId, ClientState)>,
}

/// What goes into the sums of a round.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Addend {
    /// Of any number of clients.
    Sum(ExactSum),
    /// Of one client: weight and values per lane. Half the size of its sum.
    Single(Vec<(f64, Params)>),
    /// Each client's by itself, where the strategy asks for that.
    Each(Vec<ClientTerm>),
}

impl Addend {
    /// Adds to a sum with the same lanes.
    pub fn add_to(self, sum: &mut ExactSum) -> Result<(), SumError> {
        let single = |sum: &mut ExactSum, parts| {
            let term = sum.admit(parts)?;
            sum.fold(&[term])
        };
        match self {
            Self::Sum(other) => sum.merge(&other),
            Self::Single(parts) => single(sum, parts),
            Self::Each(terms) => terms.into_iter().try_for_each(|t| single(sum, t.lanes)),
        }
    }
}

impl From<ExactSum> for Addend {
    fn from(sum: ExactSum) -> Self {
        Self::Sum(sum)
    }
}

/// What an expert makes of each sample of the pool, in the order of the pool.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ExpertScores {
    /// The scenario's loss in nats.
    pub losses: Vec<f32>,
    /// 1 for each miss, 0 for each hit.
    pub errors: Vec<f32>,
}

/// What became of a client's work.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It is in the sum.
    Accepted,
    /// It was not added, for this reason.
    Refused(String),
    /// It was selected and never answered, or has no training samples to answer with.
    DroppedOut,
}

/// What a client reports of one local training call.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ClientReport {
    /// Who.
    pub client: ClientId,
    /// Whether the work counts.
    pub outcome: Outcome,
    /// The client's number of training samples.
    pub samples: u64,
    /// Samples that went through training, repeats counted.
    pub trained: u64,
    /// Samples that went through the model only to be scored.
    pub scored: u64,
    /// Optimizer steps.
    pub steps: u64,
    /// Mean training loss of the first epoch's worth of steps, as they were taken; `None` without a
    /// finite one.
    pub first_loss: Option<f32>,
    /// Mean training loss of the last epoch's worth of steps; `None` without a finite one.
    pub last_loss: Option<f32>,
    /// Root of the mean over samples of the squared loss in the first epoch's worth of steps, as they were taken, for Oort's
    /// utility; 0 without a finite one.
    pub rms_loss: f32,
    /// Mean score of the client's samples, where the ordering scored them.
    pub difficulty: Option<f32>,
    /// Bytes of parameters received.
    pub bytes_down: u64,
    /// Bytes of parameters sent.
    pub bytes_up: u64,
    /// The task that it was at, where there is a stream.
    #[serde(default)]
    pub task: Option<TaskId>,
    /// Share of hits of its own model on that task's probe before aggregation, where the scenario asks for it.
    #[serde(default)]
    pub local_accuracy: Option<f64>,
    /// Share of hits of its own model after its training, over test samples of which those of each class count as often as among
    /// the samples that it trained on ([`Tally::accuracy_among`]), where the scenario asks for it.
    #[serde(default)]
    pub personal_accuracy: Option<f64>,
    /// The same of the global model that it received, where that is a whole one.
    #[serde(default)]
    pub received_accuracy: Option<f64>,
}

impl ClientReport {
    /// The report of a client that was selected and never answered.
    pub fn dropped_out(client: ClientId, samples: u64, bytes_down: u64) -> Self {
        Self {
            client,
            outcome: Outcome::DroppedOut,
            samples,
            trained: 0,
            scored: 0,
            steps: 0,
            first_loss: None,
            last_loss: None,
            rms_loss: 0.0,
            difficulty: None,
            bytes_down,
            bytes_up: 0,
            task: None,
            local_accuracy: None,
            personal_accuracy: None,
            received_accuracy: None,
        }
    }

    /// Whether the work is in the sum.
    pub fn accepted(&self) -> bool {
        self.outcome == Outcome::Accepted
    }
}
