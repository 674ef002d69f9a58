//! Losses of a shard's samples under some parameters.

use crate::{Worker, call::ClientCall, error::NodeError};
use lyceum_core::{Batch, Shard, SlotName};
use lyceum_layers::PairRows;
use lyceum_strategies::ordering::Score;

/// Rows of one forward pass. Fixed, so that no result depends on the machine.
pub(crate) const CHUNK: usize = 256;

/// What the scoring passes before training found.
#[derive(Default)]
pub(crate) struct Scored {
    /// One per sample of the shard; lower is easier.
    pub(crate) scores: Vec<f32>,
    /// Weight of each sample's loss; empty for 1.
    pub(crate) weights: Vec<f32>,
    /// Samples that went through the model.
    pub(crate) passes: u64,
}

impl Worker {
    /// Finds what the ordering asks of each sample.
    pub(crate) fn score(
        &mut self,
        call: &ClientCall<'_>,
        shard: &Shard,
    ) -> Result<Scored, NodeError> {
        let mut found = self.found(call, shard)?;
        if let Some(of_class) = &self.node.training(call.round()).class_weights {
            found.weights.resize(shard.len(), 1.0);
            for (position, weight) in found.weights.iter_mut().enumerate() {
                *weight *= of_class[shard.label(position) as usize].get() as f32;
            }
        }
        Ok(found)
    }

    fn found(&mut self, call: &ClientCall<'_>, shard: &Shard) -> Result<Scored, NodeError> {
        let Some(ordering) = self.node.ordering.clone() else {
            return Ok(Scored::default());
        };
        let mut found = Scored::default();
        if let Some(score) = ordering.sorts_by() {
            found.scores = self.scores(score, call, shard, &mut found.passes)?;
        }
        if let Some(weighting) = &ordering.weighting {
            let score = weighting.by.score();
            let losses = match ordering.sorts_by() == Some(score) {
                true => found.scores.clone(),
                false => self.scores(score, call, shard, &mut found.passes)?,
            };
            found.weights = weighting.weights(&losses, call.round());
        }
        Ok(found)
    }

    /// One score per sample: G, L, LG or E of Vahidian et al. 2023, as loss or as 0/1 error.
    fn scores(
        &mut self,
        score: Score,
        call: &ClientCall<'_>,
        shard: &Shard,
        passes: &mut u64,
    ) -> Result<Vec<f32>, NodeError> {
        let error = score.is_error();
        if score.needs_expert() {
            let expert = self
                .node
                .expert_scores
                .as_ref()
                .ok_or(NodeError::Data("the expert's scores"))?;
            let all = if error {
                &expert.errors
            } else {
                &expert.losses
            };
            return Ok(shard.indices.iter().map(|&i| all[i as usize]).collect());
        }
        let local = call.state().floats(SlotName::MODEL);
        let local = local.filter(|_| score.needs_local());
        // Before its first training a client has no model of its own: the global one stands in.
        let global = (score.is_sum() || local.is_none()).then_some(&call.assignment().global);
        let mut total = vec![0.0; shard.len()];
        for params in [global, local].into_iter().flatten() {
            self.load(params);
            let losses = self.sample_losses(shard, error);
            total
                .iter_mut()
                .zip(&losses)
                .for_each(|(sum, loss)| *sum += loss);
            *passes += losses.len() as u64;
        }
        Ok(total)
    }

    /// The scenario's loss of each row of the batch, of which the logits are at hand.
    pub(crate) fn find_losses(&mut self) {
        let Some(how) = self.batch.loss.contrastive() else {
            let Batch { loss, .. } = self.batch;
            return loss.of_rows(&self.logits, self.batch.wanted(), &mut self.losses);
        };
        let losses = self.contrast.losses(PairRows {
            outputs: &self.logits,
            rows: self.batch.rows(),
            kin: &self.batch.kin.rows,
            weights: &[],
            temperature: how.temperature.get() as f32,
        });
        self.losses.clear();
        self.losses.extend_from_slice(losses);
    }

    /// The scenario's loss of every sample of a shard under the loaded parameters, in nats; or, if `error`,
    /// 1 for each miss and 0 for each hit.
    pub(crate) fn sample_losses(&mut self, shard: &Shard, error: bool) -> Vec<f32> {
        let mut all = Vec::with_capacity(shard.len());
        let positions: Vec<u32> = (0..shard.len() as u32).collect();
        for chunk in positions.chunks(CHUNK) {
            if self.halted() {
                break;
            }
            shard.pack(chunk, &mut self.batch);
            self.learner.logits(&self.batch, &mut self.logits);
            if error {
                let classes = self.node.network.classes();
                let (wanted, rows) = (self.batch.wanted(), self.logits.chunks_exact(classes));
                let misses = rows
                    .enumerate()
                    .map(|(at, row)| f32::from(!wanted.of(at).is_hit(row)));
                self.losses.clear();
                self.losses.extend(misses);
            } else {
                self.find_losses();
            }
            let answers = self.losses.len() / chunk.len();
            let samples = self.losses.chunks_exact(answers.max(1));
            all.extend(samples.map(|losses| match losses {
                [loss] => *loss,
                losses => mean(losses) as f32,
            }));
        }
        all
    }
}

/// Mean in `f64`; 0 for none.
pub(crate) fn mean(values: &[f32]) -> f64 {
    values.iter().map(|&v| f64::from(v)).sum::<f64>() / values.len().max(1) as f64
}
