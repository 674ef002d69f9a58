//! The expert: a model trained on all samples in one place, whose losses say which samples are hard.

use crate::{Worker, course::Course, error::NodeError};
use lyceum_core::{ExpertScores, Mode, Optimizer, Params, Payload, Purpose, Resolved, Update};
use std::sync::atomic::Ordering;

impl Worker {
    pub(crate) fn train_expert(&mut self, start: &Params) -> Result<Payload, NodeError> {
        let pool = self
            .node
            .federation
            .pooled()
            .ok_or(NodeError::Data("samples in one place"))?;
        let config = self.node.expert.clone();
        let course = Course::epochs(pool.len(), config.batch.get(), config.epochs.get());
        let mut rng = self.node.seed.once(Purpose::EXPERT);
        let mut noise = self.node.seed.once(Purpose::EXPERT_DROPOUT);
        let objective = Resolved::default();
        self.load(start);
        self.moments.reset();
        let Self {
            node,
            learner,
            moments,
            batch,
            halt,
            ..
        } = self;
        course.walk(&mut rng, |_, (positions, _), _| {
            pool.pack(positions, batch);
            let mode = Mode::train(&node.network, &mut noise, &[]);
            let mut update = Update {
                optimizer: Optimizer::Sgd {
                    momentum: config.momentum.get() as f32,
                },
                rate: config.rate.get() as f32,
                weight_decay: config.weight_decay.get() as f32,
                clip: None,
                objective: &objective,
                memory: moments,
            };
            let loss = learner.step(batch, mode, &mut update);
            loss.is_finite() && !halt.load(Ordering::Relaxed)
        });
        self.go_on()?;
        let scores = ExpertScores {
            losses: self.sample_losses(&pool, false),
            errors: self.sample_losses(&pool, true),
        };
        Ok(Payload::Expert {
            params: self.learner.params().to_vec().into(),
            scores,
        })
    }
}
