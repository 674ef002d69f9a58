//! A file for the updates of a round that do not fit into memory. Nothing in it outlives the process: what must survive a
//! crash is in the journal or happens again.

use crate::Spill;
use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
};

/// Name of the file in a run's folder.
const NAME: &str = "updates.tmp";

/// The file, which is there only while something is in it.
pub struct SpillFile {
    path: PathBuf,
    file: Option<File>,
    len: u64,
}

impl SpillFile {
    /// A file in a run's folder, made when it is needed. What a killed process left there goes.
    pub fn new(folder: &Path) -> Self {
        let path = folder.join(NAME);
        // If it cannot be removed, the first write says so.
        let _ = fs::remove_file(&path);
        Self {
            path,
            file: None,
            len: 0,
        }
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
        Ok(start)
    }

    fn read(&self, start: u64, out: &mut [u8]) -> io::Result<()> {
        let missing = || io::Error::from(io::ErrorKind::NotFound);
        let mut read = || {
            let mut file = self.file.as_ref().ok_or_else(missing)?;
            file.seek(SeekFrom::Start(start))?;
            file.read_exact(out)
        };
        read().map_err(|e| self.named(e))
    }

    fn clear(&mut self) -> io::Result<()> {
        self.len = 0;
        match self.file.take() {
            Some(_) => fs::remove_file(&self.path).map_err(|e| self.named(e)),
            None => Ok(()),
        }
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
            file.read(2, &mut out).unwrap();
            assert_eq!(&out, b"cde");
            assert!(file.read(5, &mut out).is_err());
            file.clear().unwrap();
        }
        file.append(b"x").unwrap();
        drop(file);
        assert!(!folder.path().join(NAME).exists());
    }

    #[test]
    fn a_file_that_cannot_be_made_is_named() {
        let mut file = SpillFile::new(Path::new("/nowhere/at/all"));
        let error = file.append(b"abc").unwrap_err();
        assert!(error.to_string().contains("/nowhere/at/all/updates.tmp"));
    }
}
