//! Process settings: what does not change an answer. Flags win over the environment, the environment
//! over `lyceum.toml` in the working folder.

use crate::{address::Address, failure::Failure, output::warn, stay::StayFor};
use config::{Environment, Source};
use lyceum_coordinator::run::TAKEOVER;
use lyceum_protocol::quic::Transport;
use lyceum_scenarios::{Variable, read_settings};
use serde::Deserialize;
use std::{
    fs, io,
    path::{Path, PathBuf},
    time::Duration,
};
use tracing::level_filters::LevelFilter;

/// The file in the working folder.
const FILE: &str = "lyceum.toml";
/// What the names of variables begin with.
const PREFIX: &str = "LYCEUM";
/// What stands behind that, and between the parts of a name.
const BETWEEN: &str = "__";

/// Settings from file and environment.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct ProcessSettings {
    /// Worker threads, 1 or above; `LYCEUM__THREADS`.
    pub(crate) threads: Option<usize>,
    /// Folders where data sets are looked for, `:` between them; `LYCEUM__DATA`.
    pub(crate) data: Option<String>,
    /// Folder that runs are written to; `LYCEUM__RUNS`.
    pub(crate) runs: Option<PathBuf>,
    /// Least seconds between checkpoints, 0 or above; `LYCEUM__CHECKPOINT_EVERY`.
    pub(crate) checkpoint_every: Option<f64>,
    /// Folder with the certificate and key of a coordinator or node; `LYCEUM__IDENTITY`.
    pub(crate) identity: Option<PathBuf>,
    /// Seconds between two reports of a node, 0.01 to 600, 2 by default; `LYCEUM__HEARTBEAT_S`.
    pub(crate) heartbeat_s: Option<f64>,
    /// Seconds of silence after which a node is lost, at least three heartbeats, 7.5 heartbeats by default;
    /// `LYCEUM__LEASE_S`.
    pub(crate) lease_s: Option<f64>,
    /// MiB of models and states that a node keeps between rounds, 512 by default; `LYCEUM__CACHE_MIB`.
    pub(crate) cache_mib: Option<u64>,
    /// MiB of clients' updates that a run keeps in memory where the strategy asks for each of them, 256 by default; more
    /// go to a file of the run; `LYCEUM__UPDATES_MIB`.
    pub(crate) updates_mib: Option<u64>,
    /// Where nodes connect to a coordinator, or hosts to `identity serve`; `LYCEUM__LISTEN`.
    pub(crate) listen: Option<Address>,
    /// Where a coordinator serves metrics, status and probes; `LYCEUM__METRICS`.
    pub(crate) metrics: Option<Address>,
    /// The coordinator's address, for nodes; `LYCEUM__COORDINATOR`.
    pub(crate) coordinator: Option<Address>,
    /// The address of `identity serve`, for hosts that join; `LYCEUM__SERVER`.
    pub(crate) server: Option<Address>,
    /// The join string of a host that joins; `LYCEUM__JOIN`.
    pub(crate) join: Option<String>,
    /// The file that holds it; `LYCEUM__JOIN_FILE`.
    pub(crate) join_file: Option<PathBuf>,
    /// The name of a node or host that is given none; `LYCEUM__NAME`.
    pub(crate) name: Option<String>,
    /// Nodes that are ready before a coordinator's run begins; `LYCEUM__WAIT_FOR_NODES`.
    pub(crate) wait_for_nodes: Option<usize>,
    /// How long a coordinator stays once its run is finished: seconds, or `forever`; `LYCEUM__STAY`.
    pub(crate) stay: Option<StayFor>,
    /// Seconds without life after which a coordinator of another host has lost its run's folder, 0.05 to 600, 30 by default;
    /// `LYCEUM__TAKEOVER_S`.
    pub(crate) takeover_s: Option<f64>,
    /// What is logged, from `error` to `trace`; `LYCEUM__LOG`.
    pub(crate) log: Option<String>,
    /// Whether the log is JSON; `LYCEUM__LOG_JSON`.
    pub(crate) log_json: Option<bool>,
    /// Connections; `LYCEUM__TRANSPORT__STREAM_WINDOW` and so on.
    pub(crate) transport: Transport,
    /// The OpenBLAS library that `lyceum bench` measures itself by; `LYCEUM__OPENBLAS`.
    pub(crate) openblas: Option<String>,
}

