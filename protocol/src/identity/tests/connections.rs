//! Who gets in. With TLS 1.3 a client may see its handshake succeed before the coordinator refuses
//! it, so that the coordinator's verdict and the client's reason for closing are looked at.

use std::sync::Arc;

use quinn::rustls::pki_types::CertificateDer;
use quinn::{ConnectionError, Endpoint, TransportErrorCode};
use rustls::AlertDescription;

use super::super::tls::{
    PROBE, client_config, client_verifier, quic_client, quic_server, server_config,
};
use super::super::{
    ALPN, Authority, COORDINATOR_NAME, Credentials, Peer, Revocation, Revocations, TlsError,
    client_tls, ephemeral, peer_of, quinn_client, quinn_server, revoke, server_tls,
};
use super::{LOOPBACK, credentials, expired, foreign, id, not_yet_valid};

type Side = Result<quinn::Connection, ConnectionError>;

fn listen(config: quinn::ServerConfig) -> Endpoint {
    Endpoint::server(config, LOOPBACK).unwrap()
}

/// A coordinator of this authority.
fn coordinator(authority: &Authority, revocations: Arc<Revocations>) -> Endpoint {
    let credentials = credentials(authority, "coordinator/c");
    listen(quinn_server(&credentials, revocations).unwrap())
}

/// Both sides' view of one connection, and the client's endpoint, without which it would end.
async fn meet(server: &Endpoint, client: quinn::ClientConfig) -> (Side, Side, Endpoint) {
    let endpoint = Endpoint::client(LOOPBACK).unwrap();
    let address = server.local_addr().unwrap();
    let connecting = endpoint
        .connect_with(client, address, COORDINATOR_NAME)
        .unwrap();
    let accept = async { server.accept().await.unwrap().await };
    let (accepted, connected) = tokio::join!(accept, connecting);
    (accepted, connected, endpoint)
}

/// Who the coordinator sees.
async fn admitted(server: &Endpoint, client: &Credentials) -> Peer {
    let (accepted, connected, _endpoint) = meet(server, quinn_client(client).unwrap()).await;
    connected.unwrap();
    peer_of(&accepted.unwrap()).unwrap()
}

/// The coordinator refuses, and the client reads this alert.
async fn refused(server: &Endpoint, client: quinn::ClientConfig, alert: AlertDescription) {
    let (accepted, connected, _endpoint) = meet(server, client).await;
    accepted.unwrap_err();
    let reason = match connected {
        Ok(connection) => connection.closed().await,
        Err(reason) => reason,
    };
    let ConnectionError::ConnectionClosed(close) = &reason else {
        panic!("{reason}")
    };
    assert_eq!(
        close.error_code,
        TransportErrorCode::crypto(alert.into()),
        "{reason}"
    );
}

/// Without the check that a client's settings are made of a client's credentials.
fn unchecked(credentials: &Credentials) -> quinn::ClientConfig {
    quic_client(client_config(credentials).unwrap())
}

#[tokio::test]
async fn a_good_node_connects_and_each_side_sees_the_other() {
    let authority = Authority::ephemeral().unwrap();
    let server = coordinator(&authority, Arc::new(Revocations::none()));
    for identity in ["node/n1", "client/hospital"] {
        let node = credentials(&authority, identity);
        let (accepted, connected, _endpoint) = meet(&server, quinn_client(&node).unwrap()).await;
        let seen = peer_of(&accepted.unwrap()).unwrap();
        assert_eq!(&seen, node.as_peer());
        assert_eq!(
            (&seen.identity, seen.expires),
            (&id(identity), node.expires())
        );
        let coordinator = peer_of(&connected.unwrap()).unwrap();
        assert_eq!(coordinator.identity, id("coordinator/c"));
    }
}

#[tokio::test]
async fn ephemeral_credentials_meet() {
    let run = ephemeral(["n0".parse().unwrap(), "n1".parse().unwrap()]).unwrap();
    let none = Arc::new(Revocations::none());
    let server = listen(quinn_server(&run.coordinator, none).unwrap());
    assert_eq!(
        admitted(&server, &run.nodes[1]).await.identity,
        id("node/n1")
    );
}

