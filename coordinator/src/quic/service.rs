//! A coordinator process from its first connection to its last.

use super::{
    accept::Door,
    catalogue::{Catalogue, Packer},
    connection::{HEARING_KIB, Shape, Shared},
    health::Stage,
    http,
    hub::{Hub, Input},
    metering::Meters,
    status::{Status, Watch},
};
use crate::{
    conductor::{Conductor, Ending, Parts, Saving},
    dispatch::{Admission, Dispatch, Pace},
    rounds::Rounds,
    run::{
        Durable, Expert, Folder, Groundwork, Nowhere, Observer, Resume, RunError, RunFiles,
        Settings, incarnation,
    },
};
use lyceum_core::{Fingerprint, Grid};
use lyceum_metrics::Summary;
use lyceum_protocol::{identity::Revocations, message::OwnData, quic::Transport};
use lyceum_scenarios::{Deadline, Scenario};
use quinn::Endpoint;
use std::{collections::BTreeMap, sync::Arc, time::Duration};
use tokio::{
    net::TcpListener,
    sync::{Semaphore, mpsc},
    task::JoinHandle,
    time::Instant,
};

/// Inputs that wait for the hub, before those who send them wait.
const WAITING_INPUTS: usize = 1024;
/// How long closing takes at most.
const CLOSING: Duration = Duration::from_secs(4);
/// How often it is seen whether all nodes have left.
const LOOK: Duration = Duration::from_millis(5);
/// Time for the last packets. A closed connection lingers for longer, but has nothing more to say.
const LAST_WORDS: Duration = Duration::from_millis(100);

/// Where nodes connect, and what is asked of them.
pub struct Network {
    /// A server endpoint.
    pub endpoint: Endpoint,
    /// Who is not let in.
    pub revocations: Arc<Revocations>,
    /// Limits.
    pub transport: Transport,
    /// How nodes are kept busy and when they are lost.
    pub pace: Pace,
    /// Where status and metrics are served, if anywhere.
    pub metrics: Option<TcpListener>,
}

/// What a coordinator does beside its run.
pub struct Stay<'a> {
    /// A run begins once so many nodes are ready.
    pub nodes: usize,
    /// How long nodes that come back are dismissed once the run is finished, at most; it ends before that if all that are
    /// known were. For ever, if it is `None`.
    pub afterwards: Option<Duration>,
    /// Is told of the end of a run that is finished, before that time.
    pub told: Box<dyn FnOnce(&Summary) + 'a>,
}

/// What is to be done.
pub struct Work<'a> {
    /// The scenario.
    pub scenario: &'a Scenario,
    /// Its data and its model.
    pub groundwork: Groundwork,
    /// Digest of the plugins of this build.
    pub registry: Fingerprint,
    /// Where and how.
    pub settings: &'a Settings,
    /// What was found of the run in its folder.
    pub resume: Resume,
    /// Whom it waits for, before and afterwards.
    pub stay: Stay<'a>,
}

/// The connections of one run.
pub struct Service {
    hub: Hub,
    inputs: mpsc::Sender<Input>,
    endpoint: Endpoint,
    door: Arc<Door>,
    tasks: Vec<JoinHandle<()>>,
}

impl Service {
    /// Lets nodes in. Sums have these lanes over vectors of this grid.
    pub fn open(
        network: Network,
        run: &str,
        rounds: u64,
        lanes: Vec<lyceum_core::Lane>,
        grid: Grid,
    ) -> Self {
        let (inputs, receiver) = mpsc::channel(WAITING_INPUTS);
        let (catalogue, meters) = (Catalogue::default(), Meters::default());
        let kib = network
            .transport
            .receiving_bytes
            .div_ceil(1024)
            .clamp(1, 1 << 30);
        let shared = Arc::new(Shared {
            catalogue: catalogue.clone(),
            shape: Shape { lanes, grid },
            receiving: Arc::new(Semaphore::new(kib as usize)),
            hearing: Arc::new(Semaphore::new(HEARING_KIB)),
            transport: network.transport,
            hub: inputs.clone(),
            meters: meters.clone(),
        });
        let watch = Watch::new(run.into(), rounds, meters);
        let door = Door::new(shared, network.revocations);
        let mut tasks = vec![tokio::spawn(door.clone().attend(network.endpoint.clone()))];
        if let Some(listener) = network.metrics {
            tasks.push(tokio::spawn(http::serve(listener, watch.clone())));
        }
        let hub = Hub {
            inputs: receiver,
            back: inputs.downgrade(),
            peers: BTreeMap::new(),
            packer: Packer::new(catalogue),
            watch,
            began: Instant::now(),
            shown: None,
        };
        Self {
            hub,
            inputs,
            endpoint: network.endpoint,
            door,
            tasks,
        }
    }

