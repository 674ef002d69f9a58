//! W5: one learner on the five tasks of Split-Fashion-MNIST, straight through the engine.

use super::workload::Variant;
use crate::{arguments::Bench, check::read, failure::Failure, settings::ProcessSettings};
use lyceum_core::{
    Batch, Init, Layer, Learner, Moments, Network, Optimizer, Probe, Purpose, Resolved,
    ResolvedStrength, Samples, Seed, Shard, Stream, Ticket, Update, argmax, shuffle, wide,
};
use lyceum_scenarios::{Loaded, Registry};
use rand::RngExt;
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

/// How tasks that are over are held on to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Method {
    Naive,
    /// 32 more samples a step from a reservoir of 500.
    Replay,
    /// A pull to each task's end, by its empirical Fisher diagonal over the whole task in batches of 32.
    Ewc,
}

/// What a pass through the tasks showed.
pub(super) struct Tasks {
    pub(super) method: Method,
    pub(super) seconds: Vec<f64>,
    /// From the start of the process to the first step.
    pub(super) first_step: f64,
    /// Of all ten classes at the end.
    pub(super) accuracy: f64,
}

const BATCH: usize = 32;
const MEMORY: usize = 500;
const RATE: f32 = 0.01;
const LAMBDA: f32 = 100.0;

/// Samples that have been kept of the tasks that are over.
struct Reservoir {
    kept: Vec<u32>,
    seen: usize,
}

/// A task that is over, as EWC remembers it.
struct Anchor {
    params: Vec<f32>,
    strength: Vec<f32>,
}

/// Data, and what is trained on it.
pub(super) struct Split {
    train: Shard,
    test: Arc<Samples>,
    network: Network,
    engine: lyceum_core::Engine,
}

impl Split {
    /// Reads the data of W1.
    pub(super) fn read(
        registry: &Registry,
        variant: &Variant,
        arguments: &Bench,
    ) -> Result<Self, Failure> {
        let folder = tempfile::tempdir().map_err(Failure::other)?;
        let file = folder.path().join("workload.toml");
        std::fs::write(&file, variant.text).map_err(Failure::other)?;
        let set = [format!("training.engine={}", arguments.engine)];
        let scenario = read(registry, &file, &set)?;
        let folders = ProcessSettings::read()?.folders(&arguments.data, &file);
        let loaded = Loaded::read(&scenario, &folders)?;
        let dense = |units| Layer::Dense { units };
        let layers = vec![
            dense(400),
            Layer::Relu {},
            dense(400),
            Layer::Relu {},
            dense(10),
        ];
        let network =
            Network::new(variant.input, 10, layers, Init::FanIn).map_err(Failure::other)?;
        let engine = *registry.engine(&arguments.engine).ok_or_else(|| {
            Failure::input(format!("--engine {}: see `lyceum list`", arguments.engine))
        })?;
        let train = loaded
            .pooled()
            .ok_or_else(|| Failure::other("the data are not in one place"))?;
        let federation = loaded.federate(&scenario, None)?;
        let test = federation.probe(Probe::Test).cloned();
        let test = test.ok_or_else(|| Failure::other("the data have no test samples"))?;
        Ok(Self {
            train,
            test,
            network,
            engine,
        })
    }

