//! What the commands that use the network share.

use crate::{arguments::Log, failure::Failure};
use lyceum_core::Fingerprint;
use lyceum_scenarios::{Registry, schema};
use std::{
    io,
    net::{SocketAddr, ToSocketAddrs},
    sync::Arc,
};
use tokio::{runtime::Runtime, sync::Notify};

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
        .with_writer(io::stderr)
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

/// The first address of `HOST:PORT`.
pub(crate) async fn resolve(text: &str) -> Result<SocketAddr, String> {
    let host = text.to_string();
    let found = tokio::task::spawn_blocking(move || {
        host.to_socket_addrs().map(|mut addresses| addresses.next())
    })
    .await;
    match found {
        Ok(Ok(Some(address))) => Ok(address),
        Ok(Ok(None)) => Err(format!("{text}: the name has no address")),
        Ok(Err(e)) => Err(format!("{text}: {e}; expected HOST:PORT")),
        Err(e) => Err(format!("{text}: {e}")),
    }
}

/// Done once Ctrl-C or SIGTERM comes; the second one ends the process at once.
pub(crate) fn stop_signal() -> Result<Arc<Notify>, Failure> {
    let stop = Arc::new(Notify::new());
    let notify = stop.clone();
    let mut before = false;
    ctrlc::set_handler(move || {
        if std::mem::replace(&mut before, true) {
            std::process::exit(130);
        }
        notify.notify_one();
    })
    .map_err(|e| Failure::other(format!("cannot watch for Ctrl-C: {e}")))?;
    Ok(stop)
}

/// Refuses anything but a loopback address.
pub(crate) fn only_loopback(address: SocketAddr) -> Result<(), Failure> {
    if address.ip().is_loopback() {
        return Ok(());
    }
    Err(Failure::input(format!(
        "--insecure-loopback with {address}: only a loopback address, such as 127.0.0.1; make certificates with `lyceum identity` for others"
    )))
}
