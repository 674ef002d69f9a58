//! Samples, the shards that clients own, and the batches that engines see.

use crate::{ClientId, Loss, Network, Roster, wide};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Feature values of many samples, row-major, in the form they were read in.
#[derive(Clone, Debug, PartialEq)]
pub enum Features {
    /// Bytes, such as pixels; converted while a batch is packed.
    U8(Vec<u8>),
    /// Numbers that need no conversion.
    F32(Vec<f32>),
}

/// `(value - shift) * scale` per channel; what a packed value becomes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Affine {
    /// Subtracted first; one per channel, or one for all.
    pub shift: Vec<f32>,
    /// Multiplied then; as many as `shift`.
    pub scale: Vec<f32>,
}

impl Affine {
    fn is_identity(&self) -> bool {
        self.shift.iter().all(|&s| s == 0.0) && self.scale.iter().all(|&s| s == 1.0)
    }

    /// Leaves values as they are.
    pub fn identity() -> Self {
        Self {
            shift: vec![0.0],
            scale: vec![1.0],
        }
    }
}

/// Labelled samples of one shape. Shared read-only between clients and threads.
///
/// **Invariant:** features hold `labels.len()` samples of `shape`, every label is below `classes`.
#[derive(Clone, Debug, PartialEq)]
pub struct Samples {
    /// `[features]` or `[channels, height, width]`.
    pub shape: Vec<usize>,
    /// Number of classes.
    pub classes: usize,
    /// All values of sample 0, then of sample 1, ...
    pub features: Features,
    /// Class of each sample.
    pub labels: Vec<u32>,
    /// Applied while packing.
    pub affine: Affine,
}

impl Samples {
    /// Number of samples.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether there is no sample.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// Values per sample.
    pub fn width(&self) -> usize {
        self.shape.iter().product()
    }

    /// The converted values of one sample.
    pub fn values(&self, index: usize) -> Vec<f32> {
        let mut out = vec![0.0; self.width()];
        self.pack(index, &mut out);
        out
    }

    /// Writes the converted values of one sample to `out`, which is as wide as the sample.
    #[inline(always)]
    fn pack(&self, index: usize, out: &mut [f32]) {
        let width = out.len();
        let range = index * width..(index + 1) * width;
        match &self.features {
            Features::U8(bytes) => self.convert(&bytes[range], out),
            Features::F32(values) if self.affine.is_identity() => {
                out.copy_from_slice(&values[range])
            }
            Features::F32(values) => self.convert(&values[range], out),
        }
    }

    #[inline(always)]
    fn convert<T: Copy + Into<f32>>(&self, values: &[T], out: &mut [f32]) {
        let Affine { shift, scale } = &self.affine;
        let plane = out.len() / shift.len().max(1);
        let planes = out
            .chunks_exact_mut(plane.max(1))
            .zip(values.chunks_exact(plane.max(1)));
        for ((out, values), (shift, scale)) in planes.zip(shift.iter().zip(scale)) {
            for (o, &v) in out.iter_mut().zip(values) {
                *o = (v.into() - shift) * scale;
            }
        }
    }
}

/// One client's samples: positions in a pool that several clients may share.
#[derive(Clone, Debug)]
pub struct Shard {
    /// Where the samples are.
    pub pool: Arc<Samples>,
    /// Which of them are the client's, in the order of the data set.
    pub indices: Arc<[u32]>,
}

impl Shard {
    /// All samples of a pool.
    pub fn whole(pool: Arc<Samples>) -> Self {
        let indices = (0..pool.len() as u32).collect();
        Self { pool, indices }
    }

    /// Number of samples.
    pub fn len(&self) -> usize {
        self.indices.len()
    }

    /// Whether the client owns nothing.
    pub fn is_empty(&self) -> bool {
        self.indices.is_empty()
    }

    /// Class of the client's `position`-th sample.
    pub fn label(&self, position: usize) -> u32 {
        self.pool.labels[self.indices[position] as usize]
    }

    /// Puts the samples at `positions` into `batch`, replacing what it held.
    pub fn pack(&self, positions: &[u32], batch: &mut Batch) {
        let Batch {
            inputs,
            labels,
            weights,
            ..
        } = batch;
        weights.clear();
        labels.clear();
        let places = positions.iter().map(|&p| self.indices[p as usize] as usize);
        labels.extend(places.clone().map(|index| self.pool.labels[index]));
        let width = self.pool.width();
        inputs.resize(positions.len() * width, 0.0);
        wide(
            #[inline(always)]
            || {
                for (row, index) in inputs.chunks_exact_mut(width.max(1)).zip(places.clone()) {
                    self.pool.pack(index, row);
                }
            },
        );
    }
}

/// What the clients own and what a model is judged by. An idle client costs nothing: shards are
/// looked up or made when they are asked for.
pub trait Federation: Roster {
    /// Training samples of a client; the same ones on every call.
    fn shard(&self, client: ClientId) -> Shard;
    /// Samples that no client trains on.
    fn probe(&self, probe: Probe) -> Option<&Arc<Samples>>;
    /// All training samples in one pool, if they exist in one place, without validation samples.
    fn pooled(&self) -> Option<Shard>;
}

/// Which held-out samples.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Probe {
    /// Split off the training samples; choices may be made by it.
    Validation,
    /// The test set; no choice may be made by it.
    Test,
}

/// Samples of one step, converted, ready for an engine. Reused from step to step.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Batch {
    /// rows x inputs, row-major.
    pub inputs: Vec<f32>,
    /// Class of each row.
    pub labels: Vec<u32>,
    /// Weight of each row's loss; empty means 1 for all. The loss stays divided by the rows.
    pub weights: Vec<f32>,
    /// What the rows are to lose by; set once, kept from batch to batch.
    pub loss: Loss,
    /// Key of this step's dropout masks.
    pub noise: u64,
}

impl Batch {
    /// Number of samples.
    pub fn rows(&self) -> usize {
        self.labels.len()
    }

    /// Forgets the samples, keeps the loss and the memory.
    pub fn clear(&mut self) {
        self.inputs.clear();
        self.labels.clear();
        self.weights.clear();
    }

    /// Writes the dropout mask of layer `layer`: 0 or `1 / (1 - share)`, the same on every engine.
    pub fn dropout_mask(&self, layer: usize, share: f64, out: &mut [f32]) {
        use rand::RngExt;
        let mut rng = crate::Seed(self.noise).stream(
            crate::Purpose::DROPOUT,
            crate::Ticket(layer as u64),
            None,
        );
        let keep = (1.0 / (1.0 - share)) as f32;
        out.fill_with(|| {
            if rng.random::<f64>() < share {
                0.0
            } else {
                keep
            }
        });
    }

    /// Whether the batch fits a network.
    pub fn fits(&self, network: &Network) -> bool {
        self.inputs.len() == self.rows() * network.inputs()
            && self
                .labels
                .iter()
                .all(|&l| (l as usize) < network.classes())
            && (self.weights.is_empty() || self.weights.len() == self.rows())
    }
}
