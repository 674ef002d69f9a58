//! Real QUIC over the simulated network. Everything that knows quinn's socket traits stands here, because quinn 0.12
//! changes them.

use crate::{
    SimNet,
    net::{Binding, Packet},
};
use lyceum_core::{Purpose, Seed, Stream, Ticket};
use quinn::{
    AsyncUdpSocket, ConnectionId, ConnectionIdGenerator, Endpoint, EndpointConfig, ServerConfig,
    TokioRuntime, TransportConfig, UdpPoller,
    udp::{RecvMeta, Transmit},
};
use rand::{Rng, RngExt};
use std::{
    io::{IoSliceMut, Result},
    net::SocketAddr,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll, ready},
    time::Duration,
};
use tokio::time::{Sleep, sleep_until};

/// Length of the connection ids, in bytes.
const CONNECTION_ID_BYTES: usize = 8;

impl SimNet {
    /// A socket at an address that nobody has bound, or whose socket was dropped or has crashed.
    ///
    /// # Errors
    ///
    /// `AddrInUse`.
    pub fn socket(&self, addr: SocketAddr) -> Result<Arc<dyn AsyncUdpSocket>> {
        Ok(Arc::new(SimSocket {
            binding: self.bind(addr)?,
            net: self.clone(),
            timer: Mutex::new(None),
        }))
    }

    /// A QUIC endpoint at an address. Call it within a tokio runtime.
    ///
    /// # Errors
    ///
    /// `AddrInUse`.
    pub fn endpoint(
        &self,
        addr: SocketAddr,
        config: EndpointConfig,
        server: Option<ServerConfig>,
    ) -> Result<Endpoint> {
        let socket = self.socket(addr)?;
        Endpoint::new_with_abstract_socket(config, server, socket, Arc::new(TokioRuntime))
    }
}

/// Settings of an endpoint that draws its randomness from a seed: connection ids, padding, and the key of stateless
/// resets.
///
/// Endpoints differ by label, and so must one that is started again after a crash, or it would give out the old
/// connection ids. The reset key depends on the seed only: peers of the crashed one learn soon that it is gone.
pub fn endpoint_config(seed: Seed, label: u64) -> EndpointConfig {
    let stream = move |name| seed.stream(Purpose::named(name), Ticket(label), None);
    let key: [u8; 64] = seed.once(Purpose::named("lyceum.reset-key")).random();
    let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, &key);
    let mut config = EndpointConfig::new(Arc::new(key));
    config.rng_seed(Some(stream("lyceum.endpoint").random()));
    config.cid_generator(move || Box::new(SeededIds(stream("lyceum.connection-id"))));
    config
}

/// Turns off what makes several packets into one or tries how long a packet may be. The simulated socket refuses both
/// by itself; a connection that goes through the proxy as well may want it for comparison.
pub fn plain_packets(transport: &mut TransportConfig) -> &mut TransportConfig {
    transport
        .mtu_discovery_config(None)
        .enable_segmentation_offload(false)
}

/// Connection ids from a stream. Those of quinn come from the thread's generator.
struct SeededIds(Stream);

impl ConnectionIdGenerator for SeededIds {
    fn generate_cid(&mut self) -> ConnectionId {
        let mut bytes = [0; CONNECTION_ID_BYTES];
        self.0.fill_bytes(&mut bytes);
        ConnectionId::new(&bytes)
    }

    fn cid_len(&self) -> usize {
        CONNECTION_ID_BYTES
    }

    fn cid_lifetime(&self) -> Option<Duration> {
        None
    }
}

/// A socket of the simulated network. One packet per system call in both directions, as without offload.
#[derive(Debug)]
struct SimSocket {
    net: SimNet,
    binding: Binding,
    /// Set for the next arrival; made when first needed, within the runtime.
    timer: Mutex<Option<Pin<Box<Sleep>>>>,
}

impl Drop for SimSocket {
    fn drop(&mut self) {
        self.net.unbind(self.binding);
    }
}

impl AsyncUdpSocket for SimSocket {
    fn create_io_poller(self: Arc<Self>) -> Pin<Box<dyn UdpPoller>> {
        Box::pin(AlwaysWritable)
    }

    fn try_send(&self, transmit: &Transmit<'_>) -> Result<()> {
        let packet = Packet {
            from: self.binding.addr,
            ecn: transmit.ecn,
            bytes: transmit.contents.into(),
        };
        self.net.send(self.binding, transmit.destination, packet);
        Ok(())
    }

    fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<Result<usize>> {
        let mut taken = 0;
        for (buf, meta) in bufs.iter_mut().zip(meta) {
            match self.poll_packet(cx) {
                Poll::Ready(packet) => *meta = self.fill(buf, &packet),
                Poll::Pending if taken == 0 => return Poll::Pending,
                Poll::Pending => break,
            }
            taken += 1;
        }
        Poll::Ready(Ok(taken))
    }

    fn local_addr(&self) -> Result<SocketAddr> {
        Ok(self.binding.addr)
    }
}

impl SimSocket {
    fn poll_packet(&self, cx: &mut Context<'_>) -> Poll<Packet> {
        loop {
            match self.net.receive(self.binding, cx.waker()) {
                Ok(packet) => return Poll::Ready(packet),
                Err(None) => return Poll::Pending,
                Err(Some(next)) => ready!(self.poll_timer(self.net.instant(next), cx)),
            }
        }
    }

    fn poll_timer(&self, deadline: tokio::time::Instant, cx: &mut Context<'_>) -> Poll<()> {
        let mut timer = self.timer.lock().unwrap_or_else(PoisonError::into_inner);
        let timer = timer.get_or_insert_with(|| Box::pin(sleep_until(deadline)));
        if timer.deadline() != deadline {
            timer.as_mut().reset(deadline);
        }
        timer.as_mut().poll(cx)
    }

    /// What does not fit into the buffer is cut off, as a kernel does.
    fn fill(&self, buf: &mut IoSliceMut<'_>, packet: &Packet) -> RecvMeta {
        let len = packet.bytes.len().min(buf.len());
        buf[..len].copy_from_slice(&packet.bytes[..len]);
        RecvMeta {
            addr: packet.from,
            len,
            stride: len,
            ecn: packet.ecn,
            dst_ip: Some(self.binding.addr.ip()),
        }
    }
}

#[derive(Debug)]
struct AlwaysWritable;

impl UdpPoller for AlwaysWritable {
    fn poll_writable(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<()>> {
        Poll::Ready(Ok(()))
    }
}
