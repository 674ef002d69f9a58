//! TLS settings of both sides: 1.3 only, both sides certified, each handshake in full.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use rustls::client::danger::ServerCertVerifier;
use rustls::client::{Resumption, WebPkiServerVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{NoServerSessionStorage, VerifierBuilderError, WebPkiClientVerifier};
use rustls::version::TLS13;
use rustls::{ClientConfig, RootCertStore, ServerConfig};

use super::verifier::NodeVerifier;
use super::{Credentials, Identity, Revocations, Role};

/// The protocol spoken between coordinator and nodes.
pub const ALPN: &[u8] = b"lyceum/1";

/// What a probe says that it speaks: it wants a handshake, and nothing else.
pub const PROBE: &[u8] = b"lyceum-probe/1";

/// The server name that nodes connect with. Only certificates of coordinators carry it, so that a
/// node's cannot pose as one.
pub const COORDINATOR_NAME: &str = "coordinator.lyceum";

/// Why credentials do not make TLS settings.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A node would serve, or a coordinator connect.
    #[error("{identity} cannot {does}: use the credentials of {wanted}")]
    Role {
        /// Whose credentials these are.
        identity: Identity,
        /// What they were to be used for.
        does: &'static str,
        /// Whose are needed.
        wanted: &'static str,
    },
    /// The authority's certificate cannot be used.
    #[error("the authority's certificate cannot be used: {0}")]
    Roots(#[from] VerifierBuilderError),
    /// The chain or the key cannot be used.
    #[error("the credentials cannot be used: {0}")]
    Credentials(#[from] rustls::Error),
}

/// Settings of a coordinator. The other side must present a certificate of our authority, of a node
/// or a client, that is not revoked.
pub fn server_tls(
    credentials: &Credentials,
    revocations: Arc<Revocations>,
) -> Result<ServerConfig, TlsError> {
    if credentials.identity().role != Role::Coordinator {
        return Err(TlsError::Role {
            identity: credentials.identity().clone(),
            does: "accept nodes",
            wanted: "a coordinator",
        });
    }
    let nodes = NodeVerifier::new(client_verifier(credentials)?, revocations);
    let mut tls = server_config(credentials, Arc::new(nodes))?;
    tls.alpn_protocols.push(PROBE.to_vec());
    Ok(tls)
}

/// Settings of a probe, as quinn takes them: it trusts our authority alone, and shows no certificate. Its handshake is over once
/// the coordinator has shown its own, whatever the coordinator thinks of one that shows none.
pub fn quinn_probe(credentials: &Credentials) -> Result<quinn::ClientConfig, TlsError> {
    let mut tls = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13])?
        .with_root_certificates(roots(&credentials.roots)?)
        .with_no_client_auth();
    tls.alpn_protocols = vec![PROBE.to_vec()];
    tls.resumption = Resumption::disabled();
    Ok(quic_client(tls))
}

/// Settings of a node, which connects with the server name [`COORDINATOR_NAME`] and trusts our
/// authority alone.
pub fn client_tls(credentials: &Credentials) -> Result<ClientConfig, TlsError> {
    if credentials.identity().role == Role::Coordinator {
        return Err(TlsError::Role {
            identity: credentials.identity().clone(),
            does: "connect to a coordinator",
            wanted: "a node or a client",
        });
    }
    client_config(credentials)
}

/// [`server_tls`] as quinn takes it; transport settings are the caller's.
pub fn quinn_server(
    credentials: &Credentials,
    revocations: Arc<Revocations>,
) -> Result<quinn::ServerConfig, TlsError> {
    Ok(quic_server(server_tls(credentials, revocations)?))
}

/// [`client_tls`] as quinn takes it; transport settings are the caller's.
pub fn quinn_client(credentials: &Credentials) -> Result<quinn::ClientConfig, TlsError> {
    Ok(quic_client(client_tls(credentials)?))
}

pub(super) fn quic_server(tls: ServerConfig) -> quinn::ServerConfig {
    let quic = QuicServerConfig::try_from(tls).expect("ring has the suite of initial packets");
    quinn::ServerConfig::with_crypto(Arc::new(quic))
}

pub(super) fn quic_client(tls: ClientConfig) -> quinn::ClientConfig {
    let quic = QuicClientConfig::try_from(tls).expect("ring has the suite of initial packets");
    quinn::ClientConfig::new(Arc::new(quic))
}

