//! How long a coordinator stays once its run is finished.

use serde::Deserialize;
use std::{str::FromStr, time::Duration};

/// A time, or for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct StayFor(pub(crate) Option<Duration>);

impl Default for StayFor {
    fn default() -> Self {
        Self(Some(Duration::ZERO))
    }
}

impl FromStr for StayFor {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "forever" {
            return Ok(Self(None));
        }
        let seconds = text.parse().ok();
        let time = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
        time.map(|time| Self(Some(time)))
            .ok_or_else(|| "expected seconds, 0 or above, or the word forever".into())
    }
}

impl TryFrom<String> for StayFor {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}
