//! Files that hold secrets: owner only from the moment they exist, and durable when written.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

#[cfg(unix)]
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};

/// A file that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// The system refused.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// Which file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It would be overwritten.
    #[error("{} exists already and is not overwritten: choose another folder", .0.display())]
    Exists(PathBuf),
    /// A secret that group or others can read or write.
    #[error("{} is not its owner's alone: run `chmod 600 {}`", .0.display(), .0.display())]
    Shared(PathBuf),
}

/// Who may read a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Readers {
    Owner,
    Everyone,
}

impl FileError {
    /// For `map_err`: this action on this path failed.
    pub(crate) fn io(action: &'static str, path: &Path) -> impl Fn(io::Error) -> Self {
        move |source| match source.kind() {
            io::ErrorKind::AlreadyExists => Self::Exists(path.to_owned()),
            _ => Self::Io {
                action,
                path: path.to_owned(),
                source,
            },
        }
    }
}

/// Makes the folder, its owner's alone, unless it is there.
pub(crate) fn make_folder(path: &Path) -> Result<(), FileError> {
    let mut folder = DirBuilder::new();
    folder.recursive(true);
    #[cfg(unix)]
    folder.mode(0o700);
    folder
        .create(path)
        .map_err(FileError::io("make the folder", path))
}

/// Options that create a file with the right mode at once, so that there is no moment in which
/// others can read it.
pub(crate) fn options(readers: Readers) -> OpenOptions {
    let mut options = OpenOptions::new();
    #[cfg(unix)]
    options.mode(match readers {
        Readers::Owner => 0o600,
        Readers::Everyone => 0o644,
    });
    #[cfg(not(unix))]
    let _ = readers;
    options
}

/// Writes a new file durably; one that exists is an error.
pub(crate) fn create(path: &Path, readers: Readers, text: &str) -> Result<(), FileError> {
    let refused = FileError::io("create", path);
    let file = options(readers).write(true).create_new(true).open(path);
    let mut file = file.map_err(&refused)?;
    let written = file
        .write_all(text.as_bytes())
        .and_then(|()| file.sync_all());
    written.map_err(|error| {
        // Half a file would be in the way of the next attempt; if it cannot be removed, the error says enough.
        let _ = std::fs::remove_file(path);
        refused(error)
    })?;
    sync_folder(path)
}

/// Replaces a file durably: whoever reads it, also after a crash, finds the old text or the new.
pub(crate) fn replace(path: &Path, readers: Readers, text: &str) -> Result<(), FileError> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(".new");
    let beside = PathBuf::from(beside);
    remove(&beside)?;
    create(&beside, readers, text)?;
    std::fs::rename(&beside, path).map_err(|error| {
        let _ = std::fs::remove_file(&beside);
        FileError::io("replace", path)(error)
    })?;
    sync_folder(path)
}

/// Removes what a crash between create and rename has left.
fn remove(path: &Path) -> Result<(), FileError> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(FileError::io("remove", path)(error))
        }
        _ => Ok(()),
    }
}

/// Makes the entry of this file in its folder durable.
pub(crate) fn sync_folder(path: &Path) -> Result<(), FileError> {
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or(Path::new("."));
    let synced = if cfg!(unix) {
        File::open(folder).and_then(|open| open.sync_all())
    } else {
        Ok(())
    };
    synced.map_err(FileError::io("sync the folder", folder))
}

/// The text of a file.
pub(crate) fn read(path: &Path) -> Result<String, FileError> {
    std::fs::read_to_string(path).map_err(FileError::io("read", path))
}

/// The text of a file, or none if there is no such file.
pub(crate) fn read_if_there(path: &Path) -> Result<Option<String>, FileError> {
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(FileError::io("read", path)(error)),
    }
}

/// The text of a secret file, if it is its owner's alone. The open file is asked for its mode, so
/// that what was checked is what is read.
pub(crate) fn read_secret(path: &Path) -> Result<String, FileError> {
    let file = File::open(path).map_err(FileError::io("read", path))?;
    if shared(&file).map_err(FileError::io("read", path))? {
        return Err(FileError::Shared(path.to_owned()));
    }
    io::read_to_string(file).map_err(FileError::io("read", path))
}

#[cfg(unix)]
fn shared(file: &File) -> io::Result<bool> {
    Ok(file.metadata()?.permissions().mode() & 0o077 != 0)
}

#[cfg(not(unix))]
fn shared(_: &File) -> io::Result<bool> {
    Ok(false)
}
