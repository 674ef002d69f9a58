//! What must survive a crash between two rounds.

use lyceum_core::{ClientId, ClientState, Facts, Fingerprint, Params};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Everything that the rounds to come depend on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Snapshot {
    /// Rounds that are done; the number of the next round.
    pub rounds: u64,
    /// The global model.
    pub global: Params,
    /// State of the strategy, as it saved itself.
    pub strategy: Vec<u8>,
    /// State of the selector, as it saved itself.
    pub selector: Vec<u8>,
    /// States of the clients that have one.
    pub clients: BTreeMap<ClientId, ClientState>,
    /// Last link of the chain.
    pub fingerprint: Fingerprint,
    /// Best round so far.
    pub best: Option<Best>,
    /// The models besides the first one, where a rule steers the run.
    pub book: Vec<Page>,
    /// State of that rule, as it saved itself; empty without one.
    pub steering: Vec<u8>,
    /// Rounds of the run, where that rule has ended it.
    pub ends: Option<u64>,
    /// What the stream was told.
    pub facts: Facts,
}

/// A model besides the first one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Page {
    /// Its name.
    pub name: String,
    /// Its parameters.
    pub params: Params,
    /// State of its strategy, if it was ever trained.
    pub strategy: Option<Vec<u8>>,
}

/// The round that a validation set liked best.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Best {
    /// Which round.
    pub round: u64,
    /// Its accuracy on the validation set.
    pub accuracy: f64,
}
