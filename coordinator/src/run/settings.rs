//! Where a run is kept and how it is worked on: what does not change its answer.

use super::{RunError, checkpoint::FOLDER as CHECKPOINTS, lock};
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
/// Time after which a process of another host that shows no life has lost its run's folder.
pub const TAKEOVER: Duration = Duration::from_secs(30);
/// Exit code of a process that has lost its run's folder: the run can be gone on with, and is.
const LOST: i32 = 75;

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
    /// Ends before the system's lock is let go.
    _beating: lock::Beating,
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
        self.hold_for(TAKEOVER)
    }

    /// As [`hold`](Self::hold). A process of another host that has shown no life for `takeover` has lost the folder. One that
    /// was suspended for longer than that ends at once when it goes on, since two must not write one run.
    pub fn hold_for(&self, takeover: Duration) -> Result<Held, RunError> {
        let (lock, path) = self.hold_here()?;
        let file = |source| RunError::file(&path)(source);
        if let Some(host) = lock::other_host(&path, takeover).map_err(file)? {
            let reason = format!(
                "a process on another host, {host}, is running in this folder; choose another --out, or stop it first"
            );
            return Err(RunError::misused(&self.out, reason));
        }
        let out = self.out.clone();
        let lost = move |host: String| {
            tracing::error!(
                out = %out.display(),
                %host,
                "this process was suspended for too long, and its run has been taken over from another host"
            );
            std::process::exit(LOST);
        };
        let beating = lock::Beating::start(path.clone(), takeover, lost).map_err(file)?;
        Ok(Held {
            _beating: beating,
            _lock: lock,
        })
    }

    /// The lock of this host's system, and where it is.
    fn hold_here(&self) -> Result<(fs::File, PathBuf), RunError> {
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
        let made = fs::create_dir_all(&self.out).and_then(|()| {
            let mut options = fs::File::options();
            options.read(true).write(true).create(true).truncate(false);
            options.open(&path)
        });
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
                Ok(()) => return Ok((file, path)),
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
