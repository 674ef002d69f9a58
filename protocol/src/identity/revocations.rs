//! Certificates that are taken back before they expire.

use std::collections::BTreeSet;
use std::fmt;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::{PoisonError, RwLock};

use super::{Identity, Peer, Role, Sha256};
use crate::files::{self, FileError, Readers};

/// A revocation list that cannot be used; the one in force stays.
#[derive(Debug, thiserror::Error)]
pub enum RevocationError {
    /// The file cannot be read or written.
    #[error(transparent)]
    File(#[from] FileError),
    /// A line is neither.
    #[error("{}, line {line}: {reason}", file.display())]
    Line {
        /// Which file.
        file: PathBuf,
        /// Which line, from 1.
        line: usize,
        /// What is wrong and what would be right.
        reason: RevocationFormError,
    },
    /// An entry that the list could not be read with.
    #[error(transparent)]
    Form(#[from] RevocationFormError),
}

/// Text that revokes nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is not a revocation: write a public key's SHA-256 (64 digits of 0-9 and a-f), \
     client/NAME or node/NAME"
)]
pub struct RevocationFormError(String);

/// One entry of a revocation list.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Revocation {
    /// This key, whatever the certificate calls its holder.
    Key(Sha256),
    /// Whoever is called so, with whatever key; written `client/NAME` or `node/NAME`. Coordinators
    /// cannot be revoked so: nodes keep no list.
    Identity(Identity),
}

impl FromStr for Revocation {
    type Err = RevocationFormError;

    fn from_str(text: &str) -> Result<Self, RevocationFormError> {
        let identity = text.parse::<Identity>().ok();
        let identity = identity.filter(|identity| identity.role != Role::Coordinator);
        let key = || text.parse().ok().map(Self::Key);
        identity
            .map(Self::Identity)
            .or_else(key)
            .ok_or_else(|| RevocationFormError(text.to_owned()))
    }
}

impl fmt::Display for Revocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Key(hash) => hash.fmt(f),
            Self::Identity(identity) => identity.fmt(f),
        }
    }
}

#[derive(Debug, Default)]
struct List {
    text: String,
    entries: BTreeSet<Revocation>,
}

/// A revocation list and its file: one [`Revocation`] a line, `#` before comments. No file is an
/// empty list. All threads may ask while one reloads.
#[derive(Debug, Default)]
pub struct Revocations {
    file: Option<PathBuf>,
    list: RwLock<List>,
}

impl Revocations {
    /// A list that is always empty, for runs without a file.
    pub fn none() -> Self {
        Self::default()
    }

    /// Reads the list in this file.
    pub fn open(file: &Path) -> Result<Self, RevocationError> {
        let list = RwLock::new(read(file)?);
        Ok(Self {
            file: Some(file.to_owned()),
            list,
        })
    }

    /// The list with this text, which no file holds.
    pub fn of_text(text: &str) -> Result<Self, RevocationError> {
        let list = parse(Path::new(""), text.to_owned())?;
        Ok(Self {
            file: None,
            list: RwLock::new(list),
        })
    }

    /// Reads the file again and says whether anything changed. Connections that are open are the
    /// caller's to check again with [`Revocations::refuses`]. On an error the list in force stays.
    pub fn reload(&self) -> Result<bool, RevocationError> {
        let Some(file) = &self.file else {
            return Ok(false);
        };
        let new = read(file)?;
        let mut list = self.list.write().unwrap_or_else(PoisonError::into_inner);
        let changed = new.text != list.text;
        *list = new;
        Ok(changed)
    }

    /// The entry that this peer falls under, if any.
    pub fn refuses(&self, peer: &Peer) -> Option<Revocation> {
        let list = self.list.read().unwrap_or_else(PoisonError::into_inner);
        let candidates = [
            Revocation::Key(peer.key_hash),
            Revocation::Identity(peer.identity.clone()),
        ];
        candidates
            .into_iter()
            .find(|candidate| list.entries.contains(candidate))
    }
}

fn read(file: &Path) -> Result<List, RevocationError> {
    parse(file, files::read_if_there(file)?.unwrap_or_default())
}

fn parse(file: &Path, text: String) -> Result<List, RevocationError> {
    let mut entries = BTreeSet::new();
    for (line, number) in text.lines().zip(1..) {
        let (entry, _) = line.split_once('#').unwrap_or((line, ""));
        if entry.trim().is_empty() {
            continue;
        }
        entries.insert(
            entry
                .trim()
                .parse()
                .map_err(|reason| RevocationError::Line {
                    file: file.to_owned(),
                    line: number,
                    reason,
                })?,
        );
    }
    Ok(List { text, entries })
}

/// Adds an entry to the list in this file, which is made if need be, and returns when it is on
/// disk. Coordinators heed it from their next [`Revocations::reload`].
pub fn revoke(file: &Path, entry: &Revocation) -> Result<(), RevocationError> {
    entry.to_string().parse::<Revocation>()?;
    let before = files::read_if_there(file)?.unwrap_or_default();
    // An editor may have left the last line open.
    let close = if before.is_empty() || before.ends_with('\n') {
        ""
    } else {
        "\n"
    };
    let open = files::options(Readers::Everyone)
        .append(true)
        .create(true)
        .open(file);
    open.and_then(|mut list| {
        list.write_all(format!("{close}{entry}\n").as_bytes())?;
        list.sync_all()
    })
    .map_err(FileError::io("add to", file))?;
    Ok(files::sync_folder(file)?)
}
