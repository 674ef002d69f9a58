//! A network of simulated UDP sockets: who is bound where, what is under way, what was delivered.

use crate::{Direction, Directions, Link, LinkCounts, LinkFaults};
use lyceum_core::{Chain, Fingerprint, Seed, Time};
use std::{
    collections::{BTreeMap, btree_map::Entry},
    io::{Error, ErrorKind, Result},
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::Waker,
};
use tokio::time::Instant;

/// A network that exists in memory only. Clones are the same network.
///
/// Its time is tokio's, so on a paused clock it runs as fast as it can. Timers of tokio are whole milliseconds: a
/// packet is seen up to one later than the link model says, in the order that the model says.
///
/// **Invariant:** on a current-thread runtime with a paused clock, the deliveries depend on the seed and on what the
/// programs at the sockets do; nothing follows a hash order, and packets that arrive together are taken in the order
/// in which they were sent.
#[derive(Clone, Debug)]
pub struct SimNet {
    start: Instant,
    state: Arc<Mutex<State>>,
}

/// A packet as it lies in a receiver's queue.
#[derive(Clone, Debug)]
pub(crate) struct Packet {
    pub(crate) from: SocketAddr,
    pub(crate) ecn: Option<quinn::udp::EcnCodepoint>,
    pub(crate) bytes: Box<[u8]>,
}

/// A socket as the network knows it: an address, and which of those bound there one after another.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Binding {
    pub(crate) addr: SocketAddr,
    number: u64,
}

#[derive(Debug)]
struct State {
    seed: Seed,
    faults: LinkFaults,
    links: BTreeMap<(SocketAddr, SocketAddr), Link>,
    ports: BTreeMap<SocketAddr, Port>,
    bindings: u64,
    packets: u64,
    delivered: u64,
    trace: Chain,
}

/// What waits at an address, by arrival and then by number of the packet.
#[derive(Debug, Default)]
struct Port {
    bound: Option<u64>,
    queue: BTreeMap<(Time, u64), Packet>,
    waker: Option<Waker>,
}

impl SimNet {
    /// An empty network whose links all have these faults. Its time starts now.
    pub fn new(seed: Seed, faults: LinkFaults) -> Self {
        let state = State {
            seed,
            faults,
            links: BTreeMap::new(),
            ports: BTreeMap::new(),
            bindings: 0,
            packets: 0,
            delivered: 0,
            trace: Fingerprint::default().extend(),
        };
        Self {
            start: Instant::now(),
            state: Arc::new(Mutex::new(state)),
        }
    }

    /// Gives the link between two addresses faults of its own.
    pub fn set_faults(&self, a: SocketAddr, b: SocketAddr, faults: LinkFaults) {
        self.state().link(a, b).0.set_faults(faults);
    }

    /// Stops (or lets pass again) what is sent between two addresses from now on, as seen from `a`.
    pub fn partition(&self, a: SocketAddr, b: SocketAddr, directions: Directions, on: bool) {
        let mut state = self.state();
        let (link, direction) = state.link(a, b);
        match direction {
            Direction::AToB => link.cut(directions, on),
            Direction::BToA => link.cut(directions.reverse(), on),
        }
    }

    /// The process at an address dies without a word. What has arrived and was not read is lost, what arrives before
    /// somebody binds the address again vanishes, and the old socket neither sends nor receives from now on.
    pub fn crash(&self, addr: SocketAddr) {
        let now = self.now();
        if let Some(port) = self.state().ports.get_mut(&addr) {
            port.leave(now);
        }
    }

    /// How many packets were delivered, and a fingerprint over (microsecond, from, to, length) of each. Contents stay
    /// out of it: they depend on the keys of the connections, which are random.
    pub fn trace(&self) -> (u64, Fingerprint) {
        let state = self.state();
        (state.delivered, state.trace.link())
    }

    /// What became of the packets sent from one address to another.
    pub fn counts(&self, from: SocketAddr, to: SocketAddr) -> LinkCounts {
        let mut state = self.state();
        let (link, direction) = state.link(from, to);
        link.counts(direction)
    }

    /// What became of all packets.
    pub fn totals(&self) -> LinkCounts {
        let mut totals = LinkCounts::default();
        for link in self.state().links.values() {
            totals += link.counts(Direction::AToB);
            totals += link.counts(Direction::BToA);
        }
        totals
    }

    /// Time since the network was made.
    pub fn now(&self) -> Time {
        Time(u64::try_from(self.start.elapsed().as_micros()).unwrap_or(u64::MAX))
    }

