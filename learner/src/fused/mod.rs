//! The fused engine: known layers on the processor, without a graph.
//!
//! Forward, backward and update run over buffers that are made once per learner; a step of a size
//! that was seen before allocates nothing, takes no lock and starts no thread. Products are by the
//! `gemm` crate, everything else is a pass over slices. The same inputs give the same bits.

mod conv;
mod kernel;
mod layers;
mod pool;

use conv::room;
use layers::{Op, ops};
use lyceum_core::{Batch, Learner, Loss, Network};

/// A learner for any network, on one thread.
#[derive(Debug)]
pub struct FusedLearner {
    network: Network,
    params: Vec<f32>,
    ops: Vec<Op>,
    buffers: Buffers,
}

/// What is kept from step to step.
#[derive(Debug, Default)]
pub(crate) struct Buffers {
    /// Output of each operation; images are channels x rows x height x width, flat values rows x width.
    outputs: Vec<Vec<f32>>,
    /// The input, laid out as the first operation wants it.
    input: Vec<f32>,
    /// Where each maximum was found, per operation.
    found: Vec<Vec<u32>>,
    /// Dropout mask of each operation, in the layout of its output.
    masks: Vec<Vec<f32>>,
    /// Slopes at the output and the input of the operation that is walked back.
    slope: Vec<f32>,
    next_slope: Vec<f32>,
    unfolded: Vec<f32>,
}

impl FusedLearner {
    /// A learner with all parameters zero.
    pub fn new(network: &Network) -> Self {
        let ops = ops(network);
        let buffers = Buffers {
            outputs: vec![Vec::new(); ops.len()],
            found: vec![Vec::new(); ops.len()],
            masks: vec![Vec::new(); ops.len()],
            ..Buffers::default()
        };
        Self {
            network: network.clone(),
            params: vec![0.0; network.layout().len()],
            ops,
            buffers,
        }
    }

    fn forward(&mut self, batch: &Batch, training: bool) {
        let Self {
            network,
            params,
            ops,
            buffers,
        } = self;
        let rows = batch.rows();
        layers::arrange_input(network, batch, &mut buffers.input);
        for (index, op) in ops.iter().enumerate() {
            let (before, after) = buffers.outputs.split_at_mut(index);
            let input = before.last().unwrap_or(&buffers.input);
            let output = &mut after[0];
            output.resize(rows * op.width(), 0.0);
            let scratch = layers::Scratch {
                found: &mut buffers.found[index],
                mask: &mut buffers.masks[index],
                unfolded: &mut buffers.unfolded,
            };
            op.forward(params, input, output, batch, training, scratch);
        }
    }

    fn logits_now(&self) -> &[f32] {
        self.buffers.outputs.last().unwrap_or(&self.buffers.input)
    }

    /// Mean weighted loss; leaves its slope at the logits.
    fn loss(&mut self, batch: &Batch) -> f32 {
        let (rows, classes) = (batch.rows(), self.network.classes());
        let logits = self.buffers.outputs.last().unwrap_or(&self.buffers.input);
        let slope = room(&mut self.buffers.slope, rows * classes);
        let slope_of = match batch.loss {
            Loss::CrossEntropy => layers::softmax_slope,
            Loss::Sigmoid => layers::sigmoid_slope,
        };
        let mut total = 0.0;
        let lines = logits
            .chunks_exact(classes)
            .zip(slope.chunks_exact_mut(classes));
        for (row, ((logits, slope), &label)) in lines.zip(&batch.labels).enumerate() {
            let weight = batch.weights.get(row).copied().unwrap_or(1.0);
            total += weight * slope_of(logits, label as usize, weight / rows as f32, slope);
        }
        total / rows as f32
    }

    fn walk_back(&mut self, rows: usize, grad: &mut [f32]) {
        let Self {
            params,
            ops,
            buffers,
            ..
        } = self;
        let first = ops.iter().position(Op::has_params).unwrap_or(ops.len());
        for (index, op) in ops.iter().enumerate().skip(first).rev() {
            let input = if index == 0 {
                &buffers.input
            } else {
                &buffers.outputs[index - 1]
            };
            let goes_on = index > first;
            let back = layers::Back {
                rows,
                input,
                output: &buffers.outputs[index],
                slope: &buffers.slope[..buffers.outputs[index].len()],
                found: &buffers.found[index],
                mask: &buffers.masks[index],
                unfolded: &mut buffers.unfolded,
                grad,
            };
            let wanted = goes_on.then(|| room(&mut buffers.next_slope, input.len()));
            op.backward(params, back, wanted);
            std::mem::swap(&mut buffers.slope, &mut buffers.next_slope);
        }
    }
}

impl Learner for FusedLearner {
    fn load(&mut self, params: &[f32]) {
        self.params.copy_from_slice(params);
    }

    fn params(&self) -> &[f32] {
        &self.params
    }

    fn params_mut(&mut self) -> &mut [f32] {
        &mut self.params
    }

    fn backward(&mut self, batch: &Batch, grad: &mut [f32]) -> f32 {
        if batch.rows() == 0 {
            grad.fill(0.0);
            return 0.0;
        }
        self.forward(batch, true);
        let loss = self.loss(batch);
        self.walk_back(batch.rows(), grad);
        loss
    }

    fn logits(&mut self, batch: &Batch, out: &mut Vec<f32>) {
        out.clear();
        if batch.rows() > 0 {
            self.forward(batch, false);
            out.extend_from_slice(self.logits_now());
        }
    }
}
