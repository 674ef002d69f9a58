//! What models are worth on each task.

use crate::{failure::Failure, settings::ProcessSettings};
use lyceum_client_node::{Node, Worker};
use lyceum_coordinator::{Snapshot, run::Groundwork};
use lyceum_core::{
    Assignment, Batch, ClientId, ClientState, DataRef, Engine, GLOBAL, Halves, Head, Init, Job,
    Layer, Learner, Network, Params, Payload, Probe, Round, Tally, Task, TaskId, TaskStream,
    Ticket, UnitId, Work,
};
use lyceum_scenarios::{Registry, Scenario};
use std::{
    path::{Path, PathBuf},
    sync::Arc,
    thread,
};

/// Rows that go through a network together.
const ROWS: usize = 256;
/// Models whose only layer is judged in one product.
const TOGETHER: usize = 128;

/// The tests of a run's tasks.
pub(super) struct Judge {
    node: Arc<Node>,
    stream: Arc<TaskStream>,
    snapshot: Snapshot,
    halves: Halves,
    engine: Engine,
    /// The largest logit is the answer.
    by_logit: bool,
    threads: usize,
}

impl Judge {
    /// Reads a run's data again.
    pub(super) fn new(
        registry: &Registry,
        process: &ProcessSettings,
        (folder, scenario, data): (&Path, &Scenario, &[PathBuf]),
        (snapshot, halves, threads): (&Snapshot, Halves, usize),
    ) -> Result<Self, Failure> {
        let file = folder.join("scenario.toml");
        let folders = process.folders(data, &file, &scenario.data.folders);
        let prepared = Groundwork::read(scenario, &folders)?.finish(scenario, None)?;
        let engine = *registry
            .engine(&scenario.training.engine)
            .ok_or_else(|| Failure::input("this build lacks the engine of the run"))?;
        let stream = prepared.stream.clone();
        let stream = stream.ok_or_else(|| Failure::input("this run has no stream of tasks"))?;
        let stream = stream.told(&snapshot.facts).map_err(Failure::input)?;
        let node = Node::new(
            scenario,
            engine,
            prepared.network,
            prepared.federation,
            None,
        );
        Ok(Self {
            node: Arc::new(node.in_stream(Some(stream.clone()))),
            stream,
            snapshot: snapshot.clone(),
            halves,
            engine,
            by_logit: scenario
                .methods()
                .all(|(_, method)| method.predict().is_none()),
            threads,
        })
    }

    /// Threads that judge.
    pub(super) fn threads(&self) -> usize {
        self.threads
    }

    /// What tasks are called.
    pub(super) fn name(&self, task: TaskId) -> &str {
        let task = self.stream.tasks().get(task.0 as usize);
        task.map_or("?", |task| &task.name)
    }

    /// The clients that have samples of any of the tasks, each as the preference that its samples are: their shares by task.
    pub(super) fn clients(&self, tasks: &[TaskId]) -> Vec<(ClientId, Vec<f64>)> {
        let federation = self.node.federation();
        let preference = |client: ClientId| {
            let shard = federation.shard(client);
            let count = |task: &TaskId| {
                let task = self.stream.tasks().get(task.0 as usize);
                let of = |task: &Task| {
                    let places = shard.indices.iter();
                    let own = places.filter(|&&place| task.train.contain(&shard.pool, place));
                    own.count() as f64
                };
                task.map_or(0.0, of)
            };
            let counts: Vec<f64> = tasks.iter().map(count).collect();
            let all: f64 = counts.iter().sum();
            (all > 0.0).then(|| (client, counts.iter().map(|count| count / all).collect()))
        };
        (0..federation.clients())
            .map(ClientId)
            .filter_map(preference)
            .collect()
    }

