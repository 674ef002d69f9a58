//! The `checkpoint` folder of a run.
//!
//! `latest.json` names the folder of the last complete checkpoint and is replaced in one step, so a
//! crash at any moment leaves a usable one.

use super::{
    RunError, Storage,
    model_file::{from_safetensors, to_safetensors},
};
use crate::Snapshot;
use lyceum_core::{Fingerprint, Layout, Params, codec};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

/// Name of the file that names the last complete checkpoint.
const LATEST: &str = "checkpoint/latest.json";

/// What `latest.json` says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Latest {
    /// Rounds done; also the name of the folder.
    pub rounds: u64,
    /// Bytes of `events.jsonl` that belong to those rounds.
    pub events_bytes: u64,
    /// Digest of the scenario, its prelude and its initial parameters.
    pub scenario: Fingerprint,
    /// The chain after those rounds.
    pub fingerprint: Fingerprint,
}

impl Latest {
    /// What the last complete checkpoint is, if there is one.
    pub fn read(storage: &dyn Storage) -> Result<Option<Self>, RunError> {
        read_json(storage, LATEST)
    }

    /// Reads the checkpoint back.
    pub fn snapshot(&self, storage: &dyn Storage, layout: &Layout) -> Result<Snapshot, RunError> {
        let state = self.file("state.bin");
        let damaged = |reason: String| RunError::damaged(storage.path(&state), reason);
        let mut snapshot: Snapshot =
            codec::decode(&required(storage, &state)?).map_err(|e| damaged(e.to_string()))?;
        if snapshot.fingerprint != self.fingerprint || snapshot.rounds != self.rounds {
            return Err(damaged(
                "it does not belong to latest.json; start the run anew".into(),
            ));
        }
        let global = self.file("global.safetensors");
        let bytes = required(storage, &global)?;
        snapshot.global = from_safetensors(&storage.path(&global), &bytes, layout)?;
        Ok(snapshot)
    }

    /// Saves a state and drops the one before.
    pub fn write(
        &self,
        storage: &mut dyn Storage,
        layout: &Layout,
        snapshot: &Snapshot,
    ) -> Result<(), RunError> {
        let global = self.file("global.safetensors");
        let tensors = to_safetensors(&storage.path(&global), layout, &snapshot.global)?;
        replace(storage, &global, &tensors)?;
        let rest = Snapshot {
            global: Params::default(),
            ..snapshot.clone()
        };
        replace(storage, &self.file("state.bin"), &codec::encode(&rest))?;
        write_json(storage, &self.file("layout.json"), layout)?;
        let before = Self::read(storage)?;
        write_json(storage, LATEST, self)?;
        if let Some(before) = before.filter(|b| b.rounds != self.rounds) {
            let old = before.file("");
            let removed = storage.remove(old.trim_end_matches('/'));
            removed.map_err(RunError::file(storage.path(&old)))?;
        }
        Ok(())
    }

    fn file(&self, name: &str) -> String {
        format!("checkpoint/{:06}/{name}", self.rounds)
    }
}

/// Keeps the parameters that a validation set likes best.
pub fn write_best(
    storage: &mut dyn Storage,
    layout: &Layout,
    params: &Params,
) -> Result<(), RunError> {
    write_model(storage, "checkpoint/best.safetensors", layout, params)
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

/// Replaces a file; the error names it.
pub fn replace(storage: &mut dyn Storage, name: &str, bytes: &[u8]) -> Result<(), RunError> {
    let path = storage.path(name);
    storage.replace(name, bytes).map_err(RunError::file(path))
}

fn required(storage: &dyn Storage, name: &str) -> Result<Vec<u8>, RunError> {
    let path = storage.path(name);
    let bytes = storage.read(name).map_err(RunError::file(&path))?;
    bytes.ok_or_else(|| RunError::damaged(path, "it is missing; start the run anew"))
}

fn read_json<T: DeserializeOwned>(
    storage: &dyn Storage,
    name: &str,
) -> Result<Option<T>, RunError> {
    let path = storage.path(name);
    let Some(bytes) = storage.read(name).map_err(RunError::file(&path))? else {
        return Ok(None);
    };
    serde_json::from_slice(&bytes)
        .map(Some)
        .map_err(|e| RunError::damaged(path, e))
}

fn write_json(
    storage: &mut dyn Storage,
    name: &str,
    value: &impl Serialize,
) -> Result<(), RunError> {
    let json =
        serde_json::to_vec_pretty(value).map_err(|e| RunError::damaged(storage.path(name), e))?;
    replace(storage, name, &json)
}
