//! Opening a store: the log and the tables each help where the other is damaged.

use crate::{
    Settings, StoreError,
    index::{Changes, Index, Tuning},
    log::{self, Log, Reach},
    rows::{Progress, key},
    sources::Sources,
};
use lyceum_core::Fingerprint;
use std::{
    fs::{self, File, OpenOptions, TryLockError},
    path::{Path, PathBuf},
};

/// Names within a store's folder.
pub(crate) const LOG: &str = "tasks.jsonl";
const SOURCES: &str = "sources";
const TABLES: &str = "tables";
const LOCK: &str = "lock";

/// A store whose files were found, before the tables have followed the log.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) settings: Settings,
    pub(crate) log: Log,
    pub(crate) index: Index,
    pub(crate) sources: Sources,
    /// Facts that the tables do not have yet.
    pub(crate) left: Vec<(String, Fingerprint)>,
    /// What was damaged and was made again.
    pub(crate) notes: Vec<String>,
    /// Held as long as the store is open.
    pub(crate) lock: File,
}

pub(crate) fn log_path(folder: &Path) -> PathBuf {
    folder.join(LOG)
}

pub(crate) fn tables_path(folder: &Path) -> PathBuf {
    folder.join(TABLES)
}

/// Makes an empty store; there must be none.
pub(crate) fn create(folder: &Path, settings: &Settings) -> Result<(), StoreError> {
    settings.check()?;
    let log = log_path(folder);
    if log.exists() {
        return Err(StoreError::refused(format!(
            "{}: there is a store already; open it, or name another folder",
            folder.display()
        )));
    }
    // A missing folder above is most likely a word that was mistyped, so one is made and no more.
    let above = folder
        .parent()
        .filter(|above| !above.as_os_str().is_empty());
    if let Some(above) = above.filter(|above| !above.is_dir()) {
        return Err(StoreError::refused(format!(
            "{}: there is no such folder, so no store is made in it",
            above.display()
        )));
    }
    fs::create_dir_all(folder.join(SOURCES)).map_err(StoreError::file(folder))?;
    Log::write(&log, settings, &[])
}

/// Keeps other processes out.
pub(crate) fn lock(folder: &Path) -> Result<File, StoreError> {
    let path = folder.join(LOCK);
    let file = OpenOptions::new()
        .create(true)
        .append(true)
        .open(&path)
        .map_err(StoreError::file(&path))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(StoreError::Busy {
            path: folder.into(),
        }),
        Err(TryLockError::Error(error)) => Err(StoreError::file(&path)(error)),
    }
}

/// How a store is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tables {
    /// Those that are there.
    Kept,
    /// New ones.
    Anew,
}

/// Opens what is there. With `cut`, what cannot be believed of the log is put aside; without, it is an error.
pub(crate) fn find(
    folder: &Path,
    lock: File,
    (tables, cut): (Tables, bool),
    tuning: Tuning,
) -> Result<Found, StoreError> {
    let path = log_path(folder);
    if !path.is_file() {
        return Err(StoreError::refused(format!(
            "{}: there is no store of tasks; `lyceum tasks FOLDER add FILE` makes one",
            folder.display()
        )));
    }
    let bytes = log::bytes(&path)?;
    let reading = log::read(&bytes).map_err(|found| StoreError::Version {
        path: path.clone(),
        found,
        reads: log::FORMAT,
    })?;
    let mut notes = Vec::new();
    let mut index = open_tables(folder, tables, tuning, &mut notes)?;
    let mended = Mended::of(&bytes, reading, &index)?;
    let settings = mended.settings.clone().ok_or_else(|| {
        let what = "its first line is damaged, and so are the tables that hold it as well: what the store was made with is gone; make a \
                    new store with the same settings and add the files again";
        StoreError::damaged(&path, what)
    })?;
    mended.keep(&path, &bytes, cut, &mut notes)?;
    let reach = index.progress()?.reach;
    if !mended.reaches(reach) {
        notes.push(format!(
            "{}: the tables are not those of this log; they were made again",
            tables_path(folder).display()
        ));
        drop(index);
        index = open_tables(folder, Tables::Anew, tuning, &mut notes)?;
    }
    let reach = begin(&index, &settings)?.reach;
    let left = mended.lines[reach.facts as usize..].to_vec();
    Ok(Found {
        log: Log::resume(&path, mended.bytes(), mended.reach())?,
        sources: Sources::new(folder.join(SOURCES)),
        settings,
        index,
        left,
        notes,
        lock,
    })
}

/// Opens the tables; damaged ones are made anew.
fn open_tables(
    folder: &Path,
    tables: Tables,
    tuning: Tuning,
    notes: &mut Vec<String>,
) -> Result<Index, StoreError> {
    let root = tables_path(folder);
    fs::create_dir_all(&root).map_err(StoreError::file(&root))?;
    let mut number = newest(&root)?;
    if tables == Tables::Anew {
        number += 1;
    }
    let opened = Index::open(&root.join(number.to_string()), tuning);
    let opened = opened.and_then(|index| index.progress().map(|_| index));
    let index = match opened {
        Err(StoreError::Damaged { .. }) => {
            notes.push(format!(
                "{}: the tables are damaged; they were made again from the log and the sources",
                root.display()
            ));
            number += 1;
            Index::open(&root.join(number.to_string()), tuning)?
        }
        opened => opened?,
    };
    // Somebody who has not quite ended may still write to older ones, so they may stay until the store is opened next.
    for older in numbers(&root)?.filter(|older| *older < number) {
        let _ = fs::remove_dir_all(root.join(older.to_string()));
    }
    Ok(index)
}

