//! The authority that signs certificates.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rcgen::{
    BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PKCS_ED25519, PublicKeyData, SanType, SerialNumber,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};

use super::certificate::parse;
use super::request::{common_name, named, verified};
use super::tls::random;
use super::{COORDINATOR_NAME, Credentials, CredentialsError, Identity, Request};
use super::{Role, Sha256};
use crate::files::{self, FileError, Readers};

pub(super) const CERTIFICATE: &str = "authority.pem";
const KEY: &str = "authority.key";
const AUTHORITY_VALIDITY: Duration = Duration::from_secs(10 * 365 * 24 * 3600);
/// How far the clocks of two hosts may differ.
const CLOCK_SKEW: Duration = Duration::from_secs(5 * 60);

/// Why a certificate was not issued.
#[derive(Debug, thiserror::Error)]
pub enum AuthorityError {
    /// Its files cannot be used.
    #[error(transparent)]
    File(#[from] FileError),
    /// Its files do not make an authority.
    #[error("{} is not an authority's: {reason}; `lyceum identity init` makes an authority", file.display())]
    NoAuthority {
        /// Which file.
        file: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The certificate request cannot be used.
    #[error("the request is damaged or not signed with its own key ({0}): make a new one")]
    Request(String),
    /// Ed25519 keeps handshakes of one length, which repeatable runs need.
    #[error("the request's key is not an Ed25519 key: make a new request with one")]
    Algorithm,
    /// The request asks for something else than it may have.
    #[error("the request asks for {asked}, but {granted} was granted: make one for {granted}")]
    Granted {
        /// The names in the request.
        asked: String,
        /// The identity that the operator or the token grants.
        granted: Identity,
    },
    /// A certificate that would never be valid.
    #[error("a certificate cannot expire before it begins: give a longer validity")]
    Validity,
    /// The X.509 library refused.
    #[error("the certificate cannot be made: {0}")]
    Certificate(#[from] rcgen::Error),
    /// The new certificate does not work with its own key; it would be a defect.
    #[error(transparent)]
    Credentials(#[from] CredentialsError),
}

/// A root certificate and its private key. Keep its folder off the coordinator's host.
pub struct Authority {
    certificate: CertificateDer<'static>,
    pem: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    /// Makes an authority in this folder (`authority.pem`, and `authority.key` for its owner
    /// alone). One that is there already is an error.
    pub fn create(folder: &Path) -> Result<Self, AuthorityError> {
        files::make_folder(folder)?;
        let certificate = folder.join(CERTIFICATE);
        if certificate.exists() {
            return Err(FileError::Exists(certificate).into());
        }
        let authority = Self::ephemeral()?;
        let key = authority.issuer.key().serialize_pem();
        let key_file = folder.join(KEY);
        files::create(&key_file, Readers::Owner, &key)?;
        files::create(&certificate, Readers::Everyone, &authority.pem).inspect_err(|_| {
            // A key without a certificate is of no use, and would be in the way of the next attempt.
            let _ = std::fs::remove_file(&key_file);
        })?;
        Ok(authority)
    }

    /// Opens what [`Authority::create`] made, or an operator's own root and key of these names.
    pub fn open(folder: &Path) -> Result<Self, AuthorityError> {
        let (file, key_file) = (folder.join(CERTIFICATE), folder.join(KEY));
        let pem = files::read(&file)?;
        let key = KeyPair::from_pem(&files::read_secret(&key_file)?)
            .map_err(|_| no_authority(&key_file, "there is no whole PRIVATE KEY block in it"))?;
        let certificate = CertificateDer::from_pem_slice(pem.as_bytes())
            .map_err(|_| no_authority(&file, "there is no whole CERTIFICATE block in it"))?;
        check_root(&certificate, &key).map_err(|reason| no_authority(&file, reason))?;
        let issuer = Issuer::from_ca_cert_der(&certificate, key)
            .map_err(|_| no_authority(&file, "its certificate is damaged"))?;
        Ok(Self {
            certificate,
            pem,
            issuer,
        })
    }

    /// An authority in memory, gone with the process.
    pub fn ephemeral() -> Result<Self, AuthorityError> {
        Self::of_key(KeyPair::generate_for(&PKCS_ED25519)?)
    }

    /// The authority whose private key everybody knows: what it signs proves nothing. For processes on one host that
    /// want no certificates; whoever uses it must make sure that nobody else can connect.
    pub fn everybodys() -> Result<Self, AuthorityError> {
        // An Ed25519 private key of 32 times the letter `o`, as PKCS #8 (RFC 8410, section 7).
        let mut key = vec![
            0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22,
            0x04, 0x20,
        ];
        key.extend([b'o'; 32]);
        let key = PrivatePkcs8KeyDer::from(key);
        Self::of_key(KeyPair::from_pkcs8_der_and_sign_algo(&key, &PKCS_ED25519)?)
    }

    fn of_key(key: KeyPair) -> Result<Self, AuthorityError> {
        let now = SystemTime::now();
        let mut params = CertificateParams::default();
        params.distinguished_name = common_name("lyceum authority");
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        set_validity(&mut params, now - CLOCK_SKEW, now + AUTHORITY_VALIDITY)?;
        let certificate = params.self_signed(&key)?;
        Ok(Self {
            pem: certificate.pem(),
            certificate: certificate.der().clone(),
            issuer: Issuer::new(params, key),
        })
    }

    /// Signs a certificate for the key of this request (PEM), valid from a few minutes ago, since
    /// clocks differ, to `validity` from now. The request's signature is checked, and that it asks
    /// for this identity.
    pub fn issue(
        &self,
        csr: &str,
        identity: &Identity,
        validity: Duration,
    ) -> Result<String, AuthorityError> {
        let now = SystemTime::now();
        self.issue_between(csr, identity, now - CLOCK_SKEW, now + validity)
    }

    /// [`Authority::issue`] with both ends of the validity given.
    pub fn issue_between(
        &self,
        csr: &str,
        identity: &Identity,
        not_before: SystemTime,
        not_after: SystemTime,
    ) -> Result<String, AuthorityError> {
        let key = verified(csr, identity)?;
        let mut params = named(identity)?;
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        if identity.role == Role::Coordinator {
            params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
            let dns = SanType::DnsName(COORDINATOR_NAME.try_into()?);
            params.subject_alt_names.push(dns);
        }
        set_validity(&mut params, not_before, not_after)?;
        self.sign(params, &key)
    }

    /// A new key with its certificate, for a process on this host.
    pub fn credentials(
        &self,
        identity: &Identity,
        validity: Duration,
    ) -> Result<Credentials, AuthorityError> {
        let request = Request::new(identity)?;
        let certificate = self.issue(request.csr_pem(), identity, validity)?;
        Ok(request.certified(&certificate, &self.pem)?)
    }

    /// The root certificate (PEM), which everyone may have.
    pub fn certificate_pem(&self) -> &str {
        &self.pem
    }

    /// The root certificate, as TLS carries it.
    pub fn certificate(&self) -> &CertificateDer<'static> {
        &self.certificate
    }

    /// SHA-256 of the root certificate, by which a join string names the authority.
    pub fn fingerprint(&self) -> Sha256 {
        Sha256::of(&self.certificate)
    }

    /// The certificate of a server that is no identity, only a DNS name.
    pub(super) fn server_certificate(
        &self,
        dns: &str,
        key: &KeyPair,
    ) -> Result<String, AuthorityError> {
        let now = SystemTime::now();
        let mut params = CertificateParams::default();
        params.distinguished_name = common_name(dns);
        params.subject_alt_names = vec![SanType::DnsName(dns.try_into()?)];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        set_validity(&mut params, now - CLOCK_SKEW, now + AUTHORITY_VALIDITY)?;
        self.sign(params, key)
    }

    fn sign(
        &self,
        mut params: CertificateParams,
        key: &impl PublicKeyData,
    ) -> Result<String, AuthorityError> {
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.use_authority_key_identifier_extension = true;
        Ok(params.signed_by(key, &self.issuer)?.pem())
    }
}

fn no_authority(file: &Path, reason: impl ToString) -> AuthorityError {
    AuthorityError::NoAuthority {
        file: file.to_owned(),
        reason: reason.to_string(),
    }
}

fn check_root(certificate: &CertificateDer<'_>, key: &KeyPair) -> Result<(), String> {
    let root = parse(certificate).map_err(|wrong| wrong.to_string())?;
    if !root.is_ca() {
        return Err("it may not sign others (its basic constraints do not say CA)".into());
    }
    if root.public_key().raw != key.subject_public_key_info() {
        return Err("the key beside it is another's".into());
    }
    Ok(())
}

/// Also sets a random serial number of one length, so that certificates of equal names are equally
/// long.
fn set_validity(
    params: &mut CertificateParams,
    not_before: SystemTime,
    not_after: SystemTime,
) -> Result<(), AuthorityError> {
    if not_after <= not_before {
        return Err(AuthorityError::Validity);
    }
    let epoch = rcgen::date_time_ymd(1970, 1, 1);
    let since = |time: SystemTime| time.duration_since(UNIX_EPOCH).unwrap_or_default();
    params.not_before = epoch + since(not_before);
    params.not_after = epoch + since(not_after);
    let mut serial = random::<16>();
    serial[0] = serial[0] & 0x3f | 0x40;
    params.serial_number = Some(SerialNumber::from_slice(&serial));
    Ok(())
}
