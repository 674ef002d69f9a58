//! Files that do not hold what was written.

use super::{Counters, Disk, Ground, Shelf, disk::State};
use lyceum_coordinator::run::{
    Archive,
    journal::{Journal, Record},
};
use lyceum_core::Fingerprint;
use rand::RngExt;
use std::collections::BTreeMap;

/// The files of another run of the same model, by the last parts of their names.
pub(crate) fn foreign_files(ground: &Ground) -> BTreeMap<String, Vec<u8>> {
    let run = Fingerprint::of(b"another run");
    let disk = Disk::new(0, None);
    let mut shelf = Shelf::new(disk.clone(), ground.layout().clone(), run, ground.rounds());
    let mut snapshot = ground.machine().snapshot().expect("no round has begun");
    let values = snapshot.global.make_mut();
    values.iter_mut().for_each(|value| *value += 0.5);
    (snapshot.rounds, snapshot.fingerprint) = (1, Fingerprint::of(b"its link"));
    let begin = Record::Begin {
        run,
        rounds: 1,
        fingerprint: snapshot.fingerprint,
    };
    let written = shelf
        .save(&snapshot)
        .and_then(|()| shelf.incarnation(0).map(drop))
        .and_then(|()| Journal::begin(shelf.storage(), &begin).map(drop));
    written.expect("a disk without faults takes everything");
    let state = disk.lock();
    let files = state.files.iter();
    files
        .map(|(name, file)| (end_of(name).into(), file.bytes.clone()))
        .collect()
}

fn end_of(name: &str) -> &str {
    name.rsplit('/').next().unwrap_or(name)
}

impl Disk {
    /// Damages a file, whichever: flips a bit, cuts off its end, or puts in its place what it held before or the file of
    /// another run, by itself or with all files of its folder. Says whether there was one.
    pub(crate) fn damage(
        &self,
        foreign: &BTreeMap<String, Vec<u8>>,
        counters: &mut Counters,
    ) -> bool {
        let mut guard = self.lock();
        let state = &mut *guard;
        let names: Vec<String> = state.files.keys().cloned().collect();
        if names.is_empty() {
            return false;
        }
        let name = &names[state.rng.random_range(0..names.len())];
        match state.rng.random_range(0..5) {
            0 | 1 => state.flip(name),
            2 => state.cut(name),
            3 => state.age(name),
            _ => state.swap(name, foreign),
        }
        counters.damaged_files += 1;
        true
    }
}

impl State {
    fn put_damaged(&mut self, name: &str, bytes: Vec<u8>) {
        if let Some(file) = self.files.get_mut(name) {
            file.safe = bytes.len();
            file.bytes = bytes;
        }
    }

    fn flip(&mut self, name: &str) {
        let mut bytes = self.files[name].bytes.clone();
        if bytes.is_empty() {
            return;
        }
        let at = self.rng.random_range(0..bytes.len());
        bytes[at] ^= 1 << self.rng.random_range(0..8);
        self.put_damaged(name, bytes);
    }

    fn cut(&mut self, name: &str) {
        let mut bytes = self.files[name].bytes.clone();
        bytes.truncate(self.rng.random_range(0..=bytes.len()));
        self.put_damaged(name, bytes);
    }

    fn age(&mut self, name: &str) {
        match self.files[name].before.clone() {
            Some(before) => self.put_damaged(name, before),
            None => self.flip(name),
        }
    }

    fn swap(&mut self, name: &str, foreign: &BTreeMap<String, Vec<u8>>) {
        let folder = name.strip_suffix(end_of(name)).unwrap_or_default();
        let whole: bool = !folder.is_empty() && self.rng.random();
        let of_folder = |other: &String| whole && other.starts_with(folder);
        let names: Vec<String> = self.files.keys().cloned().collect();
        for other in names
            .iter()
            .filter(|other| *other == name || of_folder(other))
        {
            match foreign.get(end_of(other)) {
                Some(bytes) => self.put_damaged(other, bytes.clone()),
                None => self.flip(other),
            }
        }
    }
}
