//! `lyceum run --nodes N`: a coordinator in this process and nodes as child processes, over QUIC on the loopback interface.

use crate::{
    codes::INTERRUPTED,
    coordinator::{Doors, Job, serve},
    failure::Failure,
    network::runtime,
    output::complain,
};
use lyceum_core::Event;
use lyceum_metrics::Summary;
use lyceum_protocol::identity::{Name, ephemeral};
use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

/// How often it is seen whether a node is still there.
const LOOK: Duration = Duration::from_millis(200);

/// Runs a scenario on this many local nodes.
pub(crate) fn run(
    job: Job<'_>,
    nodes: usize,
    stop: &Arc<AtomicBool>,
    observe: &mut dyn FnMut(&Event),
) -> Result<Summary, Failure> {
    job.scenario.without_real_clients()?;
    let folder = tempfile::tempdir().map_err(|e| Failure::other(format!("no folder: {e}")))?;
    let names: Vec<Name> = (1..=nodes)
        .map(|n| format!("node-{n}").parse().expect("it is a name"))
        .collect();
    let identities = ephemeral(names).map_err(Failure::other)?;
    let mut folders: Vec<PathBuf> = Vec::new();
    for (index, credentials) in identities.nodes.iter().enumerate() {
        let path = folder.path().join(format!("node-{}", index + 1));
        credentials.write(&path).map_err(Failure::other)?;
        folders.push(path);
    }
    let own = folder.path().join("coordinator");
    identities.coordinator.write(&own).map_err(Failure::other)?;
    let doors = Doors {
        listen: Some(([127, 0, 0, 1], 0).into()),
        identity: Some(own),
        revoked: None,
        insecure: false,
        metrics: None,
    };
    let nodes = Nodes {
        identities: folders,
        threads: (job.settings.threads / nodes).max(1),
        data: job.settings.folders.clone(),
        children: Children::default(),
    };
    let children = nodes.children.clone();
    let stop = stop.clone();
    let result = runtime(2)?.block_on(async {
        let announce = move |address| {
            tokio::spawn(nodes.keep(address));
        };
        let stopped = async move {
            while !stop.load(Ordering::Relaxed) {
                tokio::time::sleep(LOOK).await;
            }
        };
        serve(job, doors, observe, announce, stopped).await
    });
    children.end();
    result
}

/// What node processes are started with.
struct Nodes {
    /// The folder of each one's identity.
    identities: Vec<PathBuf>,
    threads: usize,
    data: Vec<PathBuf>,
    children: Children,
}

impl Nodes {
    /// Starts all nodes, and again each one that fails.
    async fn keep(self, address: SocketAddr) {
        let Self {
            identities,
            threads,
            data,
            children,
        } = self;
        for identity in &identities {
            children.start(address, identity, threads, &data);
        }
        loop {
            tokio::time::sleep(LOOK).await;
            for (index, identity) in identities.iter().enumerate() {
                if children.has_failed(index) {
                    children.restart(index, address, identity, threads, &data);
                }
            }
        }
    }
}

/// The node processes.
#[derive(Clone, Default)]
struct Children(Arc<Mutex<Vec<Option<Child>>>>);

impl Children {
    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Option<Child>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn start(&self, address: SocketAddr, identity: &Path, threads: usize, data: &[PathBuf]) {
        let child = spawn(address, identity, threads, data);
        self.lock().push(child);
    }

    fn restart(
        &self,
        index: usize,
        address: SocketAddr,
        identity: &Path,
        threads: usize,
        data: &[PathBuf],
    ) {
        complain(&format!(
            "node {} has failed; it is started again\n",
            index + 1
        ));
        let child = spawn(address, identity, threads, data);
        if let Some(place) = self.lock().get_mut(index) {
            *place = child;
        }
    }

    /// A node that ended by itself without an error is finished. Ctrl-C at a terminal reaches nodes, too.
    fn has_failed(&self, index: usize) -> bool {
        let mut children = self.lock();
        let Some(Some(child)) = children.get_mut(index) else {
            return false;
        };
        matches!(child.try_wait(), Ok(Some(status)) if !status.success() && status.code() != Some(INTERRUPTED.into()))
    }

    /// Nodes that are still there are not needed any more.
    fn end(&self) {
        for child in self.lock().iter_mut().flatten() {
            // One that is gone already is what is wanted.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn spawn(address: SocketAddr, identity: &Path, threads: usize, data: &[PathBuf]) -> Option<Child> {
    let program = std::env::current_exe().ok()?;
    let mut command = Command::new(program);
    command
        .args(["node", "--quiet", "--leashed", "--log", "error"])
        .arg("--coordinator")
        .arg(address.to_string())
        .arg("--identity")
        .arg(identity)
        .args(["--threads", &threads.to_string()])
        // A round is shorter than the time after which the allocator would give its memory back.
        .env("MIMALLOC_PURGE_DELAY", "1000")
        // Held by the child: closed when this process ends, even if it is killed, and then the node ends, too.
        .stdin(Stdio::piped())
        .stdout(Stdio::null());
    for folder in data {
        command.arg("--data").arg(folder);
    }
    match command.spawn() {
        Ok(child) => Some(child),
        Err(e) => {
            complain(&format!("a node cannot be started: {e}\n"));
            None
        }
    }
}
