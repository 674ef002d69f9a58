//! The coordinator's verdict on a certificate.

use std::slice;
use std::sync::Arc;

use rustls::client::danger::HandshakeSignatureValid;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{CertificateError, DigitallySignedStruct, DistinguishedName, Error, SignatureScheme};

use super::{Revocations, Role, peer};

/// First the chain, as usual; then the role, and that the certificate is not revoked.
#[derive(Debug)]
pub(super) struct NodeVerifier {
    chain: Arc<dyn ClientCertVerifier>,
    revocations: Arc<Revocations>,
}

impl NodeVerifier {
    pub(super) fn new(chain: Arc<dyn ClientCertVerifier>, revocations: Arc<Revocations>) -> Self {
        Self { chain, revocations }
    }

    /// The alert that the other side reads says little, so the reason is logged here.
    fn admit(&self, leaf: &CertificateDer<'_>) -> Result<(), CertificateError> {
        let peer = peer(slice::from_ref(leaf)).map_err(|reason| {
            tracing::warn!(%reason, "a certificate is refused");
            CertificateError::ApplicationVerificationFailure
        })?;
        if peer.identity.role == Role::Coordinator {
            tracing::warn!(identity = %peer.identity, "a coordinator may not connect as a node");
            return Err(CertificateError::ApplicationVerificationFailure);
        }
        if let Some(reason) = self.revocations.refuses(&peer) {
            tracing::warn!(identity = %peer.identity, %reason, "a revoked certificate is refused");
            return Err(CertificateError::Revoked);
        }
        Ok(())
    }
}

impl ClientCertVerifier for NodeVerifier {
    fn offer_client_auth(&self) -> bool {
        true
    }

    fn client_auth_mandatory(&self) -> bool {
        true
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.chain.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let verified = self
            .chain
            .verify_client_cert(end_entity, intermediates, now)?;
        self.admit(end_entity)?;
        Ok(verified)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.chain.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.chain.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.chain.supported_verify_schemes()
    }
}
