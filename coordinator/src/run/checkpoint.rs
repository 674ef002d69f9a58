//! The `checkpoint` folder of a run.
//!
//! A checkpoint is a folder named by the rounds that are done. Its manifest is written last and holds the hashes of all
//! files that belong to it, the digest of the run and the link of the chain: without it, or with other bytes anywhere, the
//! folder is no checkpoint. The two last ones are kept, so that one may be damaged.

use super::{
    RunError, Storage,
    model_file::{from_safetensors, to_safetensors},
    seal::{self, FileSeal, Found},
    storage::replace,
};
use crate::Snapshot;
use lyceum_core::{Fingerprint, Layout, Params, codec};
use lyceum_metrics::{EVENTS, Extent, LogError};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, io, path::Path};

/// Name of the folder.
pub const FOLDER: &str = "checkpoint";
/// The parameters that a validation set likes best.
pub const BEST: &str = "checkpoint/best.safetensors";
/// Where checkpoints find them, by round.
const BEST_FOLDER: &str = "checkpoint/best";
const MANIFEST: &str = "manifest.json";
/// Where models of the book lie beside the first one, each named by the hash of its file; checkpoints share them.
const BOOK_FOLDER: &str = "checkpoint/models";
/// Which model of the book is in which file.
const BOOK: &str = "models.json";
/// What the checkpoints of the first version were named by.
const FIRST_VERSION: &str = "checkpoint/latest.json";

/// What a checkpoint is, and the hashes of its files.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// Digest of the scenario, its prelude and its initial parameters.
    pub run: Fingerprint,
    /// Lineage of the scenario.
    pub scenario: Fingerprint,
    /// Rounds done; also the name of the folder.
    pub rounds: u64,
    /// Rounds that the run was to have.
    pub planned: u64,
    /// The chain after those rounds.
    pub fingerprint: Fingerprint,
    /// How far `events.jsonl` went.
    pub events: Extent,
    /// Files by their names in the run's folder.
    pub files: BTreeMap<String, FileSeal>,
}

/// A checkpoint that is not what was written: the file, and what is wrong with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// Name of the file in the run's folder.
    pub file: String,
    /// What is wrong.
    pub reason: String,
}

impl Damage {
    /// Of the event log: the error names it, and so does whoever tells of the damage.
    pub(super) fn of_log(log: &Path, error: &LogError) -> Self {
        if let LogError::File { source, .. } = error {
            let reason = match source.kind() {
                io::ErrorKind::NotFound => {
                    "it is missing, and no checkpoint can be gone on from without it; if it is somewhere, stop and put it back".into()
                }
                _ => source.to_string(),
            };
            return Self {
                file: EVENTS.into(),
                reason,
            };
        }
        let text = error.to_string();
        let named = format!("event log {} ", log.display());
        let rest = text.strip_prefix(&named);
        Self {
            file: EVENTS.into(),
            reason: rest.map_or(text.clone(), |rest| format!("it {rest}")),
        }
    }

    fn new(file: &str, reason: impl ToString) -> Self {
        Self {
            file: file.into(),
            reason: reason.to_string(),
        }
    }
}

fn folder(rounds: u64) -> String {
    format!("{FOLDER}/{rounds:06}")
}

/// What is wrong with a checkpoint whose manifest, which is written last, is not there.
const NO_MANIFEST: &str = "it is missing, so this checkpoint is not complete";

/// The manifests of all checkpoints that are there, by their rounds, the last one first.
pub fn manifests(storage: &dyn Storage) -> Result<Vec<(u64, Found<Manifest>)>, RunError> {
    let mut all = Vec::new();
    let path = storage.path(FOLDER);
    for name in storage.list(FOLDER).map_err(RunError::file(path))? {
        let Ok(rounds) = name.parse::<u64>() else {
            continue;
        };
        let file = format!("{}/{MANIFEST}", folder(rounds));
        match seal::read::<Manifest>(storage, &file)? {
            Found::Good(manifest) if manifest.rounds != rounds => {
                let reason = format!("it is the manifest after {} rounds", manifest.rounds);
                all.push((rounds, Found::Damaged(reason)));
            }
            found => all.push((rounds, found)),
        }
    }
    let first = storage.read(FIRST_VERSION);
    let none = all.iter().all(|(_, found)| matches!(found, Found::Nothing));
    if none && first.is_ok_and(|bytes| bytes.is_some()) {
        return Err(RunError::version(storage.path(FIRST_VERSION), 1));
    }
    all.sort_by_key(|(rounds, _)| std::cmp::Reverse(*rounds));
    Ok(all)
}

