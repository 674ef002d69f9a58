//! Judging the global model: on probes, and on clients' samples for the selector.

use crate::{
    Worker,
    node::NodeError,
    scores::{CHUNK, mean},
};
use lyceum_core::{Assignment, Batch, DataRef, Payload, Shard, Tally, argmax};

impl Worker {
    pub(crate) fn score_unit(&mut self, assignment: &Assignment) -> Result<Payload, NodeError> {
        self.load(&assignment.global);
        let mut scores = Vec::with_capacity(assignment.jobs.len());
        let mut samples = 0;
        for job in &assignment.jobs {
            let DataRef::Shard(client) = job.data else {
                return Err(NodeError::Data("a probe to score"));
            };
            let shard = self.node.federation.shard(client);
            let losses = self.sample_losses(&shard, false);
            scores.push((client, mean(&losses) as f32));
            samples += losses.len() as u64;
        }
        Ok(Payload::Scored { scores, samples })
    }

    pub(crate) fn evaluate_unit(&mut self, assignment: &Assignment) -> Result<Payload, NodeError> {
        let [job] = assignment.jobs.as_slice() else {
            return Err(NodeError::Data("several probes at once"));
        };
        let DataRef::Probe { probe, start, end } = job.data else {
            return Err(NodeError::Data("a shard as probe"));
        };
        let pool = self.node.federation.probe(probe).cloned();
        let pool = pool
            .filter(|p| end as usize <= p.len())
            .ok_or(NodeError::Data("probe samples"))?;
        self.load(&assignment.global);
        let mut tally = Tally::new(self.node.network.classes());
        let shard = Shard {
            pool,
            indices: (start..end).collect(),
        };
        let positions: Vec<u32> = (0..end - start).collect();
        for chunk in positions.chunks(CHUNK) {
            shard.pack(chunk, &mut self.batch);
            self.learner.logits(&self.batch, &mut self.logits);
            let Batch { loss, labels, .. } = &self.batch;
            loss.of_rows(&self.logits, labels, &mut self.losses);
            let rows = self.logits.chunks_exact(self.node.network.classes());
            for ((row, &label), &loss) in rows.zip(&self.batch.labels).zip(&self.losses) {
                tally.add(label, argmax(row) == label as usize, loss);
            }
        }
        Ok(Payload::Evaluated { probe, tally })
    }
}
