//! Vectors that a node holds, by name, so that it fetches none twice.

use lyceum_core::{Facts, Params};
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

/// Vectors by name. Several tasks that want the same one wait for one transfer.
pub(super) struct Cache {
    slots: Mutex<Slots>,
    most: u64,
}

#[derive(Default)]
struct Slots {
    by_name: BTreeMap<BlobRef, (u64, Arc<AsyncMutex<Slot>>)>,
    clock: u64,
}

/// A vector that is here, or as much of it as arrived.
enum Slot {
    Empty,
    Partial(Box<Arriving>),
    Here(Params),
}

impl Cache {
    /// Keeps about `most` bytes.
    pub(super) fn new(most: u64) -> Self {
        Self {
            slots: Mutex::default(),
            most,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Slots> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn slot(&self, name: BlobRef) -> Arc<AsyncMutex<Slot>> {
        let mut slots = self.lock();
        slots.clock += 1;
        let now = slots.clock;
        let empty = || (now, Arc::new(AsyncMutex::new(Slot::Empty)));
        let (used, slot) = slots.by_name.entry(name).or_insert_with(empty);
        *used = now;
        let slot = slot.clone();
        self.make_room(&mut slots);
        slot
    }

    /// The least recently used vectors go first. One that is being fetched stays with who fetches it.
    fn make_room(&self, slots: &mut Slots) {
        let mut bytes: u64 = slots.by_name.keys().map(BlobRef::len).sum();
        while bytes > self.most && slots.by_name.len() > 1 {
            let oldest = slots.by_name.iter().min_by_key(|(_, (used, _))| *used);
            let Some(name) = oldest.map(|(name, _)| *name) else {
                return;
            };
            slots.by_name.remove(&name);
            bytes -= name.len();
        }
    }

    /// Keeps a vector that was made here.
    pub(super) fn put(&self, params: &Params) {
        let name = Blob::of_params(params).name;
        if let Ok(mut slot) = self.slot(name).try_lock() {
            *slot = Slot::Here(params.clone());
        }
    }

    /// The vector of this name, fetched if need be.
    pub(super) async fn get(
        &self,
        connection: &Connection,
        name: BlobRef,
    ) -> Result<Params, FetchError> {
        let slot = self.slot(name);
        let mut slot = slot.lock().await;
        let mut arriving = match std::mem::replace(&mut *slot, Slot::Empty) {
            Slot::Here(params) => {
                *slot = Slot::Here(params.clone());
                return Ok(params);
            }
            Slot::Partial(arriving) => *arriving,
            Slot::Empty => Arriving::new(name, MOST)?,
        };
        let result = fetch(connection, &mut arriving).await;
        match (result, arriving.finish()) {
            (Ok(()), Ok(arrived)) => {
                let params = arrived.into_params()?;
                *slot = Slot::Here(params.clone());
                Ok(params)
            }
            (Err(error), Err(arriving)) => {
                *slot = Slot::Partial(Box::new(arriving));
                Err(error)
            }
            (Err(error), Ok(_)) => Err(error),
            (Ok(()), Err(_)) => Err(FetchError::Unknown(name)),
        }
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
