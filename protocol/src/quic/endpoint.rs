//! Endpoints: sockets with large buffers, keys that outlive a restart, limits on everything.

use super::settings::{Congestion, Transport};
use crate::files::{self, FileError, Readers};
use quinn::{
    ClientConfig, Endpoint, EndpointConfig, IdleTimeout, MtuDiscoveryConfig, ServerConfig,
    TokioRuntime, TransportConfig, VarInt,
    congestion::{BbrConfig, CubicConfig},
};
use quinn_proto::HashedConnectionIdGenerator;
use ring::rand::SecureRandom;
use std::{
    io,
    net::{SocketAddr, UdpSocket},
    path::Path,
    sync::Arc,
    time::Duration,
};

/// Streams that a peer may have open at once: the control stream and transfers.
const STREAMS: u32 = 16;
/// Bytes of a packet between two processes of one host; ten of them are what the system takes at a time.
const LOOPBACK_PACKET: u16 = 6400;
/// Bytes of datagrams before their connection is accepted, per connection.
const INCOMING_BYTES: u64 = 64 << 10;

/// Keys of an endpoint. One that keeps them over a restart can tell peers of its former self that their connection is
/// gone, so they notice in seconds instead of after the idle timeout.
#[derive(Clone)]
pub struct Keys {
    reset: [u8; 64],
    connection_ids: u64,
}

impl Keys {
    /// Bytes of the keys.
    pub const LEN: usize = 72;

    /// The keys in secret bytes, which somebody keeps.
    pub fn new(secret: &[u8; Self::LEN]) -> Self {
        let (mut reset, mut word) = ([0; 64], [0; 8]);
        reset.copy_from_slice(&secret[..64]);
        word.copy_from_slice(&secret[64..]);
        Self {
            reset,
            connection_ids: u64::from_le_bytes(word),
        }
    }

    /// The keys in this file, which is made if it is not there, for its owner alone.
    pub fn keep(path: &Path) -> Result<Self, FileError> {
        if !path.exists() {
            let mut secret = [0; Self::LEN];
            ring::rand::SystemRandom::new()
                .fill(&mut secret)
                .map_err(|_| {
                    FileError::io("draw a key for", path)(io::Error::other("no randomness"))
                })?;
            let hex: String = secret.iter().map(|b| format!("{b:02x}")).collect();
            files::create(path, Readers::Owner, &hex)?;
        }
        let text = files::read_secret(path)?;
        let damaged = || {
            let reason =
                "it does not hold 144 hexadecimal digits; remove it, and a new one is made";
            FileError::io("use", path)(io::Error::other(reason))
        };
        let mut secret = [0; Self::LEN];
        let text = text.trim();
        if text.len() != 2 * Self::LEN || !text.is_ascii() {
            return Err(damaged());
        }
        for (byte, pair) in secret.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
            let pair = std::str::from_utf8(pair).map_err(|_| damaged())?;
            *byte = u8::from_str_radix(pair, 16).map_err(|_| damaged())?;
        }
        Ok(Self::new(&secret))
    }

    fn config(&self) -> EndpointConfig {
        let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, &self.reset);
        let mut config = EndpointConfig::new(Arc::new(key));
        let ids = self.connection_ids;
        config.cid_generator(move || Box::new(HashedConnectionIdGenerator::from_key(ids)));
        config
    }
}

fn transport(settings: &Transport, loopback: bool) -> TransportConfig {
    let mut config = TransportConfig::default();
    let idle = Duration::from_secs(settings.idle_s);
    config
        .max_concurrent_bidi_streams(VarInt::from_u32(STREAMS))
        .max_concurrent_uni_streams(VarInt::from_u32(0))
        .stream_receive_window(VarInt::from_u32(settings.stream_window))
        .receive_window(VarInt::from_u32(settings.connection_window))
        .send_window(settings.send_window)
        .datagram_receive_buffer_size(None)
        .max_idle_timeout(IdleTimeout::try_from(idle).ok());
    match settings.congestion {
        Congestion::Cubic => config.congestion_controller_factory(Arc::new(CubicConfig::default())),
        Congestion::Bbr => config.congestion_controller_factory(Arc::new(BbrConfig::default())),
    };
    let mtu = settings.mtu_discovery.then(MtuDiscoveryConfig::default);
    if loopback {
        // Nothing on the way can be smaller.
        config
            .initial_mtu(LOOPBACK_PACKET)
            .mtu_discovery_config(None);
    } else {
        config.mtu_discovery_config(mtu);
    }
    config
}

/// How a coordinator's connections behave; `loopback` where nodes can be on this host only.
pub fn server_transport(settings: &Transport, loopback: bool) -> TransportConfig {
    transport(settings, loopback)
}

/// How a node's connections behave; nodes keep connections alive, also through address translation.
pub fn client_transport(settings: &Transport, loopback: bool) -> TransportConfig {
    let mut config = transport(settings, loopback);
    config.keep_alive_interval(Some(Duration::from_secs(settings.keep_alive_s)));
    config
}

/// A coordinator's configuration with these settings and limits.
pub fn configure_server(config: &mut ServerConfig, settings: &Transport, loopback: bool) {
    config
        .transport_config(Arc::new(server_transport(settings, loopback)))
        .max_incoming(4 * settings.handshakes)
        .incoming_buffer_size(INCOMING_BYTES)
        .incoming_buffer_size_total(INCOMING_BYTES * settings.handshakes as u64);
}

/// A node's configuration with these settings.
pub fn configure_client(config: &mut ClientConfig, settings: &Transport, loopback: bool) {
    config.transport_config(Arc::new(client_transport(settings, loopback)));
}

/// An endpoint on a real socket, with the buffers that the settings ask for, as far as the system grants them.
pub fn bind(
    address: SocketAddr,
    keys: Option<&Keys>,
    server: Option<ServerConfig>,
    settings: &Transport,
) -> io::Result<Endpoint> {
    let socket = UdpSocket::bind(address)?;
    let buffers = socket2::SockRef::from(&socket);
    // A smaller buffer than asked for only costs speed.
    let _ = buffers.set_recv_buffer_size(settings.socket_buffer);
    let _ = buffers.set_send_buffer_size(settings.socket_buffer);
    tracing::debug!(
        receive = buffers.recv_buffer_size().unwrap_or(0),
        send = buffers.send_buffer_size().unwrap_or(0),
        "socket buffers granted"
    );
    let mut config = keys.map_or_else(EndpointConfig::default, Keys::config);
    if address.ip().is_loopback() {
        config
            .max_udp_payload_size(LOOPBACK_PACKET)
            .map_err(io::Error::other)?;
    }
    Endpoint::new(config, server, socket, Arc::new(TokioRuntime))
}
