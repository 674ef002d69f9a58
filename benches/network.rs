//! Real clients over QUIC on the loopback interface, both ends in this process: bytes per second beside those of plain
//! quinn streams, and the seconds of a round with very many connections.
//!
//!     cargo bench --workspace --bench network                       # all of it
//!     cargo bench --workspace --bench network -- memory              # throughput, many, memory or updates
//!
//! `memory` (a strategy that needs sums) and `updates` (one that needs each update) run the clients in a process of
//! their own, so that what is told is the coordinator's alone.

use lyceum_client_node::{
    Node,
    crew::{Crew, CrewEvent, Listener},
    machine::Prepared,
    quic::{Attendance, Hire, Locate, Prepare, attend},
};
use lyceum_coordinator::{
    Plan, RoundMachine, Snapshot, Synchronous,
    conductor::{Parts, Saving},
    dispatch::{Admission, Dispatch, Pace},
    quic::{Network, Service},
    run::{Archive, Durable, Folder, Groundwork, RunError, SpillFile, Storage, Syncing},
};
use lyceum_core::{
    Addend, AnySelector, AnyStrategy, Assignment, ClientId, ClientReport, ClientTerm, DataRef,
    Event, Fingerprint, Layout, Outcome, Params, Payload, Reduction, Roster, Round, Seed, Trained,
    Upload,
};
use lyceum_protocol::{
    identity::{Authority, Identity, Revocations, Role, quinn_client, quinn_server},
    message::{Hello, OwnData, PROTOCOL},
    quic::{Transport, bind, configure_client, configure_server},
};
use lyceum_scenarios::{Registry, Scenario};
use lyceum_strategies::{aggregation::FedAvg, robust::Median, selection::All};
use quinn::{ClientConfig, Connection, Endpoint};
use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};
use tokio::task::JoinSet;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const SCENARIO: &str = "
[run]
name = 'network'
rounds = 1
[data]
set = 'digits'
clients = 1
[data.partition.iid]
[model.softmax]
[training]
rate = 0.1
engine = 'idle'
[selection.all]
[strategy.fed_avg]
";

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        if let [_, word, load, folder, address] = &arguments[..]
            && word == "clients"
        {
            let load = [SUMS, UPDATES].into_iter().find(|l| l.name == load);
            return clients_of_memory(load.expect("a load"), folder, address).await;
        }
        let named = arguments.iter().skip(1).find(|a| !a.starts_with('-'));
        let asked = |part: &str| named.is_none_or(|a| a == part);
        if asked("throughput") {
            throughput().await;
        }
        if asked("many") {
            many().await;
        }
        if asked(SUMS.name) {
            memory(SUMS).await;
        }
        if asked(UPDATES.name) {
            memory(UPDATES).await;
        }
    });
}

async fn throughput() {
    let (clients, values) = (50, SUMS.values);
    let ours = rounds(SUMS.of(clients, values), 4).await;
    let plain = plain(clients, 4 * values, ours.up / clients, 3).await;
    let rate = |bytes: usize, seconds: f64| bytes as f64 / seconds / 1e6;
    let ours_rate = rate(ours.up + ours.down, ours.seconds);
    let plain_rate = rate(ours.up + 4 * values * clients, plain);
    show(format_args!(
        "{clients} clients, {:.1} MB model: {:.3} s a round, {ours_rate:.0} MB/s; plain streams {plain:.3} s, {plain_rate:.0} MB/s; share {:.2}",
        4e-6 * values as f64,
        ours.seconds,
        ours_rate / plain_rate
    ));
}

async fn many() {
    let many = rounds(SUMS.of(1000, 7850), 8).await;
    show(format_args!(
        "1000 clients, 31 KB model: {:.3} s a round ({:.0} MiB at most)",
        many.seconds,
        lyceum_metrics::peak_rss_mib()
    ));
}

#[expect(clippy::print_stdout, reason = "a bench tells what it measured")]
fn show(text: std::fmt::Arguments<'_>) {
    println!("{text}");
}

/// What a round took, in the median of all but the first.
struct Taken {
    seconds: f64,
    down: usize,
    up: usize,
}

/// What a coordinator has to bear.
#[derive(Clone, Copy)]
struct Load {
    name: &'static str,
    clients: usize,
    values: usize,
    reduction: Reduction,
}

/// Very many clients of a large model, whose updates are summed.
const SUMS: Load = Load {
    name: "memory",
    clients: 1000,
    values: 1_625_000,
    reduction: Reduction::Sum,
};

/// Updates of 1.3 GB in all, of each of which the strategy sees each value.
const UPDATES: Load = Load {
    name: "updates",
    clients: 200,
    reduction: Reduction::EachUpdate,
    ..SUMS
};

