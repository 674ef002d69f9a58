//! The `checkpoint` folder of a run.
//!
//! `latest.json` names the folder of the last complete checkpoint and is replaced in one step, so a
//! crash at any moment leaves a usable one.

use crate::{
    RunError,
    model_file::{self, write_durably},
};
use lyceum_coordinator::Snapshot;
use lyceum_core::{Fingerprint, Layout, Params, codec};
use serde::{Deserialize, Serialize};
use std::{
    fs,
    path::{Path, PathBuf},
};

/// What `latest.json` says.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Latest {
    /// Rounds done; also the name of the folder.
    pub(crate) rounds: u64,
    /// Bytes of `events.jsonl` that belong to those rounds.
    pub(crate) events_bytes: u64,
    /// Digest of the scenario, its prelude and its initial parameters.
    pub(crate) scenario: Fingerprint,
    /// The chain after those rounds.
    pub(crate) fingerprint: Fingerprint,
}

/// A run's checkpoints.
pub(crate) struct Checkpoints {
    folder: PathBuf,
}

impl Checkpoints {
    /// The checkpoints of a run's folder.
    pub(crate) fn of(run: &Path) -> Self {
        Self {
            folder: run.join("checkpoint"),
        }
    }

    /// Saves a state and drops the one before.
    pub(crate) fn write(
        &self,
        layout: &Layout,
        snapshot: &Snapshot,
        events_bytes: u64,
        scenario: Fingerprint,
    ) -> Result<(), RunError> {
        let folder = self.round(snapshot.rounds);
        fs::create_dir_all(&folder).map_err(RunError::file(&folder))?;
        model_file::write(&folder.join("global.safetensors"), layout, &snapshot.global)?;
        let rest = Snapshot {
            global: Params::default(),
            ..snapshot.clone()
        };
        write_durably(&folder.join("state.bin"), &codec::encode(&rest))?;
        let layout_json =
            serde_json::to_vec_pretty(layout).map_err(|e| RunError::damaged(&folder, e))?;
        write_durably(&folder.join("layout.json"), &layout_json)?;
        let before = self.latest()?;
        let latest = Latest {
            rounds: snapshot.rounds,
            events_bytes,
            scenario,
            fingerprint: snapshot.fingerprint,
        };
        let path = self.folder.join("latest.json");
        let json = serde_json::to_vec_pretty(&latest).map_err(|e| RunError::damaged(&path, e))?;
        write_durably(&path, &json)?;
        if let Some(before) = before.filter(|b| b.rounds != snapshot.rounds) {
            let old = self.round(before.rounds);
            fs::remove_dir_all(&old).map_err(RunError::file(&old))?;
        }
        Ok(())
    }

    /// Keeps the parameters that a validation set likes best.
    pub(crate) fn write_best(&self, layout: &Layout, params: &Params) -> Result<(), RunError> {
        fs::create_dir_all(&self.folder).map_err(RunError::file(&self.folder))?;
        model_file::write(&self.folder.join("best.safetensors"), layout, params)
    }

    /// What the last complete checkpoint is, if there is one.
    pub(crate) fn latest(&self) -> Result<Option<Latest>, RunError> {
        let path = self.folder.join("latest.json");
        match fs::read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes)
                .map(Some)
                .map_err(|e| RunError::damaged(&path, e)),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(RunError::file(&path)(e)),
        }
    }

    /// Reads a checkpoint back.
    pub(crate) fn read(&self, latest: &Latest, layout: &Layout) -> Result<Snapshot, RunError> {
        let folder = self.round(latest.rounds);
        let path = folder.join("state.bin");
        let bytes = fs::read(&path).map_err(RunError::file(&path))?;
        let mut snapshot: Snapshot =
            codec::decode(&bytes).map_err(|e| RunError::damaged(&path, e))?;
        if snapshot.fingerprint != latest.fingerprint || snapshot.rounds != latest.rounds {
            return Err(RunError::damaged(
                &path,
                "it does not belong to latest.json; start the run anew",
            ));
        }
        snapshot.global = model_file::read(&folder.join("global.safetensors"), layout)?;
        Ok(snapshot)
    }

    fn round(&self, rounds: u64) -> PathBuf {
        self.folder.join(format!("{rounds:06}"))
    }
}
