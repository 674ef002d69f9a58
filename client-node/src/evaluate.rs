//! Judging the global model: on probes, and on clients' samples for the selector.

use crate::{
    Worker,
    error::NodeError,
    scores::{CHUNK, mean},
};
use lyceum_core::{
    Assignment, DataRef, F1, LossUnit, Payload, Predictor, Probe, Round, Rows, Shard, Tally, Top,
};
use std::sync::Arc;

/// How answers are found.
struct Judge {
    /// Classes that may be answered; `None` for all.
    open: Option<Vec<bool>>,
    /// What makes an answer of logits and features.
    predictor: Box<dyn Predictor>,
}

impl Judge {
    /// Takes the logits of closed classes out of the race.
    fn close(&self, logits: &mut [f32]) {
        let Some(open) = &self.open else { return };
        for row in logits.chunks_exact_mut(open.len()) {
            let closed = row.iter_mut().zip(open).filter(|(_, open)| !**open);
            closed.for_each(|(z, _)| *z = f32::NEG_INFINITY);
        }
    }
}

impl Worker {
    pub(crate) fn score_unit(&mut self, assignment: &Assignment) -> Result<Payload, NodeError> {
        let node = self.node.clone();
        let mut scores = Vec::with_capacity(assignment.jobs.len());
        let mut samples = 0;
        for job in &assignment.jobs {
            let DataRef::Shard(client) = job.data else {
                return Err(NodeError::Data("a probe to score"));
            };
            let start = node.start_of(&assignment.global, client, &job.state)?;
            self.load(&start);
            let whole = node.federation.shard(client);
            let sight = self.sight(client, assignment.round, &whole);
            let shard = sight.unwrap_or_else(|| Shard::new(whole.pool.clone(), Arc::default()));
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
        let shard = self
            .probe_part(probe, start, end)
            .ok_or(NodeError::Data("probe samples"))?;
        if let Some(pairs) = shard.pool.pairs() {
            let tally = self.retrieve(&shard, pairs, Some(&assignment.global));
            return Ok(Payload::Evaluated { probe, tally });
        }
        let judge = self.judge(probe, assignment.round, &assignment.global)?;
        self.load(&assignment.global);
        let tally = self.tally(&shard, judge);
        Ok(Payload::Evaluated { probe, tally })
    }

    /// Judges the model that the learner holds on a whole probe; `None` where a node has no test samples.
    pub(crate) fn tally_on(
        &mut self,
        probe: Probe,
        round: Round,
    ) -> Result<Option<Tally>, NodeError> {
        let Some(end) = self.probe_len(probe) else {
            return Ok(None);
        };
        let shard = self
            .probe_part(probe, 0, end as u32)
            .ok_or(NodeError::Data("probe samples"))?;
        if let Some(pairs) = shard.pool.pairs() {
            return Ok(Some(self.retrieve(&shard, pairs, None)));
        }
        let params = self.learner.params().to_vec();
        let judge = self.judge(probe, round, &params)?;
        Ok(Some(self.tally(&shard, judge)))
    }

    fn tally(&mut self, shard: &Shard, mut judge: Judge) -> Tally {
        let mut tally = Tally::new(self.node.network.classes());
        let asked = &self.node.evaluation;
        let classes = self.node.network.classes();
        tally.calibration = asked.calibration.then(Default::default);
        tally.f1 = asked.f1.then(|| Box::new(F1::new(classes)));
        tally.top = asked.top.map(|k| Top::new(k.get() as u32));
        tally.roc = (asked.roc && classes == 2).then(Default::default);
        tally.unit = LossUnit::of(self.batch.loss).filter(|_| asked.unit);
        let positions: Vec<u32> = (0..shard.len() as u32).collect();
        for chunk in positions.chunks(CHUNK) {
            if self.halted() {
                break;
            }
            shard.pack(chunk, &mut self.batch);
            self.learner.logits(&self.batch, &mut self.logits);
            judge.close(&mut self.logits);
            self.find_losses();
            tally.count_further(&self.logits, self.batch.wanted());
            let mut rows = Rows {
                learner: &mut *self.learner,
                batch: &self.batch,
            };
            judge.predictor.score(&mut self.logits, &mut rows);
            judge.close(&mut self.logits);
            let (wanted, labels) = (self.batch.wanted(), self.batch.answers());
            let rows = self.logits.chunks_exact(classes).enumerate();
            for (((at, row), &label), &loss) in rows.zip(labels).zip(&self.losses) {
                tally.add(label, wanted.of(at).is_hit(row), loss);
            }
        }
        tally
    }

    fn probe_len(&self, probe: Probe) -> Option<usize> {
        let Probe::Task(task) = probe else {
            return self.node.federation.probe(probe).map(|pool| pool.len());
        };
        let stream = self.stream.as_ref();
        let task = stream.and_then(|stream| stream.tasks().get(task.0 as usize));
        Some(task.map_or(0, |task| task.probe.len()))
    }

    fn probe_part(&self, probe: Probe, start: u32, end: u32) -> Option<Shard> {
        let cut_from = match probe {
            Probe::Validation | Probe::Test => {
                let pool = self.node.federation.probe(probe)?;
                let whole = start <= end && end as usize <= pool.len();
                return whole.then(|| Shard::new(pool.clone(), (start..end).collect()));
            }
            Probe::Task(_) => Probe::Test,
            Probe::Gate(_) => Probe::Validation,
        };
        let pool = self.node.federation.probe(cut_from)?;
        self.stream.as_ref()?.probe(probe, pool, start, end)
    }

    /// How answers to a probe are found.
    fn judge(&self, probe: Probe, round: Round, params: &[f32]) -> Result<Judge, NodeError> {
        let classes = self.node.network.classes();
        let answers = match (probe, &self.stream) {
            (Probe::Task(task) | Probe::Gate(task), Some(stream)) => {
                stream.answers(task, self.node.federation.clients(), round)
            }
            _ => None,
        };
        let open = answers.map(|answers| {
            let mut open = vec![false; classes];
            answers.iter().for_each(|&c| open[c as usize] = true);
            open
        });
        let taken = self.node.predict.take_up(&self.node.network, params);
        let predictor = taken.map_err(NodeError::Answer)?;
        Ok(Judge { open, predictor })
    }
}
