//! A server and its clients at the simulated network.

use lyceum_core::{Seed, units::Fraction};
use lyceum_network_model::{LinkFaults, SimNet, endpoint_config, plain_packets};
use quinn::{
    ClientConfig, Connection, Endpoint, Incoming, ServerConfig, TransportConfig,
    crypto::rustls::{QuicClientConfig, QuicServerConfig},
    rustls::{
        self, RootCertStore,
        client::Resumption,
        pki_types::{CertificateDer, PrivatePkcs8KeyDer},
        server::NoServerSessionStorage,
    },
};
use std::{net::SocketAddr, sync::Arc, time::Duration};
use tokio::{runtime::Runtime, task::JoinHandle};

/// Probes back off by doubling: after a silence of 20 s, the next one may be 20 s away, and be lost.
pub(crate) const IDLE_TIMEOUT: Duration = Duration::from_secs(90);
const SERVER_NAME: &str = "coordinator.test";

#[derive(Clone)]
pub(crate) struct World {
    pub(crate) net: SimNet,
    seed: Seed,
    server: ServerConfig,
    client: ClientConfig,
}

pub(crate) fn virtual_runtime() -> Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap()
}

pub(crate) fn bad_link() -> LinkFaults {
    let share = |value| Fraction::new(value).unwrap();
    LinkFaults {
        delay_micros: 20_000,
        jitter_micros: 3_000,
        loss: share(0.02),
        duplicate: share(0.01),
        ..LinkFaults::default()
    }
}

pub(crate) fn server_address() -> SocketAddr {
    SocketAddr::from(([10, 0, 0, 1], 4433))
}

pub(crate) fn client_address(number: u16) -> SocketAddr {
    SocketAddr::from(([10, 0, 1, 1], 5000 + number))
}

impl World {
    pub(crate) fn new(seed: Seed, faults: LinkFaults) -> Self {
        let (server, client) = credentials();
        Self {
            net: SimNet::new(seed, faults),
            seed,
            server,
            client,
        }
    }

    pub(crate) fn serve(&self) -> JoinHandle<()> {
        self.serve_as(0)
    }

    /// Reads every stream to its end and says so with one byte.
    pub(crate) fn serve_as(&self, start: u64) -> JoinHandle<()> {
        let config = endpoint_config(self.seed, start << 32);
        let server = Some(self.server.clone());
        let endpoint = self.net.endpoint(server_address(), config, server).unwrap();
        tokio::spawn(async move {
            while let Some(incoming) = endpoint.accept().await {
                tokio::spawn(receive(incoming));
            }
        })
    }

    pub(crate) async fn connect(&self, number: u16) -> Connection {
        let config = endpoint_config(self.seed, 1 + u64::from(number));
        let endpoint = self
            .net
            .endpoint(client_address(number), config, None)
            .unwrap();
        connect(&endpoint, self.client.clone()).await
    }

    pub(crate) async fn upload(self, number: u16, bytes: usize) {
        send(self.connect(number).await, bytes).await;
    }
}

async fn connect(endpoint: &Endpoint, config: ClientConfig) -> Connection {
    let connecting = endpoint.connect_with(config, server_address(), SERVER_NAME);
    connecting.unwrap().await.unwrap()
}

pub(crate) async fn send(connection: Connection, bytes: usize) {
    let mut stream = connection.open_uni().await.unwrap();
    stream.write_all(&vec![7; bytes]).await.unwrap();
    stream.finish().unwrap();
    let mut answer = connection.accept_uni().await.unwrap();
    assert_eq!(
        answer.read_to_end(8).await.unwrap(),
        (bytes as u64).to_le_bytes()
    );
}

async fn receive(incoming: Incoming) {
    let Ok(connection) = incoming.await else {
        return;
    };
    while let Ok(mut stream) = connection.accept_uni().await {
        let Ok(read) = stream.read_to_end(1 << 24).await else {
            return;
        };
        let Ok(mut answer) = connection.open_uni().await else {
            return;
        };
        let _ = answer.write_all(&(read.len() as u64).to_le_bytes()).await;
        let _ = answer.finish();
    }
}

/// Keys are random; what they sign has one length: Ed25519, a serial number of fixed length, no tickets.
fn credentials() -> (ServerConfig, ClientConfig) {
    let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
    let mut params = rcgen::CertificateParams::new([SERVER_NAME.to_string()]).unwrap();
    params.serial_number = Some(1_u64.into());
    let certificate = params.self_signed(&key).unwrap().der().clone();
    let key = PrivatePkcs8KeyDer::from(key.serialize_der());
    (server(certificate.clone(), key), client(certificate))
}

fn transport() -> Arc<TransportConfig> {
    let mut transport = TransportConfig::default();
    plain_packets(&mut transport).max_idle_timeout(Some(IDLE_TIMEOUT.try_into().unwrap()));
    transport.keep_alive_interval(Some(Duration::from_secs(5)));
    Arc::new(transport)
}

fn server(certificate: CertificateDer<'static>, key: PrivatePkcs8KeyDer<'static>) -> ServerConfig {
    let mut tls = rustls::ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key.into())
        .unwrap();
    tls.send_tls13_tickets = 0;
    tls.session_storage = Arc::new(NoServerSessionStorage {});
    let mut config = ServerConfig::with_crypto(Arc::new(QuicServerConfig::try_from(tls).unwrap()));
    config.transport_config(transport());
    config
}

fn client(certificate: CertificateDer<'static>) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    roots.add(certificate).unwrap();
    let mut tls = rustls::ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    tls.resumption = Resumption::disabled();
    let mut config = ClientConfig::new(Arc::new(QuicClientConfig::try_from(tls).unwrap()));
    config.transport_config(transport());
    config
}

fn provider() -> Arc<rustls::crypto::CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}
