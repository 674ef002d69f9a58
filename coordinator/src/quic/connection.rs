//! One node's connection: its control stream, the transfers that it asks for, the results that are fetched from it.

use super::{
    catalogue::Catalogue,
    hub::Input,
    incoming::{Incoming, name_of},
    metering::Meters,
    outlet::{Out, Outbox},
};
use crate::dispatch::Speaker;
use lyceum_core::{Grid, Lane, Ticket};
use lyceum_protocol::{
    blob::BlobRef,
    body::{self, Body},
    message::ToCoordinator,
    quic::{FetchError, ReadError, Transport, read_frame, serve},
    wire::{FROM_NODE, OfferWire, ResultWire, ToCoordinatorWire},
};
use quinn::{Connection, RecvStream, SendStream, VarInt};
use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, mpsc},
    time::timeout,
};

/// Bytes that are written at a time; a node that takes none of them for a while does not read any more.
const WRITTEN: usize = 16 << 10;
/// How long it may take none.
const UNREAD: Duration = Duration::from_secs(30);
/// How long a node that was sent away has to read why. It ends the connection then: what ends it here overtakes what was
/// said last.
const FAREWELL: Duration = Duration::from_secs(3);
/// KiB of messages that wait for the hub, over all connections.
pub(super) const HEARING_KIB: usize = 16 << 10;
/// Results of one node that are fetched at a time.
const FETCHES: usize = 4;
/// Results of one node that wait to be fetched; more are not noted, and the node offers them again.
const WAITING_FETCHES: usize = 64;

/// The lanes and the grid of the run's sums.
#[derive(Clone, Debug)]
pub(super) struct Shape {
    pub(super) lanes: Vec<Lane>,
    pub(super) grid: Grid,
}

/// What all connections share.
pub(super) struct Shared {
    pub(super) catalogue: Catalogue,
    pub(super) shape: Shape,
    pub(super) transport: Transport,
    /// One permit per KiB of results on their way in.
    pub(super) receiving: Arc<Semaphore>,
    /// One permit per KiB of messages that wait for the hub.
    pub(super) hearing: Arc<Semaphore>,
    pub(super) hub: mpsc::Sender<Input>,
    pub(super) meters: Meters,
}

/// Talks to a node until one of the two sides ends it.
pub(super) async fn converse(
    connection: Connection,
    from: Speaker,
    outbox: Outbox,
    shared: Arc<Shared>,
) {
    let peer = from.peer;
    let patience = Duration::from_secs(shared.transport.handshake_s);
    // Once this side ends the connection, it says no more why the other one did.
    let mut why = None;
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
                asked_in_vain: Arc::default(),
            };
            tokio::select! {
                biased;
                () = write(&connection, send, outbox) => {}
                reason = talk.read(recv) => {
                    why = connection.close_reason();
                    end(&connection, &reason);
                }
                () = talk.serve_transfers() => {}
            }
        }
        Ok(Err(_)) => {}
        Err(_) => send_away(&connection, &from, "it opened no control stream in time"),
    }
    let reason = why
        .or_else(|| connection.close_reason())
        .map_or_else(|| "closed".into(), |e| e.to_string());
    // Transfers may hold the connection; nobody listens to it any more.
    end(&connection, "nothing more is said");
    shared.meters.forget(peer);
    // A hub that is gone needs no word.
    let _ = shared.hub.send(Input::Gone(peer, reason)).await;
}

pub(super) fn end(connection: &Connection, reason: &str) {
    connection.close(VarInt::from_u32(1), reason.as_bytes());
}

/// Ends a connection whose node does what it may not.
fn send_away(connection: &Connection, node: &Speaker, reason: &str) {
    let (address, node) = (connection.remote_address(), &node.name);
    tracing::warn!(%node, %address, %reason, "what the node does is refused");
    end(connection, reason);
}

async fn write(connection: &Connection, mut send: SendStream, mut outbox: Outbox) {
    while let Some((out, _room)) = outbox.recv().await {
        match out {
            Out::Frame(frame) => {
                if !write_frame(connection, &mut send, &frame).await {
                    return;
                }
            }
            Out::End(reason) => {
                let _ = send.finish();
                let _ = timeout(FAREWELL, connection.closed()).await;
                return end(connection, &reason);
            }
        }
    }
    let _ = send.finish();
    let _ = timeout(FAREWELL, connection.closed()).await;
}

