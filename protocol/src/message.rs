//! What coordinator and nodes say to each other, as the machines on both sides see it.
//!
//! Every message may be lost, doubled or late: a node reports what it holds, the coordinator answers with what should be,
//! and both repeat themselves. A message of a session that is over is not heard.
//!
//! A message is written here once. What may be large in it is a type parameter: it is there whole, or by the names of blobs
//! that travel beside the message ([`wire`](crate::wire)).

use lyceum_core::{Assignment, ClientId, ExpertScores, Fingerprint, Ticket, UnitKey, Upload};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Changes when nodes and coordinators of two versions could not understand each other.
pub const PROTOCOL: u32 = 7;

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

/// From a node, with its results whole.
pub type ToCoordinator = ToCoordinatorOf<Upload>;

/// From a node, with results in the form `U`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum ToCoordinatorOf<U> {
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
        upload: U,
    },
    /// The node shuts down; its work may be given to others at once.
    Goodbye {
        /// Whose session.
        session: SessionId,
    },
    /// The node cannot work on what it was given, and leaves; its work may be given to others at once.
    Failed {
        /// Whose session.
        session: SessionId,
        /// Why, for an operator.
        reason: String,
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

/// To a node, with everything whole.
pub type ToNode = ToNodeOf<Welcome, Assignment>;

/// To a node, with admissions and units in the forms `W` and `A`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum ToNodeOf<W, A> {
    /// The node is admitted: load this, then say [`Ready`].
    Welcome(W),
    /// The node cannot take part, and should not try again as it is.
    Refuse(String),
    /// Work on this. A repeated one is not worked on twice.
    Assign {
        /// Whose session.
        session: SessionId,
        /// What is in flight.
        flights: Flights,
        /// The unit.
        assignment: A,
    },
    /// How things stand.
    Pulse(Pulse),
    /// The run is over for now; the node may go, or wait for another.
    Finished {
        /// Whose session.
        session: SessionId,
    },
}

/// What may be large of what is told to a node.
#[derive(Clone, Debug, PartialEq)]
pub enum Large<W, A> {
    /// See [`ToNodeOf::Welcome`].
    Welcome(W),
    /// See [`ToNodeOf::Assign`].
    Assign {
        /// Whose session.
        session: SessionId,
        /// What is in flight.
        flights: Flights,
        /// The unit.
        assignment: A,
    },
}

/// Admission of a node, with everything whole.
pub type Welcome = WelcomeOf<Arc<str>, Arc<ExpertScores>>;

/// Admission of a node, with the scenario and the expert's findings in the forms `S` and `E`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct WelcomeOf<S, E> {
    /// The [`Hello::attempt`] that this answers.
    pub attempt: u64,
    /// The session that begins.
    pub session: SessionId,
    /// Microseconds between two reports of the node.
    pub heartbeat_micros: u64,
    /// The resolved scenario, as text.
    pub scenario: S,
    /// What the expert makes of the samples, where the scenario needs one and it is trained.
    pub expert: Option<E>,
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

impl<U> ToCoordinatorOf<U> {
    /// What the message is called.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Hello(_) => "hello",
            Self::Ready(_) => "ready",
            Self::Report(_) => "report",
            Self::Offer { .. } => "offer",
            Self::Goodbye { .. } => "goodbye",
            Self::Failed { .. } => "failed",
        }
    }

    /// The message in any form, if it holds no result; else session and result.
    pub fn small<V>(self) -> Result<ToCoordinatorOf<V>, (SessionId, U)> {
        Ok(match self {
            Self::Hello(hello) => ToCoordinatorOf::Hello(hello),
            Self::Ready(ready) => ToCoordinatorOf::Ready(ready),
            Self::Report(report) => ToCoordinatorOf::Report(report),
            Self::Offer { session, upload } => return Err((session, upload)),
            Self::Goodbye { session } => ToCoordinatorOf::Goodbye { session },
            Self::Failed { session, reason } => ToCoordinatorOf::Failed { session, reason },
        })
    }

    /// The session that the message belongs to; `None` before there is one.
    pub fn session(&self) -> Option<SessionId> {
        match self {
            Self::Hello(_) => None,
            Self::Ready(ready) => Some(ready.session),
            Self::Report(report) => Some(report.session),
            Self::Offer { session, .. }
            | Self::Goodbye { session }
            | Self::Failed { session, .. } => Some(*session),
        }
    }
}

impl<W, A> ToNodeOf<W, A> {
    /// What the message is called.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Welcome(_) => "welcome",
            Self::Refuse(_) => "refuse",
            Self::Assign { .. } => "assign",
            Self::Pulse(_) => "pulse",
            Self::Finished { .. } => "finished",
        }
    }

    /// The message in any form, if it holds nothing large; else what it holds.
    pub fn small<W2, A2>(self) -> Result<ToNodeOf<W2, A2>, Large<W, A>> {
        Ok(match self {
            Self::Welcome(welcome) => return Err(Large::Welcome(welcome)),
            Self::Refuse(reason) => ToNodeOf::Refuse(reason),
            Self::Assign {
                session,
                flights,
                assignment,
            } => {
                return Err(Large::Assign {
                    session,
                    flights,
                    assignment,
                });
            }
            Self::Pulse(pulse) => ToNodeOf::Pulse(pulse),
            Self::Finished { session } => ToNodeOf::Finished { session },
        })
    }

    /// The session that the message belongs to; `None` before there is one.
    pub fn session(&self) -> Option<SessionId> {
        match self {
            Self::Welcome(_) | Self::Refuse(_) => None,
            Self::Assign { session, .. } | Self::Finished { session } => Some(*session),
            Self::Pulse(pulse) => Some(pulse.session),
        }
    }
}
