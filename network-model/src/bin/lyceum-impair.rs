//! A UDP proxy with a bad network inside.

use clap::Parser;
use lyceum_core::{Seed, units::Fraction};
use lyceum_network_model::{
    Directions, LinkCounts, LinkFaults, Partition,
    proxy::{Proxy, ProxyCounts},
};
use std::{
    io::{self, Write},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs, UdpSocket},
    num::NonZeroU64,
    process::ExitCode,
    time::Duration,
};
use tokio::signal::unix::{Signal, SignalKind, signal};

/// How long a closed port may take to say so.
const LISTEN: Duration = Duration::from_millis(200);

/// Stands before a UDP server and delays, loses, repeats and reorders packets in both directions.
///
/// Rates and queues are per client address and direction. SIGUSR1 stops everything, SIGUSR2 lets it pass again;
/// SIGINT and SIGTERM print the counters and end the proxy.
#[derive(Debug, Parser)]
struct Arguments {
    /// Where to listen for clients: a host name or an address, and a port
    #[arg(long, value_name = "HOST:PORT")]
    listen: String,
    /// The server: a host name or an address, and a port. Of several addresses, the first whose port is not closed
    #[arg(long, value_name = "HOST:PORT")]
    to: String,
    /// Delay one way, in milliseconds
    #[arg(long, default_value_t = 0.0)]
    delay_ms: f64,
    /// Longest extra delay one way, in milliseconds
    #[arg(long, default_value_t = 0.0)]
    jitter_ms: f64,
    /// Share of packets lost
    #[arg(long, default_value = "0", value_parser = fraction)]
    loss: Fraction,
    /// Share of packets that arrive twice
    #[arg(long, default_value = "0", value_parser = fraction)]
    duplicate: Fraction,
    /// Share of packets held back
    #[arg(long, default_value = "0", value_parser = fraction)]
    reorder: Fraction,
    /// How long a packet is held back, in milliseconds
    #[arg(long, default_value_t = 10.0)]
    reorder_ms: f64,
    /// Millions of bits per second that pass one way; no limit if left out
    #[arg(long)]
    rate_mbit: Option<f64>,
    /// Bytes that may wait one way before packets are dropped
    #[arg(long, default_value_t = 256 * 1024)]
    queue_bytes: u64,
    /// Lets nothing pass between two moments, in seconds since the start; may be given several times
    #[arg(long, value_name = "FROM_S:UNTIL_S", value_parser = partition)]
    partition: Vec<Partition>,
    /// Seed of all losses and delays
    #[arg(long, default_value_t = 0)]
    seed: u64,
}

impl Arguments {
    fn faults(&self) -> LinkFaults {
        LinkFaults {
            delay_micros: micros(self.delay_ms / 1e3),
            jitter_micros: micros(self.jitter_ms / 1e3),
            loss: self.loss,
            duplicate: self.duplicate,
            reorder: self.reorder,
            reorder_micros: micros(self.reorder_ms / 1e3),
            rate_bytes_per_s: self
                .rate_mbit
                .map(|rate| NonZeroU64::new((rate * 1e6 / 8.0) as u64).unwrap_or(NonZeroU64::MIN)),
            queue_bytes: self.queue_bytes,
            partitions: self.partition.clone(),
        }
    }
}

fn micros(seconds: f64) -> u64 {
    Duration::try_from_secs_f64(seconds).map_or(0, |duration| duration.as_micros() as u64)
}

fn fraction(text: &str) -> Result<Fraction, String> {
    let value = text.parse().ok().and_then(Fraction::new);
    value.ok_or_else(|| "expected a fraction from 0 to 1".into())
}

fn partition(text: &str) -> Result<Partition, String> {
    let seconds = |text: &str| text.parse::<f64>().ok().filter(|s| *s >= 0.0);
    let ends = text
        .split_once(':')
        .and_then(|(from, until)| Some((seconds(from)?, seconds(until)?)));
    let (from, until) = ends.ok_or("expected two numbers of seconds such as 10:30")?;
    Ok(Partition {
        from_micros: micros(from),
        until_micros: micros(until),
        direction: Directions::Both,
    })
}

/// The signals that end or divide.
struct Signals {
    interrupt: Signal,
    terminate: Signal,
    stop_all: Signal,
    let_pass: Signal,
}

