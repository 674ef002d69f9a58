//! What must survive a crash between two rounds.

use lyceum_core::{ClientId, ClientState, Fingerprint, Params, Round};
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
    /// Rounds in which the stages of a gated stream began; empty without a gate.
    pub begins: Vec<Round>,
}

/// The round that a validation set liked best.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Best {
    /// Which round.
    pub round: u64,
    /// Its accuracy on the validation set.
    pub accuracy: f64,
}
