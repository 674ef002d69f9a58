//! A file appears whole or not at all.

use std::fs::{self, File};
use std::io;
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

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