    /// Stops the run at once when called; it can be resumed.
    pub fn stopper(&self) -> impl Fn() + Send + Sync + 'static {
        let inputs = self.inputs.clone();
        // A full queue means that the hub is busy; it sees the next one.
        move || drop(inputs.try_send(Input::Stop))
    }

    /// Hears nodes until so many are ready. Says whether it was told to stop.
    pub async fn gather(&mut self, dispatch: &mut Dispatch, nodes: usize) -> bool {
        if nodes > 0 {
            tracing::info!(nodes, "waiting for nodes before the run begins");
        }
        let here = |dispatch: &Dispatch| dispatch.ready_nodes() >= nodes;
        self.hub
            .idle(dispatch, &Status::default(), here, None)
            .await
    }

    /// Dismisses nodes that come back, once the run is over: until a time, until all that are known and at least `enough` were
    /// dismissed, or until it is told to stop.
    async fn stay(
        &mut self,
        dispatch: &mut Dispatch,
        run: &Status,
        most: Option<Duration>,
        enough: usize,
    ) {
        let until = most.map(|most| Instant::now() + most);
        let all = |dispatch: &Dispatch| {
            let dismissed = dispatch.all_dismissed();
            most.is_some() && dismissed.is_some_and(|number| number >= enough)
        };
        self.hub.idle(dispatch, run, all, until).await;
    }

    /// What those who watch see.
    pub fn watch(&self) -> Watch {
        self.hub.watch.clone()
    }

    /// Trains the expert on a node, before there are clients. `None` if it was stopped.
    pub async fn prelude(
        &mut self,
        scenario: &Scenario,
        groundwork: &Groundwork,
        dispatch: Dispatch,
    ) -> Result<(Dispatch, Option<Expert>), RunError> {
        let (now, machine) = (self.hub.now(), groundwork.prelude(scenario)?);
        let rounds = Rounds::new(now, machine, Nowhere::default(), 0, Saving::default());
        let mut conductor = Conductor::unjournalled(now, dispatch, rounds)?;
        self.hub.run(&mut conductor).await?;
        let (mut rounds, mut dispatch) = conductor.into_parts();
        let Some(found) = rounds.archive().expert.take() else {
            return Ok((dispatch, None));
        };
        let expert = groundwork.expert_of(scenario, found)?;
        dispatch.set_expert(expert.scores.clone());
        Ok((dispatch, Some(expert)))
    }

    /// Does the rounds.
    pub async fn rounds<A: Durable>(
        &mut self,
        parts: Parts<A>,
    ) -> Result<(Ending, Conductor<A>), RunError> {
        let mut conductor = Conductor::start(self.hub.now(), parts)?;
        let ending = self.hub.run(&mut conductor).await?;
        Ok((ending, conductor))
    }

    /// Ends before the first round.
    async fn stopped(self) -> Result<Summary, RunError> {
        self.close("the coordinator stops").await;
        Err(RunError::Stopped)
    }

    /// Ends all connections, once the nodes have read what was said to them last.
    pub async fn close(mut self, reason: &str) {
        self.hub.watch.health().is_at(Stage::Stopping);
        // Nodes that come now come too late.
        self.endpoint.set_server_config(None);
        self.hub.inputs.close();
        self.hub.peers.clear();
        while self.hub.inputs.try_recv().is_ok() {}
        let door = self.door.clone();
        let left = async {
            while !door.is_empty() {
                tokio::time::sleep(LOOK).await;
            }
        };
        // Nodes that do not hang up are hung up on.
        let _ = tokio::time::timeout(CLOSING, left).await;
        self.endpoint.close(0_u32.into(), reason.as_bytes());
        let _ = tokio::time::timeout(LAST_WORDS, self.endpoint.wait_idle()).await;
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

/// What every node of a scenario is held against.
pub fn admission(scenario: &Scenario, groundwork: &Groundwork, registry: Fingerprint) -> Admission {
    let network = &groundwork.network;
    let own = |samples: usize| OwnData {
        samples: samples as u64,
        shape: network.shapes()[0].iter().map(|&n| n as u64).collect(),
        classes: network.classes() as u64,
    };
    let real = scenario
        .real_clients()
        .map(|(id, client)| (client.name.as_str().into(), (id, own(client.samples.get()))));
    Admission {
        scenario: crate::run::toml_text(&groundwork.loaded.settled(scenario)).into(),
        digest: scenario.digest(),
        data: groundwork.loaded.digest(),
        registry,
        expert: None,
        real: real.collect(),
        profile: None,
        mixed_profiles: false,
    }
}

/// Runs a scenario on the nodes that connect, and leaves its folder complete. `observe` sees every event; `ready` is
/// given what stops the run.
pub async fn conduct<'a>(
    network: Network,
    work: Work<'a>,
    observe: &'a mut Observer<'a>,
    ready: impl FnOnce(Box<dyn Fn() + Send + Sync>),
) -> Result<Summary, RunError> {
    let Work {
        scenario,
        groundwork,
        registry,
        settings,
        mut resume,
        stay,
    } = work;
    let pool = groundwork.loaded.pooled();
    let contribution = scenario.contribution(&groundwork.network, pool.as_ref());
    let (lanes, grid) = (contribution.lanes.clone(), Grid::from(&contribution.layout));
    let (rounds, mut storage) = (scenario.rounds(), Folder::new(&settings.out));
    let mut admission = admission(scenario, &groundwork, registry);
    let pace = pace_of(scenario, &network);
    let saved = groundwork.saved_expert(scenario, &storage, &mut resume.warnings)?;
    admission.expert = saved.as_ref().map(|e| e.scores.clone());
    let (incarnation, damaged) = incarnation::count(&mut storage, incarnation::by_the_clock)?;
    resume.warnings.extend(damaged);
    let mut dispatch = Dispatch::new(pace, admission, contribution, incarnation);
    let mut service = Service::open(network, &scenario.run.name, rounds, lanes.clone(), grid);
    service.watch().health().needs_space_in(&settings.out);
    ready(Box::new(service.stopper()));
    // What nodes hold of a run that goes on is not put at risk.
    let nodes = if settings.resume { 0 } else { stay.nodes };
    if service.gather(&mut dispatch, nodes).await {
        return service.stopped().await;
    }
    let found = expert_by(&mut service, scenario, &groundwork, dispatch, saved).await?;
    let Some((dispatch, expert)) = found else {
        return service.stopped().await;
    };
    let prepared = groundwork.finish(scenario, expert)?;
    let prepared = prepared.told(scenario, settings.facts.as_deref())?;
    let run = prepared.digest;
    let mut machine = prepared.machine(scenario);
    service.watch().health().is_at(Stage::Starting);
    resume.find(&storage, scenario, settings, &prepared)?;
    let archive = RunFiles::open(scenario, settings, prepared, resume, &mut machine, observe)?;
    let parts = Parts {
        machine,
        dispatch,
        archive,
        run,
        rounds,
        lanes,
        saving: saving_of(settings),
    };
    let (ending, conductor) = service.rounds(parts).await?;
    conclude(service, (ending, incarnation), conductor, stay).await
}