    pub(crate) fn instant(&self, time: Time) -> Instant {
        self.start + std::time::Duration::from_micros(time.0)
    }

    pub(crate) fn bind(&self, addr: SocketAddr) -> Result<Binding> {
        let now = self.now();
        let mut state = self.state();
        state.bindings += 1;
        let number = state.bindings;
        let port = state.ports.entry(addr).or_default();
        if port.bound.is_some() {
            return Err(Error::new(ErrorKind::AddrInUse, addr.to_string()));
        }
        port.forget_arrived(now);
        port.bound = Some(number);
        Ok(Binding { addr, number })
    }

    /// Frees the address, unless the socket has crashed before.
    pub(crate) fn unbind(&self, binding: Binding) {
        let now = self.now();
        if let Some(port) = self.state().port(binding) {
            port.leave(now);
        }
    }

    /// Sends a packet; one from a crashed socket vanishes.
    pub(crate) fn send(&self, binding: Binding, to: SocketAddr, packet: Packet) {
        let now = self.now();
        let mut state = self.state();
        if state.port(binding).is_none() {
            return;
        }
        let (link, direction) = state.link(packet.from, to);
        let arrivals = link.send(now, direction, packet.bytes.len());
        for at in arrivals {
            state.packets += 1;
            let key = (at, state.packets);
            let port = state.ports.entry(to).or_default();
            port.put(now, key, packet.clone());
        }
    }

    /// Hands over the next packet that has arrived. If there is none, remembers whom to wake and says when the next
    /// arrives.
    pub(crate) fn receive(
        &self,
        binding: Binding,
        waker: &Waker,
    ) -> std::result::Result<Packet, Option<Time>> {
        let now = self.now();
        let mut state = self.state();
        let Some(port) = state.port(binding) else {
            return Err(None);
        };
        match port.queue.first_entry() {
            Some(first) if first.key().0 <= now => {
                let packet = first.remove();
                state.note(now, binding.addr, &packet);
                Ok(packet)
            }
            first => {
                let next = first.map(|first| first.key().0);
                port.waker = Some(waker.clone());
                Err(next)
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// The link between two addresses, and which way along it leads from the first to the second.
    fn link(&mut self, from: SocketAddr, to: SocketAddr) -> (&mut Link, Direction) {
        let (ends, direction) = match from <= to {
            true => ((from, to), Direction::AToB),
            false => ((to, from), Direction::BToA),
        };
        let link = match self.links.entry(ends) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(new) => {
                new.insert(Link::new(self.seed, label(ends), self.faults.clone()))
            }
        };
        (link, direction)
    }

    fn port(&mut self, binding: Binding) -> Option<&mut Port> {
        let port = self.ports.get_mut(&binding.addr)?;
        (port.bound == Some(binding.number)).then_some(port)
    }

    fn note(&mut self, now: Time, to: SocketAddr, packet: &Packet) {
        self.delivered += 1;
        self.trace.number(now.0);
        add_address(&mut self.trace, packet.from);
        add_address(&mut self.trace, to);
        self.trace.number(packet.bytes.len() as u64);
    }
}

impl Port {
    fn put(&mut self, now: Time, key: (Time, u64), packet: Packet) {
        if self.bound.is_none() {
            self.forget_arrived(now);
        }
        self.queue.insert(key, packet);
        let is_next = self.queue.first_key_value().map(|(first, _)| *first) == Some(key);
        if is_next && let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    fn leave(&mut self, now: Time) {
        self.bound = None;
        self.waker = None;
        self.forget_arrived(now);
    }

    fn forget_arrived(&mut self, now: Time) {
        self.queue = self.queue.split_off(&(Time(now.0 + 1), 0));
    }
}

/// A link's label comes from its ends, so that it does not matter which link carries a packet first.
fn label(ends: (SocketAddr, SocketAddr)) -> u64 {
    let mut chain = Fingerprint::default().extend();
    add_address(&mut chain, ends.0);
    add_address(&mut chain, ends.1);
    let mut word = [0; 8];
    word.copy_from_slice(&chain.link().bytes()[..8]);
    u64::from_le_bytes(word) >> 1
}

fn add_address(chain: &mut Chain, addr: SocketAddr) {
    let ip = match addr.ip() {
        IpAddr::V4(ip) => ip.to_ipv6_mapped(),
        IpAddr::V6(ip) => ip,
    };
    chain.add(&ip.octets()).number(u64::from(addr.port()));
}
