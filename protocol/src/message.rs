//! What coordinator and nodes say to each other, as the machines on both sides see it.
//!
//! Every message may be lost, doubled or late: a node reports what it holds, the coordinator answers with what should be,
//! and both repeat themselves. A message of a session that is over is not heard. How a message crosses a network, and
//! how its vectors travel beside it, is [`wire`](crate::wire)'s.

use lyceum_core::{Assignment, ClientId, ExpertScores, Fingerprint, Ticket, UnitKey, Upload};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Changes when nodes and coordinators of two versions could not understand each other.
pub const PROTOCOL: u32 = 6;

/// What a node is called; from its certificate. The same name is the same node, even after a restart.
pub type NodeName = Arc<str>;

/// One admission of one node. Numbers are never used twice in a run, not even by a restarted coordinator.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct SessionId(pub u64);

/// The machine's arithmetic: bits hold within one profile (engine, instruction set, versions that decide rounding).
pub type NumericProfile = String;

/// From a node.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum ToCoordinator {
    /// First message on a connection; repeated until it is answered.
    Hello(Hello),
    /// The scenario's data is at hand.
    Ready(Ready),
    /// What the node holds. Sent with every heartbeat and whenever it has room for more work.
    Report(Report),
    /// A result, kept and offered again until a [`Pulse`] says that it is not needed any more.
    Offer {
        /// Whose session.
        session: SessionId,
        /// The result.
        upload: Upload,
    },
    /// The node shuts down; its work may be given to others at once.
    Goodbye {
        /// Whose session.
        session: SessionId,
    },
}

/// Who a node is and what it can do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// [`PROTOCOL`] of the node.
    pub protocol: u32,
    /// Counts the node's attempts, so that an answer to an earlier one is not taken.
    pub attempt: u64,
    /// The last session that it has heard of; 0 at first. A coordinator that has lost count of its processes goes beyond it.
    pub session: SessionId,
    /// Threads that train.
    pub threads: u32,
    /// Digest of all plugins that the node knows.
    pub registry: Fingerprint,
}

/// What a real client declares of its samples, which never leave it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OwnData {
    /// Number of training samples.
    pub samples: u64,
    /// Shape of a sample.
    pub shape: Vec<u64>,
    /// Number of classes.
    pub classes: u64,
}

/// What a node loaded, to be compared.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ready {
    /// Whose session.
    pub session: SessionId,
    /// Digest of the scenario as the node resolves it.
    pub scenario: Fingerprint,
    /// Digest of the samples that it found; `None` for a real client, whose samples are its own.
    pub data: Option<Fingerprint>,
    /// Its arithmetic.
    pub profile: NumericProfile,
    /// For a real client: its samples.
    pub own: Option<OwnData>,
}

/// What a node holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// Whose session.
    pub session: SessionId,
    /// [`Flights::turn`] that the node knows of.
    pub turn: u64,
    /// Units received and not yet dropped, in ascending order.
    pub held: Vec<UnitKey>,
    /// How many of them still wait to be begun or are being worked on.
    pub open: u32,
    /// Clients worked through since the node started; grows while there is progress.
    pub steps: u64,
}

/// To a node.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum ToNode {
    /// The node is admitted: load this, then say [`Ready`].
    Welcome(Welcome),
    /// The node cannot take part, and should not try again as it is.
    Refuse(String),
    /// Work on this. A repeated one is not worked on twice.
    Assign {
        /// Whose session.
        session: SessionId,
        /// What is in flight.
        flights: Flights,
        /// The unit.
        assignment: Assignment,
    },
    /// How things stand.
    Pulse(Pulse),
    /// The run is over for now; the node may go, or wait for another.
    Finished {
        /// Whose session.
        session: SessionId,
    },
}

/// Admission of a node.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Welcome {
    /// The [`Hello::attempt`] that this answers.
    pub attempt: u64,
    /// The session that begins.
    pub session: SessionId,
    /// Microseconds between two reports of the node.
    pub heartbeat_micros: u64,
    /// The resolved scenario, as text.
    pub scenario: Arc<str>,
    /// What the expert makes of the samples, where the scenario needs one and it is trained.
    pub expert: Option<Arc<ExpertScores>>,
    /// For a node that is one real client: which one, and what its data must be like.
    pub client: Option<(ClientId, OwnData)>,
}

/// How things stand with a node's work.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pulse {
    /// Whose session.
    pub session: SessionId,
    /// What is in flight.
    pub flights: Flights,
    /// No unit waits: what was summed so far should be offered.
    pub flush: bool,
    /// Held units that are not needed any more: answered and safe on disk, or given up.
    pub drop: Vec<UnitKey>,
}

/// The tickets in flight when a message was sent; work for any other one is void.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Flights {
    /// How often they have changed since the coordinator began, so that a late message is known as one.
    pub turn: u64,
    /// The tickets, ascending.
    pub open: Vec<Ticket>,
}

impl Flights {
    /// Whether a ticket is in flight.
    pub fn holds(&self, ticket: Ticket) -> bool {
        self.open.binary_search(&ticket).is_ok()
    }
}

impl ToCoordinator {
    /// The session that the message belongs to; `None` before there is one.
    pub fn session(&self) -> Option<SessionId> {
        match self {
            Self::Hello(_) => None,
            Self::Ready(ready) => Some(ready.session),
            Self::Report(report) => Some(report.session),
            Self::Offer { session, .. } | Self::Goodbye { session } => Some(*session),
        }
    }
}

impl ToNode {
    /// The session that the message belongs to; `None` before there is one.
    pub fn session(&self) -> Option<SessionId> {
        match self {
            Self::Welcome(_) | Self::Refuse(_) => None,
            Self::Assign { session, .. } | Self::Finished { session } => Some(*session),
            Self::Pulse(pulse) => Some(pulse.session),
        }
    }
}
