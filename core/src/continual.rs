//! How a client holds on to what it learned before.
//!
//! A method is an immutable rule beside a serialisable state per client; the state belongs to the coordinator between
//! rounds, like every client state. Authors implement [`ContinualMethod`]; holders see its erased twin [`AnyMethod`].
//!
//! One local training call goes: `end_task` of the task before and `begin_task`, if a new one has come; `begin_call`;
//! then for each step `rows`, the gradient, `gradient`, the update, `after_step`; at last `end_call`.

use crate::{
    Batch, Head, Item, Learner, Loss, Match, MatchKind, Mode, Network, Optimizer, Params, Predict,
    Reach, Seed, Shard, Sizes, Stream, TaskView, codec, units::Misfit,
};
use serde::{Serialize, de::DeserializeOwned};
use std::{ops::Range, sync::Arc};

/// A continual-learning method.
pub trait ContinualMethod: Send + Sync + 'static {
    /// What a client remembers between rounds. Fields that one call only needs are skipped by serde.
    type State: Serialize + DeserializeOwned + Default + Send + 'static;

    /// What the method asks of the training loop and of the scenario.
    fn needs(&self) -> Needs {
        Needs::default()
    }

    /// Keys that are in range each, but do not go together.
    fn misfit(&self) -> Option<Misfit> {
        None
    }

    /// What does not go with a model; its key is in the method's own table.
    fn unfit(&self, network: &Network) -> Option<Misfit> {
        let _ = network;
        None
    }

    /// What is wrong with its memory for samples of so many bytes and networks with so many logits.
    fn cramped(&self, sample: usize, logits: usize) -> Option<Misfit> {
        let _ = (sample, logits);
        None
    }

    /// How many samples of so many bytes it keeps at most, each kept with so many logits; `None` where it keeps none, or
    /// without a limit of the whole.
    fn places(&self, sample: usize, logits: usize) -> Option<usize> {
        let _ = (sample, logits);
        None
    }

    /// Bytes of a client's state at most. More are refused.
    fn most_bytes(&self, sizes: &Sizes) -> u64 {
        sizes.plenty()
    }

    /// How a model that is trained with the method answers; `None` for the largest logit. One method of a scenario may say so.
    fn predict(&self) -> Option<Arc<dyn Predict>> {
        None
    }

    /// A task has come; the learner holds the global model.
    fn begin_task(&self, state: &mut Self::State, site: &mut Site<'_>) {
        let _ = (state, site);
    }

    /// A training call begins; the learner holds the global model.
    fn begin_call(&self, state: &mut Self::State, site: &mut Site<'_>) -> Lessons {
        let _ = (state, site);
        Lessons::default()
    }

    /// Strength and anchor of what pulls parameters during the call: adds `strength * (w - anchor)` to the gradient.
    fn pulls(&self, state: &Self::State) -> Vec<(Params, Params)> {
        let _ = state;
        Vec::new()
    }

    /// The prior of the call where weights are distributions, in the place of the one that the scenario or a rule gives; of several
    /// methods the last one's counts.
    fn prior(&self, state: &Self::State) -> Option<Params> {
        let _ = state;
        None
    }
    /// Adds rows to the coming step, and says what its rows are to match.
    fn rows(&self, state: &mut Self::State, draft: &mut Draft, site: &mut Site<'_>) {
        let _ = (state, draft, site);
    }

    /// Changes the gradient of the step's data loss. Only if [`Needs::gradient`].
    fn gradient(&self, state: &mut Self::State, grad: &mut [f32], site: &mut Site<'_>) {
        let _ = (state, grad, site);
    }

    /// Sees a step that was taken. Only if [`Needs::steps`] or [`Needs::logits`].
    fn after_step(&self, state: &mut Self::State, step: &Step<'_>, site: &mut Site<'_>) {
        let _ = (state, step, site);
    }

    /// The call is over; the learner holds what it came to, and may still be changed.
    fn end_call(&self, state: &mut Self::State, site: &mut Site<'_>) {
        let _ = (state, site);
    }

    /// A task is over, because another has come. `site` sees all of the client's samples of the task that is over, and
    /// the learner holds the global model.
    fn end_task(&self, state: &mut Self::State, site: &mut Site<'_>) {
        let _ = (state, site);
    }
}

