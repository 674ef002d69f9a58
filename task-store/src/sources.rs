//! What was delivered, in files that are named by their content: 16 digits of a record's hash, a space and the record, line by line.
//!
//! Each line says of itself whether it holds what was written, so a damaged file loses no more than the lines that are damaged.

use crate::{StoreError, log::sync_folder, sample::MOST_BYTES, told::Part};
use lyceum_core::Fingerprint;
use std::{
    fs::{self, File},
    io::{self, Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
};

/// Digits of a line's check.
const DIGITS: usize = 16;
/// Bytes in front of a record.
const BEFORE: usize = DIGITS + 1;
/// A part is closed when it has so many bytes.
pub(crate) const PART_BYTES: usize = 8 << 20;
/// Or so many records.
pub(crate) const PART_RECORDS: u64 = 8192;
/// Bytes of a part, at most: the last record may go beyond the mark.
const MOST: usize = PART_BYTES + MOST_BYTES + BEFORE + 1;

/// A record within a part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Where its text begins.
    pub offset: u32,
    /// Bytes of its text.
    pub bytes: u32,
}

/// Adds a record to the bytes of a part.
pub fn push(part: &mut Vec<u8>, record: &str) {
    let check = Fingerprint::of(record.as_bytes()).to_string();
    part.extend(&check.as_bytes()[..DIGITS]);
    part.push(b' ');
    part.extend(record.as_bytes());
    part.push(b'\n');
}

/// The records of a part's bytes; in the place of one that is not what was written, the number of its line.
pub fn records(bytes: &[u8]) -> impl Iterator<Item = Result<(Place, &str), usize>> {
    let mut offset = 0;
    (1_usize..)
        .zip(bytes.split_inclusive(|byte| *byte == b'\n'))
        .map(move |(number, line)| {
            let begin = offset;
            offset += line.len();
            let text = checked(line).ok_or(number)?;
            let place = Place {
                offset: u32::try_from(begin + BEFORE).map_err(|_| number)?,
                bytes: u32::try_from(text.len()).map_err(|_| number)?,
            };
            Ok((place, text))
        })
}

fn checked(line: &[u8]) -> Option<&str> {
    let line = line.strip_suffix(b"\n")?;
    let (check, text) = line.split_at_checked(BEFORE)?;
    let right = Fingerprint::of(text).to_string();
    let same = check[DIGITS] == b' ' && check[..DIGITS] == right.as_bytes()[..DIGITS];
    std::str::from_utf8(text).ok().filter(|_| same)
}

/// The folder of a store's parts.
#[derive(Clone, Debug)]
pub(crate) struct Sources {
    root: PathBuf,
}

impl Sources {
    pub(crate) fn new(root: PathBuf) -> Self {
        Self { root }
    }

    /// Where a part lies.
    pub(crate) fn path(&self, hash: &Fingerprint) -> PathBuf {
        let name = hash.to_string();
        self.root.join(&name[..2]).join(name)
    }

    /// Keeps a part; one that is there and is what it should be is left alone. Also whether there was a damaged one.
    pub(crate) fn put(&self, bytes: &[u8]) -> Result<(Fingerprint, bool), StoreError> {
        let hash = Fingerprint::of(bytes);
        let path = self.path(&hash);
        let there = fs::read(&path).ok();
        if there.as_ref().is_some_and(|there| there == bytes) {
            return Ok((hash, false));
        }
        let temporary = path.with_extension("new");
        if let Err(error) = write(&path, &temporary, bytes) {
            // It is of no use to anybody; that it stays would be no harm either.
            let _ = fs::remove_file(&temporary);
            return Err(StoreError::file(&path)(error));
        }
        Ok((hash, there.is_some()))
    }

    /// All bytes of a part; `None` where there is none.
    pub(crate) fn bytes(&self, hash: &Fingerprint) -> Result<Option<Vec<u8>>, StoreError> {
        let path = self.path(hash);
        let mut bytes = Vec::new();
        let read = File::open(&path).and_then(|file| {
            let mut file = file.take(MOST as u64);
            file.read_to_end(&mut bytes)
        });
        match read {
            Ok(_) => Ok(Some(bytes)),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(StoreError::file(&path)(e)),
        }
    }