/// The expert of a scenario that needs one: the one that is saved, or a new one, trained on a node. `None` if it was stopped.
async fn expert_by(
    service: &mut Service,
    scenario: &Scenario,
    groundwork: &Groundwork,
    dispatch: Dispatch,
    saved: Option<Expert>,
) -> Result<Option<(Dispatch, Option<Expert>)>, RunError> {
    if saved.is_some() || !scenario.needs_expert() {
        return Ok(Some((dispatch, saved)));
    }
    let (dispatch, expert) = service.prelude(scenario, groundwork, dispatch).await?;
    Ok(expert.map(|expert| (dispatch, Some(expert))))
}

/// Leaves the run's folder complete, and the nodes dismissed. A run on which other processes have worked before may have nodes
/// that this one does not know.
async fn conclude(
    mut service: Service,
    (ending, incarnation): (Ending, u32),
    conductor: Conductor<RunFiles<'_>>,
    stay: Stay<'_>,
) -> Result<Summary, RunError> {
    let machine = conductor.machine();
    let run = Status {
        rounds_done: machine.rounds_done(),
        fingerprint: Some(machine.fingerprint()),
        ..Status::default()
    };
    let (rounds, mut dispatch) = conductor.into_parts();
    let reason = farewell(&ending);
    if ending != Ending::Finished || stay.afterwards == Some(Duration::ZERO) {
        service.close(reason).await;
        return rounds.conclude(ending);
    }
    let summary = rounds.conclude(ending)?;
    (stay.told)(&summary);
    let enough = match (incarnation, stay.nodes) {
        (1, _) => 0,
        // Nobody says how many there are.
        (_, 0) => usize::MAX,
        (_, nodes) => nodes,
    };
    let most = stay.afterwards;
    service.stay(&mut dispatch, &run, most, enough).await;
    service.close(reason).await;
    Ok(summary)
}

/// When checkpoints are made.
fn saving_of(settings: &Settings) -> Saving {
    Saving {
        every: settings.checkpoint_every.as_micros() as u64,
        ..Saving::default()
    }
}

/// How nodes are kept busy, with what the scenario says of those that are late.
fn pace_of(scenario: &Scenario, network: &Network) -> Pace {
    let mut pace = network.pace;
    if let Some(Deadline::Reassign(reassign)) = &scenario.deadline {
        pace.reassign = Some((reassign.after_s.get() * 1e6) as u64);
    }
    pace
}

/// What nodes hear last.
fn farewell(ending: &Ending) -> &'static str {
    match ending {
        Ending::Finished => "the run is finished",
        Ending::Paused => "the coordinator stops; it will be back",
        Ending::Stalled { .. } => "the run cannot go on",
    }
}
