//! The processes of a world: each runs, dies when the world says so, and is started again.

use super::{Troubles, crew::SlowCrew, faults::StackFaults};
use crate::{
    RunError,
    world::{Disk, Ground, Post, Shelf, foreign_files, tasks_taken},
};
use lyceum_client_node::{
    crew::Crew,
    machine::Prepared,
    quic::{Attendance, Departure, Hire, Locate, Prepare, attend},
    workshop::numeric_profile,
};
use lyceum_coordinator::{
    Snapshot,
    conductor::{Ending, Parts, Saving},
    dispatch::{Dispatch, Pace},
    quic::{Network, Service},
    run::{Archive, Durable, Storage, Syncing},
};
use lyceum_core::{
    Event, Fingerprint, Params, Purpose, Request, Round, Seed, Stream, TaskDefinition, Ticket,
};
use lyceum_network_model::{Directions, SimNet, endpoint_config, plain_packets};
use lyceum_protocol::{
    identity::{Ephemeral, Revocations, quinn_client, quinn_server},
    message::{Hello, PROTOCOL},
    quic::{Transport, client_transport, server_transport},
};
use rand::RngExt;
use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::time::{Instant, sleep, sleep_until};

/// Labels of endpoints: one for each process that ever runs.
const LABELS_PER_HOST: u64 = 1 << 32;

pub(super) struct Processes {
    ground: Arc<Ground>,
    faults: StackFaults,
    seed: u64,
    net: SimNet,
    identities: Ephemeral,
    disk: Disk,
    post: Post,
    notes: Mutex<Notes>,
}

/// What is remembered of a world.
#[derive(Clone, Debug, Default)]
pub(super) struct Notes {
    pub(super) troubles: Troubles,
    pub(super) complaints: Vec<String>,
    pub(super) asked: Vec<(Round, TaskDefinition)>,
}

fn coordinator_address() -> SocketAddr {
    ([10, 0, 0, 1], 4433).into()
}

fn node_address(node: u64) -> SocketAddr {
    ([10, 0, 1, node as u8], 5000).into()
}

fn micros(micros: u64) -> Duration {
    Duration::from_micros(micros)
}

impl Processes {
    pub(super) fn new(
        ground: Arc<Ground>,
        faults: StackFaults,
        seed: u64,
        net: SimNet,
        identities: Ephemeral,
    ) -> Self {
        Self {
            ground,
            faults,
            seed,
            net,
            identities,
            disk: Disk::new(seed, None),
            post: Post::default(),
            notes: Mutex::default(),
        }
    }

    fn stream(&self, what: &str, number: u64) -> Stream {
        Seed(self.seed).stream(Purpose::named(what), Ticket(number), None)
    }

    /// Until the run has ended.
    pub(super) async fn run(self: Arc<Self>) -> Option<Fingerprint> {
        for node in 1..=u64::from(self.faults.nodes) {
            tokio::spawn(self.clone().keep_node(node));
        }
        for partition in 0..u64::from(self.faults.partitions) {
            tokio::spawn(self.clone().part(partition));
        }
        for request in 0..u64::from(self.faults.asked_tasks) {
            tokio::spawn(self.clone().ask_task(request));
        }
        self.keep_coordinator().await
    }

    pub(super) fn notes(&self) -> MutexGuard<'_, Notes> {
        self.notes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn complain(&self, complaint: String) {
        self.notes().complaints.push(complaint);
    }

    /// Stops the link between the coordinator and one node for a while.
    async fn part(self: Arc<Self>, number: u64) {
        let mut rng = self.stream("lyceum.stack.partition", number);
        let node = rng.random_range(1..=u64::from(self.faults.nodes));
        let directions = match rng.random_range(0..3) {
            0 => Directions::Both,
            1 => Directions::AToB,
            _ => Directions::BToA,
        };
        sleep(micros(
            rng.random_range(0..self.faults.trouble_micros.max(1)),
        ))
        .await;
        let (a, b) = (coordinator_address(), node_address(node));
        self.notes().troubles.partitions += 1;
        self.net.partition(a, b, directions, true);
        sleep(micros(
            rng.random_range(0..self.faults.partition_micros.max(1)),
        ))
        .await;
        self.net.partition(a, b, directions, false);
    }