    /// One record, if it has the hash that it should have.
    pub(crate) fn record(
        &self,
        part: &Fingerprint,
        place: Place,
        content: &Fingerprint,
    ) -> Result<String, StoreError> {
        let path = self.path(part);
        let mut bytes = vec![0; (place.bytes as usize).min(MOST_BYTES)];
        let read = File::open(&path).and_then(|mut file| {
            file.seek(SeekFrom::Start(place.offset.into()))?;
            file.read_exact(&mut bytes)
        });
        let gone = |what: &str| {
            let reason = format!(
                "{what}; `lyceum tasks FOLDER check` says what is gone, and adding the same file again brings it back"
            );
            StoreError::damaged(&path, reason)
        };
        match read {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Err(gone("it is missing")),
            Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => {
                return Err(gone("it is shorter than it was"));
            }
            read => read.map_err(StoreError::file(&path))?,
        }
        let text = String::from_utf8(bytes).ok();
        let text = text.filter(|text| Fingerprint::of(text.as_bytes()) == *content);
        text.ok_or_else(|| gone("it does not hold what was written"))
    }

    /// All files there are.
    pub(crate) fn files(&self) -> Result<Vec<PathBuf>, StoreError> {
        let mut files = Vec::new();
        let mut folders = vec![self.root.clone()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(&folder).map_err(StoreError::file(&folder))? {
                let path = entry.map_err(StoreError::file(&folder))?.path();
                match path.is_dir() {
                    true => folders.push(path),
                    false => files.push(path),
                }
            }
        }
        files.sort();
        Ok(files)
    }

    /// What is wrong with a part: lines that are not what was written, or one sentence for all of it.
    pub(crate) fn faults(&self, part: &Part) -> Result<Option<PartFault>, StoreError> {
        let Some(bytes) = self.bytes(&part.hash)? else {
            return Ok(Some(PartFault::Missing));
        };
        if Fingerprint::of(&bytes) == part.hash {
            return Ok(None);
        }
        let good = records(&bytes).filter(Result::is_ok).count() as u64;
        let lines = records(&bytes).filter_map(Result::err).collect();
        Ok(Some(PartFault::Damaged {
            lines,
            gone: part.records.saturating_sub(good),
        }))
    }
}

/// What is wrong with a part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum PartFault {
    /// There is no such file.
    Missing,
    /// Some lines are not what was written.
    Damaged {
        /// Their numbers.
        lines: Vec<usize>,
        /// Records that are gone.
        gone: u64,
    },
}

/// Writes a file so that after a crash it is there whole or not at all.
fn write(path: &Path, temporary: &Path, bytes: &[u8]) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    if !folder.is_dir() {
        fs::create_dir_all(folder)?;
        sync_folder(folder)?;
    }
    let mut file = File::create(temporary)?;
    file.write_all(bytes)?;
    file.sync_data()?;
    fs::rename(temporary, path)?;
    sync_folder(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_damaged_line_is_lost_and_the_others_are_not() {
        let mut bytes = Vec::new();
        for record in ["{\"a\":1}", "{\"a\":2}", "{\"a\":3}"] {
            push(&mut bytes, record);
        }
        let all: Vec<_> = records(&bytes).map(|r| r.unwrap().1).collect();
        assert_eq!(all, ["{\"a\":1}", "{\"a\":2}", "{\"a\":3}"]);
        for at in 0..bytes.len() {
            let mut flipped = bytes.clone();
            flipped[at] ^= 1;
            let good: Vec<_> = records(&flipped).flatten().map(|r| r.1).collect();
            assert!(good.len() <= 2, "{at}");
            assert!(good.iter().all(|text| all.contains(text)), "{at}");
        }
    }

    #[test]
    fn a_part_is_found_by_its_content() {
        let folder = tempfile::tempdir().unwrap();
        let sources = Sources::new(folder.path().into());
        let mut bytes = Vec::new();
        push(&mut bytes, "{}");
        let (hash, _) = sources.put(&bytes).unwrap();
        assert_eq!(sources.put(&bytes).unwrap(), (hash, false));
        let place = Place {
            offset: 17,
            bytes: 2,
        };
        let content = Fingerprint::of(b"{}");
        assert_eq!(sources.record(&hash, place, &content).unwrap(), "{}");
        let part = Part { hash, records: 1 };
        assert_eq!(sources.faults(&part).unwrap(), None);
        fs::write(sources.path(&hash), b"0").unwrap();
        let fault = PartFault::Damaged {
            lines: vec![1],
            gone: 1,
        };
        assert_eq!(sources.faults(&part).unwrap(), Some(fault));
        assert!(sources.record(&hash, place, &content).is_err());
        assert_eq!(sources.put(&bytes).unwrap(), (hash, true));
    }
}
