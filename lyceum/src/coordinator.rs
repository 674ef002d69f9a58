//! `lyceum coordinator`.

use crate::{
    address::Address,
    arguments::Coordinator,
    check::read,
    failure::Failure,
    folder::spares,
    network::{log_to_stderr, only_loopback, registry_digest, resolved, runtime},
    output::{complain, line},
    progress::Progress,
    report::{paused, report},
    settings::ProcessSettings,
    stop::Stop,
};
use lyceum_coordinator::{
    dispatch::Pace,
    quic::{Network, Stay, Work, conduct},
    run::{Folder, Groundwork, Resume, Settings, must_be_log},
};
use lyceum_core::Event;
use lyceum_metrics::{EVENTS, Summary};
use lyceum_protocol::{
    identity::{Authority, Credentials, Identity, Revocations, Role, quinn_server},
    quic::{Keys, bind, configure_server, first_bound},
};
use lyceum_scenarios::{Registry, Scenario};
use quinn::Endpoint;
use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::net::TcpListener;

/// Threads for connections.
const CONNECTION_THREADS: usize = 2;

/// Runs a scenario on the nodes that connect.
pub(crate) fn coordinator(
    registry: &Registry,
    arguments: &Coordinator,
    started: Instant,
) -> Result<(), Failure> {
    let process = ProcessSettings::read()?;
    log_to_stderr(&arguments.log, &process)?;
    let scenario = read(registry, &arguments.file, &arguments.set)?;
    let settings = settings_of(arguments, &process, &scenario, started)?;
    let doors = doors_of(arguments, &process);
    let stay = arguments.stay.or(process.stay).unwrap_or_default();
    let nodes = arguments.wait_for_nodes.map(|n| n as usize);
    let mut reported = false;
    let announced = |summary: &Summary| {
        report(summary, &settings.out);
        reported = true;
    };
    let stop = Stop::watch()?;
    let mut progress = Progress::new(arguments.quiet).resuming(settings.resume);
    let asked = stop.clone();
    let served = runtime(CONNECTION_THREADS)?.block_on(async {
        let job = Job {
            scenario: &scenario,
            registry,
            settings: &settings,
            process: &process,
            stay: Stay {
                nodes: nodes.or(process.wait_for_nodes).unwrap_or(0),
                afterwards: stay.0,
                told: Box::new(announced),
            },
        };
        let mut observe = |event: &Event| progress.observe(event);
        let announce = |address: SocketAddr| {
            complain(&format!("nodes connect to {address}\n"));
        };
        serve(job, doors, &mut observe, announce, async move {
            asked.asked().await
        })
        .await
    });
    stop.settle(told(served, &settings.out, reported))
}

fn settings_of(
    arguments: &Coordinator,
    process: &ProcessSettings,
    scenario: &Scenario,
    started: Instant,
) -> Result<Settings, Failure> {
    let seconds = arguments
        .checkpoint_every
        .or(process.checkpoint_every)
        .unwrap_or(10.0);
    let runs = process.runs.clone().unwrap_or_else(|| "runs".into());
    let default = runs.join(format!("{}-seed{}", scenario.run.name, scenario.run.seed));
    spares(&arguments.file, arguments.out.as_deref())?;
    let out = arguments.out.clone().unwrap_or(default);
    Ok(Settings {
        threads: 0,
        // A coordinator that was killed is started again as it was started before.
        resume: out.join(EVENTS).exists(),
        out,
        folders: process.told_folders(&arguments.data, &arguments.file, &scenario.data.folders),
        checkpoint_every: Duration::try_from_secs_f64(seconds).map_err(|_| {
            Failure::input(format!(
                "--checkpoint-every {seconds}: expected seconds, 0 or above"
            ))
        })?,
        updates_bytes: process.updates_bytes(),
        facts: arguments.facts.clone(),
        started,
    })
}

fn doors_of(arguments: &Coordinator, process: &ProcessSettings) -> Doors {
    Doors {
        listen: arguments.listen.clone().or_else(|| process.listen.clone()),
        identity: arguments.identity.clone(),
        revoked: arguments.revoked.clone(),
        insecure: arguments.insecure_loopback,
        metrics: arguments
            .metrics
            .clone()
            .or_else(|| process.metrics.clone()),
    }
}

/// Says how the run stands, unless that was said already.
fn told(served: Result<Summary, Failure>, out: &Path, reported: bool) -> Result<(), Failure> {
    let again = || {
        line(format_args!(
            "resume    start the coordinator again as before"
        ))
    };
    let summary = served.inspect_err(|failure| {
        if failure.can_go_on() {
            again();
        }
    })?;
    if !reported {
        report(&summary, out);
    }
    paused(&summary).inspect_err(|_| again())
}

/// What is run, and how.
pub(crate) struct Job<'a> {
    pub(crate) scenario: &'a Scenario,
    pub(crate) registry: &'a Registry,
    pub(crate) settings: &'a Settings,
    pub(crate) process: &'a ProcessSettings,
    pub(crate) stay: Stay<'a>,
}

