//! A node with a good certificate and bad manners, spoken by hand.

use crate::{catalogue::read, nodes::Federation};
use lyceum_client_node::workshop::numeric_profile;
use lyceum_core::{
    ClientId, ClientReport, ClientState, DataRef, ExactSum, Fingerprint, Lane, Outcome, Payload,
    Ticket, Trained, UnitId, UnitKey,
};
use lyceum_protocol::{
    blob::BlobRef,
    body,
    identity::{COORDINATOR_NAME, Credentials, quinn_client},
    message::{Hello, PROTOCOL, Ready, Report, SessionId},
    quic::{Transport, bind, configure_client, read_frame},
    wire::{
        AssignmentWire, FROM_COORDINATOR, OfferWire, ResultWire, ToCoordinatorWire, ToNodeWire,
        frame,
    },
};
use lyceum_scenarios::{Loaded, Scenario, schema};
use quinn::{ClientConfig, Connection, ConnectionError, Endpoint, RecvStream, SendStream};
use std::{
    io::{BufRead, BufReader},
    net::SocketAddr,
    process::Child,
    sync::{Arc, Condvar, Mutex},
    time::Duration,
};

/// How long a test waits for what must come.
const PATIENCE: Duration = Duration::from_secs(60);

/// What a process says on its standard error stream, as it comes.
#[derive(Clone)]
pub(crate) struct Log(Arc<(Mutex<(String, bool)>, Condvar)>);

impl Log {
    pub(crate) fn of(child: &mut Child) -> Self {
        let log = Self(Arc::default());
        let (mut reader, writer) = (BufReader::new(child.stderr.take().unwrap()), log.clone());
        std::thread::spawn(move || {
            let mut line = String::new();
            while reader.read_line(&mut line).is_ok_and(|n| n > 0) {
                writer.0.0.lock().unwrap().0 += &std::mem::take(&mut line);
                writer.0.1.notify_all();
            }
            writer.0.0.lock().unwrap().1 = true;
            writer.0.1.notify_all();
        });
        log
    }

    /// The first line that holds all of these, once it is there.
    #[track_caller]
    pub(crate) fn wait_for(&self, texts: &[&str]) -> String {
        let (lock, changed) = &*self.0;
        let guard = lock.lock().unwrap();
        let line = |text: &str| {
            let mut lines = text.lines();
            let found = lines.find(|line| texts.iter().all(|t| line.contains(t)));
            found.map(str::to_string)
        };
        let (guard, _) = changed
            .wait_timeout_while(guard, PATIENCE, |(text, over)| {
                line(text).is_none() && !*over
            })
            .unwrap();
        line(&guard.0).unwrap_or_else(|| panic!("nobody said {texts:?}: {}", guard.0))
    }

    pub(crate) fn text(&self) -> String {
        self.0.0.lock().unwrap().0.clone()
    }
}

