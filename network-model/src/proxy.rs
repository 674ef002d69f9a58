//! A user-space proxy that makes the network between real sockets worse.
//!
//! Every client address has a socket of its own toward the server and a [`Link`] of its own: a rate is per client and
//! direction. A is the client's end, B the server's. Time is the wall clock since the proxy began, in whole
//! milliseconds of tokio's timers, so packets may be up to one millisecond late. Congestion marks (ECN) get lost.

use crate::{Direction, Directions, Link, LinkCounts, LinkFaults};
use lyceum_core::{Seed, Time};
use socket2::SockRef;
use std::{
    collections::BTreeMap,
    io,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};
use tokio::{
    net::UdpSocket,
    sync::mpsc,
    task::JoinHandle,
    time::{Instant, sleep_until},
};

/// Most client addresses at a time; packets of others are refused.
pub const MAX_CLIENTS: usize = 1024;
/// A client address silent for so long makes room for another one, if there is none left.
const IDLE: Duration = Duration::from_secs(60);
/// Most packets under way; packets beyond are refused.
const MAX_PACKETS: usize = 65_536;
/// Most answers of the server read and not yet looked at.
const ANSWERS: usize = 4096;
/// Longest payload of a UDP packet, in bytes.
const LONGEST: usize = 65_535;

/// What became of everything the proxy was sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ProxyCounts {
    /// Client addresses seen.
    pub clients: u64,
    /// Packets from clients.
    pub up: LinkCounts,
    /// Packets from the server.
    pub down: LinkCounts,
    /// Packets refused because there were too many clients, no socket for one more, or too many packets under way.
    pub refused: u64,
    /// Packets that this machine's sockets did not take.
    pub unsent: u64,
}

/// The proxy. One task owns it; [`Proxy::step`] does the next thing there is to do.
#[derive(Debug)]
pub struct Proxy {
    listen: Arc<UdpSocket>,
    to: SocketAddr,
    seed: Seed,
    faults: LinkFaults,
    start: Instant,
    cut: bool,
    clients: BTreeMap<SocketAddr, Client>,
    under_way: BTreeMap<(Time, u64), Packet>,
    packets: u64,
    counts: ProxyCounts,
    answers: (mpsc::Sender<Answer>, mpsc::Receiver<Answer>),
    buffer: Box<[u8]>,
}

/// One client address.
#[derive(Debug)]
struct Client {
    link: Link,
    socket: Arc<UdpSocket>,
    reader: JoinHandle<()>,
    last_heard: Instant,
}

/// A packet under way, with the socket that sends it and where to.
#[derive(Debug)]
struct Packet {
    socket: Arc<UdpSocket>,
    to: SocketAddr,
    bytes: Arc<[u8]>,
}

/// A packet of the server for a client.
#[derive(Debug)]
struct Answer {
    client: SocketAddr,
    bytes: Arc<[u8]>,
}

/// What comes next.
enum Next {
    FromClient(io::Result<(usize, SocketAddr)>),
    FromServer(Answer),
    Due,
}

impl Proxy {
    /// A proxy that listens for clients and stands before a server.
    ///
    /// # Errors
    ///
    /// Those of binding the address.
    pub async fn bind(
        listen: SocketAddr,
        to: SocketAddr,
        seed: Seed,
        faults: LinkFaults,
    ) -> io::Result<Self> {
        Ok(Self {
            listen: Arc::new(UdpSocket::bind(listen).await?),
            to,
            seed,
            faults,
            start: Instant::now(),
            cut: false,
            clients: BTreeMap::new(),
            under_way: BTreeMap::new(),
            packets: 0,
            counts: ProxyCounts::default(),
            answers: mpsc::channel(ANSWERS),
            buffer: vec![0; LONGEST].into(),
        })
    }

