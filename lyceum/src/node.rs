//! `lyceum node`.

use crate::{
    address::Address,
    arguments::NodeArguments,
    failure::Failure,
    network::{given, log_to_stderr, only_loopback, registry_digest, runtime},
    output::{complain, warn},
    place::own_name,
    settings::ProcessSettings,
    stop::Stop,
};
use lyceum_client_node::{
    crew::{Crew, Terms, Threads},
    quic::{Attendance, Departure, Hire, Prepare, attend},
    workshop::{OwnFile, Workshop},
};
use lyceum_core::Seed;
use lyceum_protocol::{
    identity::{Authority, Credentials, Identity, Name, Role, quinn_client},
    message::{Hello, PROTOCOL},
    quic::{Transport, bind, configure_client},
};
use lyceum_scenarios::Registry;
use quinn::{ClientConfig, Endpoint};
use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

/// Threads for connections.
const CONNECTION_THREADS: usize = 2;

/// Works for a coordinator until its run is finished.
pub(crate) fn node(registry: Registry, arguments: &NodeArguments) -> Result<(), Failure> {
    let settings = ProcessSettings::read()?;
    log_to_stderr(&arguments.log, &settings)?;
    if let (Some(label), None) = (&arguments.label, &arguments.client) {
        warn(&format!(
            "--label {label} does nothing here: it goes with --client, whose file has a column of classes"
        ));
    }
    let stop = Stop::watch()?;
    if arguments.leashed {
        stop.with_stdin()?;
    }
    let departure = runtime(CONNECTION_THREADS)?.block_on(async {
        let parts = attendance(registry, arguments, &settings).await?;
        Ok::<_, Failure>(attend(parts, stop.asked()).await)
    })?;
    match departure {
        Departure::Finished => {
            say(
                arguments.quiet,
                "the run is finished; the node is dismissed",
            );
            Ok(())
        }
        Departure::Stopped if stop.by_ctrl_c() => Err(Failure::Interrupted(String::new())),
        Departure::Stopped => {
            say(
                arguments.quiet,
                "the node was asked to go, and has said goodbye",
            );
            Ok(())
        }
        // What the coordinator says of samples is about this client's file.
        Departure::Refused(reason) => Err(Failure::input(
            match (&arguments.client, arguments.data.first()) {
                (Some(_), Some(file))
                    if reason.contains("it has ") && reason.contains(" samples") =>
                {
                    format!("{}: {reason}", file.display())
                }
                _ => reason,
            },
        )),
        Departure::Failed(reason) => Err(Failure::other(reason)),
        Departure::Unreachable(reason) => Err(Failure::other(format!(
            "the coordinator cannot be reached: {reason}"
        ))),
    }
}

/// A line on standard error about how the node stands.
fn say(quiet: bool, what: &str) {
    if !quiet {
        complain(&format!("{what}\n"));
    }
}

async fn attendance(
    registry: Registry,
    arguments: &NodeArguments,
    settings: &ProcessSettings,
) -> Result<Attendance, Failure> {
    let insecure = arguments.insecure_loopback.is_some();
    let names = "--coordinator HOST:PORT, or the setting `coordinator` (LYCEUM__COORDINATOR)";
    let host = given(&arguments.coordinator, &settings.coordinator, names)?;
    // A name that is not known yet may be later: the node goes on asking for it.
    if let Ok(addresses) = host.find().await
        && insecure
        && !addresses.iter().any(|address| address.ip().is_loopback())
    {
        only_loopback(&addresses)?;
    }
    let credentials = credentials(arguments, settings)?;
    check_name(arguments, &credentials)?;
    let routes = Routes {
        client: quinn_client(&credentials).map_err(Failure::input)?,
        transport: settings.transport.clone(),
        endpoints: Mutex::default(),
    };
    let threads = settings.threads(arguments.threads)?;
    let identity = credentials.identity().clone();
    let hello = Hello {
        protocol: PROTOCOL,
        attempt: 0,
        session: Default::default(),
        threads: threads as u32,
        registry: registry_digest(&registry),
    };
    let workshop = Arc::new(workshop(registry, arguments, settings));
    let prepare: Prepare = Arc::new(move |order| {
        let workshop = workshop.clone();
        Box::pin(async move {
            let loaded = tokio::task::spawn_blocking(move || workshop.prepare(&order)).await;
            loaded.unwrap_or_else(|e| Err(e.to_string()))
        })
    });
    let hire: Hire = Arc::new(move |node, listener| {
        let crew = Threads::start(node, &Terms::together(threads), listener)?;
        Ok(Box::new(crew) as Box<dyn Crew>)
    });
    let (address, quiet) = (host.clone(), arguments.quiet);
    Ok(Attendance {
        locate: Arc::new(move || Box::pin(locate(host.clone(), insecure))),
        reach: Arc::new(move |address| routes.to(address)),
        hello,
        prepare,
        hire,
        cache_bytes: settings.cache_bytes(),
        jitter: Seed(u64::from(std::process::id())),
        attempts: arguments.attempts,
        joined: Box::new(move || say(quiet, &format!("connected to {address} as {identity}"))),
    })
}

