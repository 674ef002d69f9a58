//! A disk that loses what was not synced, tears it, is full, and flips bits.

use super::Counters;
use lyceum_coordinator::run::{Storage, journal::JOURNAL};
use lyceum_core::{Purpose, Seed, Stream, Ticket};
use rand::RngExt;
use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// One file. Replacing makes another file, so a sync of the one before does nothing for it.
#[derive(Default)]
pub(super) struct File {
    pub(super) bytes: Vec<u8>,
    pub(super) safe: usize,
    /// What it held before it was replaced.
    pub(super) before: Option<Vec<u8>>,
    /// Counts replacements over all files.
    number: u64,
}

/// What of a file a sync that begins now will make safe.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Covered {
    number: u64,
    bytes: usize,
}

pub(super) struct State {
    pub(super) files: BTreeMap<String, File>,
    replaced: u64,
    pub(super) rng: Stream,
    full: bool,
    dead: bool,
    crash_at: Option<u64>,
    writes: u64,
    /// The bit that reads back flipped, in the file of the journal.
    flipped: Option<(usize, u8)>,
    torn: u64,
}

/// A handle to the coordinator's disk; it outlives the process.
#[derive(Clone)]
pub(crate) struct Disk(Arc<Mutex<State>>);

impl Disk {
    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn new(seed: u64, crash_at: Option<u64>) -> Self {
        let rng = Seed(seed).stream(Purpose::named("lyceum.world.disk"), Ticket(0), None);
        Self(Arc::new(Mutex::new(State {
            files: BTreeMap::new(),
            replaced: 0,
            rng,
            full: false,
            dead: false,
            crash_at,
            writes: 0,
            flipped: None,
            torn: 0,
        })))
    }

    pub(crate) fn fill(&self, full: bool) {
        self.lock().full = full;
    }

    /// Storage operations so far.
    pub(crate) fn writes(&self) -> u64 {
        self.lock().writes
    }

    /// Whether the process has died at a storage operation.
    pub(crate) fn is_dead(&self) -> bool {
        self.lock().dead
    }

    pub(crate) fn covered(&self) -> Covered {
        let state = self.lock();
        let file = state.files.get(JOURNAL);
        Covered {
            number: file.map_or(0, |f| f.number),
            bytes: file.map_or(0, |f| f.bytes.len()),
        }
    }

    /// A sync of the journal is complete, if the process does not die in it.
    pub(crate) fn synced(&self, covered: Covered) -> io::Result<()> {
        let mut state = self.lock();
        if state.operation()? && state.rng.random() {
            return Err(died());
        }
        let file = state.files.get_mut(JOURNAL);
        if let Some(file) = file.filter(|f| f.number == covered.number) {
            file.safe = file.safe.max(covered.bytes);
        }
        if state.dead { Err(died()) } else { Ok(()) }
    }

    /// The process is gone: of what was not synced a part survives, whatever part.
    pub(crate) fn crash(&self, counters: &mut Counters) {
        let mut guard = self.lock();
        let state = &mut *guard;
        state.dead = false;
        for file in state.files.values_mut() {
            let unsafe_bytes = file.bytes.len() - file.safe;
            if unsafe_bytes == 0 {
                continue;
            }
            let kept = match state.rng.random_range(0..3) {
                0 => 0,
                1 => unsafe_bytes,
                _ => state.rng.random_range(0..=unsafe_bytes),
            };
            counters.torn_tails += u64::from(kept < unsafe_bytes);
            file.bytes.truncate(file.safe + kept);
        }
        counters.torn_tails += std::mem::take(&mut state.torn);
    }

    /// From now on everything reads back as it is.
    pub(crate) fn heal(&self) {
        self.lock().flipped = None;
    }

