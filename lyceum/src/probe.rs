//! `lyceum probe`.

use crate::{
    arguments::Probe,
    failure::Failure,
    network::{only_loopback, runtime},
    output::line,
    settings::ProcessSettings,
};
use lyceum_protocol::{
    identity::{COORDINATOR_NAME, Credentials, quinn_probe},
    quic::{Sides, Transport, bind, configure_client, first_answer, is_verdict, refusal},
};
use quinn::ClientConfig;
use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    time::{Duration, Instant},
};
use tokio::time::timeout;

/// Why a handshake did not come about.
enum Refused {
    /// The other side has a wrong certificate, or speaks something else.
    Verdict(String),
    /// Nobody answers.
    Silence(String),
}

/// Makes one handshake with a coordinator.
pub(crate) fn probe(arguments: &Probe) -> Result<(), Failure> {
    let settings = ProcessSettings::read()?;
    let seconds = arguments.within;
    let within = Duration::try_from_secs_f64(seconds).ok();
    let within = within
        .filter(|within| !within.is_zero())
        .ok_or_else(|| Failure::input(format!("--within {seconds}: expected seconds above 0")))?;
    let address = &arguments.address;
    let credentials = match arguments.insecure_loopback {
        true => crate::coordinator::insecure()?,
        false => Credentials::load(&settings.identity(arguments.identity.as_deref()))
            .map_err(Failure::input)?,
    };
    let client = quinn_probe(&credentials).map_err(Failure::input)?;
    let began = Instant::now();
    let answer = runtime(1)?.block_on(async {
        let addresses = address.find().await.map_err(Failure::other)?;
        if arguments.insecure_loopback {
            only_loopback(&addresses)?;
        }
        let call = |to| call(client.clone(), settings.transport.clone(), to);
        let tried = timeout(within, first_answer(&addresses, call)).await;
        let tried = tried
            .map_err(|_| Failure::other(format!("{address}: no answer within {seconds} s")))?;
        tried.map_err(|refused| told(&address.to_string(), refused))
    })?;
    if !arguments.quiet {
        let millis = began.elapsed().as_secs_f64() * 1e3;
        line(format_args!("{answer} answers, after {millis:.1} ms"));
    }
    Ok(())
}

/// All addresses in one: a verdict of one of them is what counts.
fn told(address: &str, refused: Vec<Refused>) -> Failure {
    let (mut silent, mut verdicts) = (Vec::new(), Vec::new());
    for one in refused {
        match one {
            Refused::Verdict(reason) => verdicts.push(reason),
            Refused::Silence(reason) => silent.push(reason),
        }
    }
    match verdicts.is_empty() {
        true => Failure::other(format!("{address}: {}", silent.join("; "))),
        false => Failure::input(format!("{address}: {}", verdicts.join("; "))),
    }
}

async fn call(
    mut client: ClientConfig,
    transport: Transport,
    to: SocketAddr,
) -> Result<SocketAddr, Refused> {
    let loopback = to.ip().is_loopback();
    configure_client(&mut client, &transport, loopback);
    let from: IpAddr = match to {
        _ if loopback => to.ip(),
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let silence = |reason: String| Refused::Silence(reason);
    let endpoint = bind((from, 0).into(), None, None, &transport)
        .map_err(|e| silence(format!("no socket: {e}")))?;
    let connecting = endpoint
        .connect_with(client, to, COORDINATOR_NAME)
        .map_err(|e| silence(e.to_string()))?;
    let connection = connecting.await.map_err(|error| {
        let reason = refusal(&error, Sides::NODE);
        match is_verdict(&error) {
            true => Refused::Verdict(reason),
            false => Refused::Silence(reason),
        }
    })?;
    connection.close(0_u32.into(), b"a probe");
    // The last packet has to leave before the process ends.
    let _ = timeout(Duration::from_millis(100), endpoint.wait_idle()).await;
    Ok(to)
}