/// Server settings with this verdict on clients, whoever serves.
pub(super) fn server_config(
    credentials: &Credentials,
    clients: Arc<dyn ClientCertVerifier>,
) -> Result<ServerConfig, TlsError> {
    let tls = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13])?
        .with_client_cert_verifier(clients)
        .with_single_cert(credentials.chain.clone(), credentials.key.clone_key())?;
    Ok(without_resumption(tls, ALPN))
}

pub(super) fn without_resumption(mut tls: ServerConfig, alpn: &[u8]) -> ServerConfig {
    tls.alpn_protocols = vec![alpn.to_vec()];
    tls.session_storage = Arc::new(NoServerSessionStorage {});
    tls.send_tls13_tickets = 0;
    tls.max_early_data_size = 0;
    tls
}

/// Client settings, whoever connects.
pub(super) fn client_config(credentials: &Credentials) -> Result<ClientConfig, TlsError> {
    let mut tls = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13])?
        .with_root_certificates(roots(&credentials.roots)?)
        .with_client_auth_cert(credentials.chain.clone(), credentials.key.clone_key())?;
    tls.alpn_protocols = vec![ALPN.to_vec()];
    tls.resumption = Resumption::disabled();
    tls.enable_early_data = false;
    Ok(tls)
}

pub(super) fn client_verifier(
    credentials: &Credentials,
) -> Result<Arc<dyn ClientCertVerifier>, TlsError> {
    let roots = roots(&credentials.roots)?;
    Ok(WebPkiClientVerifier::builder_with_provider(roots, provider()).build()?)
}

pub(super) fn roots(
    certificates: &[CertificateDer<'static>],
) -> Result<Arc<RootCertStore>, rustls::Error> {
    let mut store = RootCertStore::empty();
    for certificate in certificates {
        store.add(certificate.clone())?;
    }
    Ok(Arc::new(store))
}

/// Why a certificate is not good, in words of ours.
pub(super) fn in_words(error: &TlsError) -> String {
    use rustls::CertificateError as Wrong;
    let TlsError::Credentials(rustls::Error::InvalidCertificate(wrong)) = error else {
        return error.to_string();
    };
    let words = match wrong {
        Wrong::Expired | Wrong::ExpiredContext { .. } => "it, or that authority, has expired",
        Wrong::NotValidYet | Wrong::NotValidYetContext { .. } => "its time has not come",
        Wrong::UnknownIssuer | Wrong::BadSignature => {
            "another authority signed it; take certificate and authority.pem from one authority"
        }
        Wrong::InvalidPurpose | Wrong::InvalidPurposeContext { .. } => {
            "it does not allow what this role does; make it with `lyceum identity`"
        }
        Wrong::NotValidForName | Wrong::NotValidForNameContext { .. } => {
            "it does not carry a coordinator's name; make it with `lyceum identity coordinator`"
        }
        _ => "it is damaged, or not of a kind that is used here; make it with `lyceum identity`",
    };
    words.into()
}

/// Passes the verdict on these credentials that the other side would.
pub(super) fn verify(credentials: &Credentials, now: SystemTime) -> Result<(), TlsError> {
    let now = UnixTime::since_unix_epoch(now.duration_since(UNIX_EPOCH).unwrap_or_default());
    let (leaf, between) = credentials.chain.split_first().expect("a chain has a leaf");
    if credentials.identity().role != Role::Coordinator {
        client_verifier(credentials)?.verify_client_cert(leaf, between, now)?;
        return Ok(());
    }
    let roots = roots(&credentials.roots)?;
    let nodes = WebPkiServerVerifier::builder_with_provider(roots, provider()).build()?;
    nodes.verify_server_cert(leaf, between, &server_name(COORDINATOR_NAME), &[], now)?;
    Ok(())
}

pub(super) fn server_name(name: &'static str) -> ServerName<'static> {
    ServerName::try_from(name).expect("our constants are DNS names")
}

/// Passed to each configuration, so that no process-wide default is needed.
pub(super) fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

/// Random bytes, for keys and serial numbers; never part of a run's results.
pub(super) fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    let source = rustls::crypto::ring::default_provider().secure_random;
    source
        .fill(&mut bytes)
        .expect("the system gives random bytes");
    bytes
}