/// Tells of folders that were named, and are not there.
fn warn_of_missing<'f>(who: &str, folders: impl IntoIterator<Item = &'f PathBuf>) {
    for missing in folders.into_iter().filter(|folder| !folder.is_dir()) {
        let missing = missing.display();
        warn(&format!("{who} {missing}: there is no such folder"));
    }
}

/// The folder of a scenario file.
fn beside(file: &Path) -> PathBuf {
    let folder = file.parent().filter(|p| !p.as_os_str().is_empty());
    folder.map_or_else(|| ".".into(), PathBuf::from)
}

/// The variables that are settings: `LYCEUM__TRANSPORT__IDLE_S` is `transport.idle_s`.
fn variables() -> Result<Vec<Variable>, Failure> {
    let source = Environment::with_prefix(PREFIX)
        .prefix_separator(BETWEEN)
        .separator(BETWEEN);
    let found = source.collect().map_err(|_| {
        let wrong = "expected text in UTF-8 in every variable whose name begins with";
        Failure::input(format!("the environment: {wrong} {PREFIX}{BETWEEN}"))
    })?;
    let mut variables = Vec::new();
    for (key, value) in found.into_iter().filter(|(key, _)| !key.is_empty()) {
        let within = key.to_uppercase().replace('.', BETWEEN);
        variables.push(Variable {
            name: format!("{PREFIX}{BETWEEN}{within}"),
            value: value.into_string().map_err(Failure::input)?,
            key,
        });
    }
    variables.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(variables)
}

/// The text of a TOML file.
pub(crate) fn in_utf8(name: &str, bytes: Vec<u8>) -> Result<String, Failure> {
    String::from_utf8(bytes).map_err(|e| {
        let before = &e.as_bytes()[..e.utf8_error().valid_up_to()];
        let line = before.iter().filter(|&&b| b == b'\n').count() + 1;
        let begin = before
            .iter()
            .rposition(|&b| b == b'\n')
            .map_or(0, |p| p + 1);
        let column = before.len() - begin + 1;
        Failure::Input(format!(
            "error: this is not a text file\n --> {name}:{line}:{column}: expected TOML in UTF-8\n"
        ))
    })
}

