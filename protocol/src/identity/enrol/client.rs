//! The new host's side.

use std::future::Future;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use quinn::{ConnectionError, Endpoint, TransportErrorCode};
use rustls::client::Resumption;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::version::TLS13;
use rustls::{AlertDescription, ClientConfig};

use super::super::tls::{provider, quic_client};
use super::super::{
    AuthorityError, Credentials, CredentialsError, Identity, Join, Request, Sha256,
};
use super::pin::Pinned;
use super::wire::{Answer, LONGEST_REPLY, Question};
use super::{ALPN, ENROL_NAME};
use crate::quic::{Sides, first_answer, refusal};

const PATIENCE: Duration = Duration::from_secs(10);

/// Why a host got no certificate.
#[derive(Debug, thiserror::Error)]
pub enum EnrolError {
    /// No key could be made.
    #[error(transparent)]
    Request(#[from] AuthorityError),
    /// The server has another authority than the join string.
    #[error(
        "{0} does not speak for the authority in the join string: check the address, and that the \
         string is of that authority"
    )]
    WrongAuthority(SocketAddr),
    /// The connection failed.
    #[error("cannot enrol at {address}: {reason}")]
    Connection {
        /// The server's address.
        address: SocketAddr,
        /// What went wrong.
        reason: String,
    },
    /// None of several addresses answers.
    #[error("{0}")]
    Nobody(String),
    /// The server said no.
    #[error("{address} refuses: {reason}")]
    Refused {
        /// The server's address.
        address: SocketAddr,
        /// The server's reason.
        reason: String,
    },
    /// The answer makes no sense.
    #[error("{0} gives no certificate that can be used: run the same version on both sides")]
    Answer(SocketAddr),
    /// The certificate does not work with the key.
    #[error(transparent)]
    Credentials(#[from] CredentialsError),
}

/// Makes a key and gets a certificate for this identity from the server, which must hold the authority that the join
/// string names. Of several addresses, the first that answers is asked.
pub async fn join(
    addresses: &[SocketAddr],
    join: &Join,
    identity: &Identity,
) -> Result<Credentials, EnrolError> {
    let request = Request::new(identity)?;
    let question = Question {
        token: join.token.clone(),
        identity: identity.clone(),
        csr: request.csr_pem(),
    };
    let (address, answer) = exchange(addresses, join.authority, question.write()).await?;
    let credentials = match Answer::read(&answer) {
        Some(Answer::Granted {
            certificate,
            authority,
        }) if is(authority, join.authority) => request.certified(certificate, authority)?,
        Some(Answer::Refused { reason }) => {
            return Err(EnrolError::Refused {
                address,
                reason: reason.to_owned(),
            });
        }
        _ => return Err(EnrolError::Answer(address)),
    };
    credentials.check(Path::new(""), SystemTime::now())?;
    Some(credentials)
        .filter(|credentials| credentials.identity() == identity)
        .ok_or(EnrolError::Answer(address))
}

/// Whether this text is the certificate of this hash.
fn is(authority: &str, pin: Sha256) -> bool {
    let certificate = CertificateDer::from_pem_slice(authority.as_bytes());
    certificate.is_ok_and(|certificate| Sha256::of(&certificate) == pin)
}

/// Asks the first of these addresses that answers.
pub(in super::super) async fn exchange(
    addresses: &[SocketAddr],
    authority: Sha256,
    question: String,
) -> Result<(SocketAddr, Vec<u8>), EnrolError> {
    let connected = first_answer(addresses, |address| connect(address, authority)).await;
    let (address, endpoint, connection) = connected.map_err(|errors| all(addresses, errors))?;
    let answer = in_time(address, async {
        ask(&connection, &question)
            .await
            .map_err(|error| failed(address, error))
    })
    .await;
    connection.close(0u32.into(), b"");
    endpoint.wait_idle().await;
    Ok((address, answer?))
}

async fn connect(
    address: SocketAddr,
    authority: Sha256,
) -> Result<(SocketAddr, Endpoint, quinn::Connection), EnrolError> {
    let endpoint = Endpoint::client(any_port(address)).map_err(|error| failed(address, error))?;
    let connecting = endpoint.connect_with(client_config(authority), address, ENROL_NAME);
    let connecting = connecting.map_err(|error| failed(address, error))?;
    let connected = async { connecting.await.map_err(|e| unconnected(address, e)) };
    let connection = in_time(address, connected).await?;
    Ok((address, endpoint, connection))
}

async fn in_time<T>(
    address: SocketAddr,
    work: impl Future<Output = Result<T, EnrolError>>,
) -> Result<T, EnrolError> {
    let late = || format!("no answer within {} s", PATIENCE.as_secs());
    let done = tokio::time::timeout(PATIENCE, work).await;
    done.unwrap_or_else(|_| Err(failed(address, late())))
}

/// The error of all addresses: that of one where somebody was, if there is one.
fn all(addresses: &[SocketAddr], errors: Vec<EnrolError>) -> EnrolError {
    let nobody = |error: &EnrolError| matches!(error, EnrolError::Connection { .. });
    let mut errors = errors;
    let somebody = errors.iter().position(|error| !nobody(error));
    match (somebody, addresses) {
        (Some(place), _) => errors.swap_remove(place),
        (None, [_]) if !errors.is_empty() => errors.swap_remove(0),
        (None, _) => EnrolError::Nobody(
            errors
                .iter()
                .map(ToString::to_string)
                .collect::<Vec<_>>()
                .join("; "),
        ),
    }
}

async fn ask(connection: &quinn::Connection, question: &str) -> Result<Vec<u8>, String> {
    let (mut send, mut receive) = connection.open_bi().await.map_err(text)?;
    send.write_all(question.as_bytes()).await.map_err(text)?;
    send.finish().map_err(text)?;
    receive.read_to_end(LONGEST_REPLY).await.map_err(text)
}

fn text(error: impl ToString) -> String {
    error.to_string()
}

fn failed(address: SocketAddr, error: impl ToString) -> EnrolError {
    EnrolError::Connection {
        address,
        reason: error.to_string(),
    }
}

/// Access is denied by one party only, our own check of the pin.
fn unconnected(address: SocketAddr, error: ConnectionError) -> EnrolError {
    let denied = TransportErrorCode::crypto(AlertDescription::AccessDenied.into());
    match error {
        ConnectionError::TransportError(error) if error.code == denied => {
            EnrolError::WrongAuthority(address)
        }
        error => failed(address, refusal(&error, Sides::NEWCOMER)),
    }
}

fn any_port(address: SocketAddr) -> SocketAddr {
    let any = match address {
        SocketAddr::V4(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        SocketAddr::V6(_) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
    };
    SocketAddr::new(any, 0)
}

fn client_config(authority: Sha256) -> quinn::ClientConfig {
    let mut tls = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13])
        .expect("ring speaks TLS 1.3")
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Pinned::new(authority)))
        .with_no_client_auth();
    tls.alpn_protocols = vec![ALPN.to_vec()];
    tls.resumption = Resumption::disabled();
    quic_client(tls)
}