/// Where nodes connect.
pub(crate) struct Doors {
    pub(crate) listen: Option<Address>,
    pub(crate) identity: Option<PathBuf>,
    pub(crate) revoked: Option<PathBuf>,
    pub(crate) insecure: bool,
    pub(crate) metrics: Option<Address>,
}

/// Opens the doors and runs the scenario. `announce` is told the address once nodes can connect.
pub(crate) async fn serve<'a>(
    job: Job<'a>,
    doors: Doors,
    observe: &'a mut (dyn FnMut(&Event) + 'a),
    announce: impl FnOnce(SocketAddr),
    stop: impl Future<Output = ()> + Send + 'static,
) -> Result<Summary, Failure> {
    let Job {
        scenario,
        registry,
        settings,
        process,
        stay,
    } = job;
    // Whatever is wrong is said before anybody connects.
    settings.facts.as_deref().map(must_be_log).transpose()?;
    let groundwork = Groundwork::read(scenario, &settings.folders)?;
    let _held = settings.hold_for(process.takeover())?;
    let resume = Resume::look(&Folder::new(&settings.out), scenario)?;
    let (endpoint, revocations) = open(&doors, process, settings)?;
    let address = endpoint
        .local_addr()
        .map_err(|e| Failure::other(format!("the socket has no address: {e}")))?;
    let metrics = match &doors.metrics {
        Some(address) => {
            let all = resolved("--metrics", address)?;
            Some(TcpListener::bind(&all[..]).await.map_err(|e| {
                Failure::input(format!("--metrics {address}: {e}; choose another address"))
            })?)
        }
        None => None,
    };
    let network = Network {
        endpoint,
        revocations,
        transport: process.transport.clone(),
        pace: pace(process),
        metrics,
    };
    let work = Work {
        scenario,
        groundwork,
        registry: registry_digest(registry),
        settings,
        resume,
        stay,
    };
    announce(address);
    let ready = |stopper: Box<dyn Fn() + Send + Sync>| {
        tokio::spawn(async move {
            stop.await;
            stopper();
        });
    };
    Ok(conduct(network, work, observe, ready).await?)
}

fn open(
    doors: &Doors,
    process: &ProcessSettings,
    settings: &Settings,
) -> Result<(Endpoint, Arc<Revocations>), Failure> {
    let folder = process.identity(doors.identity.as_deref());
    let default = match doors.insecure {
        true => [127, 0, 0, 1],
        false => [0, 0, 0, 0],
    };
    let listen = doors.listen.clone();
    let listen = listen.unwrap_or_else(|| (default, 4433).into());
    let addresses = resolved("--listen", &listen)?;
    let credentials = if doors.insecure {
        only_loopback(&addresses)?;
        insecure()?
    } else {
        Credentials::load(&folder).map_err(Failure::input)?
    };
    let list = revocation_list(doors.revoked.as_deref(), &folder)?;
    let revocations = Arc::new(Revocations::open(&list).map_err(Failure::input)?);
    let server = quinn_server(&credentials, revocations.clone()).map_err(Failure::input)?;
    let transport = &process.transport;
    let keys = Keys::keep(&settings.out.join("endpoint.key"))
        .map_err(|e| Failure::unless_full(&e, Failure::other(&e)))?;
    let endpoint = first_bound(&addresses, |address| {
        let mut server = server.clone();
        configure_server(&mut server, transport, address.ip().is_loopback());
        bind(address, Some(&keys), Some(server), transport)
    })
    .map_err(|(address, e)| {
        Failure::input(format!(
            "--listen {address}: {e}; is another coordinator running there?"
        ))
    })?;
    Ok((endpoint, revocations))
}

/// The list of revoked certificates. One that is named must be there; the usual one need not, as long as nobody is revoked.
fn revocation_list(named: Option<&Path>, folder: &Path) -> Result<PathBuf, Failure> {
    match named {
        Some(list) if !list.exists() => Err(Failure::input(format!(
            "--revoked {}: there is no such file; make an empty one if nobody is revoked yet",
            list.display()
        ))),
        Some(list) => Ok(list.to_owned()),
        None => Ok(folder.join("revoked.txt")),
    }
}

pub(crate) fn insecure() -> Result<Credentials, Failure> {
    let name = "insecure".parse().expect("it is a name");
    let identity = Identity::new(Role::Coordinator, name);
    Authority::everybodys()
        .and_then(|a| a.credentials(&identity, Duration::from_secs(7 * 24 * 3600)))
        .map_err(Failure::other)
}

/// How nodes are kept busy and when they are lost.
fn pace(process: &ProcessSettings) -> Pace {
    let (heartbeat, lease) = (process.heartbeat_s(), process.lease_s());
    let micros = |seconds: f64| (seconds * 1e6) as u64;
    Pace {
        heartbeat: micros(heartbeat),
        lease: micros(lease),
        resend: micros(2.5 * heartbeat),
        ..Pace::default()
    }
}
