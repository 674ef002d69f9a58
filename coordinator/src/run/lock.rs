//! The lock of a run's folder: against processes of this host by the system, against those of other hosts that share the
//! folder by a mark in the file, whose counter changes for as long as its process lives.
//!
//! Clocks of two hosts are never compared: who finds another host's mark looks whether it changes, on a clock of its own.

use serde::{Deserialize, Serialize};
use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
    sync::mpsc::{self, RecvTimeoutError},
    thread::{self, JoinHandle},
    time::{Duration, Instant, UNIX_EPOCH},
};

/// Bytes of a mark, at most.
const MOST: u64 = 1024;
/// Characters of a host's name that are kept.
const NAME: usize = 64;
/// Beats in the time after which a mark that does not change is nobody's.
const BEATS: u32 = 6;
/// Looks at another host's mark in that time, at least, and the longest time between two of them.
const LOOKS: u32 = 30;
const LONGEST: Duration = Duration::from_secs(1);

/// Who works in a folder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mark {
    /// The system that runs there, which no other has: the same in all containers of a host, another after a restart.
    pub system: String,
    /// What people call the host.
    pub host: String,
    /// Tells one process of a host from another.
    pub holder: String,
    /// Goes on for as long as the process lives.
    pub beat: u64,
}

impl Mark {
    /// This process, before its first beat.
    fn own() -> Self {
        let name = read_word("/proc/sys/kernel/hostname");
        let since = UNIX_EPOCH.elapsed().unwrap_or_default();
        Self {
            system: read_word("/proc/sys/kernel/random/boot_id")
                .unwrap_or_else(|| "unknown".into()),
            host: name.unwrap_or_else(|| "unknown".into()),
            holder: format!("{}-{}", std::process::id(), since.as_nanos()),
            beat: 0,
        }
    }

    /// Reads a mark; `None` if it is none, as one that is being written.
    pub fn read(bytes: &[u8]) -> Option<Self> {
        let short = bytes.len() as u64 <= MOST;
        short.then(|| serde_json::from_slice(bytes).ok()).flatten()
    }

    /// The mark as a line that is as long at every beat.
    fn text(&self) -> String {
        let mut text = serde_json::to_string(self).unwrap_or_default();
        let digits = self.beat.to_string().len();
        text.extend(std::iter::repeat_n(' ', 20 - digits.min(20)));
        text.push('\n');
        text
    }
}

/// The first word of a file of the system, without what a name cannot hold.
fn read_word(path: &str) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    let word = text.split_whitespace().next()?;
    let plain = word.chars().filter(|c| c.is_ascii_graphic());
    Some(plain.take(NAME).collect())
}

/// What is known of whoever left a mark.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Not yet enough.
    Unknown,
    /// It goes on: the mark has changed.
    Alive,
    /// It is gone: nothing has changed for long enough.
    Gone,
}

/// Looks whether a mark changes.
#[derive(Debug)]
pub struct Watcher {
    first: Vec<u8>,
    since: Duration,
    patience: Duration,
}

impl Watcher {
    /// What the file holds now, and how long it has to stay so.
    pub fn new(first: Vec<u8>, now: Duration, patience: Duration) -> Self {
        Self {
            first,
            since: now,
            patience,
        }
    }

    /// What the file holds later.
    pub fn look(&self, now: Duration, found: &[u8]) -> Verdict {
        match found == self.first {
            // Who ends well leaves an empty file.
            false if found.is_empty() => Verdict::Gone,
            false => Verdict::Alive,
            true if now.saturating_sub(self.since) >= self.patience => Verdict::Gone,
            true => Verdict::Unknown,
        }
    }
}

