//! Samples, the shards that clients own, and the batches that engines see.

use crate::{
    Aims, ClientId, Corpus, Few, Kin, Lens, Loss, Network, Pairs, Roster, Sparse, Targets, TaskId,
    wide,
};
use serde::{Deserialize, Serialize};
use std::{borrow::Cow, ops::Range, sync::Arc};

/// Feature values of many samples, row-major, in the form they were read in.
#[derive(Clone, Debug, PartialEq)]
pub enum Features {
    /// Bytes, such as pixels; converted while a batch is packed.
    U8(Vec<u8>),
    /// Numbers that need no conversion.
    F32(Vec<f32>),
    /// Small whole numbers, such as tokens.
    U16(Vec<u16>),
    /// Samples that are nearly all zero.
    Sparse(Sparse),
    /// Pairs of a query and what may answer it.
    Pairs(Pairs),
}

impl Features {
    /// The values of some samples, each of `width` values, in this order.
    pub fn select(&self, indices: &[u32], width: usize) -> Self {
        fn rows<T: Copy>(values: &[T], indices: &[u32], width: usize) -> Vec<T> {
            let row = |&i: &u32| &values[i as usize * width..(i as usize + 1) * width];
            indices
                .iter()
                .flat_map(|i| row(i).iter().copied())
                .collect()
        }
        match self {
            Self::U8(values) => Self::U8(rows(values, indices, width)),
            Self::F32(values) => Self::F32(rows(values, indices, width)),
            Self::U16(values) => Self::U16(rows(values, indices, width)),
            Self::Sparse(sparse) => {
                let mut chosen = Sparse::default();
                for &index in indices {
                    let (places, values) = sparse.row(index as usize);
                    chosen.push(places.iter().copied().zip(values.iter().copied()));
                }
                Self::Sparse(chosen)
            }
            Self::Pairs(pairs) => Self::Pairs(Pairs {
                corpus: pairs.corpus.clone(),
                of: indices.iter().map(|&i| pairs.of[i as usize]).collect(),
                most: pairs.most,
            }),
        }
    }
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
/// **Invariant:** features hold `labels.len()` samples of `shape`, every label and target is below `classes`.
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
    /// Where a sample is answered place by place, as a sequence is: the classes of sample 0, then those of sample 1. Else empty.
    pub targets: Vec<u32>,
    /// Where samples have values to be met instead of a class, or several labels each: samples x `classes`, row-major. Else empty.
    pub goals: Vec<f32>,
    /// Applied while packing.
    pub affine: Affine,
}

impl Samples {
    /// Answers to one sample: 1, or one for each place of a sequence.
    pub fn answers(&self) -> usize {
        match self.targets.is_empty() {
            true => 1,
            false => self.targets.len() / self.labels.len().max(1),
        }
    }

    /// What the outputs of one sample should be; empty where it has a class.
    fn goals_of(&self, index: usize) -> &[f32] {
        match self.goals.is_empty() {
            true => &[],
            false => &self.goals[index * self.classes..(index + 1) * self.classes],
        }
    }

    /// Classes of the places of one sample; empty where it has a label alone.
    fn targets_of(&self, index: usize) -> &[u32] {
        let answers = match self.targets.is_empty() {
            true => 0,
            false => self.answers(),
        };
        &self.targets[index * answers..(index + 1) * answers]
    }

    /// Queries and candidates, where samples are pairs of them.
    pub fn pairs(&self) -> Option<&Pairs> {
        match &self.features {
            Features::Pairs(pairs) => Some(pairs),
            _ => None,
        }
    }

    /// Number of samples.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether there is no sample.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// Bytes of a sample as it is stored, without its label; of sparse ones, the mean.
    pub fn sample_bytes(&self) -> usize {
        match &self.features {
            Features::U8(_) => self.width(),
            Features::U16(_) => 2 * self.width(),
            Features::F32(_) => 4 * self.width(),
            Features::Sparse(sparse) => 8 * sparse.kept().len().div_ceil(self.len().max(1)),
            Features::Pairs(pairs) => pairs.mean_bytes(),
        }
    }

    /// Some of the samples, in this order, with everything that belongs to them.
    pub fn select(&self, indices: &[u32]) -> Self {
        let targets = indices.iter().flat_map(|&i| self.targets_of(i as usize));
        Self {
            shape: self.shape.clone(),
            classes: self.classes,
            features: self.features.select(indices, self.width()),
            labels: indices.iter().map(|&i| self.labels[i as usize]).collect(),
            targets: targets.copied().collect(),
            goals: indices
                .iter()
                .flat_map(|&i| self.goals_of(i as usize).iter().copied())
                .collect(),
            affine: self.affine.clone(),
        }
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
            Features::U16(values) => self.convert(&values[range], out),
            Features::Sparse(sparse) => sparse.spread(index, out),
            Features::Pairs(pairs) => pairs.pack(index, out),
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
    /// How the tasks of a stream show them; `None` shows them as they are.
    pub view: Option<View>,
}

/// Samples as the tasks of a stream show them.
#[derive(Clone, Debug)]
pub struct View {
    /// Of each task.
    pub lenses: Arc<[Lens]>,
    /// Which task shows which sample.
    pub tasks: Showing,
}

/// Which task shows which sample.
#[derive(Clone, Debug)]
pub enum Showing {
    /// One shows all.
    One(TaskId),
    /// One a sample, in the order of the shard.
    Each(Arc<[TaskId]>),
}

/// A sample of a pool as a task shows it: what buffers keep.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Item {
    /// Place in the pool.
    pub index: u32,
    /// The task that shows it.
    pub task: TaskId,
}