impl Signals {
    fn new() -> io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            stop_all: signal(SignalKind::user_defined1())?,
            let_pass: signal(SignalKind::user_defined2())?,
        })
    }
}

/// All addresses of `HOST:PORT`.
fn resolve(flag: &str, text: &str) -> io::Result<Vec<SocketAddr>> {
    let wrong = |why: String| io::Error::new(io::ErrorKind::InvalidInput, why);
    let found = text.to_socket_addrs().map_err(|e| {
        wrong(format!(
            "{flag} {text}: {e}; expected HOST:PORT, such as localhost:4433"
        ))
    })?;
    Ok(found.collect())
}

/// The first address that does not say at once that its port is closed.
fn open(text: &str, addresses: Vec<SocketAddr>) -> io::Result<SocketAddr> {
    match addresses[..] {
        [only] => Ok(only),
        _ => {
            let open = addresses.iter().find(|address| !is_closed(**address));
            let nobody = || io::Error::other(format!("--to {text}: nobody is there yet"));
            open.copied().ok_or_else(nobody)
        }
    }
}

/// Whether a port is known to be closed; one that is silent may be open.
fn is_closed(address: SocketAddr) -> bool {
    let any: IpAddr = match address {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let asked = UdpSocket::bind((any, 0)).and_then(|socket| {
        socket.connect(address)?;
        socket.set_read_timeout(Some(LISTEN))?;
        // One byte is no packet of QUIC.
        socket.send(&[0])?;
        socket.recv(&mut [0])
    });
    let silent = [io::ErrorKind::WouldBlock, io::ErrorKind::TimedOut];
    asked.is_err_and(|error| !silent.contains(&error.kind()))
}

async fn bind<F: Future<Output = io::Result<Proxy>>>(
    text: &str,
    addresses: &[SocketAddr],
    bind: impl Fn(SocketAddr) -> F,
) -> io::Result<Proxy> {
    let mut failure = io::Error::other("it has no address");
    for &address in addresses {
        match bind(address).await {
            Ok(proxy) => return Ok(proxy),
            Err(error) => failure = error,
        }
    }
    Err(io::Error::new(
        io::ErrorKind::InvalidInput,
        format!("--listen {text}: {failure}"),
    ))
}

async fn serve(arguments: Arguments) -> io::Result<ProxyCounts> {
    let mut signals = Signals::new()?;
    let (faults, seed) = (arguments.faults(), Seed(arguments.seed));
    let to = open(&arguments.to, resolve("--to", &arguments.to)?)?;
    let listen = resolve("--listen", &arguments.listen)?;
    let mut proxy = bind(&arguments.listen, &listen, |from| {
        Proxy::bind(from, to, seed, faults.clone())
    })
    .await?;
    writeln!(io::stdout(), "listening on {}", proxy.local_addr()?)?;
    loop {
        tokio::select! {
            biased;
            _ = signals.interrupt.recv() => return Ok(proxy.counts()),
            _ = signals.terminate.recv() => return Ok(proxy.counts()),
            _ = signals.stop_all.recv() => proxy.cut(true),
            _ = signals.let_pass.recv() => proxy.cut(false),
            done = proxy.step() => done?,
        }
    }
}

fn line(counts: &ProxyCounts) -> String {
    let way = |name: &str, c: &LinkCounts| {
        format!(
            "{name}: sent {} lost {} duplicated {} reordered {} full {} partitioned {}",
            c.sent, c.lost, c.duplicated, c.reordered, c.dropped_by_queue, c.dropped_by_partition
        )
    };
    let (up, down) = (way("up", &counts.up), way("down", &counts.down));
    let ProxyCounts {
        clients,
        refused,
        unsent,
        ..
    } = counts;
    format!("clients {clients}; {up}; {down}; refused {refused} unsent {unsent}")
}

fn run(arguments: Arguments) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let counts = runtime.block_on(serve(arguments))?;
    writeln!(io::stdout(), "{}", line(&counts))
}

fn main() -> ExitCode {
    match run(Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr(), "lyceum-impair: {error}");
            match error.kind() {
                io::ErrorKind::InvalidInput => ExitCode::from(2),
                _ => ExitCode::FAILURE,
            }
        }
    }
}
