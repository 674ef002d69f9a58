//! The append-only log of what a store was told: one JSON object a line, each with the hash of all before and itself.
//!
//! **Invariant:** what is in the log was told, and happens to the tables sooner or later; a line is safe before anything follows from it.

use crate::{Settings, StoreError, told::Told};
use lyceum_core::Fingerprint;
use serde::{Deserialize, Serialize};
use std::{
    fs::{File, OpenOptions},
    io::{Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
};

/// The version of stores. Another one is refused.
pub const FORMAT: u64 = 1;
/// Bytes of a line, at most.
const MOST: usize = 16 << 20;

/// How far a log goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reach {
    /// Facts.
    pub facts: u64,
    /// Hash over the head and all of them.
    pub link: Fingerprint,
}

/// What the bytes of a log hold.
#[derive(Debug, PartialEq)]
pub struct Reading {
    /// What the store was made with; `None` where the head is not readable.
    pub settings: Option<Settings>,
    /// The lines that are as they were written, from the first fact on: text without the end of line, and the link with it.
    pub lines: Vec<(String, Fingerprint)>,
    /// Bytes of the head and these lines.
    pub whole: u64,
    /// What is wrong with the rest, if it has an end of line; otherwise it was torn while it was written.
    pub fault: Option<String>,
}

#[derive(Serialize, Deserialize)]
struct Head {
    lyceum_tasks: u64,
    settings: Settings,
    link: Fingerprint,
}

#[derive(Deserialize)]
struct Version {
    lyceum_tasks: u64,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    told: Told,
    link: Fingerprint,
}

fn link_of(before: Fingerprint, content: &impl Serialize) -> Fingerprint {
    let json = serde_json::to_vec(content).expect("facts are plain data with text as keys");
    before.extend().add(&json).link()
}

fn head_link(settings: &Settings) -> Fingerprint {
    let mut chain = Fingerprint::default().extend();
    let start = chain.number(FORMAT).link();
    link_of(start, settings)
}

/// The first line of a log.
pub fn head(settings: &Settings) -> (String, Fingerprint) {
    let link = head_link(settings);
    let head = Head {
        lyceum_tasks: FORMAT,
        settings: settings.clone(),
        link,
    };
    let json = serde_json::to_string(&head).expect("settings are plain data");
    (json, link)
}

/// A fact as a line that follows a link.
pub fn line(before: Fingerprint, told: &Told) -> (String, Fingerprint) {
    let link = link_of(before, told);
    let line = Line {
        told: told.clone(),
        link,
    };
    let json = serde_json::to_string(&line).expect("facts are plain data with text as keys");
    (json, link)
}

/// The fact of a line that follows a link; an error says what is wrong.
pub fn fact(before: Fingerprint, text: &str) -> Result<(Told, Fingerprint), String> {
    if text.len() > MOST {
        return Err(format!("it has more than {MOST} bytes"));
    }
    let line: Line = serde_json::from_str(text).map_err(|e| format!("it cannot be read: {e}"))?;
    match link_of(before, &line.told) == line.link {
        true => Ok((line.told, line.link)),
        false => Err("its hash is another".into()),
    }
}

/// Reads a log; `Err` is another version's number.
pub fn read(bytes: &[u8]) -> Result<Reading, u64> {
    let mut reading = Reading {
        settings: None,
        lines: Vec::new(),
        whole: 0,
        fault: None,
    };
    let mut rest = bytes;
    let mut link = Fingerprint::default();
    while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
        let text = std::str::from_utf8(&rest[..end]);
        let text = text.map_err(|_| "it is no text".to_string());
        let number = reading.lines.len() + 2;
        let next = match (&reading.settings, text) {
            (_, Err(fault)) => Err(fault),
            (None, Ok(text)) => opening(text)?.map(|(settings, link)| {
                reading.settings = Some(settings);
                link
            }),
            (Some(_), Ok(text)) => fact(link, text).map(|(_, link)| {
                reading.lines.push((text.to_string(), link));
                link
            }),
        };
        match next {
            Ok(next) => link = next,
            Err(fault) => {
                let number = if reading.settings.is_none() {
                    1
                } else {
                    number
                };
                reading.fault = Some(format!("line {number} is damaged: {fault}"));
                return Ok(reading);
            }
        }
        rest = &rest[end + 1..];
        reading.whole = (bytes.len() - rest.len()) as u64;
    }
    Ok(reading)
}

/// The settings of a head; the outer `Err` is another version's number.
fn opening(text: &str) -> Result<Result<(Settings, Fingerprint), String>, u64> {
    let head = serde_json::from_str::<Head>(text);
    let head = head.map(|head| (head_link(&head.settings) == head.link, head));
    let version = serde_json::from_str::<Version>(text).map(|v| v.lyceum_tasks);
    Ok(match (head, version) {
        (Ok((true, head)), _) if head.lyceum_tasks == FORMAT => Ok((head.settings, head.link)),
        // The hash is this version's, so the number cannot be right.
        (Ok((true, _)), _) => Err("its version is not the one it has".into()),
        (_, Ok(other)) if other != FORMAT => return Err(other),
        (Ok((false, _)), _) => Err("its hash is another".into()),
        (Err(error), _) => Err(format!("it cannot be read: {error}")),
    })
}