    /// Goes through the tasks once; `ready` is how long it took until the data were there.
    pub(super) fn run(&self, method: Method, ready: Duration) -> Result<Tasks, Failure> {
        let begun = Instant::now();
        let mut learner = (self.engine.build)(&self.network).map_err(Failure::other)?;
        learner.load(&self.network.initial(Seed(0)));
        let mut moments = Moments::new(self.network.layout());
        let mut rng = Seed(0).stream(Purpose::BATCHES, Ticket(0), None);
        let mut reservoir = Reservoir {
            kept: Vec::new(),
            seen: 0,
        };
        let (mut anchors, mut seconds, mut first_step) = (Vec::new(), Vec::new(), None);
        for task in 0..5 {
            let start = Instant::now();
            let mut positions = self.positions(task);
            shuffle(&mut positions, &mut rng);
            first_step.get_or_insert((ready + begun.elapsed()).as_secs_f64());
            let objective = pulls(&anchors);
            let mut batch = Batch::default();
            let mut chosen = Vec::with_capacity(2 * BATCH);
            for current in positions.chunks(BATCH) {
                chosen.clear();
                chosen.extend_from_slice(current);
                if method == Method::Replay {
                    reservoir.draw(&mut chosen, &mut rng);
                    reservoir.offer(current, &mut rng);
                }
                self.train.pack(&chosen, &mut batch);
                learner.step(&batch, &mut update(&objective, &mut moments));
            }
            drop(objective);
            if method == Method::Ewc && task < 4 {
                anchors.push(self.anchor(&mut *learner, &positions, &mut moments));
            }
            seconds.push(start.elapsed().as_secs_f64());
        }
        let accuracy = self.accuracy(&mut *learner);
        Ok(Tasks {
            method,
            seconds,
            first_step: first_step.unwrap_or(0.0),
            accuracy,
        })
    }

    /// Samples of classes `2 task` and `2 task + 1`.
    fn positions(&self, task: u32) -> Vec<u32> {
        let of_task = |&p: &u32| self.train.label(p as usize) / 2 == task;
        (0..self.train.len() as u32).filter(of_task).collect()
    }

    fn anchor(
        &self,
        learner: &mut dyn Learner,
        positions: &[u32],
        moments: &mut Moments,
    ) -> Anchor {
        let mut strength = vec![0.0; self.network.layout().len()];
        let mut batch = Batch::default();
        let factor = LAMBDA / positions.len().div_ceil(BATCH) as f32;
        for current in positions.chunks(BATCH) {
            self.train.pack(current, &mut batch);
            learner.backward(&batch, &mut moments.grad);
            wide(
                #[inline(always)]
                || {
                    for (s, g) in strength.iter_mut().zip(&moments.grad) {
                        *s += factor * g * g;
                    }
                },
            );
        }
        Anchor {
            params: learner.params().to_vec(),
            strength,
        }
    }

    fn accuracy(&self, learner: &mut dyn Learner) -> f64 {
        let shard = Shard::whole(self.test.clone());
        let all: Vec<u32> = (0..shard.len() as u32).collect();
        let (mut batch, mut logits, mut hits) = (Batch::default(), Vec::new(), 0);
        for chunk in all.chunks(256) {
            shard.pack(chunk, &mut batch);
            learner.logits(&batch, &mut logits);
            let rows = logits.chunks_exact(10).zip(&batch.labels);
            hits += rows
                .filter(|(row, label)| argmax(row) == **label as usize)
                .count();
        }
        hits as f64 / shard.len().max(1) as f64
    }
}

fn pulls(anchors: &[Anchor]) -> Resolved<'_> {
    Resolved {
        pulls: anchors
            .iter()
            .map(|a| (ResolvedStrength::Each(&a.strength), a.params.as_slice()))
            .collect(),
        shifts: Vec::new(),
    }
}

fn update<'a>(objective: &'a Resolved<'a>, memory: &'a mut Moments) -> Update<'a> {
    Update {
        optimizer: Optimizer::Sgd { momentum: 0.0 },
        rate: RATE,
        weight_decay: 0.0,
        clip: None,
        objective,
        memory,
    }
}

impl Reservoir {
    /// Appends as many kept samples as a batch has, drawn with replacement.
    fn draw(&self, chosen: &mut Vec<u32>, rng: &mut Stream) {
        if !self.kept.is_empty() {
            chosen.extend((0..BATCH).map(|_| self.kept[rng.random_range(0..self.kept.len())]));
        }
    }

    /// Vitter's algorithm R: every sample seen so far is kept with the same probability.
    fn offer(&mut self, samples: &[u32], rng: &mut Stream) {
        for &sample in samples {
            self.seen += 1;
            if self.kept.len() < MEMORY {
                self.kept.push(sample);
            } else if let Some(place) = self.kept.get_mut(rng.random_range(0..self.seen)) {
                *place = sample;
            }
        }
    }
}
