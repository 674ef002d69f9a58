//! What a scenario needs of the machines that it runs on. Data are read and the model is made; nothing is trained.

use crate::{arguments::Cluster, failure::Failure};
use lyceum_coordinator::run::Groundwork;
use lyceum_core::{Reduction, Roster};
use lyceum_metrics::rss_mib;
use lyceum_scenarios::Scenario;
use std::path::{Path, PathBuf};

/// Bytes of a value in a sum on its way (`core/src/sum/bytes.rs`), and of one in a model.
const SUM: u64 = 8;
const VALUE: u64 = 4;
/// Bytes of a value in memory, of a thread that trains: its own model, gradient, momentum, and a sum in 16 bytes.
const TRAINED: u64 = 12 + 16;
/// What a process needs for itself, in MiB.
const PROCESS: u64 = 64;
/// Memory for results on their way to a coordinator, in MiB (`transport.receiving_bytes`).
const RECEIVING: u64 = 32;
/// Bytes of the journal at which a checkpoint is made; two of them may lie there for a moment.
const JOURNAL: u64 = 2 * (256 << 20);
/// Checkpoints that are kept, and the one that is being written.
const CHECKPOINTS: u64 = 3;
const MIB: u64 = 1 << 20;

/// What a scenario needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Size {
    clients: u64,
    cohort: u64,
    parameters: u64,
    /// To a node and from it, in a round, at most.
    down: u64,
    up: u64,
    pub(super) node_mib: u64,
    pub(super) coordinator_mib: u64,
    storage_bytes: u64,
    /// Whether the samples lie in files.
    pub(super) needs_data: bool,
}

/// What is known of a run once its data are read.
struct Known {
    clients: u64,
    cohort: u64,
    parameters: u64,
    lanes: u64,
    each: bool,
    /// Bytes that a client keeps.
    state: u64,
    /// MiB of this process with the samples.
    resident_mib: u64,
}

impl Size {
    pub(super) fn of(
        scenario: &Scenario,
        arguments: &Cluster,
        folders: &[PathBuf],
    ) -> Result<Self, Failure> {
        let needs_data = Groundwork::read(scenario, &[]).is_err();
        let groundwork = Groundwork::read(scenario, folders)?;
        let resident_mib = rss_mib() as u64;
        let contribution = {
            let pool = groundwork.loaded.pooled();
            scenario.contribution(&groundwork.network, pool.as_ref())
        };
        let clients = scenario.clients();
        // Which clients there are depends on what an expert finds; there are never more.
        let cohort = match scenario.needs_expert() {
            true => clients,
            false => {
                let federation = groundwork.finish(scenario, None)?.federation;
                let roster: &dyn Roster = &*federation;
                scenario.selection.plugin.cohort(roster) as u64
            }
        };
        let known = Known {
            clients,
            cohort: cohort.min(clients),
            parameters: contribution.layout.len() as u64,
            lanes: contribution.lanes.len() as u64,
            each: contribution.reduction == Reduction::EachUpdate,
            state: contribution.slots.most_bytes(),
            resident_mib,
        };
        let (nodes, threads) = (arguments.nodes.into(), arguments.threads as u64);
        Ok(known.size(nodes, threads, needs_data))
    }

    pub(super) fn node_memory(&self) -> String {
        format!("{}Mi", self.node_mib)
    }

    pub(super) fn coordinator_memory(&self) -> String {
        format!("{}Mi", self.coordinator_mib)
    }

    pub(super) fn storage(&self) -> String {
        format!("{}Gi", self.storage_bytes.div_ceil(1 << 30).max(1))
    }

    /// What was found, as comments.
    pub(super) fn told(&self, file: &Path, nodes: u32) -> String {
        format!(
            "# {}: {} clients, {} in a round, on {nodes} nodes; {} parameters.\n\
             # A round brings a node {} at most, and takes {} from it. A node needs {} MiB, the coordinator {} MiB.\n",
            file.file_name().unwrap_or_default().to_string_lossy(),
            self.clients,
            self.cohort,
            self.parameters,
            in_units(self.down),
            in_units(self.up),
            self.node_mib,
            self.coordinator_mib,
        )
    }
}

impl Known {
    fn size(&self, nodes: u64, threads: u64, needs_data: bool) -> Size {
        let model = self.parameters * VALUE;
        let share = self.cohort.div_ceil(nodes);
        let states = share * self.state;
        let lanes = self.parameters * self.lanes;
        // A sum from each node, or an update of each client.
        let up = match self.each {
            true => share * lanes * VALUE,
            false => lanes * SUM,
        };
        let down = model + states;
        let node =
            self.parameters * (TRAINED + 16 * (self.lanes - 1)) * threads + 2 * down + 2 * up;
        let all_states = self.clients * self.state;
        let coordinator = self.parameters * (16 * self.lanes + 4 * VALUE) + all_states;
        Size {
            clients: self.clients,
            cohort: self.cohort,
            parameters: self.parameters,
            down,
            up: up + states,
            node_mib: rounded(self.resident_mib + PROCESS + node.div_ceil(MIB)),
            coordinator_mib: rounded(
                self.resident_mib + PROCESS + RECEIVING + coordinator.div_ceil(MIB),
            ),
            storage_bytes: CHECKPOINTS * (3 * model + all_states) + JOURNAL,
            needs_data,
        }
    }
}

/// A quarter more, in steps that are easily read, and never less than a process with its code and buffers has.
fn rounded(mib: u64) -> u64 {
    let more = mib + mib / 4;
    more.next_multiple_of(64).max(128)
}

fn in_units(bytes: u64) -> String {
    match bytes {
        0..10_000 => format!("{bytes} bytes"),
        10_000..10_000_000 => format!("{:.1} kB", bytes as f64 / 1e3),
        _ => format!("{:.1} MB", bytes as f64 / 1e6),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KNOWN: Known = Known {
        clients: 100,
        cohort: 10,
        parameters: 1_000_000,
        lanes: 1,
        each: false,
        state: 0,
        resident_mib: 100,
    };

    #[test]
    fn sums_go_up_once_a_node_and_updates_once_a_client() {
        let sums = KNOWN.size(4, 2, false);
        assert_eq!((sums.down, sums.up), (4_000_000, 8_000_000));
        let each = Known {
            each: true,
            ..KNOWN
        }
        .size(4, 2, false);
        // Three of ten clients, at most, on one of four nodes.
        assert_eq!((each.down, each.up), (4_000_000, 12_000_000));
        let states = Known {
            state: 1000,
            ..KNOWN
        };
        let states = states.size(4, 2, false);
        assert_eq!((states.down, states.up), (4_003_000, 8_003_000));
    }

    #[test]
    fn memory_grows_with_threads_and_storage_with_states() {
        // 100 + 64 + 28 x 2 MB + 24 MB = 77 MiB: 241, and a quarter more.
        assert_eq!(KNOWN.size(4, 2, false).node_mib, 320);
        assert!(KNOWN.size(4, 16, false).node_mib > 600);
        assert_eq!(KNOWN.size(4, 2, false).storage(), "1Gi");
        let heavy = Known {
            state: 10_000_000,
            ..KNOWN
        };
        assert_eq!(heavy.size(4, 2, false).storage(), "4Gi");
    }
}