/// The log of a store that is open.
#[derive(Debug)]
pub(crate) struct Log {
    path: PathBuf,
    file: File,
    bytes: u64,
    reach: Reach,
}

impl Log {
    /// Makes a log, in the place of any other, so that after a crash it holds all these lines or what it held before.
    pub(crate) fn write(
        path: &Path,
        settings: &Settings,
        lines: &[String],
    ) -> Result<(), StoreError> {
        let temporary = path.with_extension("new");
        let written = || -> std::io::Result<()> {
            let mut file = File::create(&temporary)?;
            writeln!(file, "{}", head(settings).0)?;
            for line in lines {
                writeln!(file, "{line}")?;
            }
            file.sync_all()?;
            std::fs::rename(&temporary, path)?;
            sync_folder(path)
        };
        written().map_err(StoreError::file(path))
    }

    /// Goes on with a log after so many bytes, which hold what `reach` says; what follows is cut off.
    pub(crate) fn resume(path: &Path, bytes: u64, reach: Reach) -> Result<Self, StoreError> {
        let opened = || -> std::io::Result<File> {
            let file = OpenOptions::new().read(true).write(true).open(path)?;
            if file.metadata()?.len() != bytes {
                file.set_len(bytes)?;
                file.sync_all()?;
            }
            Ok(file)
        };
        Ok(Self {
            file: opened().map_err(StoreError::file(path))?,
            path: path.into(),
            bytes,
            reach,
        })
    }

    /// How far it goes.
    pub(crate) fn reach(&self) -> Reach {
        self.reach
    }

    /// Appends a fact and makes it safe; where that fails, the log is as before. Its line is returned.
    pub(crate) fn append(&mut self, told: &Told) -> Result<String, StoreError> {
        let (mut text, link) = line(self.reach.link, told);
        if text.len() > MOST {
            return Err(StoreError::refused(format!(
                "this takes {} bytes in the log, and at most {MOST} are right: tell it in several parts",
                text.len()
            )));
        }
        text.push('\n');
        let appended = self.file.seek(SeekFrom::Start(self.bytes));
        let appended = appended.and_then(|_| self.file.write_all(text.as_bytes()));
        if let Err(error) = appended.and_then(|()| self.file.sync_data()) {
            // Where this fails as well, the torn line is cut off when the store is opened next.
            let _ = self.file.set_len(self.bytes);
            return Err(StoreError::file(&self.path)(error));
        }
        self.bytes += text.len() as u64;
        self.reach = Reach {
            facts: self.reach.facts + 1,
            link,
        };
        text.pop();
        Ok(text)
    }
}

/// All bytes of a log.
pub(crate) fn bytes(path: &Path) -> Result<Vec<u8>, StoreError> {
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|mut file| file.read_to_end(&mut bytes));
    read.map_err(StoreError::file(path))?;
    Ok(bytes)
}

/// Makes the name of a file safe.
pub(crate) fn sync_folder(path: &Path) -> std::io::Result<()> {
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty());
    File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::told::Merged;

    fn log() -> (Settings, Vec<u8>) {
        let settings = Settings::default();
        let (text, mut link) = head(&settings);
        let mut bytes = text.into_bytes();
        bytes.push(b'\n');
        for name in ["a", "b", "c"] {
            let told = Told::Merged(Merged {
                task: name.into(),
                of: vec!["x".into()],
                rule: "published".into(),
            });
            let (text, next) = line(link, &told);
            bytes.extend(text.bytes().chain([b'\n']));
            link = next;
        }
        (settings, bytes)
    }

    #[test]
    fn a_flipped_bit_anywhere_is_seen_or_changes_nothing() {
        let (settings, bytes) = log();
        let whole = read(&bytes).unwrap();
        assert_eq!(
            (whole.settings.as_ref(), whole.lines.len()),
            (Some(&settings), 3)
        );
        assert_eq!((whole.whole, &whole.fault), (bytes.len() as u64, &None));
        for at in 0..8 * bytes.len() {
            let mut flipped = bytes.clone();
            flipped[at / 8] ^= 1 << (at % 8);
            match read(&flipped) {
                Ok(found) if found.whole == bytes.len() as u64 => {
                    let links = |r: &Reading| r.lines.iter().map(|l| l.1).collect::<Vec<_>>();
                    assert_eq!(links(&found), links(&whole), "bit {at}");
                }
                Ok(found) => assert!(found.lines.len() < 3, "bit {at}"),
                Err(version) => assert_ne!(version, FORMAT, "bit {at}"),
            }
        }
    }

    #[test]
    fn a_torn_end_is_no_fault() {
        let (_, bytes) = log();
        for end in 0..bytes.len() {
            let found = read(&bytes[..end]).unwrap();
            assert_eq!(found.fault, None, "{end}");
            assert!(found.whole <= end as u64);
        }
    }

    #[test]
    fn another_version_is_told() {
        let (_, bytes) = log();
        let text = String::from_utf8(bytes).unwrap();
        let other = text
            .replace("\"lyceum_tasks\":1", "\"lyceum_tasks\":7")
            .replace("\"seed\":0", "\"seeds\":[0]");
        assert_eq!(read(other.as_bytes()), Err(7));
    }
}
