//! A file for the updates of a round that do not fit into memory. Nothing in it outlives the process: what must survive a
//! crash is in the journal or happens again. It is read back once, and hashes of its pieces stay in memory meanwhile.

use crate::Spill;
use lyceum_core::Fingerprint;
use std::{
    collections::BTreeMap,
    fs::{self, File, OpenOptions},
    io::{self, Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
};

/// Name of the file in a run's folder.
const NAME: &str = "updates.tmp";
/// Bytes that share a hash. Strategies read a few thousand values of an update at a time, or more.
const PIECE: usize = 4096;

/// The beginning of a hash, which is enough to see damage.
type Sum = [u8; 8];

fn sum(bytes: &[u8]) -> Sum {
    let mut sum = [0; 8];
    sum.copy_from_slice(&Fingerprint::of(bytes).bytes()[..8]);
    sum
}

/// The file, which is there only while something is in it.
pub struct SpillFile {
    path: PathBuf,
    file: Option<File>,
    len: u64,
    /// Sums of the pieces of what was appended, by where it begins.
    sums: BTreeMap<u64, Vec<Sum>>,
}

impl SpillFile {
    /// A file in a run's folder, made when it is needed. What a killed process left there goes.
    pub fn new(folder: &Path) -> Self {
        Self::at(folder.join(NAME))
    }

    fn at(path: PathBuf) -> Self {
        // If it cannot be removed, the first write says so.
        let _ = fs::remove_file(&path);
        Self {
            path,
            file: None,
            len: 0,
            sums: BTreeMap::new(),
        }
    }

    /// Reads bytes of what was appended at `first`, from `from` on, by whole pieces, and checks each.
    fn read_checked(
        &self,
        first: u64,
        sums: &[Sum],
        from: usize,
        out: &mut [u8],
    ) -> io::Result<()> {
        let missing = || io::Error::from(io::ErrorKind::NotFound);
        let mut file = self.file.as_ref().ok_or_else(missing)?;
        let next = self.sums.range(first + 1..).next();
        let all = (next.map_or(self.len, |(start, _)| *start) - first) as usize;
        let (begin, end) = (
            from / PIECE * PIECE,
            (from + out.len()).next_multiple_of(PIECE).min(all),
        );
        if from + out.len() > all {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let mut bytes = vec![0; end - begin];
        file.seek(SeekFrom::Start(first + begin as u64))?;
        file.read_exact(&mut bytes)?;
        let sums = sums.iter().skip(begin / PIECE);
        if bytes
            .chunks(PIECE)
            .zip(sums)
            .any(|(b, want)| sum(b) != *want)
        {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "it does not hold what was written",
            ));
        }
        out.copy_from_slice(&bytes[from - begin..][..out.len()]);
        Ok(())
    }

    fn named(&self, error: io::Error) -> io::Error {
        io::Error::new(error.kind(), format!("{}: {error}", self.path.display()))
    }
}

impl Spill for SpillFile {
    fn append(&mut self, bytes: &[u8]) -> io::Result<u64> {
        let start = self.len;
        let mut write = || {
            let file = match &mut self.file {
                Some(file) => file,
                none => none.insert(
                    OpenOptions::new()
                        .read(true)
                        .write(true)
                        .create(true)
                        .truncate(true)
                        .open(&self.path)?,
                ),
            };
            file.seek(SeekFrom::Start(start))?;
            file.write_all(bytes)
        };
        let written = write();
        written.map_err(|e| self.named(e))?;
        self.len += bytes.len() as u64;
        self.sums
            .insert(start, bytes.chunks(PIECE).map(sum).collect());
        Ok(start)
    }

    fn read(&self, start: u64, out: &mut [u8]) -> io::Result<()> {
        let missing = || io::Error::from(io::ErrorKind::NotFound);
        let appended = self.sums.range(..=start).next_back().ok_or_else(missing);
        appended
            .and_then(|(first, sums)| {
                self.read_checked(*first, sums, (start - first) as usize, out)
            })
            .map_err(|e| self.named(e))
    }

    fn clear(&mut self) -> io::Result<()> {
        self.len = 0;
        self.sums.clear();
        match self.file.take() {
            Some(_) => fs::remove_file(&self.path).map_err(|e| self.named(e)),
            None => Ok(()),
        }
    }

    fn beside(&self, place: usize) -> Box<dyn Spill> {
        let name = format!("updates-{place}.tmp");
        Box::new(Self::at(self.path.with_file_name(name)))
    }
}

impl Drop for SpillFile {
    fn drop(&mut self) {
        // A file that stays is removed by the next process.
        let _ = self.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_come_back_from_where_they_were_put_and_the_file_goes_with_them() {
        let folder = tempfile::tempdir().unwrap();
        let mut file = SpillFile::new(folder.path());
        for _ in 0..2 {
            assert!(!folder.path().join(NAME).exists());
            assert_eq!(file.append(b"abc").unwrap(), 0);
            assert_eq!(file.append(b"defg").unwrap(), 3);
            let mut out = [0; 3];
            file.read(4, &mut out).unwrap();
            assert_eq!(&out, b"efg");
            assert!(file.read(5, &mut out).is_err());
            file.clear().unwrap();
        }
        file.append(b"x").unwrap();
        drop(file);
        assert!(!folder.path().join(NAME).exists());
    }

    #[test]
    fn a_flipped_bit_is_seen_by_whoever_reads_its_piece() {
        let folder = tempfile::tempdir().unwrap();
        let mut file = SpillFile::new(folder.path());
        let bytes: Vec<u8> = (0..3 * PIECE + 100).map(|i| (i % 251) as u8).collect();
        let starts = [file.append(&bytes).unwrap(), file.append(&bytes).unwrap()];
        let path = folder.path().join(NAME);
        let whole = fs::read(&path).unwrap();
        let mut flipped = whole.clone();
        flipped[starts[1] as usize + PIECE + 5] ^= 2;
        fs::write(&path, &flipped).unwrap();
        for (from, len) in [
            (0, 10),
            (7, PIECE),
            (PIECE - 1, 2),
            (2 * PIECE, PIECE + 100),
        ] {
            let mut out = vec![0; len];
            file.read(starts[0] + from as u64, &mut out).unwrap();
            assert_eq!(out, bytes[from..from + len]);
            let read = file.read(starts[1] + from as u64, &mut out);
            let hit = from < 2 * PIECE && from + len > PIECE;
            assert_eq!(read.is_err(), hit, "{from} {len}");
        }
    }

    #[test]
    fn a_file_that_cannot_be_made_is_named() {
        let mut file = SpillFile::new(Path::new("/nowhere/at/all"));
        let error = file.append(b"abc").unwrap_err();
        assert!(error.to_string().contains("/nowhere/at/all/updates.tmp"));
    }
}