/// Writes a frame; `false` once nothing more can be written.
async fn write_frame(connection: &Connection, send: &mut SendStream, frame: &[u8]) -> bool {
    for piece in frame.chunks(WRITTEN) {
        match timeout(UNREAD, send.write_all(piece)).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) => return false,
            Err(_) => {
                end(connection, "the node does not read what it is told");
                return false;
            }
        }
    }
    true
}

#[derive(Clone)]
struct Talk {
    connection: Connection,
    from: Speaker,
    shared: Arc<Shared>,
    /// Results that are being fetched or were fetched.
    partial: Arc<Mutex<BTreeMap<ResultKey, Fetching>>>,
    fetches: Arc<Semaphore>,
    /// Whether it has asked for something that is not here; told once.
    asked_in_vain: Arc<AtomicBool>,
}

/// Ticket and name of a result.
type ResultKey = (Ticket, [u8; 32]);

/// How far the fetching of a result is.
enum Fetching {
    /// A task is at it.
    Busy,
    /// It broke off here.
    Broken(Incoming),
    /// It was handed on.
    Done,
}

impl Talk {
    /// Hears the node until it stops; says why it stopped. Who does not greet in time, and first, is not heard.
    async fn read(&self, mut recv: RecvStream) -> String {
        let patience = Duration::from_secs(self.shared.transport.handshake_s);
        let mut next = match timeout(patience, self.next(&mut recv)).await {
            Ok(Ok(greeting @ ToCoordinatorWire::Hello(_))) => Ok(greeting),
            Ok(Ok(_)) => Err(self.refused("its first word is no greeting")),
            Ok(Err(reason)) => Err(reason),
            Err(_) => Err(self.refused("it did not greet in time")),
        };
        loop {
            match next {
                Ok(message) => {
                    // Once nobody listens any more, the node has to hear that before the connection ends.
                    if self.hear(message).await.is_err() {
                        std::future::pending::<()>().await;
                    }
                }
                Err(reason) => return reason,
            }
            next = self.next(&mut recv).await;
        }
    }

    /// The next thing that the node says, or why there is none.
    async fn next(&self, recv: &mut RecvStream) -> Result<ToCoordinatorWire, String> {
        match read_frame::<ToCoordinatorWire, FROM_NODE>(recv).await {
            Ok(Some(message)) => Ok(message),
            Ok(None) => Err("the node ended its control stream".into()),
            Err(ReadError::Stream(error)) => Err(format!("the control stream broke: {error}")),
            Err(ReadError::Frame(error)) => Err(self.refused(error)),
        }
    }

    /// Logs what the node does wrong and ends the connection; the reason comes back.
    fn refused(&self, reason: impl ToString) -> String {
        let reason = reason.to_string();
        send_away(&self.connection, &self.from, &reason);
        reason
    }

    async fn hear(&self, message: ToCoordinatorWire) -> Result<(), ()> {
        let message = match message.small() {
            Ok(small) => small,
            Err((session, offered)) => {
                let OfferWire {
                    ticket,
                    units,
                    result,
                    vectors,
                } = offered;
                let offer = Offer {
                    session,
                    ticket,
                    units,
                };
                match result {
                    ResultWire::Here(bytes) if vectors.is_empty() => {
                        return self.take(offer, Body::of(bytes)).await;
                    }
                    result => self.begin_fetch(offer, result, vectors),
                }
                return Ok(());
            }
        };
        let bytes = match &message {
            ToCoordinator::Report(report) => size_of_val(&report.held[..]),
            ToCoordinator::Ready(ready) => ready.profile.len(),
            _ => 0,
        };
        self.tell(message, bytes).await
    }

    /// Hands a message on that takes about so many bytes, once there is room for it.
    async fn tell(&self, message: ToCoordinator, bytes: usize) -> Result<(), ()> {
        let room = self.room(bytes).await?;
        let input = Input::Heard(self.from.clone(), message, room);
        self.shared.hub.send(input).await.map_err(|_| ())
    }

    /// Waits until the hub has heard enough for so many bytes more.
    async fn room(&self, bytes: usize) -> Result<OwnedSemaphorePermit, ()> {
        let kib = (1 + bytes / 1024).min(HEARING_KIB) as u32;
        let room = self.shared.hearing.clone().acquire_many_owned(kib).await;
        room.map_err(|_| ())
    }

