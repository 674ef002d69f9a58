//! Names, roles, and the URI that a certificate carries.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

const URI_START: &str = "spiffe://lyceum/";
const LONGEST: usize = 63;

/// Text that is not a name or not an identity.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Too short, too long, or with other characters.
    #[error(
        "the name {0:?} is not allowed: write 1 to 63 characters of a-z, 0-9, `-`, `_` and `.`, \
         and not `.` or `..` alone"
    )]
    Name(String),
    /// No role that exists, or no slash.
    #[error("{0:?} is not an identity: write coordinator/NAME, node/NAME or client/NAME")]
    Identity(String),
    /// Not of the form that certificates carry.
    #[error("{0:?} is not an identity's URI: write {URI_START}ROLE/NAME")]
    Uri(String),
}

/// 1 to 63 characters of `a-z`, `0-9`, `-`, `_` and `.`, which are safe in a URI and, since `.` and
/// `..` are refused, as the name of a file.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Name(String);

impl Name {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn allowed(byte: u8) -> bool {
    byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'_' | b'.')
}

impl TryFrom<String> for Name {
    type Error = NameError;

    fn try_from(text: String) -> Result<Self, NameError> {
        let length = (1..=LONGEST).contains(&text.len());
        let path = matches!(text.as_str(), "." | "..");
        if length && !path && text.bytes().all(allowed) {
            Ok(Self(text))
        } else {
            Err(NameError::Name(text))
        }
    }
}

impl From<Name> for String {
    fn from(name: Name) -> Self {
        name.0
    }
}

impl FromStr for Name {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        Self::try_from(text.to_owned())
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What a process may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Role {
    /// Runs rounds; nodes connect to it.
    Coordinator,
    /// A node that may host any number of virtual clients.
    Simulate,
    /// A node that is one real client, whose name is the identity's.
    Client,
}

impl Role {
    /// The word for this role in URIs, lists and tokens: `coordinator`, `node` or `client`.
    pub fn word(self) -> &'static str {
        match self {
            Self::Coordinator => "coordinator",
            Self::Simulate => "node",
            Self::Client => "client",
        }
    }

    /// The role with this word, if there is one.
    pub fn from_word(word: &str) -> Option<Self> {
        [Self::Coordinator, Self::Simulate, Self::Client]
            .into_iter()
            .find(|role| role.word() == word)
    }
}

/// A role and a name; written `node/NAME`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Identity {
    /// What it may do.
    pub role: Role,
    /// What it is called.
    pub name: Name,
}

impl Identity {
    /// The identity of this role and name.
    pub fn new(role: Role, name: Name) -> Self {
        Self { role, name }
    }

    /// How a certificate carries it: `spiffe://lyceum/node/NAME`.
    pub fn uri(&self) -> String {
        format!("{URI_START}{self}")
    }

    /// Reads what [`Identity::uri`] writes.
    pub fn from_uri(uri: &str) -> Result<Self, NameError> {
        let path = uri.strip_prefix(URI_START);
        path.ok_or_else(|| NameError::Uri(uri.to_owned()))?.parse()
    }
}

/// Whether this URI claims to be an identity, well formed or not.
pub(super) fn claims_identity(uri: &str) -> bool {
    uri.starts_with(URI_START)
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.role.word(), self.name)
    }
}

impl FromStr for Identity {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let wrong = || NameError::Identity(text.to_owned());
        let (word, name) = text.split_once('/').ok_or_else(wrong)?;
        let role = Role::from_word(word).ok_or_else(wrong)?;
        Ok(Self::new(role, name.parse()?))
    }
}
