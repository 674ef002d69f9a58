//! One node's connection: its control stream, the transfers that it asks for, the results that are fetched from it.

use super::{catalogue::Catalogue, hub::Input, metering::Meters};
use crate::dispatch::Speaker;
use lyceum_core::{Lane, Ticket};
use lyceum_protocol::{
    blob::{Arriving, BlobRef},
    body,
    message::ToCoordinator,
    quic::{Transport, fetch, read_frame, serve},
    wire::{FROM_NODE, ResultWire, ToCoordinatorWire},
};
use quinn::{Connection, RecvStream, SendStream, VarInt};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::{
    sync::{Semaphore, mpsc},
    time::timeout,
};

/// Frames that wait for a node that does not read, before it is given up.
pub(super) const WAITING_FRAMES: usize = 4096;
/// How long a node that was sent away has to read why.
const FAREWELL: Duration = Duration::from_secs(3);
/// Results of one node that are fetched at a time.
const FETCHES: usize = 4;

/// What is said to a node.
pub(super) enum Out {
    /// A frame.
    Frame(Vec<u8>),
    /// Nothing more, for this reason.
    End(String),
}

/// The lanes and the length of the run's sums.
#[derive(Clone, Debug)]
pub(super) struct Shape {
    pub(super) lanes: Vec<Lane>,
    pub(super) len: usize,
}

/// What all connections share.
pub(super) struct Shared {
    pub(super) catalogue: Catalogue,
    pub(super) shape: Shape,
    pub(super) transport: Transport,
    /// One permit per KiB of results on their way in.
    pub(super) receiving: Arc<Semaphore>,
    pub(super) hub: mpsc::Sender<Input>,
    pub(super) meters: Meters,
}

/// The receiving side of what the hub says to one node.
pub(super) type Outbox = mpsc::Receiver<Out>;

/// Talks to a node until one of the two sides ends it.
pub(super) async fn converse(
    connection: Connection,
    from: Speaker,
    outbox: Outbox,
    shared: Arc<Shared>,
) {
    let peer = from.peer;
    let patience = Duration::from_secs(shared.transport.handshake_s);
    match timeout(patience, connection.accept_bi()).await {
        Ok(Ok((send, recv))) => {
            // Control goes before transfers.
            let _ = send.set_priority(1);
            let talk = Talk {
                connection: connection.clone(),
                from,
                shared: shared.clone(),
                partial: Arc::default(),
                fetches: Arc::new(Semaphore::new(FETCHES)),
            };
            tokio::select! {
                biased;
                () = write(&connection, send, outbox) => {}
                reason = talk.read(recv) => end(&connection, &reason),
                () = talk.serve_transfers() => {}
            }
        }
        Ok(Err(_)) => {}
        Err(_) => end(&connection, "no control stream was opened in time"),
    }
    let reason = connection
        .close_reason()
        .map_or_else(|| "closed".into(), |e| e.to_string());
    shared.meters.forget(peer);
    // A hub that is gone needs no word.
    let _ = shared.hub.send(Input::Gone(peer, reason)).await;
}

pub(super) fn end(connection: &Connection, reason: &str) {
    connection.close(VarInt::from_u32(1), reason.as_bytes());
}

async fn write(connection: &Connection, mut send: SendStream, mut outbox: Outbox) {
    while let Some(out) = outbox.recv().await {
        match out {
            Out::Frame(frame) => {
                if send.write_all(&frame).await.is_err() {
                    return;
                }
            }
            Out::End(reason) => {
                let _ = send.finish();
                let _ = timeout(FAREWELL, send.stopped()).await;
                return end(connection, &reason);
            }
        }
    }
    let _ = send.finish();
    let _ = timeout(FAREWELL, send.stopped()).await;
}

#[derive(Clone)]
struct Talk {
    connection: Connection,
    from: Speaker,
    shared: Arc<Shared>,
    /// Results that are being fetched or were fetched, by name; `None` once they are here.
    partial: Arc<Mutex<BTreeMap<(Ticket, BlobRef), Fetching>>>,
    fetches: Arc<Semaphore>,
}

/// How far the fetching of a result is.
enum Fetching {
    /// A task is at it.
    Busy,
    /// It broke off here.
    Broken(Box<Arriving>),
    /// It was handed on.
    Done,
}

impl Talk {
    /// Hears the node until it stops; says why it stopped.
    async fn read(&self, mut recv: RecvStream) -> String {
        loop {
            match read_frame::<ToCoordinatorWire, FROM_NODE>(&mut recv).await {
                Ok(Some(message)) => {
                    if self.hear(message).await.is_err() {
                        return "the run is over".into();
                    }
                }
                Ok(None) => return "the node ended its control stream".into(),
                Err(error) => {
                    tracing::warn!(node = %self.from.name, %error, "what the node sent is refused");
                    return error.to_string();
                }
            }
        }
    }