/// How checkpoints are read back.
pub struct Search<'a> {
    /// Where they are.
    pub storage: &'a dyn Storage,
    /// Of the model.
    pub layout: &'a Layout,
    /// Digest of the run that they must belong to.
    pub run: Fingerprint,
    /// Looks at what belongs to a checkpoint elsewhere.
    pub also: &'a dyn Fn(&Manifest) -> Result<(), Damage>,
    /// A mistake on purpose.
    #[cfg(feature = "mutants")]
    pub mutant: crate::Mutant,
}

/// What came of a search.
pub struct Restored {
    /// The last checkpoint that is what was written, if there is one.
    pub checkpoint: Option<(Manifest, Snapshot)>,
    /// What is wrong with those after it.
    pub damages: Vec<Damage>,
    /// Those after it that a process did not write to the end.
    pub incomplete: Vec<Damage>,
}

impl<'a> Search<'a> {
    /// For checkpoints of a run.
    pub fn new(
        storage: &'a dyn Storage,
        layout: &'a Layout,
        run: Fingerprint,
        also: &'a dyn Fn(&Manifest) -> Result<(), Damage>,
    ) -> Self {
        Self {
            storage,
            layout,
            run,
            also,
            #[cfg(feature = "mutants")]
            mutant: crate::Mutant::None,
        }
    }
}

impl Search<'_> {
    /// The last checkpoint that is what was written.
    pub fn last_good(&self) -> Result<Restored, RunError> {
        let (mut damages, mut incomplete) = (Vec::new(), Vec::new());
        for (rounds, found) in manifests(self.storage)? {
            let file = format!("{}/{MANIFEST}", folder(rounds));
            let loaded = match found {
                Found::Nothing => {
                    incomplete.push(Damage::new(&file, NO_MANIFEST));
                    continue;
                }
                Found::Damaged(reason) => Err(Damage::new(&file, reason)),
                Found::Good(manifest) => self.snapshot(&manifest).map(|s| (manifest, s)),
            };
            match loaded {
                Ok(loaded) => {
                    return Ok(Restored {
                        checkpoint: Some(loaded),
                        damages,
                        incomplete,
                    });
                }
                Err(damage) => damages.push(damage),
            }
        }
        Ok(Restored {
            checkpoint: None,
            damages,
            incomplete,
        })
    }

    fn snapshot(&self, manifest: &Manifest) -> Result<Snapshot, Damage> {
        let folder = folder(manifest.rounds);
        if manifest.run != self.run {
            let file = format!("{folder}/{MANIFEST}");
            return Err(Damage::new(&file, "it belongs to another run"));
        }
        let mut files = BTreeMap::new();
        for (name, seal) in &manifest.files {
            files.insert(name.as_str(), self.file(name, seal)?);
        }
        // The log was taken back to an earlier checkpoint where this one is damaged, and is shorter than it says.
        (self.also)(manifest)?;
        let mut file = |name: &str| {
            let name = format!("{folder}/{name}");
            let bytes = files.remove(name.as_str());
            bytes
                .map(|bytes| (name.clone(), bytes))
                .ok_or_else(|| Damage::new(&name, "the manifest does not name it"))
        };
        let (name, bytes) = file("state.bin")?;
        let state = codec::decode::<Snapshot>(&bytes);
        let mut snapshot = state.map_err(|e| Damage::new(&name, e))?;
        if (snapshot.fingerprint, snapshot.rounds) != (manifest.fingerprint, manifest.rounds) {
            return Err(Damage::new(&name, "it is the state of another checkpoint"));
        }
        let (name, bytes) = file("global.safetensors")?;
        let global = from_safetensors(&self.storage.path(&name), &bytes, self.layout);
        snapshot.global = global.map_err(|e| Damage::new(&name, e))?;
        if !snapshot.book.is_empty() {
            let (name, bytes) = file(BOOK)?;
            let book = serde_json::from_slice::<BTreeMap<String, String>>(&bytes);
            let book = book.map_err(|e| Damage::new(&name, lyceum_metrics::unreadable(&e)))?;
            for page in &mut snapshot.book {
                let lacking = || Damage::new(&name, format!("it lacks the model `{}`", page.name));
                let name = book.get(&page.name).ok_or_else(lacking)?;
                let bytes = files.get(name.as_str()).ok_or_else(lacking)?;
                let params = from_safetensors(&self.storage.path(name), bytes, self.layout);
                page.params = params.map_err(|e| Damage::new(name, e))?;
            }
        }
        Ok(snapshot)
    }

    /// The bytes of a file, if they are those that were written.
    fn file(&self, name: &str, seal: &FileSeal) -> Result<Vec<u8>, Damage> {
        let bytes = self.storage.read(name);
        let bytes = bytes.map_err(|e| Damage::new(name, e))?;
        let bytes = bytes.ok_or_else(|| Damage::new(name, "it is missing"))?;
        #[cfg(feature = "mutants")]
        if self.mutant == crate::Mutant::BelieveFiles {
            return Ok(bytes);
        }
        match FileSeal::of(&bytes) == *seal {
            true => Ok(bytes),
            false => Err(Damage::new(name, "it does not hold what was written")),
        }
    }
}