    /// Flips a bit of the journal's end, for as long as it reads like that: of what was not safe or, with `rot`, of its
    /// last quarter. Says whether something safe was hit.
    pub(crate) fn flip(&self, rot: bool, counters: &mut Counters) -> bool {
        let mut guard = self.lock();
        let state = &mut *guard;
        state.flipped = None;
        let Some(file) = state.files.get(JOURNAL) else {
            return false;
        };
        let from = if rot {
            file.safe.min(file.bytes.len() * 3 / 4)
        } else {
            file.safe
        };
        if from >= file.bytes.len() {
            return false;
        }
        let at = state.rng.random_range(from..file.bytes.len());
        state.flipped = Some((at, state.rng.random_range(0..8)));
        counters.bit_flips += 1;
        at < file.safe
    }
}

impl State {
    /// Counts an operation; an error where the process dies in it.
    fn operation(&mut self) -> io::Result<bool> {
        if self.dead {
            return Err(died());
        }
        self.writes += 1;
        if self.crash_at == Some(self.writes) {
            self.dead = true;
        }
        Ok(self.dead)
    }

    fn put(&mut self, name: &str, bytes: &[u8]) {
        self.replaced += 1;
        let before = self.files.remove(name).map(|file| file.bytes);
        let file = File {
            bytes: bytes.to_vec(),
            safe: bytes.len(),
            before,
            number: self.replaced,
        };
        self.files.insert(name.into(), file);
    }
}

fn died() -> io::Error {
    io::Error::other("the process died")
}

fn is_full() -> io::Error {
    io::Error::new(io::ErrorKind::StorageFull, "no space left on the disk")
}

impl Storage for Disk {
    fn read(&self, name: &str) -> io::Result<Option<Vec<u8>>> {
        let state = self.lock();
        let mut bytes = state.files.get(name).map(|f| f.bytes.clone());
        if let (Some((at, bit)), JOURNAL, Some(bytes)) = (state.flipped, name, bytes.as_mut())
            && let Some(byte) = bytes.get_mut(at)
        {
            *byte ^= 1 << bit;
        }
        Ok(bytes)
    }

    fn list(&self, name: &str) -> io::Result<Vec<String>> {
        let (state, folder) = (self.lock(), format!("{name}/"));
        let inside = state.files.keys().filter_map(|f| f.strip_prefix(&folder));
        let names = inside.filter_map(|f| f.split('/').next().map(String::from));
        let names: BTreeSet<String> = names.collect();
        Ok(names.into_iter().collect())
    }

    fn replace(&mut self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let mut state = self.lock();
        let dies = state.operation()?;
        if dies && state.rng.random() {
            return Err(died());
        }
        if state.full {
            return Err(is_full());
        }
        state.put(name, bytes);
        if dies { Err(died()) } else { Ok(()) }
    }

    fn append(&mut self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let mut guard = self.lock();
        let state = &mut *guard;
        let dies = state.operation()?;
        let written = match dies || state.full {
            true => state.rng.random_range(0..=bytes.len()),
            false => bytes.len(),
        };
        state.torn += u64::from(written < bytes.len());
        let file = state.files.entry(name.into()).or_default();
        file.bytes.extend_from_slice(&bytes[..written]);
        match (dies, state.full) {
            (true, _) => Err(died()),
            (_, true) => Err(is_full()),
            _ => Ok(()),
        }
    }

    fn sync(&mut self, name: &str) -> io::Result<()> {
        let mut guard = self.lock();
        let state = &mut *guard;
        let dies = state.operation()?;
        if dies && state.rng.random() {
            return Err(died());
        }
        if let Some(file) = state.files.get_mut(name) {
            file.safe = file.bytes.len();
        }
        if dies { Err(died()) } else { Ok(()) }
    }

    fn remove(&mut self, name: &str) -> io::Result<()> {
        let mut state = self.lock();
        let dies = state.operation()?;
        let folder = format!("{name}/");
        state
            .files
            .retain(|file, _| file != name && !file.starts_with(&folder));
        if dies { Err(died()) } else { Ok(()) }
    }

    fn path(&self, name: &str) -> PathBuf {
        PathBuf::from("/world").join(name)
    }
}