/// What a method asks of the training loop and of the scenario.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Needs {
    /// Which tasks' samples a call goes through.
    pub reach: Reach,
    /// To be told when a task begins, so streams without boundaries are refused.
    pub boundaries: bool,
    /// To change the gradient before it is applied.
    pub gradient: bool,
    /// To see parameters and gradient of every step.
    pub steps: bool,
    /// To see the logits of every step.
    pub logits: bool,
    /// Plain SGD without momentum.
    pub plain_sgd: bool,
    /// Training by [`Loss::Sigmoid`].
    pub sigmoid: bool,
    /// A model that ends in a dense layer.
    pub features: bool,
    /// Room for means of features of all classes in [`MEANS`] of the model, which the server averages.
    pub means: bool,
    /// Room for importances of all parameters in [`IMPORTANCES`] of the model, which the server averages.
    pub importances: bool,
}

impl Needs {
    /// What two methods ask for together.
    pub fn and(self, other: Self) -> Self {
        Self {
            reach: self.reach.max(other.reach),
            boundaries: self.boundaries || other.boundaries,
            gradient: self.gradient || other.gradient,
            steps: self.steps || other.steps,
            logits: self.logits || other.logits,
            plain_sgd: self.plain_sgd || other.plain_sgd,
            sigmoid: self.sigmoid || other.sigmoid,
            features: self.features || other.features,
            means: self.means || other.means,
            importances: self.importances || other.importances,
        }
    }
}

/// Name of the tensor that holds, for a method with [`Needs::means`], a row of `features + 1` values for each
/// class: the mean of its normalised features, and 1 where the class has a mean. Averages of models then hold weighted
/// averages of means: the mean times the share of clients that have one, and that share.
pub const MEANS: &str = "means";

/// Name of the tensor that holds, for a method with [`Needs::importances`], a value for each parameter of the layers.
pub const IMPORTANCES: &str = "importances";

/// What a training call goes through, where that is not the samples in sight.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Lessons {
    /// Go through these besides the samples in sight.
    pub also: Vec<Item>,
    /// Go through [`also`](Self::also) alone.
    pub only: bool,
    /// Start from these parameters instead of the global model; of several methods the last one's count.
    pub start: Option<Params>,
    /// Passes, instead of the scenario's.
    pub epochs: Option<usize>,
    /// Where the parameters stand that the method keeps as they are. A batch normalisation whose running statistics
    /// are among them is one function: it normalises by these in training, too ([`Network::fixed`]).
    pub frozen: Vec<Range<usize>>,
}

/// What a method works with.
pub struct Site<'a> {
    /// The model.
    pub learner: &'a mut dyn Learner,
    /// What it looks like.
    pub network: &'a Network,
    /// The samples in sight: what a call goes through, [`Lessons::also`] behind them once it goes through those.
    pub sight: &'a Shard,
    /// The task that the client is at; in `end_task`, the one that is over.
    pub task: &'a TaskView,
    /// The method's own stream of this call.
    pub rng: &'a mut Stream,
    /// Dropout masks of gradients that a method takes in training.
    pub noise: &'a mut Stream,
    /// One flag a layer: which batch normalisations are frozen in this call. Known after `begin_call`.
    pub fixed: &'a [bool],
    /// To pack samples into; it has the [`sets`] of the task.
    pub batch: &'a mut Batch,
    /// What the scenario minimises.
    pub loss: Loss,
    /// Which logits count.
    pub head: Head,
    /// The update rule.
    pub optimizer: Optimizer,
    /// Learning rate of the step, or of the first.
    pub rate: f32,
    /// Samples per step.
    pub rows: usize,
    /// Root of all randomness.
    pub seed: Seed,
}

impl<'a> Site<'a> {
    /// Packs items as plain rows: their own labels, the classes that the head opens to them, no targets.
    pub fn pack(&mut self, items: &[Item]) -> &Batch {
        self.batch.clear();
        self.sight.pack_items(items, self.batch);
        self.batch.loss = self.loss;
        if self.head.masks() {
            let open = items.iter().map(|item| self.head.set_of(*item));
            self.batch.aims.open.extend(open);
        }
        self.batch
    }

    /// One flag a class: whether the head opens it to an item's loss. `None` where all are.
    pub fn open(&self, item: Item) -> Option<&[bool]> {
        let set = self.head.set_of(item) as usize;
        self.batch.aims.sets.get(set).map(Vec::as_slice)
    }

