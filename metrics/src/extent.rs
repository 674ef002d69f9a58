//! How far a log goes, and whether it holds what it held.
//!
//! A log begins with opening lines, which say what the run is; a lengthened run has others. What happened stands after
//! them, and an extent speaks of that alone.

use crate::log_error::LogError;
use crate::replacement::Replacement;
use lyceum_core::{Chain, Fingerprint};
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::path::Path;

const BUFFER: usize = 1 << 17;

/// The bytes of a log after its opening lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Extent {
    /// How many they are.
    pub bytes: u64,
    /// BLAKE3 of them.
    pub hash: Fingerprint,
}

impl Extent {
    /// Of a log with nothing but its opening.
    pub fn nothing() -> Self {
        Self {
            bytes: 0,
            hash: Fingerprint::of(b""),
        }
    }
}

/// What was found of a log up to an extent.
pub(crate) struct Measured {
    /// Bytes of the opening lines.
    pub(crate) opening: u64,
    /// Over what follows them.
    pub(crate) chain: Chain,
}

/// Reads a log with so many opening lines up to an extent; an error where it does not hold the same bytes.
pub(crate) fn measure(path: &Path, lines: usize, extent: &Extent) -> Result<Measured, LogError> {
    let wrong = |source| LogError::file(path, source);
    let file = File::open(path).map_err(wrong)?;
    let len = file.metadata().map_err(wrong)?.len();
    let mut reader = BufReader::with_capacity(BUFFER, file);
    let mut opening = 0;
    for _ in 0..lines {
        opening += reader.skip_until(b'\n').map_err(wrong)? as u64;
    }
    let mut chain = Chain::default();
    let read = hash(&mut reader.take(extent.bytes), &mut chain).map_err(wrong)?;
    let path = path.to_path_buf();
    if read < extent.bytes {
        let offset = opening.saturating_add(extent.bytes);
        return Err(LogError::Short { path, len, offset });
    }
    match chain.link() == extent.hash {
        true => Ok(Measured { opening, chain }),
        false => Err(LogError::Damaged { path }),
    }
}

fn hash(from: &mut impl Read, chain: &mut Chain) -> io::Result<u64> {
    let mut buffer = vec![0; BUFFER];
    let mut all = 0;
    loop {
        match from.read(&mut buffer) {
            Ok(0) => return Ok(all),
            Ok(read) => {
                chain.piece(&buffer[..read]);
                all += read as u64;
            }
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
}

/// Whether a log begins with these bytes, of which it has as many before what happened.
pub(crate) fn begins_with(path: &Path, opening: &[u8], bytes: u64) -> io::Result<bool> {
    if bytes != opening.len() as u64 {
        return Ok(false);
    }
    let mut there = vec![0; opening.len()];
    File::open(path)?.read_exact(&mut there)?;
    Ok(there == opening)
}

/// Puts another opening in the place of the first `old` bytes of a log, before `kept` bytes of what happened.
pub(crate) fn reopen(path: &Path, opening: &[u8], old: u64, kept: u64) -> io::Result<()> {
    let mut from = File::open(path)?;
    from.seek(SeekFrom::Start(old))?;
    let (replacement, mut to) = Replacement::begin(path)?;
    to.write_all(opening)?;
    io::copy(&mut from.take(kept), &mut to)?;
    replacement.commit(to)
}