#[tokio::test]
async fn a_client_without_a_certificate_is_refused() {
    let authority = Authority::ephemeral().unwrap();
    let server = coordinator(&authority, Arc::new(Revocations::none()));
    let node = credentials(&authority, "node/n");
    let mut tls = client_tls(&node).unwrap();
    tls.client_auth_cert_resolver = Arc::new(Nothing);
    refused(
        &server,
        quic_client(tls),
        AlertDescription::CertificateRequired,
    )
    .await;
}

#[derive(Debug)]
struct Nothing;

impl rustls::client::ResolvesClientCert for Nothing {
    fn resolve(
        &self,
        _: &[&[u8]],
        _: &[rustls::SignatureScheme],
    ) -> Option<Arc<rustls::sign::CertifiedKey>> {
        None
    }

    fn has_certs(&self) -> bool {
        false
    }
}

#[tokio::test]
async fn a_node_of_another_authority_is_refused() {
    let (ours, other) = (
        Authority::ephemeral().unwrap(),
        Authority::ephemeral().unwrap(),
    );
    let server = coordinator(&ours, Arc::new(Revocations::none()));
    let mut node = credentials(&other, "node/n");
    // It trusts our coordinator, so that only the coordinator has something to refuse.
    node.roots = vec![ours.certificate().clone()];
    let (accepted, _, _) = meet(&server, quinn_client(&node).unwrap()).await;
    let reason = accepted.unwrap_err().to_string();
    assert!(reason.contains("invalid peer certificate"), "{reason}");
}

#[tokio::test]
async fn a_node_does_not_trust_a_coordinator_of_another_authority() {
    let (ours, other) = (
        Authority::ephemeral().unwrap(),
        Authority::ephemeral().unwrap(),
    );
    let server = coordinator(&other, Arc::new(Revocations::none()));
    let node = credentials(&ours, "node/n");
    let (_, connected, _) = meet(&server, quinn_client(&node).unwrap()).await;
    assert!(
        matches!(connected, Err(ConnectionError::TransportError(_))),
        "{connected:?}"
    );
}

#[tokio::test]
async fn an_expired_and_a_future_certificate_are_refused() {
    let authority = Authority::ephemeral().unwrap();
    let server = coordinator(&authority, Arc::new(Revocations::none()));
    for node in [
        expired(&authority, "node/n"),
        not_yet_valid(&authority, "node/n"),
    ] {
        let node = quinn_client(&node).unwrap();
        refused(&server, node, AlertDescription::CertificateExpired).await;
    }
}

#[tokio::test]
async fn a_node_cannot_pose_as_a_coordinator() {
    let authority = Authority::ephemeral().unwrap();
    // Ours may not be a server at all; an operator's may, but lacks the name.
    let ours = (credentials(&authority, "node/n"), "extended key usage");
    for (node, why) in [ours, (foreign("node/n"), "not valid for name")] {
        let none = Arc::new(Revocations::none());
        assert!(matches!(
            server_tls(&node, none),
            Err(TlsError::Role { .. })
        ));
        let poser = server_config(&node, client_verifier(&node).unwrap()).unwrap();
        let poser = listen(quic_server(poser));
        let (_, connected, _) = meet(&poser, quinn_client(&node).unwrap()).await;
        let reason = connected.unwrap_err().to_string();
        assert!(reason.contains(why), "{reason}");
    }
}

#[tokio::test]
async fn a_coordinator_cannot_connect_as_a_node() {
    let authority = Authority::ephemeral().unwrap();
    let server = coordinator(&authority, Arc::new(Revocations::none()));
    let other = credentials(&authority, "coordinator/d");
    assert!(matches!(client_tls(&other), Err(TlsError::Role { .. })));
    refused(
        &server,
        unchecked(&other),
        AlertDescription::UnsupportedCertificate,
    )
    .await;
}

