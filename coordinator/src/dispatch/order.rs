//! What the dispatch tells its driver.

use super::Peer;
use lyceum_core::{Round, Upload, Work};
use lyceum_protocol::message::{NodeName, ToNode};

/// What the dispatch tells its driver.
#[derive(Clone, Debug, PartialEq)]
pub enum Order {
    /// Say this on a connection.
    Send(Peer, ToNode),
    /// End a connection, with the reason.
    Close(Peer, String),
    /// Units are answered.
    Deliver(Upload),
    /// Something that an operator wants to know.
    Notice(Notice),
}

/// What an operator wants to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// It may work.
    Joined {
        /// Which one.
        node: NodeName,
        /// Threads that it offers.
        threads: u32,
    },
    /// It does not work for us any more; its units are given to others.
    Lost {
        /// Which one.
        node: NodeName,
        /// Units that wait again.
        units: usize,
        /// Why.
        reason: String,
    },
    /// It is not let in, or what it sent is not taken.
    Refused {
        /// Which one.
        node: NodeName,
        /// Why.
        reason: String,
    },
    /// It sent something of another session, which is not heard; told once a session.
    Unheard {
        /// Which one.
        node: NodeName,
    },
    /// An upload came that nobody waits for.
    Late {
        /// From which node.
        node: NodeName,
        /// Units that were answered already.
        units: usize,
    },
    /// Nothing has come for a while of what is in flight.
    Waits {
        /// In which round.
        round: Round,
        /// What is to be done.
        work: Work,
        /// For how long.
        seconds: u64,
        /// What is missing, and from whom.
        missing: String,
    },
}
