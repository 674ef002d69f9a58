//! Where a run is kept and how it is worked on: what does not change its answer.

use super::{RunError, checkpoint::FOLDER as CHECKPOINTS};
use crate::plan::is_full;
use lyceum_metrics::{CLIENTS_PARQUET, EVENTS, ROUNDS_CSV, ROUNDS_PARQUET};
use std::{
    fs,
    io::ErrorKind,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

/// Files of a run, in whose place nothing else may be.
const FILES: [&str; 6] = [
    EVENTS,
    "scenario.toml",
    "summary.json",
    ROUNDS_CSV,
    ROUNDS_PARQUET,
    CLIENTS_PARQUET,
];
const LOCK_TRIES: u32 = 50;
const LOCK_PAUSE: Duration = Duration::from_millis(20);

/// What does not change the answer.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Worker threads.
    pub threads: usize,
    /// The run's folder.
    pub out: PathBuf,
    /// Where data sets are looked for.
    pub folders: Vec<PathBuf>,
    /// Go on from the folder's checkpoint.
    pub resume: bool,
    /// Least time between checkpoints; zero saves after every round.
    pub checkpoint_every: Duration,
    /// Bytes of single updates that are kept in memory, where the strategy asks for them; more go to a file of the run.
    pub updates_bytes: u64,
    /// The log of another run, whose facts this one is told.
    pub facts: Option<PathBuf>,
    /// When the process started.
    pub started: Instant,
}

/// The run's folder, held against other processes for as long as this lives.
#[derive(Debug)]
pub struct Held {
    _lock: fs::File,
}

impl Settings {
    /// Refuses a folder with a file of somebody else's in the place of one that the run would write. Where a run has been, its
    /// lock is.
    fn spares_others(&self, lock: &Path) -> Result<(), RunError> {
        let begun = [EVENTS, CHECKPOINTS]
            .iter()
            .any(|name| self.out.join(name).exists());
        if self.resume || begun || lock.exists() {
            return Ok(());
        }
        let mut files = FILES.iter().map(|name| self.out.join(name));
        let Some(file) = files.find(|file| file.exists()) else {
            return Ok(());
        };
        let reason = "it is there, is of no run, and would be overwritten by this one: move it away, or choose another --out";
        Err(RunError::misused(file, reason))
    }

    /// Makes the run's folder this process's own.
    pub fn hold(&self) -> Result<Held, RunError> {
        let path = self.out.join("lock");
        let mut files = FILES.iter().map(|name| self.out.join(name));
        if let Some(folder) = files.find(|file| file.is_dir()) {
            let reason = "a folder is where a file of the run belongs: move it away, or choose another --out";
            return Err(RunError::misused(folder, reason));
        }
        let checkpoints = self.out.join(CHECKPOINTS);
        if checkpoints.exists() && !checkpoints.is_dir() {
            let reason = "a file is where a folder of the run belongs: move it away, or choose another --out";
            return Err(RunError::misused(checkpoints, reason));
        }
        if !self.out.exists() && self.out.is_symlink() {
            let reason =
                "it is a link to what is not there: make that folder, or choose another --out";
            return Err(RunError::misused(&self.out, reason));
        }
        self.spares_others(&path)?;
        let made = fs::create_dir_all(&self.out).and_then(|()| fs::File::create(&path));
        let file = made.map_err(|e| match is_full(&e) {
            true => RunError::file(&path)(e),
            false => {
                let why = match e.kind() {
                    ErrorKind::AlreadyExists | ErrorKind::NotADirectory => {
                        "a file is where its folder belongs".into()
                    }
                    ErrorKind::PermissionDenied => "this user may not write here".into(),
                    _ => e.to_string(),
                };
                let reason = format!("a run cannot be written here ({why}); choose another --out");
                RunError::misused(&self.out, reason)
            }
        })?;
        // A process that is just being started holds its parent's files for a moment, this one among them.
        for _ in 0..LOCK_TRIES {
            match file.try_lock() {
                Ok(()) => return Ok(Held { _lock: file }),
                Err(fs::TryLockError::WouldBlock) => thread::sleep(LOCK_PAUSE),
                Err(fs::TryLockError::Error(e)) => return Err(RunError::file(path)(e)),
            }
        }
        Err(RunError::misused(
            &self.out,
            "another process is running in this folder; choose another --out",
        ))
    }
}
