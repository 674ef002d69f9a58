//! What a certificate says about its holder.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustls::pki_types::CertificateDer;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::time::ASN1Time;

use super::name::claims_identity;
use super::sha256::hex;
use super::{Identity, NameError, Sha256};

/// A certificate without a usable identity.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IdentityError {
    /// The other side sent none, or the handshake is not over.
    #[error("the connection carries no certificate: connect with credentials")]
    NoCertificate,
    /// Not an X.509 certificate.
    #[error("the certificate is damaged: {0}")]
    Damaged(String),
    /// It has no URI of ours.
    #[error(
        "the certificate names no identity: it needs one URI name such as \
         spiffe://lyceum/node/NAME"
    )]
    Nameless,
    /// It has several.
    #[error("the certificate names {0} identities: it may carry one spiffe://lyceum/ URI only")]
    Several(usize),
    /// Its URI has another form.
    #[error("the certificate's identity is wrong: {0}")]
    Name(#[from] NameError),
}

/// The other side of a connection, as its certificate names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Its role and name.
    pub identity: Identity,
    /// SHA-256 of its public key (SubjectPublicKeyInfo), which renewal with the same key keeps.
    pub key_hash: Sha256,
    /// The certificate's serial number, in hexadecimal digits.
    pub serial: String,
    /// When the certificate stops being valid.
    pub expires: SystemTime,
}

/// Who the first of these certificates names. It reads only; that the chain is good is what the
/// handshake has checked.
pub fn peer(certificates: &[CertificateDer<'_>]) -> Result<Peer, IdentityError> {
    let leaf = certificates.first().ok_or(IdentityError::NoCertificate)?;
    let leaf = parse(leaf)?;
    Ok(Peer {
        identity: identity(&leaf)?,
        key_hash: Sha256::of(leaf.public_key().raw),
        serial: hex(leaf.raw_serial()),
        expires: time(leaf.validity().not_after),
    })
}

/// Who is at the other end of this connection.
pub fn peer_of(connection: &quinn::Connection) -> Result<Peer, IdentityError> {
    let chain = connection
        .peer_identity()
        .ok_or(IdentityError::NoCertificate)?;
    let chain = chain.downcast::<Vec<CertificateDer<'static>>>();
    peer(&chain.map_err(|_| IdentityError::NoCertificate)?)
}

pub(super) fn parse<'a>(
    certificate: &'a CertificateDer<'_>,
) -> Result<X509Certificate<'a>, IdentityError> {
    match x509_parser::parse_x509_certificate(certificate) {
        Ok((_, certificate)) => Ok(certificate),
        Err(_) => Err(IdentityError::Damaged("it is no X.509 certificate".into())),
    }
}

fn identity(leaf: &X509Certificate<'_>) -> Result<Identity, IdentityError> {
    let names = leaf.subject_alternative_name();
    let names = names.map_err(|_| IdentityError::Damaged("its names cannot be read".into()))?;
    let names = names.map_or(&[][..], |names| &names.value.general_names);
    let uris: Vec<_> = names.iter().filter_map(identity_uri).collect();
    match uris.as_slice() {
        [] => Err(IdentityError::Nameless),
        [uri] => Ok(Identity::from_uri(uri)?),
        several => Err(IdentityError::Several(several.len())),
    }
}

fn identity_uri<'a>(name: &GeneralName<'a>) -> Option<&'a str> {
    match name {
        GeneralName::URI(uri) if claims_identity(uri) => Some(uri),
        _ => None,
    }
}

/// The time of a certificate as the standard library's; before 1970 counts as 1970.
pub(super) fn time(time: ASN1Time) -> SystemTime {
    let seconds = u64::try_from(time.timestamp()).unwrap_or(0);
    UNIX_EPOCH + Duration::from_secs(seconds)
}

/// A time in words, for messages.
pub(super) fn date(time: SystemTime) -> String {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    let seconds = i64::try_from(since.as_secs()).unwrap_or(i64::MAX);
    ASN1Time::from_timestamp(seconds).map_or_else(
        |_| format!("second {seconds} after 1970"),
        |time| time.to_string(),
    )
}