    /// Training with fresh noise, as in the steps of the call.
    pub fn training(&mut self) -> Mode<'a> {
        Mode::train(self.network, self.noise, self.fixed)
    }

    /// Mean loss of items by their labels; its gradient replaces `grad`.
    pub fn backward(&mut self, items: &[Item], mode: Mode<'_>, grad: &mut [f32]) -> f32 {
        self.pack(items);
        self.learner.backward(self.batch, mode, grad)
    }

    /// Logits of any number of items, rows x classes; replaces `out`.
    pub fn logits(&mut self, items: &[Item], out: &mut Vec<f32>) {
        self.in_parts(items, out, |learner, batch, part| {
            learner.logits(batch, part)
        });
    }

    /// Values in front of the last dense layer of any number of items; replaces `out`.
    pub fn features(&mut self, items: &[Item], out: &mut Vec<f32>) {
        self.in_parts(items, out, |learner, batch, part| {
            learner.features(batch, part)
        });
    }

    fn in_parts(
        &mut self,
        items: &[Item],
        out: &mut Vec<f32>,
        compute: impl Fn(&mut dyn Learner, &Batch, &mut Vec<f32>),
    ) {
        let mut part = Vec::new();
        out.clear();
        for items in items.chunks(PART) {
            self.pack(items);
            compute(self.learner, self.batch, &mut part);
            out.extend_from_slice(&part);
        }
    }

    /// Labels of items as their tasks show them.
    pub fn labels(&self, items: &[Item]) -> Vec<u32> {
        items.iter().map(|&i| self.sight.label_of(i)).collect()
    }
}

/// Rows of one forward pass. Fixed, so that no result depends on the machine.
const PART: usize = 256;

/// Positions of sets of classes that every draft has, in [`Aims::sets`](crate::Aims::sets).
pub mod sets {
    /// Labels of the task that the client is at.
    pub const CURRENT: u32 = 0;
    /// Labels of the tasks before it.
    pub const BEFORE: u32 = 1;
    /// Both.
    pub const SEEN: u32 = 2;
    /// All but [`BEFORE`]: those of the task, and those that were never seen.
    pub const FRESH: u32 = 3;
    /// First of the sets of the stream's tasks, in their order.
    pub const TASKS: u32 = 4;
}

impl Head {
    /// Whether some rows' losses are over fewer classes than there are.
    pub fn masks(self) -> bool {
        matches!(self, Self::Seen | Self::Multi)
    }

    /// The set of classes that an item's label loss is over: a position in [`sets`], or
    /// [`ALL_CLASSES`](crate::ALL_CLASSES).
    pub fn set_of(self, item: Item) -> u32 {
        match self {
            Self::Multi => sets::TASKS + item.task.0,
            Self::Seen => sets::SEEN,
            Self::Shared | Self::Masked => crate::ALL_CLASSES,
        }
    }
}

/// The rows of a step before they are packed. Reused from step to step.
#[derive(Clone, Debug, Default)]
pub struct Draft {
    /// Positions, in the samples that the call goes through, of the rows that the course brings: the first rows.
    pub positions: Vec<u32>,
    /// All rows.
    pub items: Vec<Item>,
    /// Weight of each row's label loss, as the course gives it or as a method sets it. The loss of the step is the
    /// sum over rows of weight times loss, divided by [`divisor`](Self::divisor).
    pub weights: Vec<f32>,
    /// Set of classes of each row's label loss; a position in [`sets`], or [`ALL_CLASSES`](crate::ALL_CLASSES).
    pub open: Vec<u32>,
    /// What each row is matched to.
    pub matches: Vec<Match>,
    /// Logits to match, rows x classes.
    pub targets: Vec<f32>,
    /// What the sum over the rows is divided by; at first the number of rows that the course brings.
    pub divisor: f32,
    /// Number of logits.
    pub classes: usize,
}

impl Draft {
    /// The rows that a course brings at these positions of its samples. `weights` are of all samples, or empty for 1.
    pub fn begin(&mut self, classes: usize, samples: &Shard, positions: &[u32], weights: &[f32]) {
        let Self {
            positions: own,
            items,
            weights: row_weights,
            open,
            matches,
            targets,
            ..
        } = self;
        own.clear();
        own.extend_from_slice(positions);
        items.clear();
        items.extend(positions.iter().map(|&p| samples.item(p as usize)));
        row_weights.clear();
        match weights.is_empty() {
            true => row_weights.resize(positions.len(), 1.0),
            false => row_weights.extend(positions.iter().map(|&p| weights[p as usize])),
        }
        open.clear();
        matches.clear();
        targets.clear();
        self.divisor = positions.len() as f32;
        self.classes = classes;
    }

