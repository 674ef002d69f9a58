//! Names of things: small integers with a type each.

use serde::{Deserialize, Serialize};
use std::fmt;

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub u64);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

id! {
    /// A data owner. Never a process: one node simulates many clients.
    ClientId
}
id! {
    /// Number of an assign-collect-close cycle, counted from 0.
    Round
}
id! {
    /// Number of an assignment; equal to the round in synchronous runs. Addresses random streams.
    Ticket
}
id! {
    /// Position of a work unit within its ticket.
    UnitId
}

/// A work unit among those of all tickets.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct UnitKey {
    /// The unit's ticket.
    pub ticket: Ticket,
    /// Its position there.
    pub unit: UnitId,
}

impl Ticket {
    /// Sets apart the tickets of models that are trained beside a round's first one.
    const BESIDE: u32 = 48;

    /// The ticket of a round's model: of its first one (place 0), or of one that is trained beside it.
    pub fn of_round(round: Round, place: usize) -> Self {
        Self(round.0 | (place as u64) << Self::BESIDE)
    }

    /// The unit at a position of this ticket.
    pub fn unit(self, unit: UnitId) -> UnitKey {
        UnitKey { ticket: self, unit }
    }
}

/// Position of a task in the definition of its stream, from 0.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct TaskId(pub u32);

impl fmt::Display for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
