//! The authority's side.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use quinn::{Connection, ConnectionError, Endpoint, Incoming, VarInt};
use rcgen::{KeyPair, PKCS_ED25519};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::version::TLS13;
use tokio::sync::Semaphore;
use tokio::task::{JoinSet, spawn_blocking};
use tokio::time::timeout;

use super::super::request::verified;
use super::super::tls::{provider, quic_server, without_resumption};
use super::super::{Authority, AuthorityError, Identity, TokenError, Tokens};
use super::wire::{Answer, LONGEST_REQUEST, Question};
use super::{ALPN, ENROL_NAME, VALIDITY};
use crate::quic::{Sides, first_bound, refusal};

/// For the handshake with the request, and again for the client to close.
const PATIENCE: Duration = Duration::from_secs(5);
const MOST_AT_ONCE: usize = 64;
const IDLE_MS: u32 = 5_000;

/// Why the service does not start.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The address is taken or not this host's.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// Which address.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// The authority cannot sign the service's own certificate.
    #[error("the enrolment service gets no certificate: {0}")]
    Certificate(#[from] AuthorityError),
    /// The certificate cannot be used.
    #[error("the enrolment service's certificate cannot be used: {0}")]
    Tls(#[from] rustls::Error),
}

/// Why one host got no certificate.
#[derive(Debug, thiserror::Error)]
enum Attempt {
    #[error("the connection failed: {}", in_words(.0))]
    Connection(#[from] quinn::ConnectionError),
    #[error("the request does not arrive: {0}")]
    Read(#[from] quinn::ReadToEndError),
    #[error("the answer does not leave: {0}")]
    Write(#[from] quinn::WriteError),
    #[error("no request within {} s", PATIENCE.as_secs())]
    Late,
    #[error("the request cannot be read: run the same version on both sides")]
    Damaged,
    #[error(transparent)]
    Token(#[from] TokenError),
    #[error(transparent)]
    Authority(#[from] AuthorityError),
    #[error("the authority failed: {0}")]
    Failed(#[from] tokio::task::JoinError),
}

impl Attempt {
    /// What the host is told: its own faults, not the paths of this one.
    fn public(&self) -> String {
        match self {
            Self::Token(TokenError::Refused(reason)) => reason.to_string(),
            Self::Authority(
                AuthorityError::Request(_)
                | AuthorityError::Algorithm
                | AuthorityError::Granted { .. },
            )
            | Self::Damaged => self.to_string(),
            _ => "the authority has a fault of its own: see its log".to_owned(),
        }
    }
}

/// What a connection that did not come about means here. A host ends it with this alert that wants another authority.
fn in_words(error: &ConnectionError) -> String {
    const ANOTHER: u64 = 0x100 + 49;
    match error {
        ConnectionError::ConnectionClosed(close) if u64::from(close.error_code) == ANOTHER => {
            "the host's join string is of another authority: give it one that `lyceum identity token` made here".into()
        }
        error => refusal(error, Sides::AUTHORITY),
    }
}

/// What signs: shared by all connections.
struct Desk {
    authority: Authority,
    tokens: Tokens,
    validity: Duration,
}

impl Desk {
    /// The request is checked before the token, so that a damaged one costs no use.
    fn grant(&self, question: &[u8]) -> Result<(Identity, String), Attempt> {
        let question = Question::read(question).ok_or(Attempt::Damaged)?;
        verified(question.csr, &question.identity)?;
        self.tokens.redeem(&question.token, &question.identity)?;
        let certificate = self
            .authority
            .issue(question.csr, &question.identity, self.validity)?;
        Ok((question.identity, certificate))
    }
}

/// The service, listening.
pub struct Server {
    endpoint: Endpoint,
    desk: Arc<Desk>,
}

impl Server {
    /// Listens on the first of these addresses that it can have, with a certificate of the authority that ends with the
    /// process.
    /// Needs a tokio runtime. Certificates that it grants are valid for `validity`.
    pub fn bind(
        addresses: &[SocketAddr],
        authority: Authority,
        tokens: Tokens,
        validity: Duration,
    ) -> Result<Self, ServeError> {
        let config = server_config(&authority)?;
        let endpoint = first_bound(addresses, |address| {
            Endpoint::server(config.clone(), address)
        })
        .map_err(|(address, source)| ServeError::Listen { address, source })?;
        let desk = Arc::new(Desk {
            authority,
            tokens,
            validity,
        });
        Ok(Self { endpoint, desk })
    }

    /// The address it listens on, with the port that the system chose.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.endpoint.local_addr()
    }

    /// Serves until it is dropped. Hosts beyond 64 at once are turned away.
    pub async fn run(self) {
        let places = Arc::new(Semaphore::new(MOST_AT_ONCE));
        let mut attempts = JoinSet::new();
        while let Some(incoming) = self.endpoint.accept().await {
            while attempts.try_join_next().is_some() {}
            let Some(incoming) = proven(incoming) else {
                continue;
            };
            let remote = incoming.remote_address();
            let Ok(place) = places.clone().try_acquire_owned() else {
                tracing::warn!(%remote, "enrolment refused: {MOST_AT_ONCE} are in progress");
                incoming.refuse();
                continue;
            };
            let desk = self.desk.clone();
            attempts.spawn(async move {
                attempt(incoming, desk).await;
                drop(place);
            });
        }
    }
}

/// Serves enrolment on the first of these addresses that it can have, for as long as it is polled, with certificates that are valid
/// for [`VALIDITY`].
pub async fn serve(
    addresses: &[SocketAddr],
    authority: Authority,
    tokens: Tokens,
) -> Result<(), ServeError> {
    Server::bind(addresses, authority, tokens, VALIDITY)?
        .run()
        .await;
    Ok(())
}

/// A host must first prove that it has its address, or else forged packets would take all places.
fn proven(incoming: Incoming) -> Option<Incoming> {
    if incoming.remote_address_validated() {
        return Some(incoming);
    }
    // It fails only for hosts that cannot be asked, which come back or do not.
    let _ = incoming.retry();
    None
}

async fn attempt(incoming: Incoming, desk: Arc<Desk>) {
    let remote = incoming.remote_address();
    let outcome = timeout(PATIENCE, answer(incoming, desk)).await;
    match outcome.unwrap_or(Err(Attempt::Late)) {
        // The client closes when it has the answer; we would cut it off.
        Ok(connection) => drop(timeout(PATIENCE, connection.closed()).await),
        Err(reason) => tracing::warn!(%remote, %reason, "enrolment failed"),
    }
}

async fn answer(incoming: Incoming, desk: Arc<Desk>) -> Result<Connection, Attempt> {
    let remote = incoming.remote_address();
    let connection = incoming.accept()?.await?;
    let (mut send, mut receive) = connection.accept_bi().await?;
    let question = receive.read_to_end(LONGEST_REQUEST).await?;
    // Tokens wait for the disk.
    let at_desk = desk.clone();
    let answer = match spawn_blocking(move || at_desk.grant(&question)).await? {
        Ok((identity, certificate)) => {
            tracing::info!(%remote, %identity, "enrolled");
            let authority = desk.authority.certificate_pem();
            Answer::Granted {
                certificate: &certificate,
                authority,
            }
            .write()
        }
        Err(reason) => {
            tracing::warn!(%remote, %reason, "enrolment refused");
            Answer::Refused {
                reason: &reason.public(),
            }
            .write()
        }
    };
    send.write_all(answer.as_bytes()).await?;
    // Fails only if the client is gone, which the caller sees.
    let _ = send.finish();
    Ok(connection)
}

fn server_config(authority: &Authority) -> Result<quinn::ServerConfig, ServeError> {
    let key = KeyPair::generate_for(&PKCS_ED25519).map_err(AuthorityError::from)?;
    let leaf = authority.server_certificate(ENROL_NAME, &key)?;
    let leaf = CertificateDer::from_pem_slice(leaf.as_bytes()).expect("we wrote this certificate");
    let chain = vec![leaf, authority.certificate().clone()];
    let key = PrivateKeyDer::try_from(key.serialize_der()).expect("we wrote this key");
    let tls = rustls::ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13])?
        .with_no_client_auth()
        .with_single_cert(chain, key)?;
    let mut config = quic_server(without_resumption(tls, ALPN));
    config
        .transport_config(Arc::new(transport()))
        .max_incoming(MOST_AT_ONCE * 4);
    Ok(config)
}

/// One small request; strangers get no more room.
fn transport() -> quinn::TransportConfig {
    let mut transport = quinn::TransportConfig::default();
    transport
        .max_concurrent_bidi_streams(1u32.into())
        .max_concurrent_uni_streams(0u32.into())
        .stream_receive_window(VarInt::from_u32(8 << 10))
        .receive_window(VarInt::from_u32(16 << 10))
        .datagram_receive_buffer_size(None)
        .max_idle_timeout(Some(VarInt::from_u32(IDLE_MS).into()));
    transport
}
