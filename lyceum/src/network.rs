//! What the commands that use the network share.

use crate::{
    address::Address, arguments::Log, failure::Failure, output::Plain, settings::ProcessSettings,
};
use lyceum_core::Fingerprint;
use lyceum_scenarios::{Registry, schema};
use std::net::SocketAddr;
use tokio::runtime::Runtime;
use tracing::level_filters::LevelFilter;

/// A runtime with this many threads for connections; training has threads of its own.
pub(crate) fn runtime(threads: usize) -> Result<Runtime, Failure> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(threads.max(1))
        .enable_all()
        .build()
        .map_err(|e| Failure::other(format!("no threads for connections: {e}")))
}

/// Logs to the standard error stream from now on: as flags say, or settings.
pub(crate) fn log_to_stderr(log: &Log, settings: &ProcessSettings) -> Result<(), Failure> {
    let set = settings.log.as_ref().and_then(|level| level.parse().ok());
    let level = log.level.or(set).unwrap_or(LevelFilter::INFO);
    let plain = tracing_subscriber::fmt()
        .with_max_level(level)
        .with_writer(|| Plain)
        .with_target(false);
    let done = match log.json || settings.log_json.unwrap_or(false) {
        true => plain.json().try_init(),
        false => plain.with_ansi(false).try_init(),
    };
    done.map_err(|e| Failure::other(format!("logging cannot start: {e}")))
}

/// What was given, or is set; one of the two is needed.
pub(crate) fn given<T: Clone>(
    flag: &Option<T>,
    set: &Option<T>,
    names: &str,
) -> Result<T, Failure> {
    let found = flag.clone().or_else(|| set.clone());
    found.ok_or_else(|| Failure::input(format!("expected {names}")))
}

/// Digest of everything that scenarios can name in this build, and how.
pub(crate) fn registry_digest(registry: &Registry) -> Fingerprint {
    Fingerprint::of(schema(registry).to_string().as_bytes())
}

/// The addresses on which this host is to listen, as a flag says.
pub(crate) fn resolved(flag: &str, address: &Address) -> Result<Vec<SocketAddr>, Failure> {
    address
        .resolve()
        .map_err(|e| Failure::input(format!("{flag} {address}: {e}")))
}

/// Refuses anything but loopback addresses.
pub(crate) fn only_loopback(addresses: &[SocketAddr]) -> Result<(), Failure> {
    match addresses.iter().find(|address| !address.ip().is_loopback()) {
        None => Ok(()),
        Some(address) => Err(Failure::input(format!(
            "--insecure-loopback with {address}: only a loopback address, such as 127.0.0.1; make certificates with `lyceum identity` for others"
        ))),
    }
}
