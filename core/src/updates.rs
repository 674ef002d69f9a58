//! Single updates of a round, for strategies to which a sum says too little.

use crate::{ClientId, Lane, Layout, Params, SlotSpecs};
use serde::{Deserialize, Serialize};
use std::fmt;

/// A round whose sums cannot be turned into a model, such as one without any update.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Stall(pub String);

/// A client's addition to the sums.
#[derive(Clone, Debug, PartialEq)]
pub struct Settled {
    /// Weight and values per lane, in the order of the lanes.
    pub lanes: Vec<(f64, Params)>,
    /// Replaces the client's state; `None` if the rule keeps none.
    pub state: Option<Params>,
}

/// What a strategy must see of the clients' work.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reduction {
    /// Sums over the clients: a node sends one for all of its own.
    #[default]
    Sum,
    /// Each client's update by itself, which costs the bytes of one model a client.
    EachUpdate,
}

/// What clients add to a round, as a strategy wants it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Contribution {
    /// One weight and one vector each.
    pub lanes: Vec<Lane>,
    /// Whether nodes sum them.
    pub reduction: Reduction,
    /// Names and roles of the values.
    pub layout: Layout,
    /// What clients may keep from one of their rounds to the next.
    pub slots: SlotSpecs,
    /// Answers to one judged sample; 0 counts as 1.
    pub answers: u64,
}

/// What one client adds to a round.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ClientTerm {
    /// Whose.
    pub client: ClientId,
    /// Weight and values per lane, in the order of the strategy's lanes.
    pub lanes: Vec<(f64, Params)>,
}

/// The updates that were accepted in a round, in ascending order of their clients, so that no result depends on the
/// order in which they arrived. They may lie on a disk, and are read in pieces.
pub trait Updates: fmt::Debug {
    /// How many there are.
    fn len(&self) -> usize;

    /// Whether there is none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whose update it is.
    fn client(&self, index: usize) -> ClientId;

    /// Its weight in a lane.
    fn weight(&self, index: usize, lane: usize) -> f64;

    /// Copies values of a lane, from `start` on as many as `out` holds.
    fn read(&self, index: usize, lane: usize, start: usize, out: &mut [f32]) -> Result<(), Stall>;
}

/// Updates in memory, which must be in the order of their clients.
impl Updates for Vec<ClientTerm> {
    fn len(&self) -> usize {
        Self::len(self)
    }

    fn client(&self, index: usize) -> ClientId {
        self[index].client
    }

    fn weight(&self, index: usize, lane: usize) -> f64 {
        self[index].lanes[lane].0
    }

    fn read(&self, index: usize, lane: usize, start: usize, out: &mut [f32]) -> Result<(), Stall> {
        let values = &self[index].lanes[lane].1;
        out.copy_from_slice(&values[start..start + out.len()]);
        Ok(())
    }
}
