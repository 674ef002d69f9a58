//! What a node needs before it can work: the scenario, its samples, its model, its engine.

use crate::{
    Node,
    machine::{Preparation, Prepared},
};
use lyceum_core::{ClientId, Federation, Fingerprint, Probe, Roster, Samples, Shard};
use lyceum_protocol::message::{NumericProfile, OwnData};
use lyceum_scenarios::{Loaded, Registry, Scenario, data};
use std::{borrow::Cow, path::PathBuf, sync::Arc};

pub use lyceum_scenarios::data::OwnFile;

/// Makes nodes from scenarios.
pub struct Workshop {
    /// What scenarios can name.
    pub registry: Arc<Registry>,
    /// Where data sets are looked for.
    pub folders: Vec<PathBuf>,
    /// For a real client: its own training samples.
    pub own: Option<OwnFile>,
}

impl Workshop {
    /// Loads everything. Errors are sentences for the operator.
    pub fn prepare(&self, order: &Preparation) -> Result<(Prepared, Arc<Node>), String> {
        let name = "the coordinator's scenario";
        let scenario = Scenario::read(&self.registry, name, &order.scenario, &[])
            .map_err(|e| e.to_string())?;
        let engine = self.registry.engine(&scenario.training.engine).copied();
        let engine = engine
            .ok_or_else(|| format!("this build has no engine `{}`", scenario.training.engine))?;
        match (&order.client, &self.own) {
            (Some((client, want)), Some(own)) => {
                prepare_real(&scenario, engine, *client, &read_own(&scenario, own, want)?)
            }
            (None, None) => self.prepare_simulated(&scenario, engine, order),
            (Some(_), None) => Err("this node is to be a real client, but has no --data".into()),
            (None, Some(_)) => Err("this node has data of its own, but is no real client".into()),
        }
    }

    fn prepare_simulated(
        &self,
        scenario: &Scenario,
        engine: lyceum_core::Engine,
        order: &Preparation,
    ) -> Result<(Prepared, Arc<Node>), String> {
        let loaded = Loaded::read(scenario, &self.folders).map_err(|e| e.to_string())?;
        let network = loaded.network(scenario).map_err(|e| e.to_string())?;
        let data = loaded.digest();
        let expert = order.expert.as_deref();
        let mut stream = None;
        let federation = if scenario.needs_expert() && expert.is_none() {
            // Before the expert is trained there are no clients, only samples.
            loaded
                .undivided()
                .ok_or("an expert needs all samples in one place")?
        } else {
            let losses = expert.map(|e| e.losses.as_slice());
            stream = loaded.stream(scenario, losses).map_err(|e| e.to_string())?;
            loaded
                .federate(scenario, losses)
                .map_err(|e| e.to_string())?
        };
        let node = Node::new(scenario, engine, network, federation, expert);
        let timetable = scenario
            .timetable(stream.as_deref())
            .map_err(|e| e.to_string())?;
        let node = node.in_stream(stream).in_phases(timetable.phases);
        Ok((prepared(scenario, Some(data), None), Arc::new(node)))
    }
}

fn prepare_real(
    scenario: &Scenario,
    engine: lyceum_core::Engine,
    client: ClientId,
    own: &Arc<Samples>,
) -> Result<(Prepared, Arc<Node>), String> {
    let network = scenario
        .model
        .plugin
        .network(&own.shape, own.classes)
        .map_err(|e| e.to_string())?;
    let network = scenario.distributed(network);
    let network = scenario.with_local(network).map_err(|e| e.to_string())?;
    let federation: Arc<dyn Federation> = Arc::new(Own {
        client,
        samples: own.clone(),
    });
    let node = Node::new(scenario, engine, network, federation, None).alone();
    Ok((
        prepared(scenario, None, Some(declared(own))),
        Arc::new(node),
    ))
}

/// Reads a real client's samples as the coordinator says that they must be.
fn read_own(scenario: &Scenario, own: &OwnFile, want: &OwnData) -> Result<Arc<Samples>, String> {
    let shape: Vec<usize> = want.shape.iter().map(|&n| n as usize).collect();
    let (set, how) = (&*scenario.data_set.plugin, scenario.data.normalise);
    let samples = data::own_samples(own, set, how, &shape, want.classes as usize);
    let samples = samples.map_err(|e| e.to_string())?;
    tracing::info!("{}: {} training samples", own.path.display(), samples.len());
    if let Some(doubt) = data::unlike_others(&samples, own, set, how) {
        tracing::warn!("{doubt}");
    }
    Ok(Arc::new(samples))
}

/// What a real client says of its samples.
fn declared(own: &Samples) -> OwnData {
    OwnData {
        samples: own.len() as u64,
        shape: own.shape.iter().map(|&n| n as u64).collect(),
        classes: own.classes as u64,
    }
}

fn prepared(scenario: &Scenario, data: Option<Fingerprint>, own: Option<OwnData>) -> Prepared {
    Prepared {
        scenario: scenario.digest(),
        data,
        profile: numeric_profile(&scenario.training.engine),
        own,
    }
}

/// What decides the bits of this machine's arithmetic: engine, processor family, widest vectors, system (its
/// mathematics library), version.
pub fn numeric_profile(engine: &str) -> NumericProfile {
    use std::env::consts::{ARCH, OS};
    let version = env!("CARGO_PKG_VERSION");
    format!("{engine}, {ARCH} {}, {OS}, lyceum {version}", vectors())
}

#[cfg(target_arch = "x86_64")]
fn vectors() -> &'static str {
    match () {
        () if is_x86_feature_detected!("avx512f") => "avx512",
        () if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") => "avx2",
        () => "sse2",
    }
}

#[cfg(not(target_arch = "x86_64"))]
fn vectors() -> &'static str {
    "native"
}

/// The one client of a node that is real.
struct Own {
    client: ClientId,
    samples: Arc<Samples>,
}

impl Roster for Own {
    fn clients(&self) -> u64 {
        self.client.0 + 1
    }

    fn samples(&self, client: ClientId) -> usize {
        if client == self.client {
            self.samples.len()
        } else {
            0
        }
    }
}

impl Federation for Own {
    fn shard(&self, client: ClientId) -> Cow<'_, Shard> {
        Cow::Owned(match client == self.client {
            true => Shard::whole(self.samples.clone()),
            false => Shard::new(self.samples.clone(), Arc::default()),
        })
    }

    fn probe(&self, _: Probe) -> Option<&Arc<Samples>> {
        None
    }

    fn pooled(&self) -> Option<Shard> {
        None
    }
}
