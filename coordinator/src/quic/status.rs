//! What an operator sees: as JSON for `lyceum status`, and in the text format of Prometheus.

use super::{
    health::Health,
    metering::{Meter, Meters},
};
use crate::dispatch::{Dispatch, Peer};
use lyceum_core::{Fingerprint, Time};
use lyceum_metrics::Quantiles;
use lyceum_protocol::message::NodeName;
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    fmt::Write,
    sync::{Arc, Mutex, PoisonError},
};
use tokio::time::Instant;

/// How a run on nodes stands.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// Name of the run.
    pub run: String,
    /// Rounds planned.
    pub rounds: u64,
    /// Rounds done.
    pub rounds_done: u64,
    /// Units of the stage in flight that are not answered.
    pub pending: usize,
    /// Units that wait for a node.
    pub waiting: usize,
    /// Last link of the chain.
    pub fingerprint: Option<Fingerprint>,
    /// Seconds since the coordinator began.
    pub seconds: f64,
    /// All nodes that were ever admitted, by name.
    pub nodes: Vec<NodeLine>,
}

/// How a node stands.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct NodeLine {
    /// Its name.
    pub name: String,
    /// Whether it is there and has the data at hand.
    pub ready: bool,
    /// Threads that it offers.
    pub threads: u32,
    /// Units that it holds.
    pub held: usize,
    /// Units that it has answered.
    pub answered: u64,
    /// Training steps that it has reported.
    pub steps: u64,
    /// Seconds since it was heard.
    pub silent_s: f64,
    /// Frames that wait for it to read them.
    pub queued: usize,
    /// Bytes of models and states that went to it.
    pub bytes_down: u64,
    /// Bytes of results that came from it.
    pub bytes_up: u64,
    /// Transfers to it.
    pub download: Quantiles,
    /// Transfers from it.
    pub upload: Quantiles,
}

/// A connected node, as the hub sees it.
pub(super) struct NodeView {
    pub(super) peer: Peer,
    pub(super) name: NodeName,
    pub(super) waiting: usize,
}

impl Status {
    /// What the dispatch knows.
    pub(super) fn of(dispatch: &Dispatch, now: Time) -> Self {
        let line = |node: crate::dispatch::NodeStatus| NodeLine {
            name: node.name.to_string(),
            ready: node.ready,
            threads: node.threads,
            held: node.held,
            answered: node.answered,
            steps: node.steps,
            silent_s: now.0.saturating_sub(node.heard.0) as f64 / 1e6,
            ..NodeLine::default()
        };
        Self {
            waiting: dispatch.waiting(),
            seconds: now.0 as f64 / 1e6,
            nodes: dispatch.roster().into_iter().map(line).collect(),
            ..Self::default()
        }
    }
}

/// Holds the last status for those who ask.
#[derive(Clone, Default)]
pub struct Watch {
    last: Arc<Mutex<Status>>,
    health: Health,
    meters: Meters,
    run: String,
    rounds: u64,
}

impl Watch {
    pub(super) fn new(run: String, rounds: u64, meters: Meters) -> Self {
        let nothing_yet = Status {
            run: run.clone(),
            rounds,
            ..Status::default()
        };
        Self {
            last: Arc::new(Mutex::new(nothing_yet)),
            health: Health::default(),
            meters,
            run,
            rounds,
        }
    }

    pub(super) fn show(&self, mut status: Status, views: &[NodeView]) {
        let meters: BTreeMap<Peer, Meter> = self.meters.all();
        for view in views {
            let line = status.nodes.iter_mut().find(|line| line.name == *view.name);
            let (Some(line), meter) = (line, meters.get(&view.peer)) else {
                continue;
            };
            line.queued = view.waiting;
            if let Some(meter) = meter {
                line.bytes_down = meter.bytes_down;
                line.bytes_up = meter.bytes_up;
                line.download = meter.download.quantiles();
                line.upload = meter.upload.quantiles();
            }
        }
        self.health.moves(Instant::now());
        status.run = self.run.clone();
        status.rounds = self.rounds;
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = status;
    }

    /// Whether the coordinator lives, and can be worked with.
    pub(super) fn health(&self) -> &Health {
        &self.health
    }

    /// The last status.
    pub fn status(&self) -> Status {
        self.last
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// The last status in the text format of Prometheus.
    pub fn prometheus(&self) -> String {
        let status = self.status();
        let mut text = String::new();
        for (name, help, value) in status.gauges() {
            head(&mut text, name, help);
            // Writing to a string does not fail.
            let _ = writeln!(text, "lyceum_{name} {value}");
        }
        for (name, help, value) in COLUMNS {
            head(&mut text, name, help);
            for node in &status.nodes {
                let (node, value) = (&node.name, value(node));
                let _ = writeln!(text, "lyceum_{name}{{node=\"{node}\"}} {value}");
            }
        }
        text
    }
}

/// The lines that introduce a gauge.
fn head(text: &mut String, name: &str, help: &str) {
    let _ = writeln!(
        text,
        "# HELP lyceum_{name} {help}\n# TYPE lyceum_{name} gauge"
    );
}

impl Status {
    /// Name, help and value of what is said of the whole run.
    fn gauges(&self) -> [(&'static str, &'static str, f64); 6] {
        let ready = self.nodes.iter().filter(|node| node.ready).count();
        [
            ("rounds_planned", "Rounds planned.", self.rounds as f64),
            ("rounds_done", "Rounds done.", self.rounds_done as f64),
            (
                "units_pending",
                "Units not answered yet.",
                self.pending as f64,
            ),
            (
                "units_waiting",
                "Units that wait for a node.",
                self.waiting as f64,
            ),
            ("nodes_ready", "Nodes that can work.", ready as f64),
            (
                "uptime_seconds",
                "Seconds since the coordinator began.",
                self.seconds,
            ),
        ]
    }
}

/// Name, help and value of what is said of a node.
type Column = (&'static str, &'static str, fn(&NodeLine) -> f64);

const COLUMNS: [Column; 9] = [
    ("node_ready", "Whether the node can work.", |n| {
        f64::from(u8::from(n.ready))
    }),
    ("node_units_held", "Units that the node holds.", |n| {
        n.held as f64
    }),
    (
        "node_units_answered",
        "Units that the node has answered.",
        |n| n.answered as f64,
    ),
    ("node_steps", "Training steps of the node.", |n| {
        n.steps as f64
    }),
    (
        "node_silent_seconds",
        "Seconds since the node was heard.",
        |n| n.silent_s,
    ),
    ("node_bytes_down", "Bytes sent to the node.", |n| {
        n.bytes_down as f64
    }),
    ("node_bytes_up", "Bytes received from the node.", |n| {
        n.bytes_up as f64
    }),
    (
        "node_download_p99_seconds",
        "99 % of the transfers to the node took less.",
        |n| n.download.p99 / 1e3,
    ),
    (
        "node_upload_p99_seconds",
        "99 % of the transfers from the node took less.",
        |n| n.upload.p99 / 1e3,
    ),
];