/// Writes the checkpoints of a run, one after another.
#[derive(Clone, Debug)]
pub struct Checkpoints {
    /// Digest of the run.
    pub run: Fingerprint,
    /// Lineage of the scenario.
    pub scenario: Fingerprint,
    /// Rounds that the run is to have.
    pub planned: u64,
    /// The last one that is good.
    pub last: Option<Manifest>,
}

impl Checkpoints {
    /// Saves a state, and drops all before the last good one. `best` are the parameters of the snapshot's best round, where
    /// they are not on disk.
    pub fn save(
        &mut self,
        storage: &mut dyn Storage,
        layout: &Layout,
        snapshot: &Snapshot,
        best: Option<&Params>,
        events: Extent,
    ) -> Result<(), RunError> {
        let folder = folder(snapshot.rounds);
        // What is there is torn, or was found damaged.
        if self
            .last
            .as_ref()
            .is_none_or(|l| l.rounds != snapshot.rounds)
        {
            remove(storage, &folder)?;
        }
        let mut files = BTreeMap::new();
        if let Some(best) = snapshot.best.map(|b| best_name(b.round)).zip(best) {
            let (name, params) = best;
            let tensors = to_safetensors(&storage.path(&name), layout, params)?;
            put(storage, &mut files, name, &tensors)?;
            replace(storage, BEST, &tensors)?;
        } else if let (Some(best), Some(last)) = (snapshot.best, &self.last) {
            let name = best_name(best.round);
            files.extend(last.files.get(&name).map(|seal| (name, *seal)));
        }
        let global = format!("{folder}/global.safetensors");
        let tensors = to_safetensors(&storage.path(&global), layout, &snapshot.global)?;
        put(storage, &mut files, global, &tensors)?;
        let mut rest = Snapshot {
            global: Params::default(),
            ..snapshot.clone()
        };
        self.save_book(storage, layout, (&folder, &mut rest), &mut files)?;
        let state = codec::encode(&rest);
        put(storage, &mut files, format!("{folder}/state.bin"), &state)?;
        let name = format!("{folder}/layout.json");
        let json = serde_json::to_vec_pretty(layout);
        let json = json.map_err(|e| RunError::damaged(storage.path(&name), e))?;
        put(storage, &mut files, name, &json)?;
        let manifest = Manifest {
            run: self.run,
            scenario: self.scenario,
            rounds: snapshot.rounds,
            planned: self.planned,
            fingerprint: snapshot.fingerprint,
            events,
            files,
        };
        seal::write(storage, &format!("{folder}/{MANIFEST}"), &manifest)?;
        let before = self.last.replace(manifest);
        self.prune(storage, before)
    }