    /// Gives weights, masks and targets to the batch that the rows were packed into.
    pub fn finish(&self, batch: &mut Batch) {
        let rows = self.items.len();
        let scale = rows as f32 / self.divisor;
        let plain = scale == 1.0 && self.weights.iter().all(|&w| w == 1.0);
        batch.weights.clear();
        if !plain {
            batch.weights.extend(self.weights.iter().map(|w| w * scale));
        }
        let aims = &mut batch.aims;
        aims.clear();
        aims.open.extend_from_slice(&self.open);
        if !self.matches.is_empty() {
            let weighed = |aim: &Match| Match {
                weight: aim.weight * scale,
                ..*aim
            };
            aims.matches.extend(self.matches.iter().map(weighed));
            aims.matches.resize(rows, Match::default());
            aims.values.extend_from_slice(&self.targets);
            aims.values.resize(rows * self.classes, 0.0);
        }
    }

    /// Weight of each of `rows` rows whose mean loss is to count `factor` times.
    pub fn mean_of(&self, rows: usize, factor: f32) -> f32 {
        factor * self.divisor / rows.max(1) as f32
    }

    /// Rows now.
    pub fn rows(&self) -> usize {
        self.items.len()
    }

    /// Rows that the course brings; those of methods come behind them.
    pub fn own(&self) -> usize {
        self.positions.len()
    }

    /// Appends a row whose label loss has this weight.
    pub fn push(&mut self, item: Item, weight: f32) {
        self.items.push(item);
        self.weights.push(weight);
    }

    /// Appends a row that loses by a match to `target` alone.
    pub fn push_matched(&mut self, item: Item, kind: MatchKind, weight: f32, target: &[f32]) {
        self.push(item, 0.0);
        let open = crate::ALL_CLASSES;
        self.matched(self.items.len() - 1, Match { kind, weight, open }, target);
    }

    /// Says what a row is to match besides its label; `target` has a logit a class.
    pub fn matched(&mut self, row: usize, aim: Match, target: &[f32]) {
        let rows = self.items.len();
        self.matches.resize(rows, Match::default());
        self.targets.resize(rows * self.classes, 0.0);
        self.matches[row] = aim;
        self.targets[row * self.classes..][..self.classes].copy_from_slice(target);
    }

    /// The label losses of the rows so far and of those behind them are to be divided by one number of rows: those of
    /// the course and `more`. What matches count stays as it is.
    pub fn share_with(&mut self, more: usize) {
        let before = self.divisor;
        self.divisor += more as f32;
        let growth = self.divisor / before;
        self.matches.iter_mut().for_each(|m| m.weight *= growth);
    }
}

/// A step that was taken.
#[derive(Clone, Copy, Debug)]
pub struct Step<'a> {
    /// Its rows.
    pub draft: &'a Draft,
    /// The gradient of its data loss; empty unless [`Needs::steps`].
    pub grad: &'a [f32],
    /// The parameters before it; empty unless [`Needs::steps`].
    pub before: &'a [f32],
    /// The logits that it saw, rows x classes; empty unless [`Needs::logits`].
    pub logits: &'a [f32],
}

/// A method whose state type is hidden. Implemented for every [`ContinualMethod`].
pub trait AnyMethod: Send + Sync {
    /// Takes up the work of a client; `memory` is what it left behind last time.
    fn start(
        self: Arc<Self>,
        memory: Option<&[u8]>,
    ) -> Result<Box<dyn MethodRun>, codec::CodecError>;
    /// See [`ContinualMethod::needs`].
    fn needs(&self) -> Needs;
    /// See [`ContinualMethod::misfit`].
    fn misfit(&self) -> Option<Misfit>;
    /// See [`ContinualMethod::unfit`].
    fn unfit(&self, network: &Network) -> Option<Misfit>;
    /// See [`ContinualMethod::cramped`].
    fn cramped(&self, sample: usize, logits: usize) -> Option<Misfit>;
    /// See [`ContinualMethod::places`].
    fn places(&self, sample: usize, logits: usize) -> Option<usize>;
    /// See [`ContinualMethod::most_bytes`].
    fn most_bytes(&self, sizes: &Sizes) -> u64;
    /// See [`ContinualMethod::predict`].
    fn predict(&self) -> Option<Arc<dyn Predict>>;
}

