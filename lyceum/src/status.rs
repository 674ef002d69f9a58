//! `lyceum status`.

use crate::{address::Address, arguments::StatusArguments, failure::Failure, output::line};
use lyceum_coordinator::quic::Status;
use std::{
    io::{self, ErrorKind, Read, Write},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

const PATIENCE: Duration = Duration::from_secs(5);
/// Bytes of an answer, at most.
const LONGEST: u64 = 64 << 20;

/// Asks a coordinator how its run stands.
pub(crate) fn status(arguments: &StatusArguments) -> Result<(), Failure> {
    let address = &arguments.address;
    let body = ask(address, "/status").map_err(|e| {
        Failure::other(format!(
            "{address}: {e}; expected the address that a running coordinator was given with --metrics (not that of --listen)"
        ))
    })?;
    if arguments.json {
        line(format_args!("{body}"));
        return Ok(());
    }
    let status: Status = serde_json::from_str(&body)
        .map_err(|_| Failure::other(format!(
            "{address}: what answers there is no coordinator of this version; expected the address of its --metrics"
        )))?;
    show(&status);
    Ok(())
}

/// Asks all addresses of a name in turn, until one answers.
fn ask(address: &Address, path: &str) -> Result<String, String> {
    let addresses = address.resolve()?;
    let mut errors = Vec::new();
    for address in &addresses {
        match get(*address, path) {
            Ok(body) => return Ok(body),
            Err(error) if addresses.len() == 1 => return Err(in_words(&error)),
            Err(error) => errors.push(format!("{address}: {}", in_words(&error))),
        }
    }
    Err(errors.join("; "))
}

/// What a connection that failed means.
fn in_words(error: &io::Error) -> String {
    match error.kind() {
        ErrorKind::WouldBlock | ErrorKind::TimedOut => {
            format!("no answer within {} s", PATIENCE.as_secs())
        }
        ErrorKind::ConnectionRefused => "nothing listens there".into(),
        ErrorKind::InvalidData => "the answer is no text".into(),
        _ => error.to_string(),
    }
}

fn get(address: SocketAddr, path: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n"
    )?;
    let mut answer = String::new();
    stream.take(LONGEST).read_to_string(&mut answer)?;
    let body = answer.split_once("\r\n\r\n").map(|(_, body)| body);
    body.map(Into::into)
        .ok_or_else(|| std::io::Error::other("what answers there is no coordinator"))
}

fn show(status: &Status) {
    let fingerprint = status
        .fingerprint
        .map_or_else(|| "-".into(), |f| f.to_string());
    line(format_args!(
        "{}: {} of {} rounds, {} units open of which {} wait, {:.0} s",
        status.run,
        status.rounds_done,
        status.rounds,
        status.pending,
        status.waiting,
        status.seconds
    ));
    line(format_args!("fingerprint {fingerprint}"));
    line(format_args!(
        "{:<24} {:>7} {:>7} {:>5} {:>9} {:>9} {:>11} {:>11} {:>9} {:>9}",
        "node",
        "state",
        "threads",
        "held",
        "answered",
        "silent s",
        "MB down",
        "MB up",
        "p99 down",
        "p99 up"
    ));
    for node in &status.nodes {
        line(format_args!(
            "{:<24} {:>7} {:>7} {:>5} {:>9} {:>9.1} {:>11.1} {:>11.1} {:>6.0} ms {:>6.0} ms",
            node.name,
            if node.ready { "ready" } else { "away" },
            node.threads,
            node.held,
            node.answered,
            node.silent_s,
            node.bytes_down as f64 / 1e6,
            node.bytes_up as f64 / 1e6,
            node.download.p99,
            node.upload.p99
        ));
    }
}
