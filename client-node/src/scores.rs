//! Losses of a shard's samples under some parameters.

use crate::Worker;
use lyceum_core::{Batch, Shard, argmax};

/// Rows of one forward pass. Fixed, so that no result depends on the machine.
pub(crate) const CHUNK: usize = 256;

impl Worker {
    /// The scenario's loss of every sample of a shard under the loaded parameters, in nats; or, if `error`,
    /// 1 for each miss and 0 for each hit.
    pub(crate) fn sample_losses(&mut self, shard: &Shard, error: bool) -> Vec<f32> {
        let mut all = Vec::with_capacity(shard.len());
        let positions: Vec<u32> = (0..shard.len() as u32).collect();
        for chunk in positions.chunks(CHUNK) {
            shard.pack(chunk, &mut self.batch);
            self.learner.logits(&self.batch, &mut self.logits);
            if error {
                let classes = self.node.network.classes();
                let rows = self.logits.chunks_exact(classes).zip(&self.batch.labels);
                all.extend(rows.map(|(row, &label)| f32::from(argmax(row) != label as usize)));
            } else {
                let Batch { loss, labels, .. } = &self.batch;
                loss.of_rows(&self.logits, labels, &mut self.losses);
                all.extend_from_slice(&self.losses);
            }
        }
        all
    }
}

/// Mean in `f64`; 0 for none.
pub(crate) fn mean(values: &[f32]) -> f64 {
    values.iter().map(|&v| f64::from(v)).sum::<f64>() / values.len().max(1) as f64
}
