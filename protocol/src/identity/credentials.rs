//! A process's own key and certificate, and the authority it trusts.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;

use super::certificate::{date, parse, time};
use super::{Identity, IdentityError, Peer, peer, tls};
use crate::files::{self, FileError, Readers};

const CHAIN: &str = "identity.pem";
const KEY: &str = "identity.key";
const ROOTS: &str = super::authority::CERTIFICATE;

/// Why credentials cannot be used. Files are named as in the folder, also for text that came from
/// elsewhere.
#[derive(Debug, thiserror::Error)]
pub enum CredentialsError {
    /// A file cannot be read or written.
    #[error(transparent)]
    File(#[from] FileError),
    /// Nothing is there.
    #[error(
        "{} holds no identity: `lyceum identity` makes one, and --identity or the setting `identity` names its folder",
        .0.display()
    )]
    Missing(PathBuf),
    /// Not PEM, or nothing in it.
    #[error("{} holds no {wanted}: {reason}", file.display())]
    Pem {
        /// Which file.
        file: PathBuf,
        /// What it should hold.
        wanted: &'static str,
        /// What is wrong.
        reason: String,
    },
    /// The certificate names nobody.
    #[error("{}: {source}", file.display())]
    Identity {
        /// Which file.
        file: PathBuf,
        /// What is wrong.
        source: IdentityError,
    },
    /// The key is another certificate's.
    #[error(
        "{} does not belong to {}: put the pair together again",
        key.display(), chain.display()
    )]
    Mismatch {
        /// The key's file.
        key: PathBuf,
        /// The certificate's file.
        chain: PathBuf,
    },
    /// Its time is over.
    #[error("the certificate of {identity} in {} expired {at}: get a new one", file.display())]
    Expired {
        /// Which file.
        file: PathBuf,
        /// Whose certificate.
        identity: Identity,
        /// When.
        at: String,
    },
    /// Its time has not come.
    #[error(
        "the certificate of {identity} in {} is valid only from {at}: set this host's clock right",
        file.display()
    )]
    NotYet {
        /// Which file.
        file: PathBuf,
        /// Whose certificate.
        identity: Identity,
        /// From when.
        at: String,
    },
    /// The other side would refuse it.
    #[error(
        "the certificate of {identity} in {} is not good under {}: {reason}",
        file.display(), roots.display()
    )]
    Untrusted {
        /// The certificate's file.
        file: PathBuf,
        /// The authority's file.
        roots: PathBuf,
        /// Whose certificate.
        identity: Identity,
        /// What is wrong.
        reason: String,
    },
}

/// A private key, the certificate chain for it (leaf first), and the authority's certificate. Any
/// authority will do whose leaf carries an [`Identity`] and the key usage of its role.
pub struct Credentials {
    pem: Pem,
    pub(super) chain: Vec<CertificateDer<'static>>,
    pub(super) key: PrivateKeyDer<'static>,
    pub(super) roots: Vec<CertificateDer<'static>>,
    peer: Peer,
    begins: SystemTime,
}

struct Pem {
    chain: String,
    key: String,
    roots: String,
}

impl Credentials {
    /// Puts credentials together from PEM text: the chain (leaf first), its private key, and the
    /// authority's certificate. The key must be the leaf's; the dates are [`Credentials::load`]'s
    /// and the other side's to check.
    pub fn from_pem(chain: &str, key: &str, roots: &str) -> Result<Self, CredentialsError> {
        let pem = Pem {
            chain: chain.to_owned(),
            key: key.to_owned(),
            roots: roots.to_owned(),
        };
        Self::parse(Path::new(""), pem)
    }

