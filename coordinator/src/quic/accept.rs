//! Who may connect: handshakes within limits, certificates of our authority, nobody who was revoked or whose
//! certificate has run out.

use super::{
    connection::{Shared, converse, end},
    hub::Input,
    outlet::Outlet,
};
use crate::dispatch::{Peer, Speaker, Standing};
use lyceum_protocol::identity::{self, PROBE, Revocations, Role, peer_of};
use lyceum_protocol::quic::{Sides, refusal};
use quinn::{Connection, Endpoint, Incoming, crypto::rustls::HandshakeData};
use std::{
    any::Any,
    collections::BTreeMap,
    net::IpAddr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, SystemTime},
};
use tokio::{
    sync::Semaphore,
    time::{interval, timeout},
};

/// How often the list of revocations is read again.
const REVOCATIONS_EVERY: Duration = Duration::from_secs(1);

/// Whether whoever begins a handshake wants nothing else.
fn is_of_probe(hello: Box<dyn Any>) -> bool {
    let hello = hello.downcast::<HandshakeData>();
    hello.is_ok_and(|hello| hello.protocol.as_deref() == Some(PROBE))
}

/// Connections that are there.
pub(super) struct Door {
    shared: Arc<Shared>,
    revocations: Arc<Revocations>,
    handshakes: Arc<Semaphore>,
    next_peer: AtomicU64,
    live: Mutex<Live>,
}

#[derive(Default)]
struct Live {
    addresses: BTreeMap<IpAddr, usize>,
    connections: BTreeMap<Peer, (Connection, identity::Peer)>,
}

impl Door {
    pub(super) fn new(shared: Arc<Shared>, revocations: Arc<Revocations>) -> Arc<Self> {
        Arc::new(Self {
            handshakes: Arc::new(Semaphore::new(shared.transport.handshakes)),
            shared,
            revocations,
            next_peer: AtomicU64::new(1),
            live: Mutex::default(),
        })
    }

    fn live(&self) -> MutexGuard<'_, Live> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether nobody is there.
    pub(super) fn is_empty(&self) -> bool {
        self.live().connections.is_empty()
    }

    /// Lets nodes in until the endpoint is closed.
    pub(super) async fn attend(self: Arc<Self>, endpoint: Endpoint) {
        let mut look = interval(REVOCATIONS_EVERY);
        loop {
            tokio::select! {
                biased;
                // However many knock, who was revoked goes.
                _ = look.tick() => self.shut_out(),
                incoming = endpoint.accept() => match incoming {
                    Some(incoming) => self.clone().receive(incoming),
                    None => return,
                },
            }
        }
    }

    /// Ends connections whose certificate was revoked or has run out.
    fn shut_out(&self) {
        if let Err(error) = self.revocations.reload() {
            tracing::error!(%error, "the list of revocations cannot be read; the old one stays in force");
        }
        let now = SystemTime::now();
        for (number, (connection, peer)) in &self.live().connections {
            let revoked = self.revocations.refuses(peer);
            let reason = match revoked {
                Some(entry) => format!("the certificate is revoked ({entry})"),
                None if peer.expires <= now => "the certificate has run out".to_string(),
                None => continue,
            };
            tracing::warn!(node = %peer.identity, %reason, "connection ended");
            // First of all, or the node would hear from the hub that it is lost, and not why.
            end(connection, &reason);
            let node = peer.identity.name.as_str().into();
            // Where the hub is too busy to hear it, the lease of the node runs out.
            let _ = self.shared.hub.try_send(Input::Banished(*number, node));
        }
    }

    fn receive(self: Arc<Self>, incoming: Incoming) {
        let address = incoming.remote_address().ip();
        let here = self.live().addresses.get(&address).copied().unwrap_or(0);
        if here >= self.shared.transport.connections_per_address {
            tracing::warn!(%address, "connection refused: too many from this address");
            return incoming.refuse();
        }
        let Ok(permit) = self.handshakes.clone().try_acquire_owned() else {
            // Under pressure, an address has to be proven first; then there is room, or there is none.
            if let Err(unproven) = incoming.retry() {
                unproven.into_incoming().refuse();
            }
            return;
        };
        *self.live().addresses.entry(address).or_default() += 1;
        tokio::spawn(async move {
            let patience = Duration::from_secs(self.shared.transport.handshake_s);
            let mut probe = false;
            let handshake = async {
                let mut connecting = incoming.accept()?;
                let hello = connecting.handshake_data().await?;
                probe = is_of_probe(hello);
                connecting.await
            };
            match timeout(patience, handshake).await {
                // It has what it wanted, and may come every few seconds.
                Ok(Ok(connection)) if probe => end(&connection, "a probe is no node"),
                Ok(Err(error)) if probe => tracing::debug!(%address, %error, "a probe"),
                Ok(Ok(connection)) => {
                    drop(permit);
                    self.admit(connection).await;
                }
                Ok(Err(error)) => {
                    let reason = refusal(&error, Sides::COORDINATOR);
                    tracing::warn!(%address, reason, "handshake refused");
                }
                Err(_) => tracing::warn!(%address, "handshake took too long"),
            }
            self.leave(address);
        });
    }

    fn leave(&self, address: IpAddr) {
        let mut live = self.live();
        if let Some(count) = live.addresses.get_mut(&address) {
            *count -= 1;
            if *count == 0 {
                live.addresses.remove(&address);
            }
        }
    }

    async fn admit(&self, connection: Connection) {
        let identity = match self.identify(&connection) {
            Ok(identity) => identity,
            Err(reason) => {
                let address = connection.remote_address();
                tracing::warn!(%address, %reason, "node refused");
                return end(&connection, &reason);
            }
        };
        let standing = match identity.identity.role {
            Role::Client => Standing::Client,
            Role::Simulate | Role::Coordinator => Standing::Simulate,
        };
        let peer = Peer(self.next_peer.fetch_add(1, Ordering::Relaxed));
        let speaker = Speaker {
            peer,
            name: identity.identity.name.as_str().into(),
            standing,
        };
        let (outlet, outbox) = Outlet::new();
        self.live()
            .connections
            .insert(peer, (connection.clone(), identity));
        let connected = Input::Connected(speaker.clone(), outlet);
        if self.shared.hub.send(connected).await.is_ok() {
            converse(connection, speaker, outbox, self.shared.clone()).await;
        }
        self.live().connections.remove(&peer);
    }

    fn identify(&self, connection: &Connection) -> Result<identity::Peer, String> {
        let peer = peer_of(connection).map_err(|e| e.to_string())?;
        if peer.identity.role == Role::Coordinator {
            return Err("a coordinator's certificate is no node's".into());
        }
        match self.revocations.refuses(&peer) {
            Some(entry) => Err(format!("the certificate is revoked ({entry})")),
            // The handshake counts whole seconds.
            None if peer.expires <= SystemTime::now() => Err("the certificate has run out".into()),
            None => Ok(peer),
        }
    }
}
