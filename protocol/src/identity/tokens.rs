//! Tokens that a new host exchanges for its first certificate.

use std::fmt;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use super::authority::CERTIFICATE;
use super::sha256::{bytes32, hex};
use super::tls::random;
use super::{Identity, Name, Role, Sha256};
use crate::files::{self, FileError, Readers};

const FILE: &str = "tokens";
const LOCK: &str = "tokens.lock";
const JOIN_START: &str = "lyceum1";

/// Why a token was not issued or not accepted.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// A file cannot be used.
    #[error(transparent)]
    File(#[from] FileError),
    /// The list of tokens is damaged.
    #[error("{}, line {line}, is not a token's: write HASH ROLE NAME USES EXPIRY", file.display())]
    Line {
        /// Which file.
        file: PathBuf,
        /// Which line, from 1.
        line: usize,
    },
    /// The folder is no authority's.
    #[error("{} holds no certificate: open tokens in an authority's folder", .0.display())]
    NoAuthority(PathBuf),
    /// The token does not allow this.
    #[error(transparent)]
    Refused(#[from] Refusal),
}

/// What a token was refused for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Never issued here, or expired long since.
    #[error("the token is not known: ask the operator for a new join string")]
    Unknown,
    /// Its time is over.
    #[error("the token has expired: ask the operator for a new join string")]
    Expired,
    /// Each of its uses is taken.
    #[error("the token is used up: ask the operator for a new join string")]
    UsedUp,
    /// It was issued for another role.
    #[error("the token is for a {}, not for {asked}", granted.word())]
    Role {
        /// The token's.
        granted: Role,
        /// What was asked for.
        asked: Identity,
    },
    /// It was issued for another name.
    #[error("the token is for the name {granted}, not for {asked}")]
    Name {
        /// The token's.
        granted: Name,
        /// What was asked for.
        asked: Identity,
    },
}

/// 256 random bits; whoever shows them gets a certificate. Not printed by `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub struct Token([u8; 32]);

impl Token {
    fn hash(&self) -> blake3::Hash {
        blake3::hash(&self.0)
    }

    /// The 64 hexadecimal digits that a join string ends with.
    pub(super) fn digits(&self) -> String {
        hex(&self.0)
    }

    pub(super) fn from_digits(digits: &str) -> Option<Self> {
        bytes32(digits).map(Self)
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(elided)")
    }
}

/// Text that is not a join string. The text is a secret and not repeated.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this is not a join string: copy all of {JOIN_START}.AUTHORITY.TOKEN, 137 characters")]
pub struct JoinError;

/// A join string, `lyceum1.<SHA-256 of the authority's certificate>.<token>`: all that a new host
/// needs besides an address. `Display` shows the secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Join {
    /// SHA-256 of the certificate of the authority that the host will trust.
    pub authority: Sha256,
    /// What the host shows to the authority.
    pub token: Token,
}

impl fmt::Display for Join {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{JOIN_START}.{}.{}", self.authority, self.token.digits())
    }
}

impl FromStr for Join {
    type Err = JoinError;

    fn from_str(text: &str) -> Result<Self, JoinError> {
        let mut parts = text.trim().split('.');
        let mut next = || parts.next().ok_or(JoinError);
        let (start, authority, token) = (next()?, next()?, next()?);
        if start != JOIN_START || parts.next().is_some() {
            return Err(JoinError);
        }
        Ok(Self {
            authority: authority.parse().map_err(|_| JoinError)?,
            token: Token::from_digits(token).ok_or(JoinError)?,
        })
    }
}

/// One line of the file.
#[derive(Debug)]
struct Row {
    hash: blake3::Hash,
    role: Role,
    name: Option<Name>,
    uses: u32,
    expires: u64,
}

/// The tokens of an authority, in the file `tokens` of its folder (owner only): hashes, not tokens.
/// Several processes may use one folder; each change is made under a lock and durable when done.
#[derive(Clone, Debug)]
pub struct Tokens {
    folder: PathBuf,
    authority: Sha256,
}

