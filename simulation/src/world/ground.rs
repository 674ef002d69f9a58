//! What all worlds of one scenario have in common, and the results that do not depend on the world.

use crate::{RunError, run};
use lyceum_client_node::{Node, NodeError, Worker};
use lyceum_coordinator::{RoundMachine, dispatch::Admission, run::Prepared};
use lyceum_core::{
    Addend, Assignment, Contribution, DataRef, Fingerprint, Layout, Payload, Probe, Upload, Work,
};
use lyceum_scenarios::{Deadline, Registry, Scenario};
use std::{
    collections::{BTreeMap, VecDeque},
    path::PathBuf,
    sync::{Arc, atomic::AtomicBool},
};

/// Results that are remembered at most.
const REMEMBERED: usize = 4096;

/// A scenario with its data read and its model built, once for all of its worlds.
pub struct Ground {
    scenario: Scenario,
    prepared: Prepared,
    node: Arc<Node>,
    text: Arc<str>,
}

impl Ground {
    /// Reads data, builds the model, and trains the expert where one is needed. Scenarios with real clients are refused.
    pub fn new(
        scenario: &Scenario,
        registry: &Registry,
        folders: &[PathBuf],
    ) -> Result<Self, RunError> {
        scenario.without_real_clients()?;
        let never = AtomicBool::new(false);
        let (prepared, node) = run::prepare(scenario, registry, folders, &never, |_| Ok(None))?;
        Ok(Self {
            scenario: scenario.clone(),
            prepared,
            node,
            text: scenario.digest().to_string().into(),
        })
    }

    /// The scenario.
    pub fn scenario(&self) -> &Scenario {
        &self.scenario
    }

    /// Whether the result depends on nothing but the scenario, however bad the world is.
    pub fn waits(&self) -> bool {
        !matches!(self.scenario.deadline, Some(Deadline::Close(_)))
    }

    pub(crate) fn node(&self) -> &Arc<Node> {
        &self.node
    }

    pub(crate) fn machine(&self) -> RoundMachine {
        self.prepared.machine(&self.scenario)
    }

    /// Classes of the data.
    pub(crate) fn classes(&self) -> u32 {
        self.prepared.network.classes() as u32
    }

    pub(crate) fn rounds(&self) -> u64 {
        self.scenario.rounds()
    }

    pub(crate) fn contribution(&self) -> Contribution {
        let pool = self.prepared.federation.pooled();
        self.scenario
            .contribution(&self.prepared.network, pool.as_ref())
    }

    pub(crate) fn layout(&self) -> &Layout {
        self.prepared.network.layout()
    }

    pub(crate) fn digest(&self) -> Fingerprint {
        self.prepared.digest
    }

    pub(crate) fn data(&self) -> Fingerprint {
        self.prepared.data
    }

    /// Microseconds after which late clients are given to a second node.
    pub(crate) fn reassign(&self) -> Option<u64> {
        match &self.scenario.deadline {
            Some(Deadline::Reassign(reassign)) => Some((reassign.after_s.get() * 1e6) as u64),
            _ => None,
        }
    }

    pub(crate) fn admission(&self) -> Admission {
        Admission {
            scenario: self.text.clone(),
            digest: self.digest(),
            data: self.data(),
            registry: Fingerprint::default(),
            expert: self.prepared.expert.as_ref().map(|e| e.scores.clone()),
            real: BTreeMap::new(),
            profile: None,
            mixed_profiles: false,
        }
    }
}

/// Does the work of all nodes of a world, and remembers what came of it.
pub struct Lab {
    worker: Worker,
    known: BTreeMap<[u8; 32], Arc<Upload>>,
}

impl Lab {
    /// A lab for the worlds of one scenario, one after the other.
    pub fn new(ground: &Ground) -> Result<Self, RunError> {
        let worker = Worker::new(ground.node.clone()).map_err(failed)?;
        let known = BTreeMap::new();
        Ok(Self { worker, known })
    }

    /// The result of one unit. Wall times are left out: worlds have none.
    pub(crate) fn unit(&mut self, assignment: &Assignment) -> Result<Arc<Upload>, RunError> {
        let key = key(assignment);
        if let Some(upload) = self.known.get(&key) {
            return Ok(upload.clone());
        }
        let mut upload = self.worker.execute(assignment).map_err(failed)?;
        upload.micros.clear();
        let upload = Arc::new(upload);
        if self.known.len() >= REMEMBERED {
            self.known.clear();
        }
        self.known.insert(key, upload.clone());
        Ok(upload)
    }

    /// The result of several units of training as one upload; sums are exact, so it is what working through them in one
    /// go gives.
    pub(crate) fn batch(&mut self, units: &[Assignment]) -> Result<Upload, RunError> {
        let mut rest: VecDeque<_> = units.iter().collect();
        let first = rest.pop_front();
        let first = first.ok_or_else(|| RunError::Worker("a batch of no units".into()))?;
        let mut upload = Upload::clone(&*self.unit(first)?);
        for unit in rest {
            let more = self.unit(unit)?;
            let (Payload::Trained(all), Payload::Trained(more)) =
                (&mut upload.payload, &more.payload)
            else {
                return Err(RunError::Worker("only training can be summed".into()));
            };
            let Addend::Sum(sum) = &mut all.sum else {
                return Err(RunError::Worker("a single update takes no other".into()));
            };
            let added = more.sum.clone().add_to(sum);
            added.map_err(|e| failed(NodeError::Sum(e)))?;
            all.reports.extend(more.reports.iter().cloned());
            all.states.extend(more.states.iter().cloned());
            upload.units.push(unit.unit);
        }
        Ok(upload)
    }
}

fn failed(error: NodeError) -> RunError {
    RunError::Worker(error.to_string())
}

/// Everything that the result of a unit depends on.
fn key(assignment: &Assignment) -> [u8; 32] {
    let mut chain = Fingerprint::default().extend();
    let work = match assignment.work {
        Work::Train => 0,
        Work::Score => 1,
        Work::Evaluate => 2,
        Work::Expert => 3,
    };
    chain
        .number(assignment.ticket.0)
        .number(assignment.round.0)
        .number(assignment.unit.0)
        .number(work)
        .add(assignment.global.bytes());
    if !assignment.facts.is_empty() {
        chain.add(&assignment.facts.to_bytes());
    }
    for vector in &assignment.vectors {
        chain.add(vector.bytes());
    }
    for job in &assignment.jobs {
        match job.data {
            DataRef::Shard(client) => chain.number(0).number(client.0),
            DataRef::Probe { probe, start, end } => chain
                .number(match probe {
                    Probe::Validation => 1,
                    Probe::Test => 2,
                    Probe::Task(task) => 3 + u64::from(task.0),
                    Probe::Gate(task) => (1 << 32) + u64::from(task.0),
                })
                .number(u64::from(start))
                .number(u64::from(end)),
            DataRef::Pool => chain.number(9),
        };
        chain.number(job.state.slots().len() as u64);
        for (name, slot) in job.state.slots() {
            chain.add(name.as_bytes()).add(slot.content());
        }
    }
    *chain.link().bytes()
}