/// A method at work for one client.
pub trait MethodRun: Send {
    /// See [`ContinualMethod::needs`].
    fn needs(&self) -> Needs;
    /// See [`ContinualMethod::begin_task`].
    fn begin_task(&mut self, site: &mut Site<'_>);
    /// See [`ContinualMethod::begin_call`].
    fn begin_call(&mut self, site: &mut Site<'_>) -> Lessons;
    /// See [`ContinualMethod::pulls`].
    fn pulls(&self) -> Vec<(Params, Params)>;
    /// See [`ContinualMethod::prior`].
    fn prior(&self) -> Option<Params>;
    /// See [`ContinualMethod::rows`].
    fn rows(&mut self, draft: &mut Draft, site: &mut Site<'_>);
    /// See [`ContinualMethod::gradient`].
    fn gradient(&mut self, grad: &mut [f32], site: &mut Site<'_>);
    /// See [`ContinualMethod::after_step`].
    fn after_step(&mut self, step: &Step<'_>, site: &mut Site<'_>);
    /// See [`ContinualMethod::end_call`].
    fn end_call(&mut self, site: &mut Site<'_>);
    /// See [`ContinualMethod::end_task`].
    fn end_task(&mut self, site: &mut Site<'_>);
    /// The state as bytes.
    fn save(&self) -> Vec<u8>;
}

struct Running<M: ContinualMethod> {
    rule: Arc<M>,
    state: M::State,
}

impl<M: ContinualMethod> AnyMethod for M {
    fn start(
        self: Arc<Self>,
        memory: Option<&[u8]>,
    ) -> Result<Box<dyn MethodRun>, codec::CodecError> {
        let state = match memory {
            Some(bytes) => codec::decode(bytes)?,
            None => M::State::default(),
        };
        Ok(Box::new(Running { rule: self, state }))
    }

    fn needs(&self) -> Needs {
        ContinualMethod::needs(self)
    }

    fn misfit(&self) -> Option<Misfit> {
        ContinualMethod::misfit(self)
    }

    fn unfit(&self, network: &Network) -> Option<Misfit> {
        ContinualMethod::unfit(self, network)
    }

    fn cramped(&self, sample: usize, logits: usize) -> Option<Misfit> {
        ContinualMethod::cramped(self, sample, logits)
    }

    fn places(&self, sample: usize, logits: usize) -> Option<usize> {
        ContinualMethod::places(self, sample, logits)
    }

    fn most_bytes(&self, sizes: &Sizes) -> u64 {
        ContinualMethod::most_bytes(self, sizes)
    }

    fn predict(&self) -> Option<Arc<dyn Predict>> {
        ContinualMethod::predict(self)
    }
}

impl<M: ContinualMethod> MethodRun for Running<M> {
    fn needs(&self) -> Needs {
        ContinualMethod::needs(&*self.rule)
    }

    fn begin_task(&mut self, site: &mut Site<'_>) {
        self.rule.begin_task(&mut self.state, site);
    }

    fn begin_call(&mut self, site: &mut Site<'_>) -> Lessons {
        self.rule.begin_call(&mut self.state, site)
    }

    fn pulls(&self) -> Vec<(Params, Params)> {
        self.rule.pulls(&self.state)
    }

    fn prior(&self) -> Option<Params> {
        self.rule.prior(&self.state)
    }

    fn rows(&mut self, draft: &mut Draft, site: &mut Site<'_>) {
        self.rule.rows(&mut self.state, draft, site);
    }

    fn gradient(&mut self, grad: &mut [f32], site: &mut Site<'_>) {
        self.rule.gradient(&mut self.state, grad, site);
    }

    fn after_step(&mut self, step: &Step<'_>, site: &mut Site<'_>) {
        self.rule.after_step(&mut self.state, step, site);
    }

    fn end_call(&mut self, site: &mut Site<'_>) {
        self.rule.end_call(&mut self.state, site);
    }

    fn end_task(&mut self, site: &mut Site<'_>) {
        self.rule.end_task(&mut self.state, site);
    }

    fn save(&self) -> Vec<u8> {
        codec::encode(&self.state)
    }
}