impl Tokens {
    /// The tokens in this folder, which holds the authority's certificate.
    pub fn open(folder: &Path) -> Result<Self, TokenError> {
        let certificate = folder.join(CERTIFICATE);
        let pem = files::read(&certificate)?;
        let certificate = CertificateDer::from_pem_slice(pem.as_bytes())
            .map_err(|_| TokenError::NoAuthority(certificate))?;
        Ok(Self {
            folder: folder.to_owned(),
            authority: Sha256::of(&certificate),
        })
    }

    /// A new token, good for `uses` certificates of this role (and name, if one is given) until
    /// `ttl` has passed. Only the join string holds it; it cannot be shown again.
    pub fn issue(
        &self,
        role: Role,
        name: Option<Name>,
        uses: NonZeroU32,
        ttl: Duration,
    ) -> Result<Join, TokenError> {
        let (token, now) = (Token(random()), seconds(SystemTime::now()));
        let expires = now.saturating_add(ttl.as_secs());
        let row = Row {
            hash: token.hash(),
            role,
            name,
            uses: uses.get(),
            expires,
        };
        self.change(|rows| {
            rows.retain(|row| row.expires > now);
            rows.push(row);
            Ok(())
        })?;
        Ok(Join {
            authority: self.authority,
            token,
        })
    }

    /// Takes one use of the token for this identity. It is on disk before this returns, so that a
    /// token never yields more than its uses; a certificate lost on its way costs one.
    pub fn redeem(&self, token: &Token, identity: &Identity) -> Result<(), TokenError> {
        let now = seconds(SystemTime::now());
        self.change(|rows| {
            let row = rows.iter_mut().find(|row| row.hash == token.hash());
            let row = row.ok_or(Refusal::Unknown)?;
            row.allows(identity, now)?;
            row.uses -= 1;
            Ok(())
        })
    }

    fn change(
        &self,
        change: impl FnOnce(&mut Vec<Row>) -> Result<(), TokenError>,
    ) -> Result<(), TokenError> {
        let (file, lock) = (self.folder.join(FILE), self.folder.join(LOCK));
        let mut opened = files::options(Readers::Owner);
        // Freed when it is dropped, also by a crash.
        let held = opened.write(true).create(true).truncate(false).open(&lock);
        let held = held.and_then(|held| held.lock().map(|()| held));
        let _held = held.map_err(FileError::io("lock", &lock))?;
        let mut rows = rows(&file)?;
        change(&mut rows)?;
        let text: String = rows.iter().map(ToString::to_string).collect();
        Ok(files::replace(&file, Readers::Owner, &text)?)
    }
}

impl Row {
    fn allows(&self, asked: &Identity, now: u64) -> Result<(), Refusal> {
        if self.expires <= now {
            return Err(Refusal::Expired);
        }
        if self.role != asked.role {
            return Err(Refusal::Role {
                granted: self.role,
                asked: asked.clone(),
            });
        }
        match &self.name {
            Some(name) if *name != asked.name => Err(Refusal::Name {
                granted: name.clone(),
                asked: asked.clone(),
            }),
            _ if self.uses == 0 => Err(Refusal::UsedUp),
            _ => Ok(()),
        }
    }

    fn parse(line: &str) -> Option<Self> {
        let mut words = line.split(' ');
        let row = Self {
            hash: blake3::Hash::from_hex(words.next()?).ok()?,
            role: Role::from_word(words.next()?)?,
            name: match words.next()? {
                "*" => None,
                name => Some(name.parse().ok()?),
            },
            uses: words.next()?.parse().ok()?,
            expires: words.next()?.parse().ok()?,
        };
        words.next().is_none().then_some(row)
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.name.as_ref().map_or("*", Name::as_str);
        let (hash, role) = (self.hash.to_hex(), self.role.word());
        writeln!(f, "{hash} {role} {name} {} {}", self.uses, self.expires)
    }
}

fn rows(file: &Path) -> Result<Vec<Row>, TokenError> {
    let text = files::read_if_there(file)?.unwrap_or_default();
    let row = |(text, line)| {
        Row::parse(text).ok_or_else(|| TokenError::Line {
            file: file.to_owned(),
            line,
        })
    };
    text.lines().zip(1..).map(row).collect()
}

fn seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .as_secs()
}