    /// Asks that a task joins the stream.
    async fn ask_task(self: Arc<Self>, number: u64) {
        let mut rng = self.stream("lyceum.stack.ask", number);
        let class = rng.random_range(0..self.ground.classes());
        sleep(micros(
            rng.random_range(0..self.faults.trouble_micros.max(1)),
        ))
        .await;
        self.post.ask_task(class);
    }

    /// When a process dies, ascending; after the last time it lives on.
    fn deaths(&self, rng: &mut Stream, number: u32) -> Vec<Instant> {
        let start = Instant::now();
        let draw = |_| start + micros(rng.random_range(0..self.faults.trouble_micros.max(1)));
        let mut deaths: Vec<Instant> = (0..number).map(draw).collect();
        deaths.sort_unstable();
        deaths.reverse();
        deaths
    }

    async fn keep_node(self: Arc<Self>, node: u64) {
        let mut rng = self.stream("lyceum.stack.node", node);
        let mut deaths = self.deaths(&mut rng, self.faults.node_crashes);
        for process in 0.. {
            let label = node * LABELS_PER_HOST + process;
            let attendance = match self.attendance(node, label) {
                Ok(attendance) => attendance,
                Err(error) => return self.complain(error.to_string()),
            };
            let life = attend(attendance, std::future::pending());
            tokio::select! {
                biased;
                departure = life => match departure {
                    Departure::Finished => return,
                    other => return self.complain(format!("node {node} left: {other:?}")),
                },
                () = death(deaths.last().copied()) => {}
            }
            deaths.pop();
            self.notes().troubles.node_crashes += 1;
            self.net.crash(node_address(node));
            sleep(micros(rng.random_range(0..self.faults.down_micros.max(1)))).await;
        }
    }

    fn attendance(&self, node: u64, label: u64) -> Result<Attendance, RunError> {
        let failed = |e: &dyn std::fmt::Display| RunError::Worker(e.to_string());
        let config = endpoint_config(Seed(self.seed), label);
        let endpoint = self
            .net
            .endpoint(node_address(node), config, None)
            .map_err(|e| failed(&e))?;
        let mut client =
            quinn_client(&self.identities.nodes[node as usize - 1]).map_err(|e| failed(&e))?;
        let mut transport = client_transport(&Transport::default(), false);
        plain_packets(&mut transport);
        client.transport_config(Arc::new(transport));
        let locate: Locate = Arc::new(|| Box::pin(async { Ok(vec![coordinator_address()]) }));
        let ground = self.ground.clone();
        let prepare: Prepare = Arc::new(move |_| {
            let loaded = (prepared(&ground), ground.node().clone());
            Box::pin(async { Ok(loaded) })
        });
        let each = micros(self.faults.unit_micros);
        let hire: Hire = Arc::new(move |node, listener| {
            Ok(Box::new(SlowCrew::start(node, each, listener)?) as Box<dyn Crew>)
        });
        Ok(Attendance {
            locate,
            reach: Arc::new(move |_| Ok((endpoint.clone(), client.clone()))),
            hello: Hello {
                protocol: PROTOCOL,
                attempt: 0,
                session: Default::default(),
                threads: 1,
                registry: Fingerprint::default(),
            },
            prepare,
            hire,
            cache_bytes: 1 << 20,
            jitter: Seed(self.seed ^ label),
            attempts: None,
            joined: Box::new(|| ()),
        })
    }

    async fn keep_coordinator(&self) -> Option<Fingerprint> {
        let mut rng = self.stream("lyceum.stack.coordinator", 0);
        let mut deaths = self.deaths(&mut rng, self.faults.coordinator_crashes);
        for label in 0.. {
            let life = self.coordinate(label);
            let ended = tokio::select! {
                biased;
                ended = life => Some(ended),
                () = death(deaths.last().copied()) => None,
            };
            match ended {
                Some(Ok((Ending::Finished, fingerprint))) => return Some(fingerprint),
                Some(Ok((ending, _))) => {
                    self.complain(match ending {
                        Ending::Stalled { reason, .. } => format!("the run stopped: {reason}"),
                        Ending::Finished | Ending::Paused => "the run ended too early".into(),
                    });
                    return None;
                }
                Some(Err(error)) => {
                    self.complain(error.to_string());
                    return None;
                }
                None => {}
            }
            deaths.pop();
            self.notes().troubles.coordinator_crashes += 1;
            self.net.crash(coordinator_address());
            self.disk.crash(&mut Default::default());
            if rng.random::<f64>() < self.faults.damage.get() {
                let foreign = foreign_files(&self.ground);
                self.disk.damage(&foreign, &mut Default::default());
            }
            sleep(micros(rng.random_range(0..self.faults.down_micros.max(1)))).await;
        }
        None
    }