/// Bytes of updates that are kept in memory.
const BUDGET: u64 = 64 << 20;

impl Load {
    fn of(self, clients: usize, values: usize) -> Self {
        Self {
            clients,
            values,
            ..self
        }
    }

    fn strategy(self) -> Arc<dyn AnyStrategy> {
        match self.reduction {
            Reduction::Sum => Arc::new(FedAvg::default()),
            Reduction::EachUpdate => Arc::new(Median::default()),
        }
    }
}

/// A coordinator whose own memory is measured.
async fn memory(load: Load) {
    let folder = tempfile::tempdir().expect("a folder");
    let authority = Authority::create(&folder.path().join("authority")).expect("an authority");
    let (endpoint, address) = server(&authority);
    let program = std::env::current_exe().expect("this program");
    let mut child = std::process::Command::new(program)
        .arg("clients")
        .arg(load.name)
        .arg(folder.path().join("authority"))
        .arg(address.to_string())
        .spawn()
        .expect("a process");
    let taken = coordinate(endpoint, load, 2).await;
    // The clients end when the run does.
    child.wait().expect("it ends");
    show(format_args!(
        "{} clients, {:.1} MB model, {:?}: {taken:.1} s a round, coordinator {:.0} MiB at most",
        load.clients,
        4e-6 * load.values as f64,
        load.reduction,
        lyceum_metrics::peak_rss_mib()
    ));
}

async fn clients_of_memory(load: Load, folder: &str, address: &str) {
    let authority = Authority::open(folder.as_ref()).expect("an authority");
    let address = address.parse().expect("an address");
    let mut nodes = start_clients(&authority, load, address);
    while nodes.join_next().await.is_some() {}
}

struct Clients(u64);

impl Roster for Clients {
    fn clients(&self) -> u64 {
        self.0
    }
    fn samples(&self, _: ClientId) -> usize {
        100
    }
}

fn client_name(client: usize) -> String {
    format!("client-{client}")
}

fn loopback() -> SocketAddr {
    ([127, 0, 0, 1], 0).into()
}

/// A coordinator and its clients.
async fn rounds(load: Load, rounds: u64) -> Taken {
    let authority = Authority::ephemeral().expect("an authority");
    let (endpoint, address) = server(&authority);
    let mut nodes = start_clients(&authority, load, address);
    let seconds = coordinate(endpoint, load, rounds).await;
    while nodes.join_next().await.is_some() {}
    Taken {
        seconds,
        down: 4 * load.values * load.clients,
        up: load.clients * result_bytes(load.values),
    }
}