    /// Saves the models of the book beside the first one, each as a file named by its hash, and takes them out of the state.
    fn save_book(
        &self,
        storage: &mut dyn Storage,
        layout: &Layout,
        (folder, state): (&str, &mut Snapshot),
        files: &mut BTreeMap<String, FileSeal>,
    ) -> Result<(), RunError> {
        if state.book.is_empty() {
            return Ok(());
        }
        let mut book = BTreeMap::new();
        for page in &mut state.book {
            let params = std::mem::take(&mut page.params);
            let tensors = to_safetensors(&storage.path(&page.name), layout, &params)?;
            let hash = Fingerprint::of(&tensors);
            let name = format!("{BOOK_FOLDER}/{hash}.safetensors");
            let last = self.last.as_ref().and_then(|last| last.files.get(&name));
            match last {
                Some(seal) => drop(files.insert(name.clone(), *seal)),
                None => put(storage, files, name.clone(), &tensors)?,
            }
            book.insert(page.name.clone(), name);
        }
        let name = format!("{folder}/{BOOK}");
        let json = serde_json::to_vec_pretty(&book);
        let json = json.map_err(|e| RunError::damaged(storage.path(&name), e))?;
        put(storage, files, name, &json)
    }

    /// Removes all but the last checkpoint and the one before.
    fn prune(&self, storage: &mut dyn Storage, before: Option<Manifest>) -> Result<(), RunError> {
        let kept: Vec<&Manifest> = self.last.iter().chain(&before).collect();
        let list = |storage: &dyn Storage, folder: &str| {
            let path = storage.path(folder);
            storage.list(folder).map_err(RunError::file(path))
        };
        for name in list(storage, FOLDER)? {
            let rounds = name.parse::<u64>();
            if rounds.is_ok_and(|rounds| kept.iter().all(|k| k.rounds != rounds)) {
                remove(storage, &format!("{FOLDER}/{name}"))?;
            }
        }
        for folder in [BEST_FOLDER, BOOK_FOLDER] {
            for name in list(storage, folder)? {
                let name = format!("{folder}/{name}");
                if kept.iter().all(|k| !k.files.contains_key(&name)) {
                    remove(storage, &name)?;
                }
            }
        }
        Ok(())
    }
}

/// Puts the best parameters of a checkpoint back where people look for them.
pub fn restore_best(
    storage: &mut dyn Storage,
    manifest: &Manifest,
    snapshot: &Snapshot,
) -> Result<(), RunError> {
    let Some(best) = snapshot.best else {
        return Ok(());
    };
    let name = best_name(best.round);
    let Some(seal) = manifest.files.get(&name) else {
        return Ok(());
    };
    let path = storage.path(&name);
    let bytes = storage.read(&name).map_err(RunError::file(&path))?;
    let there = storage.read(BEST).ok().flatten();
    match bytes.filter(|bytes| FileSeal::of(bytes) == *seal) {
        Some(bytes) if there.as_ref() != Some(&bytes) => replace(storage, BEST, &bytes),
        _ => Ok(()),
    }
}

fn best_name(round: u64) -> String {
    format!("{BEST_FOLDER}/{round:06}.safetensors")
}

fn put(
    storage: &mut dyn Storage,
    files: &mut BTreeMap<String, FileSeal>,
    name: String,
    bytes: &[u8],
) -> Result<(), RunError> {
    replace(storage, &name, bytes)?;
    files.insert(name, FileSeal::of(bytes));
    Ok(())
}

fn remove(storage: &mut dyn Storage, name: &str) -> Result<(), RunError> {
    let path = storage.path(name);
    storage.remove(name).map_err(RunError::file(path))
}

/// Keeps the parameters that a validation set likes best.
pub fn write_best(
    storage: &mut dyn Storage,
    layout: &Layout,
    params: &Params,
) -> Result<(), RunError> {
    write_model(storage, BEST, layout, params)
}

/// Writes parameters under the names of their layout.
pub fn write_model(
    storage: &mut dyn Storage,
    name: &str,
    layout: &Layout,
    params: &Params,
) -> Result<(), RunError> {
    let tensors = to_safetensors(&storage.path(name), layout, params)?;
    replace(storage, name, &tensors)
}
