//! A file appears whole or not at all.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// A file being written under a temporary name in the folder of its final one. Dropped without
/// [`Replacement::commit`], it takes the temporary file with it.
#[derive(Debug)]
pub(crate) struct Replacement {
    path: PathBuf,
    temporary: PathBuf,
    committed: bool,
}

impl Replacement {
    /// Opens the temporary file `.<name>.partial`.
    pub(crate) fn begin(path: &Path) -> io::Result<(Self, File)> {
        let name = path
            .file_name()
            .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "no file name"))?;
        let temporary = path.with_file_name(format!(".{}.partial", name.to_string_lossy()));
        let file = File::create(&temporary)?;
        let replacement = Self {
            path: path.to_path_buf(),
            temporary,
            committed: false,
        };
        Ok((replacement, file))
    }

    /// The final name, for messages.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Makes the content durable and gives it its name.
    pub(crate) fn commit(mut self, file: File) -> io::Result<()> {
        file.sync_all()?;
        fs::rename(&self.temporary, &self.path)?;
        self.committed = true;
        Ok(())
    }
}

impl Drop for Replacement {
    fn drop(&mut self) {
        if !self.committed {
            // Nobody is left to tell; the next attempt overwrites what stays.
            let _ = fs::remove_file(&self.temporary);
        }
    }
}

/// Writes a file: under its name is the old content or all of the new, also where the disk is full. What is no plain file, such as
/// a pipe, is written to as it is.
pub fn write_whole(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_path_buf());
    let there = fs::metadata(&path).ok();
    if there.as_ref().is_some_and(|there| !there.is_file()) {
        return fs::write(&path, bytes);
    }
    let permissions = there.map(|there| there.permissions());
    if permissions.as_ref().is_some_and(|p| p.readonly()) {
        return Err(io::ErrorKind::PermissionDenied.into());
    }
    let (replacement, mut file) = Replacement::begin(&path)?;
    permissions
        .map(|permissions| file.set_permissions(permissions))
        .transpose()?;
    file.write_all(bytes)?;
    replacement.commit(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_whole_file_takes_the_place_of_the_old_one_and_a_device_is_written_to() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.txt");
        write_whole(&path, b"old").unwrap();
        write_whole(&path, b"new").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        write_whole(Path::new("/dev/null"), b"gone").unwrap();
        let full = write_whole(Path::new("/dev/full"), b"x").unwrap_err();
        assert_eq!(full.kind(), io::ErrorKind::StorageFull);
    }

    #[test]
    fn the_old_file_stays_until_the_commit() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.txt");
        fs::write(&path, "old").unwrap();
        let (replacement, mut file) = Replacement::begin(&path).unwrap();
        file.write_all(b"new").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "old");
        replacement.commit(file).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "new");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn an_abandoned_replacement_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        drop(Replacement::begin(&folder.path().join("a.txt")).unwrap());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