/// Tables are made anew under the next number, so that nobody writes to those of before and to these at once.
fn newest(root: &Path) -> Result<u64, StoreError> {
    Ok(numbers(root)?.max().unwrap_or(0))
}

fn numbers(root: &Path) -> Result<impl Iterator<Item = u64>, StoreError> {
    let entries = fs::read_dir(root).map_err(StoreError::file(root))?;
    Ok(entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()))
}

/// How far the tables go; empty ones begin here.
fn begin(index: &Index, settings: &Settings) -> Result<Progress, StoreError> {
    let progress = index.progress()?;
    if progress != Progress::default() {
        return Ok(progress);
    }
    let mut changes = Changes::default();
    let progress = Progress {
        reach: Reach {
            facts: 0,
            link: log::head(settings).1,
        },
        ..progress
    };
    let json = serde_json::to_string(settings).expect("settings are plain data");
    changes.put(key::SETTINGS.to_vec(), &json);
    changes.put(key::PROGRESS.to_vec(), &progress);
    index.commit(changes)?;
    Ok(progress)
}

/// The log as it can be believed.
struct Mended {
    settings: Option<Settings>,
    lines: Vec<(String, Fingerprint)>,
    /// Whether lines came from the tables.
    from_tables: bool,
    /// What cannot be believed, and how many lines there are behind it.
    fault: Option<(String, usize)>,
}

impl Mended {
    /// Each line from the log or, where it is damaged there, from the tables: whichever follows the line before.
    fn of(bytes: &[u8], reading: log::Reading, index: &Index) -> Result<Self, StoreError> {
        let facts = index.progress()?.reach.facts as usize;
        let mut mended = Self {
            settings: reading.settings,
            lines: reading.lines,
            from_tables: false,
            fault: None,
        };
        if reading.fault.is_none() && mended.lines.len() >= facts && mended.settings.is_some() {
            return Ok(mended);
        }
        if mended.settings.is_none() {
            let json: Option<String> = index.row(key::SETTINGS)?;
            mended.settings = json.and_then(|json| serde_json::from_str(&json).ok());
            mended.from_tables = true;
        }
        let Some(settings) = &mended.settings else {
            return Ok(mended);
        };
        let raw: Vec<&[u8]> = bytes.split(|byte| *byte == b'\n').collect();
        let mut link = mended.lines.last().map_or(log::head(settings).1, |l| l.1);
        loop {
            let number = mended.lines.len();
            // A break of lines that was damaged moves all lines behind it by one.
            let near = [number + 1, number, number + 2];
            let near = near.iter().filter_map(|n| raw.get(*n));
            let near = near.filter_map(|line| std::str::from_utf8(line).ok());
            let mut found = near.filter_map(|line| {
                let (_, link) = log::fact(link, line).ok()?;
                Some((line.to_string(), link))
            });
            if let Some(line) = found.next() {
                link = line.1;
                mended.lines.push(line);
                continue;
            }
            let kept: Option<String> = index.row(&key::fact(number as u64))?;
            let kept = kept.and_then(|line| Some((log::fact(link, &line).ok()?.1, line)));
            let Some((next, line)) = kept else {
                break;
            };
            link = next;
            mended.lines.push((line, next));
            mended.from_tables = true;
        }
        let behind = raw.len().saturating_sub(mended.lines.len() + 2);
        mended.fault = reading
            .fault
            .filter(|_| behind > 0)
            .map(|fault| (fault, behind));
        Ok(mended)
    }

    fn reach(&self) -> Reach {
        let head = self.settings.as_ref().map(|settings| log::head(settings).1);
        Reach {
            facts: self.lines.len() as u64,
            link: self.lines.last().map_or(head.unwrap_or_default(), |l| l.1),
        }
    }

    /// Whether tables that go so far are tables of this log.
    fn reaches(&self, reach: Reach) -> bool {
        match reach.facts as usize {
            0 => reach.link == Fingerprint::default() || Some(reach.link) == self.head(),
            facts => self.lines.get(facts - 1).is_some_and(|l| l.1 == reach.link),
        }
    }

    fn head(&self) -> Option<Fingerprint> {
        self.settings.as_ref().map(|settings| log::head(settings).1)
    }

    /// Bytes of the log.
    fn bytes(&self) -> u64 {
        let head = self.settings.as_ref().map(|settings| log::head(settings).0);
        let lines = self.lines.iter().map(|(line, _)| line.len() + 1);
        (head.map_or(0, |head| head.len() + 1) + lines.sum::<usize>()) as u64
    }

    /// Writes the log again where its file is damaged.
    fn keep(
        &self,
        path: &Path,
        bytes: &[u8],
        cut: bool,
        notes: &mut Vec<String>,
    ) -> Result<(), StoreError> {
        let Some(settings) = &self.settings else {
            return Ok(());
        };
        let shown = path.display();
        if let Some((fault, behind)) = &self.fault {
            if !cut {
                return Err(StoreError::damaged(
                    path,
                    format!(
                        "{fault}, and {behind} more behind it cannot be believed; `lyceum tasks FOLDER check --repair` puts them aside \
                         and names what is gone"
                    ),
                ));
            }
            let aside = path.with_extension("jsonl.damaged");
            fs::write(&aside, bytes).map_err(StoreError::file(&aside))?;
            notes.push(format!(
                "{shown}: {fault}; what the store was told after {} facts is gone: this line and {behind} behind it. They are kept as {}",
                self.lines.len(),
                aside.display()
            ));
        } else if self.from_tables {
            notes.push(format!(
                "{shown}: the log was damaged; it was made again from the tables, and nothing is gone"
            ));
        } else {
            return Ok(());
        }
        let lines: Vec<String> = self.lines.iter().map(|(line, _)| line.clone()).collect();
        Log::write(path, settings, &lines)
    }
}