/// What the lock of a folder holds.
fn content(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(MOST + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Waits until it is known whether a process of another host works in the folder, and says which host if there is one. The
/// caller holds the lock of this host's system.
pub(super) fn other_host(path: &Path, patience: Duration) -> io::Result<Option<String>> {
    let found = content(path)?;
    let mark = Mark::read(&found);
    let ours = mark
        .as_ref()
        .is_some_and(|m| m.system == Mark::own().system);
    if found.is_empty() || ours {
        return Ok(None);
    }
    let host = mark.map_or_else(|| "another host".into(), |m| m.host);
    tracing::warn!(
        lock = %path.display(),
        %host,
        "the run's folder was last worked in from another host; waiting for up to {} s to see whether it still is",
        patience.as_secs_f64()
    );
    let began = Instant::now();
    let watcher = Watcher::new(found, began.elapsed(), patience);
    loop {
        thread::sleep((patience / LOOKS).min(LONGEST));
        match watcher.look(began.elapsed(), &content(path)?) {
            Verdict::Unknown => {}
            Verdict::Alive => return Ok(Some(host)),
            Verdict::Gone => {
                tracing::warn!(%host, "nothing has changed there; the run's folder is taken over");
                return Ok(None);
            }
        }
    }
}

/// A mark that goes on changing for as long as this lives.
#[derive(Debug)]
pub(super) struct Beating {
    /// Dropped first of all, which ends the thread.
    stop: Option<mpsc::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Beating {
    /// Leaves this process's mark, and renews it until the value is dropped. `lost` is called once another process has taken
    /// the folder over: this one was suspended, and must not write any more.
    pub(super) fn start(
        path: PathBuf,
        patience: Duration,
        lost: impl FnOnce(String) + Send + 'static,
    ) -> io::Result<Self> {
        let mut file = OpenOptions::new().write(true).open(&path)?;
        let mut mark = Mark::own();
        write(&mut file, &mark)?;
        let (stop, stopped) = mpsc::channel();
        let beat = move || {
            let mut result = file.sync_data();
            while let Err(RecvTimeoutError::Timeout) = stopped.recv_timeout(patience / BEATS) {
                if let Some(other) = taken_over(&path, &mark) {
                    return lost(other);
                }
                mark.beat += 1;
                let beaten = write(&mut file, &mark).and_then(|()| file.sync_data());
                // A folder that cannot be written is met by the run itself; it is said once.
                if let (Err(error), true) = (&beaten, result.is_ok()) {
                    tracing::warn!(%error, lock = %path.display(), "the lock cannot be renewed");
                }
                result = beaten;
            }
            // Who comes next need not wait. Where this fails, it waits.
            if taken_over(&path, &mark).is_none() {
                let _ = file.set_len(0);
            }
        };
        let thread = thread::Builder::new().name("lock".into()).spawn(beat)?;
        Ok(Self {
            stop: Some(stop),
            thread: Some(thread),
        })
    }
}

impl Drop for Beating {
    fn drop(&mut self) {
        self.stop = None;
        if let Some(thread) = self.thread.take() {
            // A thread that panicked has left its mark, which is only a longer wait for the next process.
            let _ = thread.join();
        }
    }
}

fn write(file: &mut File, mark: &Mark) -> io::Result<()> {
    let text = mark.text();
    file.seek(SeekFrom::Start(0))?;
    file.write_all(text.as_bytes())?;
    file.set_len(text.len() as u64)
}

/// The host whose mark stands where ours was.
fn taken_over(path: &Path, own: &Mark) -> Option<String> {
    let mark = Mark::read(&content(path).ok()?)?;
    (mark.holder != own.holder || mark.system != own.system).then_some(mark.host)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Duration = Duration::from_secs(30);

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn a_mark_that_changes_is_somebodys_and_one_that_stays_for_long_enough_nobodys() {
        let watcher = Watcher::new(b"7".to_vec(), at(100), PATIENCE);
        for (now, found, verdict) in [
            (100, "7", Verdict::Unknown),
            (129, "7", Verdict::Unknown),
            (130, "7", Verdict::Gone),
            (101, "8", Verdict::Alive),
            (200, "8", Verdict::Alive),
            (101, "", Verdict::Gone),
            // A clock that goes back proves nothing.
            (50, "7", Verdict::Unknown),
        ] {
            assert_eq!(
                watcher.look(at(now), found.as_bytes()),
                verdict,
                "{now} {found}"
            );
        }
    }

    #[test]
    fn a_mark_is_as_long_at_every_beat_and_reads_back() {
        let mut mark = Mark::own();
        let length = mark.text().len();
        for beat in [0, 9, 10, u64::MAX] {
            mark.beat = beat;
            assert_eq!(mark.text().len(), length, "{beat}");
            assert_eq!(Mark::read(mark.text().as_bytes()), Some(mark.clone()));
        }
        assert_eq!(Mark::read(&[b' '; 2000]), None);
        assert_eq!(Mark::read(b"{\"system\":"), None);
    }

    fn mark_of(path: &Path) -> Mark {
        Mark::read(&content(path).unwrap()).unwrap()
    }

    #[test]
    fn a_mark_of_this_host_is_no_obstacle_and_goes_with_its_process() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        fs::write(&path, "").unwrap();
        let beating = Beating::start(path.clone(), PATIENCE, |_| {}).unwrap();
        assert_eq!(mark_of(&path).beat, 0);
        // As after a crash, where the system's lock is free.
        assert_eq!(other_host(&path, PATIENCE).unwrap(), None);
        drop(beating);
        assert_eq!(content(&path).unwrap(), b"");
    }

    #[test]
    fn who_was_suspended_hears_that_another_host_works_in_the_folder() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        fs::write(&path, "").unwrap();
        let (sender, receiver) = mpsc::channel();
        let lost = move |host| sender.send(host).unwrap();
        let _beating = Beating::start(path.clone(), at(1) / 100, lost).unwrap();
        let other = Mark {
            system: "another".into(),
            host: "b".into(),
            holder: "1-1".into(),
            beat: 0,
        };
        // A beat that is under way may write over it once.
        while receiver.recv_timeout(at(1) / 1000).as_deref() != Ok("b") {
            fs::write(&path, other.text()).unwrap();
        }
        assert_eq!(mark_of(&path), other);
    }
}