    /// Where it listens.
    ///
    /// # Errors
    ///
    /// Those of the socket.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listen.local_addr()
    }

    /// Stops everything in both directions, or lets it pass again.
    pub fn cut(&mut self, on: bool) {
        self.cut = on;
        for client in self.clients.values_mut() {
            client.link.cut(Directions::Both, on);
        }
    }

    /// What became of everything so far.
    pub fn counts(&self) -> ProxyCounts {
        let mut counts = self.counts;
        for client in self.clients.values() {
            counts.add(&client.link);
        }
        counts
    }

    /// Waits for one packet to come in or to be due, and deals with it. Loses nothing when dropped half way.
    ///
    /// # Errors
    ///
    /// Those of the listening socket. A socket that cannot be opened or cannot send just loses the packet.
    pub async fn step(&mut self) -> io::Result<()> {
        match self.next().await {
            Next::FromClient(received) => {
                let (len, client) = received?;
                self.take_request(len, client);
            }
            Next::FromServer(answer) => self.take_answer(answer),
            Next::Due => {}
        }
        self.send_due();
        Ok(())
    }

    async fn next(&mut self) -> Next {
        let due = self.under_way.first_key_value().map(|(key, _)| key.0);
        let at = self.start + Duration::from_micros(due.map_or(0, |due| due.0));
        // Not biased: a flood from one side must not keep the other from being heard.
        tokio::select! {
            () = sleep_until(at), if due.is_some() => Next::Due,
            Some(answer) = self.answers.1.recv() => Next::FromServer(answer),
            received = self.listen.recv_from(&mut self.buffer) => Next::FromClient(received),
        }
    }

    fn take_request(&mut self, len: usize, addr: SocketAddr) {
        let bytes = Arc::from(&self.buffer[..len]);
        if self.clients.contains_key(&addr) || self.admit(addr) {
            self.carry(addr, Direction::AToB, bytes);
        } else {
            self.counts.refused += 1;
        }
    }

    /// Whether there is room, and a socket, for one more client.
    fn admit(&mut self, addr: SocketAddr) -> bool {
        if !self.has_room() {
            return false;
        }
        let Ok(client) = self.open(addr) else {
            return false;
        };
        self.clients.insert(addr, client);
        true
    }

    fn take_answer(&mut self, answer: Answer) {
        self.carry(answer.client, Direction::BToA, answer.bytes);
    }

    fn carry(&mut self, addr: SocketAddr, direction: Direction, bytes: Arc<[u8]>) {
        let now = self.now();
        let Some(client) = self.clients.get_mut(&addr) else {
            return;
        };
        client.last_heard = Instant::now();
        let (socket, to) = match direction {
            Direction::AToB => (&client.socket, self.to),
            Direction::BToA => (&self.listen, addr),
        };
        for at in client.link.send(now, direction, bytes.len()) {
            if self.under_way.len() >= MAX_PACKETS {
                self.counts.refused += 1;
                continue;
            }
            self.packets += 1;
            let (socket, bytes) = (socket.clone(), bytes.clone());
            let packet = Packet { socket, to, bytes };
            self.under_way.insert((at, self.packets), packet);
        }
    }

    fn send_due(&mut self) {
        let now = self.now();
        while let Some(first) = self.under_way.first_entry()
            && first.key().0 <= now
        {
            let Packet { socket, to, bytes } = first.remove();
            // Not by tokio, which takes a new socket for one that cannot send yet.
            if SockRef::from(&*socket).send_to(&bytes, &to.into()).is_err() {
                self.counts.unsent += 1;
            }
        }
    }

    /// Whether one more client may come, after the silent ones have gone if need be.
    fn has_room(&mut self) -> bool {
        if self.clients.len() < MAX_CLIENTS {
            return true;
        }
        let counts = &mut self.counts;
        self.clients.retain(|_, client| {
            let stays = client.last_heard.elapsed() < IDLE;
            if !stays {
                counts.add(&client.link);
            }
            stays
        });
        self.clients.len() < MAX_CLIENTS
    }

    fn open(&mut self, addr: SocketAddr) -> io::Result<Client> {
        let any: SocketAddr = match self.to {
            SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
            SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
        };
        let socket = std::net::UdpSocket::bind(any)?;
        socket.set_nonblocking(true)?;
        let socket = Arc::new(UdpSocket::from_std(socket)?);
        let mut link = Link::new(self.seed, self.counts.clients, self.faults.clone());
        link.cut(Directions::Both, self.cut);
        self.counts.clients += 1;
        let reading = read(socket.clone(), self.to, addr, self.answers.0.clone());
        Ok(Client {
            link,
            socket,
            reader: tokio::spawn(reading),
            last_heard: Instant::now(),
        })
    }

    fn now(&self) -> Time {
        Time(u64::try_from(self.start.elapsed().as_micros()).unwrap_or(u64::MAX))
    }
}

impl ProxyCounts {
    fn add(&mut self, link: &Link) {
        self.up += link.counts(Direction::AToB);
        self.down += link.counts(Direction::BToA);
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

/// Reads what the server, and nobody else, sends to a client.
async fn read(
    socket: Arc<UdpSocket>,
    server: SocketAddr,
    client: SocketAddr,
    answers: mpsc::Sender<Answer>,
) {
    let mut buffer = vec![0; LONGEST];
    while let Ok((len, from)) = socket.recv_from(&mut buffer).await {
        if from != server {
            continue;
        }
        let bytes = Arc::from(&buffer[..len]);
        if answers.send(Answer { client, bytes }).await.is_err() {
            return;
        }
    }
}
