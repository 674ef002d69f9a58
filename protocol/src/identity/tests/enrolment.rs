use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::sync::Arc;

use super::super::enrol::{EnrolError, Server, exchange, join};
use super::super::{Authority, Credentials, Join, Name, Role, Sha256, Token, Tokens};
use super::super::{Revocations, quinn_client, quinn_server};
use super::{HOUR, LOOPBACK, credentials, id};

/// A service of a new authority; it ends with the test's runtime.
struct Office {
    folder: tempfile::TempDir,
    tokens: Tokens,
    address: SocketAddr,
}

fn open() -> Office {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::create(folder.path()).unwrap();
    let tokens = Tokens::open(folder.path()).unwrap();
    let server = Server::bind(&[LOOPBACK], authority, tokens.clone(), HOUR).unwrap();
    let address = server.local_addr().unwrap();
    tokio::spawn(server.run());
    Office {
        folder,
        tokens,
        address,
    }
}

impl Office {
    fn string(&self, name: Option<Name>) -> Join {
        self.tokens
            .issue(Role::Client, name, NonZeroU32::MIN, HOUR)
            .unwrap()
    }

    async fn refusal(&self, string: &Join, identity: &str) -> String {
        match join(&[self.address], string, &id(identity)).await {
            Err(EnrolError::Refused { reason, .. }) => reason,
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn a_new_host_enrols_once_and_then_connects_to_a_coordinator() {
    let office = open();
    let string = office.string(None).to_string().parse().unwrap();
    let joined = join(&[office.address], &string, &id("client/a"))
        .await
        .unwrap();
    let own = tempfile::tempdir().unwrap();
    joined.write(own.path()).unwrap();
    let node = Credentials::load(own.path()).unwrap();
    assert_eq!(node.identity(), &id("client/a"));

    let authority = Authority::open(office.folder.path()).unwrap();
    let coordinator = credentials(&authority, "coordinator/c");
    let config = quinn_server(&coordinator, Arc::new(Revocations::none())).unwrap();
    let server = quinn::Endpoint::server(config, LOOPBACK).unwrap();
    let client = quinn::Endpoint::client(LOOPBACK).unwrap();
    let (config, address) = (quinn_client(&node).unwrap(), server.local_addr().unwrap());
    let connecting = client
        .connect_with(config, address, super::super::COORDINATOR_NAME)
        .unwrap();
    let accept = async { server.accept().await.unwrap().await };
    let (accepted, connected) = tokio::join!(accept, connecting);
    connected.unwrap();
    accepted.unwrap();

    let reason = office.refusal(&string, "client/a").await;
    assert!(reason.contains("used up"), "{reason}");
}

#[tokio::test]
async fn a_forged_token_and_a_wrong_name_are_refused_with_the_reason() {
    let office = open();
    let string = office.string(Some("a".parse().unwrap()));
    let reason = office.refusal(&string, "client/b").await;
    assert!(
        reason.contains("for the name a, not for client/b"),
        "{reason}"
    );
    let token = Token::from_digits(&"1".repeat(64)).unwrap();
    let reason = office.refusal(&Join { token, ..string }, "client/a").await;
    assert!(reason.contains("not known"), "{reason}");
}

#[tokio::test]
async fn a_damaged_request_is_answered_and_a_long_one_is_not_read() {
    let office = open();
    let pin = office.string(None).authority;
    let (_, answer) = exchange(&[office.address], pin, "hello".to_owned())
        .await
        .unwrap();
    let answer = String::from_utf8(answer).unwrap();
    assert!(
        answer.starts_with("refused\nthe request cannot be read"),
        "{answer}"
    );
    let cut_off = exchange(&[office.address], pin, "x".repeat(5000))
        .await
        .unwrap_err();
    assert!(
        matches!(cut_off, EnrolError::Connection { .. }),
        "{cut_off}"
    );
}

#[tokio::test]
async fn a_server_of_another_authority_gets_no_token() {
    let office = open();
    let string = office.string(None);
    let other = Join {
        authority: Sha256::of(b"another authority"),
        ..string.clone()
    };
    let error = join(&[office.address], &other, &id("client/a"))
        .await
        .unwrap_err();
    assert!(matches!(error, EnrolError::WrongAuthority(_)), "{error}");
    // The use is still there.
    join(&[office.address], &string, &id("client/a"))
        .await
        .unwrap();
}

#[tokio::test]
async fn a_server_that_only_shows_the_right_authority_is_not_trusted() {
    use quinn::rustls;
    let office = open();
    let string = office.string(None);
    let (ours, theirs) = (
        Authority::open(office.folder.path()).unwrap(),
        Authority::ephemeral().unwrap(),
    );
    let thief = credentials(&theirs, "coordinator/thief");
    let chain = vec![thief.chain[0].clone(), ours.certificate().clone()];
    let tls = rustls::ServerConfig::builder_with_provider(super::super::tls::provider())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, thief.key.clone_key())
        .unwrap();
    let tls = super::super::tls::without_resumption(tls, super::super::enrol::ALPN);
    let server = quinn::Endpoint::server(super::super::tls::quic_server(tls), LOOPBACK).unwrap();
    let address = server.local_addr().unwrap();
    let identity = id("client/a");
    let accept = async { server.accept().await.unwrap().await };
    let there = [address];
    let (accepted, joined) = tokio::join!(accept, join(&there, &string, &identity));
    accepted.unwrap_err();
    assert!(
        matches!(joined, Err(EnrolError::Connection { .. })),
        "{joined:?}"
    );
}

#[tokio::test]
async fn a_coordinator_does_not_pass_for_the_enrolment_service() {
    let office = open();
    let string = office.string(None);
    let authority = Authority::open(office.folder.path()).unwrap();
    let coordinator = credentials(&authority, "coordinator/c");
    let config = quinn_server(&coordinator, Arc::new(Revocations::none())).unwrap();
    let server = quinn::Endpoint::server(config, LOOPBACK).unwrap();
    let identity = id("client/a");
    let accept = async { server.accept().await.unwrap().await };
    let address = server.local_addr().unwrap();
    let there = [address];
    let (accepted, joined) = tokio::join!(accept, join(&there, &string, &identity));
    accepted.unwrap_err();
    joined.unwrap_err();
}

/// Of a name's two addresses the first is a port that never answers.
#[tokio::test]
async fn a_host_enrols_at_the_address_that_answers() {
    let office = open();
    let silent = std::net::UdpSocket::bind(LOOPBACK).unwrap();
    let addresses = [silent.local_addr().unwrap(), office.address];
    let string = office.string(None);
    let joined = join(&addresses, &string, &id("client/a")).await.unwrap();
    assert_eq!(joined.identity(), &id("client/a"));
}
