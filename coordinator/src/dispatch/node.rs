//! What is known of one node.

use super::{Dispatch, Peer, admission::Standing};
use lyceum_core::{Time, UnitKey};
use lyceum_protocol::message::{NodeName, SessionId};
use std::collections::BTreeSet;

/// A node that was admitted at least once.
pub(super) struct Node {
    pub(super) standing: Standing,
    pub(super) peer: Option<Peer>,
    pub(super) session: SessionId,
    pub(super) attempt: u64,
    /// How often its place was taken by what may be another process, and when last.
    pub(super) taken_over: (u32, Time),
    pub(super) threads: u32,
    /// It has the data of this scenario at hand.
    pub(super) ready: bool,
    /// Since when it is ready in this session.
    pub(super) ready_at: Time,
    /// It was ready, and its lease has not run out.
    pub(super) holds_work: bool,
    /// It has said in this session what it holds.
    pub(super) reported: bool,
    /// It was told last to hand in what it has.
    pub(super) flushes: bool,
    /// It has sent something of another session since this one began.
    pub(super) unheard: bool,
    pub(super) heard: Time,
    /// Units of tickets in flight that it was ever given.
    pub(super) given: BTreeSet<UnitKey>,
    /// Units of stages to come that it was given by an earlier process of the coordinator.
    pub(super) claims: BTreeSet<UnitKey>,
    /// Units that it has not worked through yet, as far as known.
    pub(super) open: usize,
    pub(super) steps: u64,
    pub(super) answered: u64,
}

impl Node {
    pub(super) fn new(standing: Standing, peer: Peer, now: Time) -> Self {
        Self {
            standing,
            peer: Some(peer),
            session: SessionId(0),
            attempt: 0,
            taken_over: (0, now),
            threads: 1,
            ready: false,
            ready_at: now,
            holds_work: false,
            reported: false,
            flushes: false,
            unheard: false,
            heard: now,
            given: BTreeSet::new(),
            claims: BTreeSet::new(),
            open: 0,
            steps: 0,
            answered: 0,
        }
    }

    /// It may host virtual clients, and is there.
    pub(super) fn is_worker(&self) -> bool {
        self.ready && matches!(self.standing, Standing::Simulate)
    }

    /// Its silence is counted.
    pub(super) fn is_counted(&self) -> bool {
        self.holds_work || self.peer.is_some()
    }
}

/// What an operator sees of a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeStatus {
    /// Its name.
    pub name: NodeName,
    /// Threads that it offers.
    pub threads: u32,
    /// Whether it is connected and has the data at hand.
    pub ready: bool,
    /// Units that it holds.
    pub held: usize,
    /// Units that it has answered.
    pub answered: u64,
    /// Training steps that it has reported.
    pub steps: u64,
    /// When it was heard last.
    pub heard: Time,
}

impl Dispatch {
    /// All nodes, by name.
    pub fn roster(&self) -> Vec<NodeStatus> {
        let status = |(name, node): (&NodeName, &Node)| NodeStatus {
            name: name.clone(),
            threads: node.threads,
            ready: node.ready,
            held: self.held_by(name).len(),
            answered: node.answered,
            steps: node.steps,
            heard: node.heard,
        };
        self.nodes.iter().map(status).collect()
    }

    /// Nodes that are ready to work.
    pub fn ready_nodes(&self) -> usize {
        self.nodes.values().filter(|n| n.ready).count()
    }

    /// Units that wait for a node.
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }
}