    async fn hear(&self, message: ToCoordinatorWire) -> Result<(), ()> {
        let message = match message {
            ToCoordinatorWire::Hello(hello) => ToCoordinator::Hello(hello),
            ToCoordinatorWire::Ready(ready) => ToCoordinator::Ready(ready),
            ToCoordinatorWire::Report(report) => ToCoordinator::Report(report),
            ToCoordinatorWire::Goodbye { session } => ToCoordinator::Goodbye { session },
            ToCoordinatorWire::Offer {
                session,
                ticket,
                units,
                result,
            } => {
                let offer = Offer {
                    session,
                    ticket,
                    units,
                };
                match result {
                    ResultWire::Here(bytes) => return self.take(offer, &bytes).await,
                    ResultWire::Fetch(name) => self.begin_fetch(offer, name),
                }
                return Ok(());
            }
        };
        self.tell(message).await
    }

    async fn tell(&self, message: ToCoordinator) -> Result<(), ()> {
        let input = Input::Heard(self.from.clone(), message);
        self.shared.hub.send(input).await.map_err(|_| ())
    }

    async fn take(&self, offer: Offer, bytes: &[u8]) -> Result<(), ()> {
        let Shape { lanes, len } = &self.shared.shape;
        match body::decode(bytes, offer.ticket, offer.units, lanes, *len) {
            Ok(upload) => {
                let session = offer.session;
                self.tell(ToCoordinator::Offer { session, upload }).await
            }
            Err(error) => {
                tracing::warn!(node = %self.from.name, %error, "the node's result is refused");
                end(&self.connection, &format!("a result is refused: {error}"));
                Ok(())
            }
        }
    }

    /// Fetches a result in a task of its own, unless one is at it or it was fetched before.
    fn begin_fetch(&self, offer: Offer, name: BlobRef) {
        let most = self
            .shared
            .transport
            .receiving_bytes
            .max(64 * self.shared.shape.len as u64 + (64 << 20));
        let mut partial = self.partial.lock().unwrap_or_else(PoisonError::into_inner);
        let arriving = match partial.insert((offer.ticket, name), Fetching::Busy) {
            None => Arriving::new(name, most),
            Some(Fetching::Broken(arriving)) => Ok(*arriving),
            Some(Fetching::Busy) => return,
            Some(Fetching::Done) => {
                partial.insert((offer.ticket, name), Fetching::Done);
                return;
            }
        };
        // Results of earlier rounds are not asked for again.
        if partial.len() > 256 {
            partial.retain(|_, fetching| !matches!(fetching, Fetching::Done));
        }
        drop(partial);
        match arriving {
            Ok(arriving) => drop(tokio::spawn(self.clone().fetch(offer, arriving))),
            Err(error) => end(&self.connection, &error.to_string()),
        }
    }

    async fn fetch(self, offer: Offer, mut arriving: Arriving) {
        let (name, ticket) = (arriving.name(), offer.ticket);
        let kib = name.len().div_ceil(1024).max(1);
        let most = self.shared.transport.receiving_bytes.div_ceil(1024).max(1);
        // The semaphores are never closed.
        let (Ok(_mine), Ok(_all)) = (
            self.fetches.acquire().await,
            self.shared
                .receiving
                .acquire_many(kib.min(most) as u32)
                .await,
        ) else {
            return;
        };
        let began = tokio::time::Instant::now();
        let result = fetch(&self.connection, &mut arriving).await;
        match (result, arriving.finish()) {
            (Ok(()), Ok(bytes)) => {
                self.note((ticket, name), Fetching::Done);
                self.shared
                    .meters
                    .uploaded(self.from.peer, name.len(), began.elapsed());
                // A hub that is gone needs no word.
                let _ = self.take(offer, &bytes).await;
            }
            (result, Err(arriving)) => {
                tracing::debug!(node = %self.from.name, ?result, "a result did not arrive");
                // It goes on with the node's next offer, which is repeated with every heartbeat.
                self.note((ticket, name), Fetching::Broken(Box::new(arriving)));
            }
            (Err(_), Ok(_)) => self.note((ticket, name), Fetching::Done),
        }
    }

    fn note(&self, result: (Ticket, BlobRef), state: Fetching) {
        let mut partial = self.partial.lock().unwrap_or_else(PoisonError::into_inner);
        partial.insert(result, state);
    }

    /// Answers what the node asks for, each on a stream of its own.
    async fn serve_transfers(&self) {
        while let Ok((mut send, mut recv)) = self.connection.accept_bi().await {
            let talk = self.clone();
            tokio::spawn(async move {
                let began = tokio::time::Instant::now();
                match serve(&talk.shared.catalogue, &mut send, &mut recv).await {
                    Ok(bytes) => {
                        talk.shared
                            .meters
                            .downloaded(talk.from.peer, bytes, began.elapsed())
                    }
                    Err(error) => {
                        tracing::debug!(node = %talk.from.name, %error, "a transfer ended early")
                    }
                }
            });
        }
    }
}

/// What a node offers, without its result.
struct Offer {
    session: lyceum_protocol::message::SessionId,
    ticket: Ticket,
    units: Vec<lyceum_core::UnitId>,
}