impl ProcessSettings {
    /// Reads `lyceum.toml`, if there is one, and the environment.
    pub(crate) fn read() -> Result<Self, Failure> {
        let text = match fs::read(FILE) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => String::new(),
            read => in_utf8(
                FILE,
                read.map_err(|e| Failure::input(format!("{FILE}: {e}")))?,
            )?,
        };
        let variables = variables()?;
        let settings: Self = read_settings(FILE, &text, &variables)?;
        settings.checked().map_err(|(key, wrong)| {
            let variable = variables.iter().find(|variable| variable.key == key);
            let place = variable.map_or(FILE, |variable| variable.name.as_str());
            Failure::input(format!("{place}: `{key}` {wrong}"))
        })?;
        Ok(settings)
    }

    /// Numbers that are out of range, whichever command reads them: the key, and what is wrong.
    fn checked(&self) -> Result<(), (String, String)> {
        let wrong = |key: &str, value: &dyn std::fmt::Display, right: &str| {
            Err((key.to_owned(), format!("is {value}: expected {right}")))
        };
        let (heartbeat, lease) = (self.heartbeat_s(), self.lease_s());
        if !(0.01..=600.0).contains(&heartbeat) {
            return wrong("heartbeat_s", &heartbeat, "0.01 to 600");
        }
        if !(3.0 * heartbeat..=86_400.0).contains(&lease) {
            let right = format!(
                "at least three times heartbeat_s, which is {heartbeat}, and at most 86400"
            );
            return wrong("lease_s", &lease, &right);
        }
        if let Some(threads) = self.threads.filter(|threads| !(1..=4096).contains(threads)) {
            return wrong("threads", &threads, "1 to 4096");
        }
        let every = self.checkpoint_every.unwrap_or_default();
        if Duration::try_from_secs_f64(every).is_err() {
            return wrong("checkpoint_every", &every, "seconds, 0 or above");
        }
        let takeover = self.takeover_s.unwrap_or(30.0);
        if !(0.05..=600.0).contains(&takeover) {
            return wrong("takeover_s", &takeover, "0.05 to 600");
        }
        if let Some(level) = self
            .log
            .as_ref()
            .filter(|l| l.parse::<LevelFilter>().is_err())
        {
            return wrong("log", level, "error, warn, info, debug or trace");
        }
        let transport = self.transport.check();
        transport.map_err(|e| {
            (
                format!("transport.{}", e.key),
                format!("is {}: {}", e.value, e.right),
            )
        })
    }

    /// Time without life after which a process of another host has lost its run's folder.
    pub(crate) fn takeover(&self) -> Duration {
        self.takeover_s.map_or(TAKEOVER, Duration::from_secs_f64)
    }

    /// Seconds between two reports of a node.
    pub(crate) fn heartbeat_s(&self) -> f64 {
        self.heartbeat_s.unwrap_or(2.0)
    }

    /// Seconds of silence after which a node is lost.
    pub(crate) fn lease_s(&self) -> f64 {
        self.lease_s.unwrap_or(7.5 * self.heartbeat_s())
    }

    /// Bytes of single updates that a run keeps in memory.
    pub(crate) fn updates_bytes(&self) -> u64 {
        self.updates_mib.unwrap_or(256).saturating_mul(1 << 20)
    }

    /// Bytes that a node keeps between rounds.
    pub(crate) fn cache_bytes(&self) -> u64 {
        self.cache_mib.unwrap_or(512).saturating_mul(1 << 20)
    }

    /// Where certificate and key are: the flag, the setting, or `identity` here.
    pub(crate) fn identity(&self, flag: Option<&Path>) -> PathBuf {
        let set = flag
            .map(Path::to_path_buf)
            .or_else(|| self.identity.clone());
        set.unwrap_or_else(|| "identity".into())
    }

    /// As [`folders`](Self::folders); those that somebody named and that are not there are told of.
    pub(crate) fn told_folders(
        &self,
        flags: &[PathBuf],
        file: &Path,
        own: &[PathBuf],
    ) -> Vec<PathBuf> {
        warn_of_missing("--data", flags);
        let own_here: Vec<PathBuf> = own.iter().map(|f| beside(file).join(f)).collect();
        warn_of_missing("`data.folders`:", &own_here);
        let set: Vec<PathBuf> = self.data.iter().flat_map(std::env::split_paths).collect();
        warn_of_missing("the setting `data` (LYCEUM__DATA):", &set);
        self.folders(flags, file, own)
    }

    /// Where data sets are looked for: flags, then what the scenario says, then settings, then `data` here and the
    /// scenario's own folder.
    pub(crate) fn folders(&self, flags: &[PathBuf], file: &Path, own: &[PathBuf]) -> Vec<PathBuf> {
        let beside = beside(file);
        let mut folders = flags.to_vec();
        folders.extend(own.iter().map(|folder| beside.join(folder)));
        folders.extend(
            self.data
                .iter()
                .flat_map(|d| std::env::split_paths(d).collect::<Vec<_>>()),
        );
        folders.push("data".into());
        folders.push(beside);
        let mut seen = std::collections::BTreeSet::new();
        folders.retain(|folder| seen.insert(folder.clone()));
        folders
    }

    /// Worker threads: the flag, the setting, or one per core.
    pub(crate) fn threads(&self, flag: Option<usize>) -> Result<usize, Failure> {
        match flag.or(self.threads) {
            Some(0) => Err(Failure::input("--threads 0: at least one thread is needed")),
            Some(threads) if threads > 4096 => {
                Err(Failure::input(format!("--threads {threads}: at most 4096")))
            }
            Some(threads) => Ok(threads),
            None => Ok(std::thread::available_parallelism().map_or(1, |n| n.get())),
        }
    }
}
