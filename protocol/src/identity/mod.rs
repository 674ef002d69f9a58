//! Who is at the other end of a connection: names, certificates, and who may speak.
//!
//! An [`Authority`] signs certificates; each says in one URI, `spiffe://lyceum/ROLE/NAME`, who its
//! holder is ([`Identity`]). Coordinators and nodes keep theirs as [`Credentials`], make TLS
//! settings of them ([`server_tls`], [`client_tls`]), and read the other side's with [`peer_of`].
//! [`Revocations`] takes a certificate back before it expires; [`Tokens`] and [`enrol`] bring one
//! to a new host.
//!
//! **Invariant:** a private key never leaves the process that made it, except into a file that
//! only its owner can read.
//!
//! **Invariant:** each connection is a full handshake. Neither side resumes sessions or sends early
//! data, because a resumed session skips the verifier and so lets a revoked certificate in.
//!
//! A verdict is passed once, when a connection opens. Whoever keeps connections open asks
//! [`Revocations::refuses`] again after each [`Revocations::reload`], and closes at
//! [`Peer::expires`].

mod authority;
mod certificate;
mod credentials;
pub mod enrol;
mod ephemeral;
mod name;
mod request;
mod revocations;
mod sha256;
mod tls;
mod tokens;
mod verifier;

#[cfg(test)]
mod tests;

pub use crate::files::FileError;
pub use authority::{Authority, AuthorityError};
pub use certificate::{IdentityError, Peer, peer, peer_of};
pub use credentials::{Credentials, CredentialsError};
pub use ephemeral::{Ephemeral, ephemeral};
pub use name::{Identity, Name, NameError, Role};
pub use request::Request;
pub use revocations::{Revocation, RevocationError, RevocationFormError, Revocations, revoke};
pub use sha256::{Sha256, Sha256Error};
pub use tls::{
    ALPN, COORDINATOR_NAME, PROBE, TlsError, client_tls, quinn_client, quinn_probe, quinn_server,
    server_tls,
};
pub use tokens::{Join, JoinError, Refusal, Token, TokenError, Tokens};
