//! Process settings: what does not change an answer. Flags win over the environment, the environment
//! over `lyceum.toml` in the working folder.

use crate::failure::Failure;
use config::{Config, Environment, File, FileFormat};
use serde::Deserialize;
use std::path::PathBuf;

/// Settings from file and environment.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct ProcessSettings {
    /// Worker threads, 1 or above; `LYCEUM__THREADS`.
    pub(crate) threads: Option<usize>,
    /// Folders where data sets are looked for, `:` between them; `LYCEUM__DATA`.
    pub(crate) data: Option<String>,
    /// Folder that runs are written to; `LYCEUM__RUNS`.
    pub(crate) runs: Option<PathBuf>,
    /// Least seconds between checkpoints, 0 or above; `LYCEUM__CHECKPOINT_EVERY`.
    pub(crate) checkpoint_every: Option<f64>,
    /// The OpenBLAS library that `lyceum bench` measures itself by; `LYCEUM__OPENBLAS`.
    pub(crate) openblas: Option<String>,
}

impl ProcessSettings {
    /// Reads `lyceum.toml`, if there is one, and the environment.
    pub(crate) fn read() -> Result<Self, Failure> {
        Config::builder()
            .add_source(File::new("lyceum.toml", FileFormat::Toml).required(false))
            .add_source(
                Environment::with_prefix("LYCEUM")
                    .prefix_separator("__")
                    .separator("__")
                    .try_parsing(true),
            )
            .build()
            .and_then(Config::try_deserialize)
            .map_err(|e| Failure::input(format!("process settings (lyceum.toml, LYCEUM__*): {e}")))
    }

    /// Where data sets are looked for: flags, then settings, then `data` here and beside the scenario.
    pub(crate) fn folders(&self, flags: &[PathBuf], scenario: &std::path::Path) -> Vec<PathBuf> {
        let mut folders = flags.to_vec();
        folders.extend(
            self.data
                .iter()
                .flat_map(|d| std::env::split_paths(d).collect::<Vec<_>>()),
        );
        folders.push("data".into());
        let beside = scenario.parent().filter(|p| !p.as_os_str().is_empty());
        folders.push(beside.map_or_else(|| ".".into(), PathBuf::from));
        folders
    }

    /// Worker threads: the flag, the setting, or one per core.
    pub(crate) fn threads(&self, flag: Option<usize>) -> Result<usize, Failure> {
        match flag.or(self.threads) {
            Some(0) => Err(Failure::input("--threads 0: at least one thread is needed")),
            Some(threads) if threads > 4096 => {
                Err(Failure::input(format!("--threads {threads}: at most 4096")))
            }
            Some(threads) => Ok(threads),
            None => Ok(std::thread::available_parallelism().map_or(1, |n| n.get())),
        }
    }
}