    /// Accuracies of models, which are given by their means: one list a model, in the order of the tasks.
    pub(super) fn accuracies(
        &self,
        models: &[Vec<f32>],
        tasks: &[TaskId],
    ) -> Result<Vec<Vec<f64>>, Failure> {
        let fast = self.outputs().filter(|_| models.len() >= TOGETHER);
        let share = models.len().div_ceil(self.threads).max(1);
        let judge = |part: &[Vec<f32>]| match fast {
            Some(outputs) => self.in_products(part, tasks, outputs),
            None => self.one_by_one(part, tasks),
        };
        let parts: Vec<Result<Vec<Vec<f64>>, Failure>> = thread::scope(|scope| {
            let judge = &judge;
            let workers: Vec<_> = models
                .chunks(share)
                .map(|part| scope.spawn(move || judge(part)))
                .collect();
            let join = |worker: thread::ScopedJoinHandle<'_, _>| {
                worker.join().unwrap_or_else(|_| {
                    Err(Failure::other("a thread that judged models ended early"))
                })
            };
            workers.into_iter().map(join).collect()
        });
        let mut all = Vec::with_capacity(models.len());
        for part in parts {
            all.extend(part?);
        }
        Ok(all)
    }

    fn one_by_one(&self, models: &[Vec<f32>], tasks: &[TaskId]) -> Result<Vec<Vec<f64>>, Failure> {
        let mut worker = Worker::new(self.node.clone()).map_err(Failure::other)?;
        let mut all = Vec::with_capacity(models.len());
        for means in models {
            let mut params = vec![0.0; self.node.network().layout().len()];
            params[self.halves.means()].copy_from_slice(means);
            let params: Params = params.into();
            let each = tasks.iter().map(|task| {
                let tally = self.tally(&mut worker, &params, *task)?;
                Ok(tally.accuracy())
            });
            all.push(each.collect::<Result<_, Failure>>()?);
        }
        Ok(all)
    }

    fn tally(&self, worker: &mut Worker, params: &Params, task: TaskId) -> Result<Tally, Failure> {
        let probe = Probe::Task(task);
        let samples = self.stream.tasks().get(task.0 as usize);
        let end = samples.map_or(0, |task| task.probe.len()) as u32;
        let (data, state) = (
            DataRef::Probe {
                probe,
                start: 0,
                end,
            },
            ClientState::default(),
        );
        let upload = worker.execute(&Assignment {
            ticket: Ticket(0),
            round: Round(self.snapshot.rounds.saturating_sub(1)),
            unit: UnitId(0),
            work: Work::Evaluate,
            facts: self.snapshot.facts.clone(),
            model: GLOBAL.into(),
            global: params.clone(),
            vectors: Vec::new(),
            jobs: vec![Job { data, state }],
        });
        match upload.map_err(Failure::other)?.payload {
            Payload::Evaluated { tally, .. } => Ok(tally),
            _ => Err(Failure::other("a model was not judged")),
        }
    }

    /// Outputs of the only layer of the network, where it has no other one with tensors: then models are rows of one matrix.
    fn outputs(&self) -> Option<usize> {
        let plain = self.node.network().plain();
        let flat = plain.shapes().first().is_some_and(|shape| shape.len() == 1);
        let all_answer = self.stream.rules().head == Head::Shared && self.by_logit;
        match plain.layers() {
            [Layer::Dense { units }] if flat && all_answer => Some(*units),
            [Layer::Dense { units: 1 }, Layer::Binary {}] if flat && all_answer => Some(1),
            _ => None,
        }
    }

    /// As [`one_by_one`](Self::one_by_one), many models in one product.
    fn in_products(
        &self,
        models: &[Vec<f32>],
        tasks: &[TaskId],
        outputs: usize,
    ) -> Result<Vec<Vec<f64>>, Failure> {
        let batches: Vec<Vec<Batch>> = tasks.iter().map(|task| self.batches(*task)).collect();
        let inputs = self.node.network().inputs();
        let mut all = Vec::with_capacity(models.len());
        for block in models.chunks(TOGETHER) {
            let mut learner = self.stacked(block, inputs, outputs)?;
            let mut logits = Vec::new();
            let mut accuracies = vec![vec![0.0; tasks.len()]; block.len()];
            for (place, batches) in batches.iter().enumerate() {
                let mut hits = vec![0_u64; block.len()];
                for batch in batches {
                    learner.logits(batch, &mut logits);
                    let rows = logits.chunks_exact(outputs * block.len());
                    for (row, label) in rows.zip(&batch.labels) {
                        count(row, outputs, *label, &mut hits);
                    }
                }
                let samples: usize = batches.iter().map(Batch::rows).sum();
                for (all, hits) in accuracies.iter_mut().zip(hits) {
                    all[place] = hits as f64 / samples.max(1) as f64;
                }
            }
            all.extend(accuracies);
        }
        Ok(all)
    }

    /// A learner of models given by their means.
    pub(super) fn plain_learner(&self) -> Result<Box<dyn Learner>, Failure> {
        (self.engine.build)(&self.node.network().plain()).map_err(Failure::other)
    }

    /// One flag a class: whether it is no answer to a task.
    pub(super) fn closed(&self, task: TaskId) -> Vec<bool> {
        let round = Round(self.snapshot.rounds.saturating_sub(1));
        let clients = self.node.federation().clients();
        let classes = self.node.network().classes();
        match self.stream.answers(task, clients, round) {
            None => vec![false; classes],
            Some(open) => (0..classes as u32).map(|c| !open.contains(&c)).collect(),
        }
    }

    /// The samples of a task's probe, packed.
    pub(super) fn batches(&self, task: TaskId) -> Vec<Batch> {
        let probe = Probe::Task(task);
        let samples = self.stream.tasks().get(task.0 as usize);
        let end = samples.map_or(0, |task| task.probe.len()) as u32;
        let pool = self.node.federation().probe(Probe::Test);
        let shard = pool.and_then(|pool| self.stream.probe(probe, pool, 0, end));
        let Some(shard) = shard else {
            return Vec::new();
        };
        let positions: Vec<u32> = (0..end).collect();
        let pack = |chunk: &[u32]| {
            let mut batch = Batch::default();
            shard.pack(chunk, &mut batch);
            batch
        };
        positions.chunks(ROWS).map(pack).collect()
    }

    /// One dense layer whose outputs are those of many models.
    fn stacked(
        &self,
        models: &[Vec<f32>],
        inputs: usize,
        outputs: usize,
    ) -> Result<Box<dyn Learner>, Failure> {
        let units = outputs * models.len();
        let network = Network::new(&[inputs], units, vec![Layer::Dense { units }], Init::Zero);
        let network = network.map_err(Failure::other)?;
        let mut learner = (self.engine.build)(&network).map_err(Failure::other)?;
        let weights = models.iter().flat_map(|model| &model[..inputs * outputs]);
        let biases = models.iter().flat_map(|model| &model[inputs * outputs..]);
        let params: Vec<f32> = weights.chain(biases).copied().collect();
        learner.load(&params.into());
        Ok(learner)
    }
}

/// Counts for each model whether it finds the label of a row.
fn count(row: &[f32], outputs: usize, label: u32, hits: &mut [u64]) {
    match outputs {
        1 => {
            let found = row.iter().map(|z| u32::from(*z > 0.0) == label);
            hits.iter_mut()
                .zip(found)
                .for_each(|(h, found)| *h += u64::from(found));
        }
        _ => {
            let found = row.chunks_exact(outputs);
            let found = found.map(|logits| lyceum_core::argmax(logits) == label as usize);
            hits.iter_mut()
                .zip(found)
                .for_each(|(h, found)| *h += u64::from(found));
        }
    }
}