impl Shard {
    /// Samples at these places of a pool, as they are.
    pub fn new(pool: Arc<Samples>, indices: Arc<[u32]>) -> Self {
        Self {
            pool,
            indices,
            view: None,
        }
    }

    /// All samples of a pool.
    pub fn whole(pool: Arc<Samples>) -> Self {
        let indices = (0..pool.len() as u32).collect();
        Self::new(pool, indices)
    }

    /// These samples of the same pool, through the same lenses.
    pub fn of_items(&self, items: &[Item]) -> Self {
        let view = self.view.as_ref().map(|view| View {
            lenses: view.lenses.clone(),
            tasks: Showing::Each(items.iter().map(|i| i.task).collect()),
        });
        Self {
            pool: self.pool.clone(),
            indices: items.iter().map(|i| i.index).collect(),
            view,
        }
    }

    /// What a buffer would keep of the sample at a position.
    pub fn item(&self, position: usize) -> Item {
        let task = match &self.view {
            None => TaskId(0),
            Some(view) => view.task(position),
        };
        Item {
            index: self.indices[position],
            task,
        }
    }

    /// All samples, in order.
    pub fn items(&self) -> impl Iterator<Item = Item> + '_ {
        (0..self.len()).map(|p| self.item(p))
    }

    /// The class that an item is shown as.
    pub fn label_of(&self, item: Item) -> u32 {
        let label = self.pool.labels[item.index as usize];
        self.view
            .as_ref()
            .map_or(label, |v| v.lens(item).label(label))
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
        match &self.view {
            None => self.pool.labels[self.indices[position] as usize],
            Some(_) => self.label_of(self.item(position)),
        }
    }

    /// Samples of each class.
    pub fn class_counts(&self, classes: usize) -> Vec<u64> {
        let mut counts = vec![0; classes];
        let labels = (0..self.len()).map(|position| self.label(position));
        labels.for_each(|label| counts[label as usize] += 1);
        counts
    }

    /// Puts the samples at `positions` into `batch`, replacing what it held.
    pub fn pack(&self, positions: &[u32], batch: &mut Batch) {
        if self.view.is_some() {
            let items = positions.iter().map(|&p| self.item(p as usize));
            return self.pack_seen(items, batch);
        }
        let Batch {
            inputs,
            labels,
            targets,
            goals,
            weights,
            kin,
            few,
            ..
        } = batch;
        weights.clear();
        kin.clear();
        labels.clear();
        targets.clear();
        goals.clear();
        let places = positions.iter().map(|&p| self.indices[p as usize] as usize);
        labels.extend(places.clone().map(|index| self.pool.labels[index]));
        if !self.pool.targets.is_empty() {
            targets.extend(places.clone().flat_map(|index| self.pool.targets_of(index)));
        }
        if !self.pool.goals.is_empty() {
            goals.extend(places.clone().flat_map(|index| self.pool.goals_of(index)));
        }
        if let Some(pairs) = self.pool.pairs() {
            kin.find(pairs, places.clone());
            return few.fill(
                inputs,
                self.pool.width() / 2,
                places.map(|at| pairs.kept(at)),
            );
        }
        few.clear();
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

    /// Puts items into `batch`, replacing what it held. They may be of any task of the stream.
    pub fn pack_items(&self, items: &[Item], batch: &mut Batch) {
        self.pack_seen(items.iter().copied(), batch);
    }

    fn pack_seen(&self, items: impl ExactSizeIterator<Item = Item> + Clone, batch: &mut Batch) {
        let Batch {
            inputs,
            labels,
            targets,
            goals,
            weights,
            spare,
            kin,
            few,
            ..
        } = batch;
        weights.clear();
        kin.clear();
        labels.clear();
        targets.clear();
        goals.clear();
        labels.extend(items.clone().map(|item| self.label_of(item)));
        if !self.pool.targets.is_empty() {
            let places = items.clone().map(|item| item.index as usize);
            targets.extend(places.flat_map(|index| self.pool.targets_of(index)));
        }
        if !self.pool.goals.is_empty() {
            let places = items.clone().map(|item| item.index as usize);
            goals.extend(places.flat_map(|index| self.pool.goals_of(index)));
        }
        if let Some(pairs) = self.pool.pairs() {
            let places = items.map(|item| item.index as usize);
            kin.find(pairs, places.clone());
            return few.fill(
                inputs,
                self.pool.width() / 2,
                places.map(|at| pairs.kept(at)),
            );
        }
        few.clear();
        let width = self.pool.width();
        inputs.resize(items.len() * width, 0.0);
        wide(
            #[inline(always)]
            || {
                for (row, item) in inputs.chunks_exact_mut(width.max(1)).zip(items.clone()) {
                    self.pool.pack(item.index as usize, row);
                    if let Some(view) = &self.view {
                        view.lens(item).apply(item.index as usize, row, spare);
                    }
                }
            },
        );
    }
}

