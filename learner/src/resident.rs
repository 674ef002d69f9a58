//! Parameters that stay on their device from one step to the next.
//!
//! Where a device has memory of its own, the way of a model to it and back costs more than a step. A
//! [`ResidentLearner`] goes it once for each model that is loaded, and once back for what came of it.

use crate::{
    pass::{Gradient, Pass, Weights, values},
    rule::{self, Kept},
};
use burn::tensor::{DType, Device, Tensor, TensorData, Transaction};
use lyceum_core::{Batch, Learner, Mode, Moments, Network, Params, Update, step_by_gradient};
use std::cell::{Cell, OnceCell};

thread_local! {
    static COPIED: Cell<u64> = const { Cell::new(0) };
}

/// Whole models that learners of this thread have copied to their device.
pub fn models_copied() -> u64 {
    COPIED.get()
}

/// A learner whose parameters and moments stay on a Burn device.
///
/// Steps of plain rules (gradient descent with or without momentum, Adam, AdamW; with decay and clipping) are taken there. What
/// else acts on parameters, such as pulls towards a model, acts in the processor's memory, and the model is copied for it.
pub struct ResidentLearner {
    network: Network,
    device: Device,
    /// The parameters in the processor's memory, where somebody has asked for them since the last step.
    host: OnceCell<Vec<f32>>,
    /// One flat tensor for each of the layout's; absent where those in the processor's memory are newer.
    here: Option<Vec<Tensor<1>>>,
    /// The model that was loaded last, with its tensors: all clients of a unit may start from it.
    origin: Option<(Params, Vec<Tensor<1>>)>,
    kept: Kept,
    seen: Vec<f32>,
    squares: f64,
}

impl ResidentLearner {
    /// A learner with all parameters zero; `device` is taken without automatic differentiation.
    pub fn new(network: &Network, device: Device) -> Self {
        Self {
            network: network.clone(),
            device: device.without_autodiff(),
            host: OnceCell::from(vec![0.0; network.layout().len()]),
            here: None,
            origin: None,
            kept: Kept::default(),
            seen: Vec::new(),
            squares: 0.0,
        }
    }

    /// Copies flat values to the device, tensor by tensor.
    fn sent(&self, values: &[f32]) -> Vec<Tensor<1>> {
        let entries = self.network.layout().entries().iter();
        let send = |part: &[f32]| {
            let data = TensorData::new(part.to_vec(), [part.len()]);
            Tensor::from_data(data, (&self.device, DType::F32))
        };
        entries.map(|entry| send(&values[entry.range()])).collect()
    }

    fn sent_model(&self, values: &[f32]) -> Vec<Tensor<1>> {
        COPIED.set(COPIED.get() + 1);
        self.sent(values)
    }

    /// Makes sure that the parameters are on the device.
    fn arrive(&mut self) {
        if self.here.is_none() {
            let values = self.host.get().map_or(&[][..], Vec::as_slice);
            self.here = Some(self.sent_model(values));
        }
    }

    fn pass<'a>(&'a self, batch: &'a Batch, mode: Mode<'a>) -> Pass<'a> {
        Pass {
            network: &self.network,
            weights: Weights::There(self.here.as_deref().unwrap_or_default()),
            batch,
            device: &self.device,
            mode,
        }
    }

    /// Moments as the steps of a call left them, which its memory counts; those that came with the call are fetched once.
    fn moments(&mut self, memory: &Moments) {
        let before = memory.steps - 1;
        if before == 0 {
            self.kept = Kept::default();
        } else if self.kept.of != (memory.calls, before) {
            let all = |values: &[f32]| match values.is_empty() {
                true => Vec::new(),
                false => self.sent(values),
            };
            self.kept = Kept {
                first: all(&memory.first),
                second: all(&memory.second),
                of: (memory.calls, before),
            };
        }
    }

    /// A step on the device.
    fn step_here(&mut self, batch: &Batch, mode: Mode<'_>, update: &mut Update<'_>) -> f32 {
        self.arrive();
        update.begin(self.network.layout().len());
        let mut seen = std::mem::take(&mut self.seen);
        let (gradients, losses) = self.pass(batch, mode).found(&mut seen);
        self.seen = seen;
        self.moments(update.memory);
        let weights = self.here.take().unwrap_or_default();
        let gradients = by_entry(&self.network, gradients);
        let after = rule::after(&self.network, update, weights, gradients, &mut self.kept);
        self.kept.of = (update.memory.calls, update.memory.steps);
        self.here = Some(after);
        self.host.take();
        let (loss, squares) = losses.fetched();
        self.squares = squares;
        loss
    }
}

