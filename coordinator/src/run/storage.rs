//! Where a run is kept. A trait, so that the same code meets full disks, torn tails and crashes in simulated worlds.

use super::RunError;
use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    path::{Path, PathBuf},
};

/// Files by name; a name may hold `/`.
pub trait Storage {
    /// All bytes of a file; `None` where there is no such file.
    fn read(&self, name: &str) -> io::Result<Option<Vec<u8>>>;

    /// Names of the files and folders right in a folder, in any order; none where there is no such folder.
    fn list(&self, name: &str) -> io::Result<Vec<String>>;

    /// Makes a file hold these bytes. After a crash it holds them all, or what it held before; once this has returned,
    /// it holds them.
    fn replace(&mut self, name: &str, bytes: &[u8]) -> io::Result<()>;

    /// Adds bytes to the end of a file, making it if need be. A crash may lose them, or a part of them, until
    /// [`sync`](Self::sync) has returned.
    fn append(&mut self, name: &str, bytes: &[u8]) -> io::Result<()>;

    /// Makes what was appended to a file safe.
    fn sync(&mut self, name: &str) -> io::Result<()>;

    /// Removes a file, or a folder with all files in it; that there is none is no error.
    fn remove(&mut self, name: &str) -> io::Result<()>;

    /// What a name is called in messages.
    fn path(&self, name: &str) -> PathBuf;
}

/// A folder of the file system.
#[derive(Debug)]
pub struct Folder {
    root: PathBuf,
    /// The file that is being appended to.
    open: Option<(String, File)>,
}

impl Folder {
    /// The files of a folder, which need not be there yet.
    pub fn new(root: &Path) -> Self {
        Self {
            root: root.to_path_buf(),
            open: None,
        }
    }

    /// A second handle to the file that is being appended to, so that another thread can sync it.
    pub fn appended(&self) -> Option<io::Result<File>> {
        self.open.as_ref().map(|(_, file)| file.try_clone())
    }

    fn file(&mut self, name: &str) -> io::Result<&mut File> {
        let is_open = self.open.as_ref().is_some_and(|(open, _)| open == name);
        if !is_open {
            let path = self.root.join(name);
            let file = OpenOptions::new().create(true).append(true).open(&path)?;
            sync_folder(&path)?;
            self.open = Some((name.into(), file));
        }
        let (_, file) = self.open.as_mut().expect("it was opened just now");
        Ok(file)
    }
}

impl Storage for Folder {
    fn read(&self, name: &str) -> io::Result<Option<Vec<u8>>> {
        match fs::read(self.root.join(name)) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(e),
        }
    }

    fn list(&self, name: &str) -> io::Result<Vec<String>> {
        let entries = match fs::read_dir(self.root.join(name)) {
            Ok(entries) => entries,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(e) => return Err(e),
        };
        entries
            .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
            .collect()
    }

    fn replace(&mut self, name: &str, bytes: &[u8]) -> io::Result<()> {
        self.open = self.open.take().filter(|(open, _)| open != name);
        let path = self.root.join(name);
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        write_durably(&path, bytes)
    }

    fn append(&mut self, name: &str, bytes: &[u8]) -> io::Result<()> {
        self.file(name)?.write_all(bytes)
    }

    fn sync(&mut self, name: &str) -> io::Result<()> {
        self.file(name)?.sync_data()
    }

    fn remove(&mut self, name: &str) -> io::Result<()> {
        let path = self.root.join(name);
        let removed = match fs::metadata(&path) {
            Ok(found) if found.is_dir() => fs::remove_dir_all(&path),
            Ok(_) => fs::remove_file(&path),
            Err(e) => Err(e),
        };
        match removed {
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
            other => other,
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }
}

/// Replaces a file; the error names it.
pub(super) fn replace(storage: &mut dyn Storage, name: &str, bytes: &[u8]) -> Result<(), RunError> {
    let path = storage.path(name);
    storage.replace(name, bytes).map_err(RunError::file(path))
}

/// Writes a file so that after a crash it is there whole or not at all.
fn write_durably(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let temporary = path.with_extension("new");
    let mut file = File::create(&temporary)?;
    file.write_all(bytes)?;
    file.sync_data()?;
    fs::rename(&temporary, path)?;
    sync_folder(path)
}

fn sync_folder(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty());
    File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
}