    /// Reads `identity.pem`, `identity.key` (which must be its owner's alone) and `authority.pem`,
    /// and checks that they belong together and are valid now.
    pub fn load(folder: &Path) -> Result<Self, CredentialsError> {
        if !folder.join(CHAIN).exists() && !folder.join(KEY).exists() {
            return Err(CredentialsError::Missing(folder.into()));
        }
        let pem = Pem {
            chain: files::read(&folder.join(CHAIN))?,
            key: files::read_secret(&folder.join(KEY))?,
            roots: files::read(&folder.join(ROOTS))?,
        };
        let credentials = Self::parse(folder, pem)?;
        credentials.check(folder, SystemTime::now())?;
        Ok(credentials)
    }

    /// Writes the three files, in place of older ones; the key is its owner's alone from the start.
    pub fn write(&self, folder: &Path) -> Result<(), CredentialsError> {
        files::make_folder(folder)?;
        files::replace(&folder.join(KEY), Readers::Owner, &self.pem.key)?;
        files::replace(&folder.join(CHAIN), Readers::Everyone, &self.pem.chain)?;
        files::replace(&folder.join(ROOTS), Readers::Everyone, &self.pem.roots)?;
        Ok(())
    }

    /// Whose they are.
    pub fn identity(&self) -> &Identity {
        &self.peer.identity
    }

    /// When the certificate stops being valid.
    pub fn expires(&self) -> SystemTime {
        self.peer.expires
    }

    /// The certificate as the other side will read it.
    pub fn as_peer(&self) -> &Peer {
        &self.peer
    }

    fn parse(folder: &Path, pem: Pem) -> Result<Self, CredentialsError> {
        let chain = certificates(folder.join(CHAIN), &pem.chain)?;
        let roots = certificates(folder.join(ROOTS), &pem.roots)?;
        let key = private_key(folder.join(KEY), &pem.key)?;
        let wrong = |source| CredentialsError::Identity {
            file: folder.join(CHAIN),
            source,
        };
        let begins = time(parse(&chain[0]).map_err(wrong)?.validity().not_before);
        let peer = peer(&chain).map_err(wrong)?;
        let pair = CertifiedKey::from_der(chain.clone(), key.clone_key(), &tls::provider());
        pair.map_err(|_| CredentialsError::Mismatch {
            key: folder.join(KEY),
            chain: folder.join(CHAIN),
        })?;
        Ok(Self {
            pem,
            chain,
            key,
            roots,
            peer,
            begins,
        })
    }

    pub(super) fn check(&self, folder: &Path, now: SystemTime) -> Result<(), CredentialsError> {
        let (file, identity) = (folder.join(CHAIN), self.identity().clone());
        if now >= self.expires() {
            let at = date(self.expires());
            return Err(CredentialsError::Expired { file, identity, at });
        }
        if now < self.begins {
            let at = date(self.begins);
            return Err(CredentialsError::NotYet { file, identity, at });
        }
        tls::verify(self, now).map_err(|reason| CredentialsError::Untrusted {
            file,
            roots: folder.join(ROOTS),
            identity,
            reason: tls::in_words(&reason),
        })
    }
}

/// Without the key.
impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials")
            .field("peer", &self.peer)
            .finish_non_exhaustive()
    }
}

/// At least one certificate.
fn certificates(
    file: PathBuf,
    text: &str,
) -> Result<Vec<CertificateDer<'static>>, CredentialsError> {
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(text.as_bytes()).collect();
    let reason = match read {
        Ok(certificates) if !certificates.is_empty() => return Ok(certificates),
        Ok(_) => "there is no CERTIFICATE block in it".to_owned(),
        Err(_) => "a block in it is cut off or damaged".to_owned(),
    };
    Err(CredentialsError::Pem {
        file,
        wanted: "certificate",
        reason,
    })
}

fn private_key(file: PathBuf, text: &str) -> Result<PrivateKeyDer<'static>, CredentialsError> {
    PrivateKeyDer::from_pem_slice(text.as_bytes()).map_err(|_| CredentialsError::Pem {
        file,
        wanted: "private key",
        reason: "there is no whole PRIVATE KEY block in it".to_owned(),
    })
}