/// The coordinator's addresses; with a certificate that anybody can make, those of this host alone.
async fn locate(host: Address, insecure: bool) -> Result<Vec<SocketAddr>, String> {
    let mut addresses = host.find().await?;
    if insecure {
        addresses.retain(|address| address.ip().is_loopback());
    }
    match addresses.is_empty() {
        true => Err(format!(
            "{host} is no loopback address, which --insecure-loopback needs"
        )),
        false => Ok(addresses),
    }
}

/// Sockets towards a coordinator: one for each kind of address that it has.
struct Routes {
    client: ClientConfig,
    transport: Transport,
    endpoints: Mutex<BTreeMap<IpAddr, Endpoint>>,
}

impl Routes {
    fn to(&self, address: SocketAddr) -> Result<(Endpoint, ClientConfig), String> {
        let loopback = address.ip().is_loopback();
        let from: IpAddr = match address {
            _ if loopback => address.ip(),
            SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
            SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
        };
        let mut client = self.client.clone();
        configure_client(&mut client, &self.transport, loopback);
        let mut endpoints = self
            .endpoints
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(endpoint) = endpoints.get(&from) {
            return Ok((endpoint.clone(), client));
        }
        let endpoint = bind((from, 0).into(), None, None, &self.transport)
            .map_err(|e| format!("no socket: {e}"))?;
        endpoints.insert(from, endpoint.clone());
        Ok((endpoint, client))
    }
}

fn workshop(registry: Registry, arguments: &NodeArguments, settings: &ProcessSettings) -> Workshop {
    let own = arguments.client.is_some().then(|| OwnFile {
        path: arguments.data.first().cloned().unwrap_or_default(),
        label: arguments.label.clone(),
    });
    let folders = match own {
        Some(_) => Vec::new(),
        None => settings.folders(&arguments.data, Path::new(""), &[]),
    };
    Workshop {
        registry: Arc::new(registry),
        folders,
        own,
    }
}

fn credentials(
    arguments: &NodeArguments,
    settings: &ProcessSettings,
) -> Result<Credentials, Failure> {
    let Some(name) = &arguments.insecure_loopback else {
        return Credentials::load(&settings.identity(arguments.identity.as_deref()))
            .map_err(Failure::input);
    };
    let name: Name = match name.as_str() {
        "" => own_name(settings)?,
        name => name
            .parse()
            .map_err(|e| Failure::input(format!("the name `{name}`: {e}")))?,
    };
    let role = match arguments.client {
        Some(_) => Role::Client,
        None => Role::Simulate,
    };
    Authority::everybodys()
        .and_then(|a| {
            a.credentials(
                &Identity::new(role, name),
                Duration::from_secs(7 * 24 * 3600),
            )
        })
        .map_err(Failure::other)
}

/// A real client's name is in its certificate; the flag has to agree, so that nobody is somebody else by mistake.
fn check_name(arguments: &NodeArguments, credentials: &Credentials) -> Result<(), Failure> {
    let identity = credentials.identity();
    match (&arguments.client, identity.role) {
        (Some(name), Role::Client) if *name == *identity.name.as_str() => {
            if arguments.data.len() == 1 {
                return Ok(());
            }
            Err(Failure::input(
                "--client needs one --data: the client's own CSV file",
            ))
        }
        (Some(name), _) => Err(Failure::input(format!(
            "--client {name}: the certificate is that of {identity}"
        ))),
        (None, Role::Client) => Err(Failure::input(format!(
            "the certificate is that of {identity}: start the node with --client {} and --data FILE",
            identity.name
        ))),
        (None, _) => Ok(()),
    }
}
