//! `[deadline]`: what a round does about clients that are late, where time passes: on many nodes, or in a simulated
//! network. In one process nobody is late.

use lyceum_core::units::{Count, NonNegative, Positive};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What a round does about late clients. Absent, it waits.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Deadline {
    /// Wait for every client, whatever it takes. A lost node's clients are trained by others.
    Wait(Wait),
    /// Give late clients to a second node as well; the first complete answer counts.
    Reassign(Reassign),
    /// Close the round with who is there.
    Close(Close),
}

/// Wait for every client.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Wait {}

/// Give late clients to a second node as well.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Reassign {
    /// Seconds that a node has for what it was given.
    pub after_s: Positive,
}

/// Close the round with who is there: a window of time and a window of counts.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Close {
    /// Seconds after which the round closes, if enough clients have answered.
    pub after_s: Positive,
    /// Clients that must have answered; 1 by default.
    #[serde(default = "one")]
    pub min_clients: Count,
    /// Close early when this many clients have answered; never by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enough_clients: Option<Count>,
    /// Seconds before which the round does not close early; 0 by default.
    #[serde(default = "zero")]
    pub min_s: NonNegative,
    /// Seconds after which the run stops, if too few clients have answered; ten times `after_s` by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub give_up_s: Option<Positive>,
}

fn one() -> Count {
    Count::new(1).expect("1 is in range")
}

fn zero() -> NonNegative {
    NonNegative::new(0.0).expect("0 is in range")
}
