//! Why certificates were not accepted, in words of ours: TLS has numbers.

use quinn::ConnectionError;

/// What the certificates of both sides are called: such as "this node's" and "the coordinator's".
#[derive(Clone, Copy, Debug)]
pub struct Sides {
    /// Of this process.
    pub own: &'static str,
    /// Of the process at the other end.
    pub other: &'static str,
}

impl Sides {
    /// Seen by a node.
    pub const NODE: Self = Self {
        own: "this node's",
        other: "the coordinator's",
    };
    /// Seen by a coordinator.
    pub const COORDINATOR: Self = Self {
        own: "this coordinator's",
        other: "the node's",
    };
    /// Seen by an authority that hands out certificates.
    pub const AUTHORITY: Self = Self {
        own: "this authority's",
        other: "the host's",
    };
    /// Seen by a host that asks for its first certificate.
    pub const NEWCOMER: Self = Self {
        own: "this host's",
        other: "the server's",
    };
}

/// What a connection that did not come about means. Where an alert of TLS ended it, ours is a verdict on the other side's
/// certificate, and theirs one on our own.
pub fn refusal(error: &ConnectionError, sides: Sides) -> String {
    let (code, whose) = match error {
        ConnectionError::TransportError(e) => (u64::from(e.code), sides.other),
        ConnectionError::ConnectionClosed(close) => (u64::from(close.error_code), sides.own),
        ConnectionError::TimedOut => return "no answer in time".into(),
        ConnectionError::Reset => return "the other side has lost the connection".into(),
        other => return other.to_string(),
    };
    match code.checked_sub(ALERTS).filter(|alert| *alert < ALERTS) {
        Some(alert) => in_words(alert, whose),
        None => error.to_string(),
    }
}

/// Whether a connection did not come about for a verdict of TLS on somebody's certificate: it will not be another one next time.
pub fn is_verdict(error: &ConnectionError) -> bool {
    let code = match error {
        ConnectionError::TransportError(e) => u64::from(e.code),
        ConnectionError::ConnectionClosed(close) => u64::from(close.error_code),
        _ => return false,
    };
    (ALERTS..2 * ALERTS).contains(&code)
}

/// Where the codes of alerts begin (RFC 9001, section 4.8).
const ALERTS: u64 = 0x100;

/// An alert of TLS (RFC 8446, section 6) as a verdict on somebody's certificate.
fn in_words(alert: u64, whose: &str) -> String {
    match alert {
        44 => format!("{whose} certificate is revoked: get a new one"),
        45 => format!("{whose} certificate has expired or is not valid yet, or a clock is wrong: make a new one with `lyceum identity`"),
        42 | 43 | 46 | 48 | 51 => format!(
            "{whose} certificate is not of the authority that is trusted here, or damaged: both sides need certificates of one \
             authority (`lyceum identity show` tells whose they are)"
        ),
        49 => format!("{whose} certificate is not allowed to do this: its role is another"),
        116 => format!("{whose} certificate was not shown: connect with credentials"),
        120 => "what answers there speaks another language: expected a process of this version of lyceum, and its address for this \
                purpose"
            .into(),
        number => format!("{whose} certificate was not accepted (alert {number} of TLS)"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use quinn::{ConnectionClose, TransportErrorCode};

    #[test]
    fn alerts_are_told_without_their_numbers_and_of_the_right_side() {
        for (alert, word) in [
            (44, "revoked"),
            (45, "expired"),
            (48, "authority"),
            (51, "authority"),
        ] {
            let code = TransportErrorCode::crypto(alert);
            let ours = ConnectionError::TransportError(quinn_proto::TransportError {
                code,
                frame: None,
                reason: "invalid peer certificate: BadSignature".into(),
            });
            let theirs = ConnectionError::ConnectionClosed(ConnectionClose {
                error_code: code,
                frame_type: None,
                reason: b"x".to_vec().into(),
            });
            for (error, whose) in [(ours, "the coordinator's"), (theirs, "this node's")] {
                let told = refusal(&error, Sides::NODE);
                assert!(told.starts_with(whose) && told.contains(word), "{told}");
                assert!(!told.contains("invalid peer"), "{told}");
            }
        }
        assert_eq!(
            refusal(&ConnectionError::TimedOut, Sides::NODE),
            "no answer in time"
        );
    }
}