    async fn take(&self, offer: Offer, body: Body) -> Result<(), ()> {
        let Shape { lanes, grid } = &self.shared.shape;
        match body::decode(&body, offer.ticket, offer.units, lanes, grid) {
            Ok(upload) => {
                let session = offer.session;
                // The numbers of a sum take about twice as much in memory, beside the bytes.
                let long: usize = body.vectors.iter().map(|v| v.blob.bytes.len()).sum();
                let room = self.room(3 * body.bytes.bytes.len() + long).await?;
                let offer = ToCoordinator::Offer { session, upload };
                let input = Input::Offered(self.from.clone(), offer, body, room);
                self.shared.hub.send(input).await.map_err(|_| ())
            }
            Err(error) => {
                self.refused(format!("its result is no result: {error}"));
                Ok(())
            }
        }
    }

    /// Fetches a result in a task of its own, unless one is at it or it was fetched before.
    fn begin_fetch(&self, offer: Offer, result: ResultWire, vectors: Vec<BlobRef>) {
        let most = self
            .shared
            .transport
            .receiving_bytes
            .max(64 * self.shared.shape.grid.len() as u64 + (64 << 20));
        let mut partial = self.partial();
        let key = (offer.ticket, name_of(&result, &vectors));
        if matches!(partial.get(&key), Some(Fetching::Busy | Fetching::Done)) {
            return;
        }
        let busy = |fetching: &&Fetching| matches!(fetching, Fetching::Busy);
        if partial.values().filter(busy).count() >= WAITING_FETCHES {
            return;
        }
        let incoming = match partial.insert(key, Fetching::Busy) {
            Some(Fetching::Broken(incoming)) => Ok(incoming),
            _ => Incoming::new(result, &vectors, most),
        };
        // Results of earlier rounds are not asked for again.
        if partial.len() > 256 {
            partial.retain(|_, fetching| !matches!(fetching, Fetching::Done));
        }
        drop(partial);
        match incoming {
            Ok(incoming) => drop(tokio::spawn(self.clone().fetch(offer, key, incoming))),
            Err(error) => drop(self.refused(error)),
        }
    }

    fn partial(&self) -> MutexGuard<'_, BTreeMap<ResultKey, Fetching>> {
        self.partial.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn fetch(self, offer: Offer, key: ResultKey, mut incoming: Incoming) {
        let kib = incoming.memory().div_ceil(1024).max(1);
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
        match incoming.fetch(&self.connection).await {
            Ok(()) => {
                self.note(key, Fetching::Done);
                let bytes = incoming.len();
                self.shared
                    .meters
                    .uploaded(self.from.peer, bytes, began.elapsed());
                match incoming.finish() {
                    // A hub that is gone needs no word.
                    Ok(body) => drop(self.take(offer, body).await),
                    Err(error) => drop(self.refused(error)),
                }
            }
            Err(FetchError::Blob(error)) => drop(self.refused(error)),
            Err(error) => {
                tracing::debug!(node = %self.from.name, %error, "a result did not arrive");
                // It goes on with the node's next offer, which is repeated with every heartbeat.
                self.note(key, Fetching::Broken(incoming));
            }
        }
    }

    fn note(&self, result: ResultKey, state: Fetching) {
        let mut partial = self.partial();
        let broken = |(key, fetching): (&ResultKey, &Fetching)| {
            matches!(fetching, Fetching::Broken(_)).then_some(*key)
        };
        let kept: Vec<_> = partial.iter().filter_map(broken).collect();
        // What arrived of a few results is kept; a node that breaks off more of them begins again.
        if let (Fetching::Broken(_), Some(oldest)) = (&state, kept.first())
            && kept.len() >= FETCHES
        {
            partial.remove(oldest);
        }
        partial.insert(result, state);
    }

    /// A node that is behind may ask for what is gone, so this is no reason to send it away.
    fn asks_in_vain(&self) {
        if !self.asked_in_vain.swap(true, Ordering::Relaxed) {
            tracing::info!(node = %self.from.name, "the node asks for a model or state that is not here");
        }
    }

    /// Answers what the node asks for, each on a stream of its own.
    async fn serve_transfers(&self) {
        while let Ok((mut send, mut recv)) = self.connection.accept_bi().await {
            let talk = self.clone();
            tokio::spawn(async move {
                let began = tokio::time::Instant::now();
                match serve(&talk.shared.catalogue, &mut send, &mut recv).await {
                    Ok(Some(bytes)) => {
                        talk.shared
                            .meters
                            .downloaded(talk.from.peer, bytes, began.elapsed())
                    }
                    Ok(None) => talk.asks_in_vain(),
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
