//! Virtual time. Drivers own clocks; machines are told what time it is.

use serde::{Deserialize, Serialize};

/// Microseconds since the start of the run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Time(pub u64);