/// The gradient of each tensor of the layout, where it has one.
fn by_entry(network: &Network, gradients: Vec<Gradient>) -> Vec<Option<Tensor<1>>> {
    let entries = network.layout().entries();
    let mut all = vec![None; entries.len()];
    for (range, gradient) in gradients {
        let place = entries.binary_search_by_key(&range.start, |entry| entry.range().start);
        if let Ok(place) = place {
            all[place] = Some(gradient);
        }
    }
    all
}

/// The values of tensors, one behind the other.
fn fetched(tensors: &[Tensor<1>]) -> Vec<f32> {
    let register = |all: Transaction, tensor: &Tensor<1>| all.register(tensor.clone());
    let all = tensors.iter().fold(Transaction::default(), register);
    let all = all.execute();
    all.iter()
        .flat_map(|data| values(data).iter().copied())
        .collect()
}

impl std::fmt::Debug for ResidentLearner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ResidentLearner")
            .field("network", &self.network)
            .field("device", &self.device)
            .finish_non_exhaustive()
    }
}

impl Learner for ResidentLearner {
    fn load(&mut self, params: &Params) {
        let tensors = match self.origin.take() {
            Some((origin, tensors)) if origin.is_same(params) => tensors,
            _ => self.sent_model(params),
        };
        self.here = Some(tensors.clone());
        self.origin = Some((params.clone(), tensors));
        self.host.take();
    }

    fn params(&self) -> &[f32] {
        let fetch = || fetched(self.here.as_deref().unwrap_or_default());
        self.host.get_or_init(fetch)
    }

    fn params_mut(&mut self) -> &mut [f32] {
        self.params();
        self.here = None;
        self.host.get_mut().map_or(&mut [], Vec::as_mut_slice)
    }

    fn backward(&mut self, batch: &Batch, mode: Mode<'_>, grad: &mut [f32]) -> f32 {
        if batch.rows() == 0 {
            grad.fill(0.0);
            self.squares = 0.0;
            return 0.0;
        }
        self.arrive();
        let mut seen = std::mem::take(&mut self.seen);
        let (loss, squares) = self.pass(batch, mode).backward(grad, &mut seen);
        (self.seen, self.squares) = (seen, squares);
        loss
    }

    fn step(&mut self, batch: &Batch, mode: Mode<'_>, update: &mut Update<'_>) -> f32 {
        match batch.rows() > 0 && rule::is_known(update) {
            true => self.step_here(batch, mode, update),
            false => {
                self.settle(update.memory);
                step_by_gradient(self, batch, mode, update)
            }
        }
    }

    fn settle(&mut self, memory: &mut Moments) {
        if memory.steps > 0 && self.kept.of == (memory.calls, memory.steps) {
            let kept = std::mem::take(&mut self.kept);
            if !kept.first.is_empty() {
                memory.first = fetched(&kept.first);
            }
            if !kept.second.is_empty() {
                memory.second = fetched(&kept.second);
            }
        }
    }

    fn logits(&mut self, batch: &Batch, out: &mut Vec<f32>) {
        out.clear();
        if batch.rows() > 0 {
            self.arrive();
            self.pass(batch, Mode::Evaluate).logits(out);
        }
    }

    fn features(&mut self, batch: &Batch, out: &mut Vec<f32>) {
        out.clear();
        let body = self.network.without_head().filter(|_| batch.rows() > 0);
        let Some(body) = body else { return };
        self.arrive();
        let network = &body;
        let pass = Pass {
            network,
            ..self.pass(batch, Mode::Evaluate)
        };
        pass.logits(out);
    }

    fn seen_squares(&self) -> f64 {
        self.squares
    }

    fn seen_logits(&mut self, out: &mut Vec<f32>) {
        out.clear();
        out.extend_from_slice(&self.seen);
    }
}