impl View {
    fn task(&self, position: usize) -> TaskId {
        match &self.tasks {
            Showing::One(task) => *task,
            Showing::Each(tasks) => tasks[position],
        }
    }

    fn lens(&self, item: Item) -> &Lens {
        &self.lenses[item.task.0 as usize]
    }
}

/// What the clients own and what a model is judged by. An idle client costs nothing: shards are
/// looked up or made when they are asked for.
pub trait Federation: Roster {
    /// Training samples of a client; the same ones on every call. Lent where they are kept: handles in them are counted,
    /// and threads that count the same one wait for each other.
    fn shard(&self, client: ClientId) -> Cow<'_, Shard>;
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
    /// The test samples of one task of a stream, as the task shows them; no choice may be made by them.
    Task(TaskId),
    /// The validation samples of one task of a stream, as the task shows them; a competence gate judges by them, and so
    /// does a stream that validates each task while it is learned.
    Gate(TaskId),
}

/// Samples of one step, converted, ready for an engine. Reused from step to step.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Batch {
    /// rows x inputs, row-major.
    pub inputs: Vec<f32>,
    /// Class of each row.
    pub labels: Vec<u32>,
    /// Where rows are answered place by place: the classes of row 0, then those of row 1. Else empty.
    pub targets: Vec<u32>,
    /// Where rows have values to be met instead of a class: rows x outputs. Else empty.
    pub goals: Vec<f32>,
    /// Where rows are pairs: which of them answer each other. Else empty.
    pub kin: Kin,
    /// What of the inputs is not zero, where that is known to be little.
    pub few: Few,
    /// Weight of each row's loss; empty means 1 for all. The loss stays divided by the rows.
    pub weights: Vec<f32>,
    /// What the rows are to lose by; set once, kept from batch to batch.
    pub loss: Loss,
    /// What rows lose by besides their labels; emptied with the samples.
    pub aims: Aims,
    /// Whether the engine is to remember the logits of a step ([`Learner::seen_logits`](crate::Learner::seen_logits));
    /// set once.
    pub keep_logits: bool,
    /// Room for lenses; its content means nothing.
    pub spare: Vec<f32>,
}

impl Batch {
    /// Number of samples.
    pub fn rows(&self) -> usize {
        self.labels.len()
    }

    /// The class of each answer: of each row, or of each place of each row.
    pub fn answers(&self) -> &[u32] {
        match self.targets.is_empty() {
            true => &self.labels,
            false => &self.targets,
        }
    }

    /// What the outputs should be: of each row, or of each place of each row.
    pub fn wanted(&self) -> Targets<'_> {
        match self.goals.is_empty() {
            true => Targets::Classes(self.answers()),
            false => Targets::Values {
                values: &self.goals,
                outputs: self.goals.len() / self.rows().max(1),
            },
        }
    }

    /// Forgets the samples, keeps the loss and the memory.
    pub fn clear(&mut self) {
        self.inputs.clear();
        self.few.clear();
        self.labels.clear();
        self.targets.clear();
        self.goals.clear();
        self.kin.clear();
        self.weights.clear();
        self.aims.clear();
    }

    /// Puts candidates into the second halves of rows whose first halves are empty, replacing what it held.
    pub fn pack_candidates(&mut self, corpus: &Corpus, range: Range<u32>) {
        let Self {
            inputs,
            few,
            labels,
            weights,
            kin,
            ..
        } = self;
        kin.clear();
        weights.clear();
        labels.clear();
        labels.resize(range.len(), 0);
        let nothing: (&[u32], &[f32]) = (&[], &[]);
        let rows = range.map(|candidate| [nothing, corpus.candidates.row(candidate as usize)]);
        few.fill(inputs, corpus.width, rows);
    }

    /// Whether the batch fits a network.
    pub fn fits(&self, network: &Network) -> bool {
        self.inputs.len() == self.rows() * network.inputs()
            && self.answers().len() == self.rows() * network.answers()
            && self
                .answers()
                .iter()
                .all(|&l| (l as usize) < network.classes())
            && (self.weights.is_empty() || self.weights.len() == self.rows())
    }
}
