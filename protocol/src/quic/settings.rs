//! Settings of the transport. None of them changes an answer.

use serde::Deserialize;

/// What decides how much is in flight.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Congestion {
    /// CUBIC (RFC 9438), the default.
    #[default]
    Cubic,
    /// BBR, which quinn calls experimental; better where packets are lost for other reasons than congestion.
    Bbr,
}

/// Settings of the transport, with their defaults. Table `[transport]` of `lyceum.toml`, `LYCEUM__TRANSPORT__*`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Transport {
    /// Bytes that a sender may be ahead of its receiver on one stream, 64 KiB to 1 GiB. Throughput of a stream is at most
    /// this per round trip: 8 MiB at 100 ms is 84 MB/s.
    pub stream_window: u32,
    /// Bytes that a sender may be ahead on all streams of a connection, at least `stream_window`; what a connection can
    /// take of its receiver's memory.
    pub connection_window: u32,
    /// Bytes that are sent and not acknowledged, at most, per connection; at least 64 KiB.
    pub send_window: u64,
    /// Bytes of the socket's buffers (SO_RCVBUF, SO_SNDBUF), at least 64 KiB; the system may grant less.
    pub socket_buffer: usize,
    /// Seconds between packets that keep a connection alive, 1 to 60.
    pub keep_alive_s: u64,
    /// Seconds without a packet after which a connection is lost, 2 to 600, more than twice `keep_alive_s`.
    pub idle_s: u64,
    /// Congestion control.
    pub congestion: Congestion,
    /// Whether larger packets than 1,200 bytes are tried.
    pub mtu_discovery: bool,
    /// Connections of one address, at most.
    pub connections_per_address: usize,
    /// Handshakes at a time, at most; others are asked to prove their address first, then refused.
    pub handshakes: usize,
    /// Seconds that a peer has for its handshake and its first message, 1 to 60.
    pub handshake_s: u64,
    /// Bytes of memory for results on their way in, over all connections; a larger result comes alone.
    pub receiving_bytes: u64,
}

impl Default for Transport {
    fn default() -> Self {
        Self {
            stream_window: 8 << 20,
            connection_window: 16 << 20,
            send_window: 16 << 20,
            socket_buffer: 16 << 20,
            keep_alive_s: 5,
            idle_s: 30,
            congestion: Congestion::Cubic,
            mtu_discovery: true,
            connections_per_address: 4096,
            handshakes: 256,
            handshake_s: 10,
            receiving_bytes: 32 << 20,
        }
    }
}

/// A setting out of range.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("transport.{key} is {value}: {right}")]
pub struct SettingsError {
    /// Which one.
    pub key: &'static str,
    /// What it is.
    pub value: u64,
    /// What would be right.
    pub right: &'static str,
}

impl Transport {
    /// Checks the ranges.
    pub fn check(&self) -> Result<(), SettingsError> {
        const SMALLEST: u64 = 64 << 10;
        let wrong = |key, value, right| Err(SettingsError { key, value, right });
        let stream = u64::from(self.stream_window);
        if !(SMALLEST..=1 << 30).contains(&stream) {
            return wrong("stream_window", stream, "expected 64 KiB to 1 GiB");
        }
        if self.connection_window < self.stream_window {
            let value = u64::from(self.connection_window);
            return wrong(
                "connection_window",
                value,
                "expected at least stream_window",
            );
        }
        if self.send_window < SMALLEST {
            return wrong("send_window", self.send_window, "expected at least 64 KiB");
        }
        if (self.socket_buffer as u64) < SMALLEST {
            let value = self.socket_buffer as u64;
            return wrong("socket_buffer", value, "expected at least 64 KiB");
        }
        if !(1..=60).contains(&self.keep_alive_s) {
            return wrong("keep_alive_s", self.keep_alive_s, "expected 1 to 60");
        }
        if !(2..=600).contains(&self.idle_s) || self.idle_s <= 2 * self.keep_alive_s {
            let right = "expected 2 to 600, more than twice keep_alive_s";
            return wrong("idle_s", self.idle_s, right);
        }
        if !(1..=60).contains(&self.handshake_s) {
            return wrong("handshake_s", self.handshake_s, "expected 1 to 60");
        }
        for (key, value) in [
            ("connections_per_address", self.connections_per_address),
            ("handshakes", self.handshakes),
        ] {
            if value == 0 {
                return wrong(key, 0, "expected at least 1");
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_in_range_and_each_wrong_one_is_named() {
        assert_eq!(Transport::default().check(), Ok(()));
        let wrong = [
            (
                "stream_window",
                Transport {
                    stream_window: 1,
                    ..Transport::default()
                },
            ),
            (
                "connection_window",
                Transport {
                    connection_window: 1 << 20,
                    ..Transport::default()
                },
            ),
            (
                "send_window",
                Transport {
                    send_window: 0,
                    ..Transport::default()
                },
            ),
            (
                "socket_buffer",
                Transport {
                    socket_buffer: 0,
                    ..Transport::default()
                },
            ),
            (
                "keep_alive_s",
                Transport {
                    keep_alive_s: 0,
                    ..Transport::default()
                },
            ),
            (
                "idle_s",
                Transport {
                    idle_s: 10,
                    ..Transport::default()
                },
            ),
            (
                "handshake_s",
                Transport {
                    handshake_s: 0,
                    ..Transport::default()
                },
            ),
            (
                "handshakes",
                Transport {
                    handshakes: 0,
                    ..Transport::default()
                },
            ),
        ];
        for (key, transport) in wrong {
            let error = transport.check().unwrap_err().to_string();
            assert!(error.starts_with(&format!("transport.{key} is")), "{error}");
        }
    }
}