/// Memory of a process in KiB.
pub(crate) fn memory_kib(child: &Child) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap();
    let line = status.lines().find(|l| l.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// What an honest node would say of itself.
pub(crate) struct Facts {
    pub(crate) registry: Fingerprint,
    pub(crate) scenario: Fingerprint,
    pub(crate) data: Fingerprint,
    pub(crate) profile: String,
    pub(crate) lanes: Vec<Lane>,
    pub(crate) len: usize,
    pub(crate) threads: u32,
}

impl Facts {
    pub(crate) fn of(scenario: &Scenario) -> Self {
        let loaded = Loaded::read(scenario, &[]).unwrap_or_else(|e| panic!("{e}"));
        let network = loaded.network(scenario).unwrap_or_else(|e| panic!("{e}"));
        Self {
            registry: Fingerprint::of(schema(&lyceum::registry()).to_string().as_bytes()),
            scenario: scenario.digest(),
            data: loaded.digest(),
            profile: numeric_profile(&scenario.training.engine),
            lanes: scenario.strategy.plugin.client_half().lanes(),
            len: network.layout().len(),
            threads: 1,
        }
    }

    pub(crate) fn quickstart(set: &[&str]) -> Self {
        Self::of(&read("quickstart", set))
    }

    pub(crate) fn hello(&self) -> Hello {
        Hello {
            protocol: PROTOCOL,
            attempt: 1,
            session: SessionId::default(),
            threads: self.threads,
            registry: self.registry,
        }
    }

    pub(crate) fn ready(&self, session: SessionId) -> Ready {
        Ready {
            session,
            scenario: self.scenario,
            data: Some(self.data),
            profile: self.profile.clone(),
            own: None,
        }
    }
}

pub(crate) fn settings(credentials: &Credentials) -> ClientConfig {
    let mut client = quinn_client(credentials).unwrap();
    configure_client(&mut client, &Transport::default(), true);
    client
}

pub(crate) fn endpoint() -> Endpoint {
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    bind(any, None, None, &Transport::default()).unwrap()
}

/// Connects, until the coordinator is there to say yes or no.
pub(crate) async fn dial(port: u16, client: ClientConfig) -> Result<Connection, ConnectionError> {
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    endpoint()
        .connect_with(client, address, COORDINATOR_NAME)
        .unwrap()
        .await
}

/// One connection.
pub(crate) struct Hostile {
    pub(crate) connection: Connection,
    pub(crate) send: SendStream,
    pub(crate) recv: RecvStream,
}

/// A unit that it was given.
#[derive(Clone, Debug)]
pub(crate) struct Given {
    pub(crate) ticket: Ticket,
    pub(crate) unit: UnitId,
    pub(crate) clients: Vec<ClientId>,
}

impl Hostile {
    pub(crate) async fn connect(federation: &Federation, identity: &str) -> Self {
        let credentials = Credentials::load(&federation.path().join(identity)).unwrap();
        let connection = dial(federation.port, settings(&credentials)).await.unwrap();
        let (send, recv) = connection.open_bi().await.unwrap();
        Self {
            connection,
            send,
            recv,
        }
    }

    pub(crate) async fn write(&mut self, bytes: &[u8]) {
        // Whoever is sent away while it speaks hears why afterwards.
        let _ = self.send.write_all(bytes).await;
    }

    pub(crate) async fn say(&mut self, message: &ToCoordinatorWire) {
        self.write(&frame(message)).await;
    }

    pub(crate) async fn hear(&mut self) -> Option<ToNodeWire> {
        let next = read_frame::<ToNodeWire, FROM_COORDINATOR>(&mut self.recv);
        let next = tokio::time::timeout(PATIENCE, next).await;
        next.expect("the coordinator is silent").unwrap_or(None)
    }

    /// The session that it is welcomed to.
    pub(crate) async fn greet(&mut self, facts: &Facts) -> SessionId {
        self.say(&ToCoordinatorWire::Hello(facts.hello())).await;
        match self.hear().await {
            Some(ToNodeWire::Welcome(welcome)) => welcome.session,
            other => panic!("{other:?}"),
        }
    }

    /// The units that it is given once it says that it is ready.
    pub(crate) async fn join(&mut self, facts: &Facts) -> (SessionId, Vec<Given>) {
        let session = self.greet(facts).await;
        self.say(&ToCoordinatorWire::Ready(facts.ready(session)))
            .await;
        self.say(&report(session, Vec::new())).await;
        let mut given = Vec::new();
        loop {
            match self.hear().await {
                Some(ToNodeWire::Assign { assignment, .. }) => {
                    let AssignmentWire {
                        ticket, unit, jobs, ..
                    } = assignment;
                    let client = |data| match data {
                        DataRef::Shard(client) => Some(client),
                        _ => None,
                    };
                    let clients = jobs.iter().filter_map(|job| client(job.data)).collect();
                    given.push(Given {
                        ticket,
                        unit,
                        clients,
                    });
                }
                Some(ToNodeWire::Pulse(_)) if !given.is_empty() => return (session, given),
                Some(ToNodeWire::Pulse(_)) => {}
                other => panic!("{other:?}"),
            }
        }
    }

    /// Why it was told to go: by a message, or by the end of the connection.
    pub(crate) async fn reason(mut self) -> String {
        loop {
            match self.hear().await {
                Some(ToNodeWire::Refuse(reason)) => return reason,
                Some(_) => {}
                None => break,
            }
        }
        match self.connection.closed().await {
            ConnectionError::ApplicationClosed(close) => {
                String::from_utf8_lossy(&close.reason).into_owned()
            }
            other => other.to_string(),
        }
    }
}

pub(crate) fn report(session: SessionId, held: Vec<UnitKey>) -> ToCoordinatorWire {
    ToCoordinatorWire::Report(Report {
        session,
        turn: 1,
        held,
        open: 0,
        steps: 0,
    })
}

pub(crate) fn offer(
    session: SessionId,
    ticket: Ticket,
    unit: UnitId,
    result: ResultWire,
) -> ToCoordinatorWire {
    let upload = OfferWire {
        ticket,
        units: vec![unit],
        result,
        vectors: Vec::new(),
    };
    ToCoordinatorWire::Offer { session, upload }
}

pub(crate) fn blob_of(len: u64, hash: u8) -> BlobRef {
    let mut bytes = [hash; 40];
    bytes[32..].copy_from_slice(&len.to_le_bytes());
    BlobRef::from_bytes(bytes)
}

/// A result of training of these clients, none of whom it trained. A sum of nothing goes inside the message.
pub(crate) fn trained(clients: &[ClientId], sum: ExactSum) -> ResultWire {
    with_states(clients, sum, vec![])
}

/// As [`trained`], with states of clients.
pub(crate) fn with_states(
    clients: &[ClientId],
    sum: ExactSum,
    states: Vec<(ClientId, ClientState)>,
) -> ResultWire {
    let claim = |&client: &ClientId| ClientReport {
        outcome: Outcome::Accepted,
        ..ClientReport::dropped_out(client, 1, 0)
    };
    let payload = Payload::Trained(Trained {
        sum: sum.into(),
        reports: clients.iter().map(claim).collect(),
        states,
    });
    ResultWire::Here(body::encode(&payload, &[]).bytes.bytes.to_vec())
}