    /// Where nodes connect.
    fn network(&self, label: u64, pace: Pace) -> Result<Network, RunError> {
        let failed = |e: &dyn std::fmt::Display| RunError::Worker(e.to_string());
        let transport = Transport::default();
        let revocations = Arc::new(Revocations::none());
        let mut server = quinn_server(&self.identities.coordinator, revocations.clone())
            .map_err(|e| failed(&e))?;
        let mut settings = server_transport(&transport, false);
        plain_packets(&mut settings);
        server.transport_config(Arc::new(settings));
        let config = endpoint_config(Seed(self.seed), label);
        let endpoint = self
            .net
            .endpoint(coordinator_address(), config, Some(server))
            .map_err(|e| failed(&e))?;
        Ok(Network {
            endpoint,
            revocations,
            transport,
            pace,
            metrics: None,
        })
    }

    async fn coordinate(&self, label: u64) -> Result<(Ending, Fingerprint), RunError> {
        let ground = &self.ground;
        let pace = Pace {
            reassign: ground.reassign(),
            ..Pace::default()
        };
        let network = self.network(label, pace)?;
        let mut shelf = Shelf::new(
            self.disk.clone(),
            self.post.clone(),
            ground.layout().clone(),
            ground.digest(),
            ground.rounds(),
        );
        let incarnation = shelf.incarnation(0)?;
        let mut machine = ground.machine();
        shelf.restore(&mut machine)?;
        let contribution = ground.contribution();
        let lanes = contribution.lanes.clone();
        let mut service = Service::open(
            network,
            "world",
            ground.rounds(),
            lanes.clone(),
            ground.layout().into(),
        );
        let parts = Parts {
            machine,
            dispatch: Dispatch::new(pace, ground.admission(), contribution, incarnation),
            archive: SlowShelf {
                shelf,
                sync: micros(self.faults.sync_micros),
            },
            run: ground.digest(),
            rounds: ground.rounds(),
            lanes,
            saving: Saving::default(),
        };
        let (ending, conductor) = service.rounds(parts).await?;
        let fingerprint = conductor.machine().fingerprint();
        self.notes().asked = tasks_taken(conductor.machine());
        service.close("the run is over").await;
        Ok((ending, fingerprint))
    }
}

/// When a process dies; never, if there is no time for it.
async fn death(at: Option<Instant>) {
    match at {
        Some(at) => sleep_until(at).await,
        None => std::future::pending().await,
    }
}

fn prepared(ground: &Ground) -> Prepared {
    Prepared {
        scenario: ground.digest(),
        data: Some(ground.data()),
        profile: numeric_profile(&ground.scenario().training.engine),
        own: None,
    }
}

/// A shelf whose journal becomes safe after a while.
struct SlowShelf {
    shelf: Shelf,
    sync: Duration,
}

impl Archive for SlowShelf {
    fn event(&mut self, event: Event) -> Result<(), RunError> {
        self.shelf.event(event)
    }

    fn best(&mut self, params: Params) {
        self.shelf.best(params);
    }

    fn clients_took(&mut self, micros: &[u64]) {
        self.shelf.clients_took(micros);
    }

    fn round_took(&mut self, round: Round, total: u64, training: u64) -> Result<(), RunError> {
        self.shelf.round_took(round, total, training)
    }

    fn requests(&mut self) -> Result<Vec<Request>, RunError> {
        self.shelf.requests()
    }

    fn save(&mut self, snapshot: &Snapshot) -> Result<(), RunError> {
        self.shelf.save(snapshot)
    }

    fn storage(&mut self) -> &mut dyn Storage {
        self.shelf.storage()
    }
}

impl Durable for SlowShelf {
    fn syncing(&mut self) -> Syncing {
        let disk = self.shelf.disk().clone();
        let (covered, sync) = (disk.covered(), self.sync);
        Box::pin(async move {
            sleep(sync).await;
            disk.synced(covered)
        })
    }

    fn idle(&mut self) -> Result<(), RunError> {
        Ok(())
    }
}
