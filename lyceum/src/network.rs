//! What the commands that use the network share.

use crate::{address::Address, arguments::Log, failure::Failure, output::Plain};
use lyceum_core::Fingerprint;
use lyceum_scenarios::{Registry, schema};
use std::net::SocketAddr;
use tokio::runtime::Runtime;

/// A runtime with this many threads for connections; training has threads of its own.
pub(crate) fn runtime(threads: usize) -> Result<Runtime, Failure> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(threads.max(1))
        .enable_all()
        .build()
        .map_err(|e| Failure::other(format!("no threads for connections: {e}")))
}

/// Logs to the standard error stream from now on.
pub(crate) fn log_to_stderr(log: &Log) -> Result<(), Failure> {
    let plain = tracing_subscriber::fmt()
        .with_max_level(log.level)
        .with_writer(|| Plain)
        .with_target(false);
    let done = match log.json {
        true => plain.json().try_init(),
        false => plain.with_ansi(false).try_init(),
    };
    done.map_err(|e| Failure::other(format!("logging cannot start: {e}")))
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
