//! Vectors and memories of clients that a node holds, by name, so that it fetches none twice.

use lyceum_core::{Facts, Slot, SlotKind};
use lyceum_protocol::{
    blob::{Arriving, Blob, BlobRef},
    quic::{FetchError, fetch},
};
use quinn::Connection;
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use tokio::sync::Mutex as AsyncMutex;

/// Bytes of a blob that is fetched, at most.
const MOST: u64 = 1 << 40;

/// Contents by name. Several tasks that want the same one wait for one transfer.
pub(super) struct Cache {
    shelf: Mutex<Shelf>,
    most: u64,
}

#[derive(Default)]
struct Shelf {
    by_name: BTreeMap<BlobRef, (u64, Arc<AsyncMutex<Place>>)>,
    clock: u64,
}

/// A content that is here, or as much of it as arrived.
enum Place {
    Empty,
    Partial(Box<Arriving>),
    Here(Slot),
}

impl Cache {
    /// Keeps about `most` bytes.
    pub(super) fn new(most: u64) -> Self {
        Self {
            shelf: Mutex::default(),
            most,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Shelf> {
        self.shelf.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn place(&self, name: BlobRef) -> Arc<AsyncMutex<Place>> {
        let mut shelf = self.lock();
        shelf.clock += 1;
        let now = shelf.clock;
        let empty = || (now, Arc::new(AsyncMutex::new(Place::Empty)));
        let (used, place) = shelf.by_name.entry(name).or_insert_with(empty);
        *used = now;
        let place = place.clone();
        self.make_room(&mut shelf);
        place
    }

    /// The least recently used vectors go first. One that is being fetched stays with who fetches it.
    fn make_room(&self, shelf: &mut Shelf) {
        let mut bytes: u64 = shelf.by_name.keys().map(BlobRef::len).sum();
        while bytes > self.most && shelf.by_name.len() > 1 {
            let oldest = shelf.by_name.iter().min_by_key(|(_, (used, _))| *used);
            let Some(name) = oldest.map(|(name, _)| *name) else {
                return;
            };
            shelf.by_name.remove(&name);
            bytes -= name.len();
        }
    }

    /// Keeps what was made here.
    pub(super) fn put(&self, slot: &Slot) {
        let name = Blob::of_slot(slot).name;
        if let Ok(mut place) = self.place(name).try_lock() {
            *place = Place::Here(slot.clone());
        }
    }

    /// The content of this name as what it is to be, fetched if need be.
    pub(super) async fn get(
        &self,
        connection: &Connection,
        name: BlobRef,
        kind: SlotKind,
    ) -> Result<Slot, FetchError> {
        let place = self.place(name);
        let mut place = place.lock().await;
        let mut arriving = match std::mem::replace(&mut *place, Place::Empty) {
            Place::Here(slot) => {
                *place = Place::Here(slot.clone());
                return as_kind(slot, kind).ok_or(FetchError::Unknown(name));
            }
            Place::Partial(arriving) => *arriving,
            Place::Empty => Arriving::new(name, MOST)?,
        };
        let result = fetch(connection, &mut arriving).await;
        match (result, arriving.finish()) {
            (Ok(()), Ok(arrived)) => {
                let slot = arrived.into_slot(kind)?;
                *place = Place::Here(slot.clone());
                Ok(slot)
            }
            (Err(error), Err(arriving)) => {
                *place = Place::Partial(Box::new(arriving));
                Err(error)
            }
            (Err(error), Ok(_)) => Err(error),
            (Ok(()), Err(_)) => Err(FetchError::Unknown(name)),
        }
    }
}

/// The same bytes, as what is asked for.
fn as_kind(slot: Slot, kind: SlotKind) -> Option<Slot> {
    match slot.kind() == kind {
        true => Some(slot),
        false => kind.slot(slot.content()),
    }
}

/// Fetches a text, which is not kept.
pub(super) async fn text(connection: &Connection, name: BlobRef) -> Result<String, FetchError> {
    let bytes = bytes(connection, name, 64 << 20).await?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Logs of facts that came before, by name; the last one is asked for again and again.
#[derive(Clone, Default)]
pub(super) struct Told(Arc<Mutex<Option<(BlobRef, Facts)>>>);

impl Told {
    /// The log of this name, fetched if need be.
    pub(super) async fn get(
        &self,
        connection: &Connection,
        name: BlobRef,
    ) -> Result<Facts, FetchError> {
        let known = self
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        if let Some((_, facts)) = known.filter(|(known, _)| *known == name) {
            return Ok(facts);
        }
        let bytes = bytes(connection, name, 16 << 20).await?;
        let facts = Facts::from_bytes(&bytes).map_err(|_| FetchError::Unknown(name))?;
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some((name, facts.clone()));
        Ok(facts)
    }
}

async fn bytes(connection: &Connection, name: BlobRef, most: u64) -> Result<Vec<u8>, FetchError> {
    let mut arriving = Arriving::new(name, most)?;
    fetch(connection, &mut arriving).await?;
    let arrived = arriving.finish().map_err(|_| FetchError::Unknown(name))?;
    Ok(arrived.into_bytes().to_vec())
}
