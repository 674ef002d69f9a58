//! `lyceum node`.

use crate::{
    arguments::NodeArguments,
    failure::Failure,
    network::{log_to_stderr, only_loopback, registry_digest, resolve, runtime, stop_signal},
    output::line,
    settings::ProcessSettings,
};
use lyceum_client_node::{
    crew::{Crew, Threads},
    quic::{Attendance, Departure, Hire, Locate, Prepare, attend},
    workshop::{OwnFile, Workshop},
};
use lyceum_core::Seed;
use lyceum_protocol::{
    identity::{Authority, Credentials, Identity, Name, Role, quinn_client},
    message::{Hello, PROTOCOL},
    quic::{bind, configure_client},
};
use lyceum_scenarios::Registry;
use std::{net::SocketAddr, path::Path, sync::Arc, time::Duration};

/// Threads for connections.
const CONNECTION_THREADS: usize = 2;

/// Works for a coordinator until its run is finished.
pub(crate) fn node(registry: Registry, arguments: &NodeArguments) -> Result<(), Failure> {
    let settings = ProcessSettings::read()?;
    log_to_stderr(&arguments.log)?;
    let stop = stop_signal()?;
    let departure = runtime(CONNECTION_THREADS)?.block_on(async {
        let parts = attendance(registry, arguments, &settings).await?;
        Ok::<_, Failure>(attend(parts, async move { stop.notified().await }).await)
    })?;
    match departure {
        Departure::Finished => {
            line(format_args!("the run is finished"));
            Ok(())
        }
        Departure::Stopped => Ok(()),
        Departure::Refused(reason) => Err(Failure::other(reason)),
        Departure::Unreachable(reason) => Err(Failure::other(format!(
            "the coordinator cannot be reached: {reason}"
        ))),
    }
}

async fn attendance(
    registry: Registry,
    arguments: &NodeArguments,
    settings: &ProcessSettings,
) -> Result<Attendance, Failure> {
    let address = resolve(&arguments.coordinator)
        .await
        .map_err(Failure::input)?;
    let credentials = credentials(arguments, settings, address)?;
    check_name(arguments, &credentials)?;
    let mut client = quinn_client(&credentials).map_err(Failure::input)?;
    let loopback = address.ip().is_loopback();
    configure_client(&mut client, settings.transport()?, loopback);
    let any: SocketAddr = match (loopback, address.is_ipv4()) {
        (true, _) => (address.ip(), 0).into(),
        (false, true) => ([0, 0, 0, 0], 0).into(),
        (false, false) => ([0_u16; 8], 0).into(),
    };
    let endpoint = bind(any, None, None, settings.transport()?)
        .map_err(|e| Failure::other(format!("no socket: {e}")))?;
    let threads = settings.threads(arguments.threads)?;
    let hello = Hello {
        protocol: PROTOCOL,
        attempt: 0,
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
        Ok(Box::new(Threads::start(node, threads, listener)?) as Box<dyn Crew>)
    });
    let host: Arc<str> = arguments.coordinator.as_str().into();
    let locate: Locate = Arc::new(move || {
        let host = host.clone();
        Box::pin(async move { resolve(&host).await })
    });
    Ok(Attendance {
        endpoint,
        client,
        locate,
        hello,
        prepare,
        hire,
        cache_bytes: settings.cache_mib.unwrap_or(512) << 20,
        jitter: Seed(u64::from(std::process::id())),
        attempts: arguments.attempts,
    })
}

fn workshop(registry: Registry, arguments: &NodeArguments, settings: &ProcessSettings) -> Workshop {
    let own = arguments.client.is_some().then(|| OwnFile {
        path: arguments.data.first().cloned().unwrap_or_default(),
        label: arguments.label.clone(),
    });
    let folders = match own {
        Some(_) => Vec::new(),
        None => settings.folders(&arguments.data, Path::new("")),
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
    address: SocketAddr,
) -> Result<Credentials, Failure> {
    let Some(name) = &arguments.insecure_loopback else {
        return Credentials::load(&settings.identity(arguments.identity.as_deref()))
            .map_err(Failure::input);
    };
    only_loopback(address)?;
    let name: Name = name
        .parse()
        .map_err(|e| Failure::input(format!("the name `{name}`: {e}")))?;
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
