//! Asking for a certificate: the key stays here, the request travels.

use rcgen::{
    CertificateParams, CertificateSigningRequestParams, DistinguishedName, DnType, KeyPair,
    PKCS_ED25519, PublicKey, SanType,
};
use rustls::pki_types::CertificateSigningRequestDer;
use rustls::pki_types::pem::PemObject;

use super::{AuthorityError, Credentials, CredentialsError, Identity};

/// A new Ed25519 key and the signed request for its certificate.
pub struct Request {
    key: KeyPair,
    csr: String,
}

impl Request {
    /// Makes a key and asks for this identity.
    pub fn new(identity: &Identity) -> Result<Self, AuthorityError> {
        let key = KeyPair::generate_for(&PKCS_ED25519)?;
        let csr = named(identity)?.serialize_request(&key)?.pem()?;
        Ok(Self { key, csr })
    }

    /// The private key, which does not travel.
    pub fn key_pem(&self) -> String {
        self.key.serialize_pem()
    }

    /// The request (PKCS #10), which the authority answers with a certificate.
    pub fn csr_pem(&self) -> &str {
        &self.csr
    }

    /// The credentials, once the authority has answered with this chain (leaf first) and its own
    /// certificate. A chain for another key is an error.
    pub fn certified(&self, chain: &str, roots: &str) -> Result<Credentials, CredentialsError> {
        Credentials::from_pem(chain, &self.key_pem(), roots)
    }
}

/// The common name is for people who look at certificates with other tools; only the URI counts.
pub(super) fn named(identity: &Identity) -> Result<CertificateParams, AuthorityError> {
    let mut params = CertificateParams::default();
    params.distinguished_name = common_name(&identity.to_string());
    let uri = identity.uri().try_into()?;
    params.subject_alt_names = vec![SanType::URI(uri)];
    Ok(params)
}

pub(super) fn common_name(text: &str) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, text);
    name
}

/// The key of a request that is signed with it and asks for what is granted and nothing else.
pub(super) fn verified(csr: &str, granted: &Identity) -> Result<PublicKey, AuthorityError> {
    let der = CertificateSigningRequestDer::from_pem_slice(csr.as_bytes())
        .map_err(|reason| AuthorityError::Request(reason.to_string()))?;
    verified_der(&der, granted)
}

pub(super) fn verified_der(csr: &[u8], granted: &Identity) -> Result<PublicKey, AuthorityError> {
    let request = CertificateSigningRequestParams::from_der(&csr.into())
        .map_err(|reason| AuthorityError::Request(reason.to_string()))?;
    if request.public_key.algorithm() != &PKCS_ED25519 {
        return Err(AuthorityError::Algorithm);
    }
    match request.params.subject_alt_names.as_slice() {
        [SanType::URI(uri)] if uri.as_str() == granted.uri() => Ok(request.public_key),
        asked => Err(AuthorityError::Granted {
            asked: asked.iter().map(text).collect::<Vec<_>>().join(", "),
            granted: granted.clone(),
        }),
    }
}

fn text(name: &SanType) -> String {
    match name {
        SanType::URI(uri) => uri.to_string(),
        other => format!("{other:?}"),
    }
}