/// Median seconds of all rounds but the first.
async fn coordinate(endpoint: Endpoint, load: Load, rounds: u64) -> f64 {
    let folder = tempfile::tempdir().expect("a folder");
    let times = Arc::new(Mutex::new(Vec::new()));
    let contribution = load.strategy().contribution(&Layout::weights(load.values));
    let lanes = contribution.lanes.clone();
    let network = Network {
        endpoint,
        revocations: Arc::new(Revocations::none()),
        transport: Transport::default(),
        pace: Pace::default(),
        metrics: None,
    };
    let mut service = Service::open(network, "bench", rounds, lanes.clone(), load.values.into());
    let mut machine = machine(load, rounds);
    machine.spill_to(BUDGET, Box::new(SpillFile::new(folder.path())));
    let parts = Parts {
        machine,
        dispatch: Dispatch::new(Pace::default(), admission(load.clients), contribution, 1),
        archive: Shelf {
            storage: Folder::new(folder.path()),
            times: times.clone(),
        },
        run: Fingerprint::default(),
        rounds,
        lanes,
        saving: Saving::default(),
    };
    let (_, conductor) = service.rounds(parts).await.expect("the run ends");
    drop(conductor);
    service.close("the bench is over").await;
    let mut times = times.lock().expect("nobody panicked").split_off(1);
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

fn server(authority: &Authority) -> (Endpoint, SocketAddr) {
    let identity = Identity::new(Role::Coordinator, "bench".parse().expect("a name"));
    let credentials = authority
        .credentials(&identity, Duration::from_secs(3600))
        .expect("credentials");
    let mut config = quinn_server(&credentials, Arc::new(Revocations::none())).expect("TLS");
    configure_server(&mut config, &Transport::default(), true);
    let endpoint = bind(loopback(), None, Some(config), &Transport::default()).expect("a socket");
    let address = endpoint.local_addr().expect("an address");
    (endpoint, address)
}

fn client(authority: &Authority, number: usize) -> ClientConfig {
    let name = client_name(number).parse().expect("a name");
    let credentials = authority
        .credentials(
            &Identity::new(Role::Client, name),
            Duration::from_secs(3600),
        )
        .expect("credentials");
    let mut config = quinn_client(&credentials).expect("TLS");
    configure_client(&mut config, &Transport::default(), true);
    config
}

fn machine(load: Load, rounds: u64) -> RoundMachine {
    let roster: Arc<dyn Roster> = Arc::new(Clients(load.clients as u64));
    let global = Params::from(
        (0..load.values)
            .map(|i| (i as f32).sin())
            .collect::<Vec<_>>(),
    );
    let plan = Plan {
        rounds,
        seed: Seed(1),
        dropout: 0.0,
        evaluate_every: u64::MAX,
        probes: Vec::new(),
        classes: 10,
        contribution: load.strategy().contribution(&Layout::weights(load.values)),
        transforms: Default::default(),
        alone_from: ClientId(0),
        schedule: Arc::new(Synchronous(None)),
        stream: None,
        judges_ahead: true,
        judges_before: false,
        given: Vec::new(),
        prior: None,
        steering: None,
        attendance: Default::default(),
        changes: Vec::new(),
        phases: Vec::new(),
    };
    let strategy = load.strategy();
    let selector: Arc<dyn AnySelector> = Arc::new(All {});
    let selector = selector.start(roster.clone(), rounds);
    let strategy = strategy.start(&global, &Layout::weights(load.values));
    RoundMachine::new(
        plan,
        roster,
        strategy,
        selector,
        global,
        Fingerprint::default(),
    )
}

fn own() -> OwnData {
    OwnData {
        samples: 100,
        shape: vec![64],
        classes: 10,
    }
}

fn admission(clients: usize) -> Admission {
    let real = (0..clients).map(|n| {
        let name: Arc<str> = client_name(n).into();
        (name, (ClientId(n as u64), own()))
    });
    Admission {
        scenario: SCENARIO.into(),
        digest: Fingerprint::default(),
        data: Fingerprint::default(),
        registry: Fingerprint::default(),
        expert: None,
        real: real.collect(),
        profile: None,
        mixed_profiles: false,
    }
}

fn start_clients(authority: &Authority, load: Load, address: SocketAddr) -> JoinSet<()> {
    let endpoint = bind(loopback(), None, None, &Transport::default()).expect("a socket");
    let node = node();
    let delta = delta(load.values);
    let mut nodes = JoinSet::new();
    for number in 0..load.clients {
        let (node, delta) = (node.clone(), delta.clone());
        let prepare: Prepare = Arc::new(move |_| {
            let prepared = Prepared {
                scenario: Fingerprint::default(),
                data: None,
                profile: "bench".into(),
                own: Some(own()),
            };
            let loaded = Ok((prepared, node.clone()));
            Box::pin(async { loaded })
        });
        let hire: Hire = Arc::new(move |_, listener| {
            Ok(Box::new(Echo {
                delta: delta.clone(),
                reduction: load.reduction,
                listener,
            }) as Box<dyn Crew>)
        });
        let locate: Locate = Arc::new(move || Box::pin(async move { Ok(vec![address]) }));
        let attendance = Attendance {
            joined: Box::new(|| ()),
            locate,
            reach: {
                let (endpoint, client) = (endpoint.clone(), client(authority, number));
                Arc::new(move |_| Ok((endpoint.clone(), client.clone())))
            },
            hello: Hello {
                protocol: PROTOCOL,
                attempt: 0,
                session: Default::default(),
                threads: 1,
                registry: Fingerprint::default(),
            },
            prepare,
            hire,
            cache_bytes: 1,
            jitter: Seed(number as u64),
            attempts: None,
        };
        nodes.spawn(async move {
            attend(attendance, std::future::pending()).await;
        });
    }
    nodes
}

fn delta(values: usize) -> Params {
    let values = (0..values).map(|i| 1e-3 * (i as f32).cos());
    values.collect::<Vec<_>>().into()
}

/// Bytes of one client's result.
fn result_bytes(values: usize) -> usize {
    4 * values
}

fn node() -> Arc<Node> {
    let mut registry = Registry::default();
    registry.engines.extend(lyceum_learner::engines());
    let scenario = Scenario::read(&registry, "bench", SCENARIO, &[]).expect("a scenario");
    let engine = *registry.engine("idle").expect("an engine");
    let groundwork = Groundwork::read(&scenario, &[]).expect("data");
    let network = groundwork.network.clone();
    let federation = groundwork.loaded.federate(&scenario, None).expect("shards");
    Arc::new(Node::new(&scenario, engine, network, federation, None))
}

/// Answers at once, with the same update every time.
struct Echo {
    delta: Params,
    reduction: Reduction,
    listener: Listener,
}

impl Crew for Echo {
    fn work(&mut self, generation: u64, assignment: Assignment) {
        let report = |client| ClientReport {
            outcome: Outcome::Accepted,
            ..ClientReport::dropped_out(client, 100, 0)
        };
        let clients = assignment.jobs.iter().filter_map(|job| match job.data {
            DataRef::Shard(client) => Some(report(client)),
            DataRef::Probe { .. } | DataRef::Pool => None,
        });
        let reports: Vec<ClientReport> = clients.collect();
        let lanes = vec![(100.0, self.delta.clone())];
        let sum = match (self.reduction, &reports[..]) {
            (Reduction::EachUpdate, [ClientReport { client, .. }]) => {
                let client = *client;
                Addend::Each(vec![ClientTerm { client, lanes }])
            }
            _ => Addend::Single(lanes),
        };
        let payload = Payload::Trained(Trained {
            sum,
            reports,
            states: Vec::new(),
        });
        let upload = Upload {
            ticket: assignment.ticket,
            units: vec![assignment.unit],
            payload,
            micros: Vec::new(),
        };
        (self.listener)(CrewEvent::Finished { generation, upload });
    }

    fn flush(&mut self, _: u64, _: bool) {}

    fn clear(&mut self, _: u64) {}
}

struct Shelf {
    storage: Folder,
    times: Arc<Mutex<Vec<f64>>>,
}

impl Archive for Shelf {
    fn event(&mut self, _: Event) -> Result<(), RunError> {
        Ok(())
    }

    fn best(&mut self, _: Params) {}

    fn clients_took(&mut self, _: &[u64]) {}

    fn round_took(&mut self, _: Round, total: u64, _: u64) -> Result<(), RunError> {
        let mut times = self.times.lock().expect("nobody panicked");
        times.push(total as f64 / 1e6);
        Ok(())
    }

    fn save(&mut self, _: &Snapshot) -> Result<(), RunError> {
        Ok(())
    }

    fn storage(&mut self) -> &mut dyn Storage {
        &mut self.storage
    }
}

impl Durable for Shelf {
    fn syncing(&mut self) -> Syncing {
        let file = self.storage.appended();
        Box::pin(async move {
            let sync = move || file.map_or(Ok(()), |file| file?.sync_data());
            tokio::task::spawn_blocking(sync).await.expect("it ends")
        })
    }

    fn idle(&mut self) -> Result<(), RunError> {
        Ok(())
    }
}

/// The same bytes on plain quinn streams: `down` to each client and `up` back, all at once; median seconds.
async fn plain(clients: usize, down: usize, up: usize, times: usize) -> f64 {
    let authority = Authority::ephemeral().expect("an authority");
    let (endpoint, address) = server(&authority);
    let local = bind(loopback(), None, None, &Transport::default()).expect("a socket");
    let (mut here, mut there) = (Vec::new(), Vec::new());
    for number in 0..clients {
        let config = client(&authority, number);
        let name = lyceum_protocol::identity::COORDINATOR_NAME;
        let connecting = local
            .connect_with(config, address, name)
            .expect("it connects");
        let incoming = endpoint.accept().await.expect("it is open");
        let (near, far) = tokio::join!(connecting, incoming.into_future());
        there.push(near.expect("it is accepted"));
        here.push(far.expect("it is accepted"));
    }
    let bytes = bytes::Bytes::from(vec![7; down.max(up)]);
    let mut seconds = Vec::new();
    for _ in 0..times {
        let began = Instant::now();
        let mut tasks = JoinSet::new();
        for (near, far) in here.iter().zip(&there) {
            tasks.spawn(exchange(near.clone(), bytes.slice(..down), up));
            tasks.spawn(answer(far.clone(), bytes.slice(..up), down));
        }
        while tasks.join_next().await.is_some() {}
        seconds.push(began.elapsed().as_secs_f64());
    }
    seconds.sort_by(f64::total_cmp);
    seconds[seconds.len() / 2]
}

async fn exchange(connection: Connection, bytes: bytes::Bytes, back: usize) {
    let (mut send, mut recv) = connection.open_bi().await.expect("a stream");
    send.write_chunk(bytes).await.expect("it is read");
    send.finish().expect("it is open");
    let got = recv.read_to_end(back).await.expect("it is answered");
    assert_eq!(got.len(), back);
}

async fn answer(connection: Connection, bytes: bytes::Bytes, down: usize) {
    let (mut send, mut recv) = connection.accept_bi().await.expect("a stream");
    let got = recv.read_to_end(down).await.expect("it is sent");
    assert_eq!(got.len(), down);
    send.write_chunk(bytes).await.expect("it is read");
    send.finish().expect("it is open");
}