#[tokio::test]
async fn a_coordinator_is_refused_as_a_node_even_if_its_authority_lets_it_be_a_client() {
    let authority = Authority::ephemeral().unwrap();
    let other = foreign("coordinator/d");
    let server = trusting(&authority, &other);
    let mut other = other;
    other.roots = vec![authority.certificate().clone()];
    refused(&server, unchecked(&other), AlertDescription::AccessDenied).await;
}

#[tokio::test]
async fn a_node_of_an_operators_own_authority_is_admitted() {
    let authority = Authority::ephemeral().unwrap();
    let mut node = foreign("client/site");
    let server = trusting(&authority, &node);
    node.roots = vec![authority.certificate().clone()];
    assert_eq!(admitted(&server, &node).await.identity, id("client/site"));
}

/// A coordinator of one authority that trusts this node's.
fn trusting(authority: &Authority, node: &Credentials) -> Endpoint {
    let mut own = credentials(authority, "coordinator/c");
    own.roots = node.roots.clone();
    listen(quinn_server(&own, Arc::new(Revocations::none())).unwrap())
}

#[tokio::test]
async fn a_revoked_node_is_refused_by_key_and_by_name_also_when_it_was_connected_before() {
    let folder = tempfile::tempdir().unwrap();
    let list = folder.path().join("revoked");
    let authority = Authority::ephemeral().unwrap();
    let revocations = Arc::new(Revocations::open(&list).unwrap());
    let server = coordinator(&authority, revocations.clone());
    for by_name in [false, true] {
        let identity = if by_name {
            "node/by-name"
        } else {
            "node/by-key"
        };
        let node = credentials(&authority, identity);
        // One configuration for both attempts: a session to resume would be in it.
        let config = quinn_client(&node).unwrap();
        let (accepted, connected, _endpoint) = meet(&server, config.clone()).await;
        let accepted = accepted.unwrap();
        receive_tickets(&accepted, &connected.unwrap()).await;
        let peer = peer_of(&accepted).unwrap();
        let key = Revocation::Key(peer.key_hash);
        let entry = if by_name {
            Revocation::Identity(id(identity))
        } else {
            key
        };
        revoke(&list, &entry).unwrap();
        assert!(revocations.reload().unwrap());
        assert_eq!(revocations.refuses(&peer), Some(entry));
        refused(&server, config, AlertDescription::CertificateRevoked).await;
    }
}

/// Tickets, if there were any, leave before data that is sent after the handshake.
async fn receive_tickets(server: &quinn::Connection, client: &quinn::Connection) {
    let mut send = server.open_uni().await.unwrap();
    send.write_all(b"!").await.unwrap();
    send.finish().unwrap();
    let mut receive = client.accept_uni().await.unwrap();
    assert_eq!(receive.read_to_end(1).await.unwrap(), b"!");
}

#[test]
fn neither_side_resumes_sessions_or_takes_early_data() {
    let run = ephemeral(["n".parse().unwrap()]).unwrap();
    let server = server_tls(&run.coordinator, Arc::new(Revocations::none())).unwrap();
    assert_eq!(
        (server.send_tls13_tickets, server.max_early_data_size),
        (0, 0)
    );
    assert!(!server.session_storage.can_cache());
    assert!(!server.ticketer.enabled());
    let client = client_tls(&run.nodes[0]).unwrap();
    assert!(!client.enable_early_data);
    assert_eq!(
        (&server.alpn_protocols, &client.alpn_protocols),
        (&vec![ALPN.to_vec(), PROBE.to_vec()], &vec![ALPN.to_vec()])
    );
}

#[test]
fn certificates_of_equal_names_are_equally_long() {
    let authority = Authority::ephemeral().unwrap();
    let length = |_| credentials(&authority, "node/n").chain[0].len();
    let lengths: std::collections::BTreeSet<_> = (0..50).map(length).collect();
    assert_eq!(lengths.len(), 1, "{lengths:?}");
}

#[test]
fn bytes_that_are_no_certificate_are_an_error() {
    for bytes in [&b""[..], b"\x30\x82", b"hello"] {
        let certificate = CertificateDer::from(bytes.to_vec());
        assert!(super::super::peer(&[certificate]).is_err());
    }
    assert!(super::super::peer(&[]).is_err());
}
