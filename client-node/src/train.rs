//! One client's local training call.

use crate::{
    Worker,
    continual::{Call, Post},
    course::Course,
    node::NodeError,
    scores::mean,
};
use lyceum_core::{
    Assignment, ClientId, ClientReport, ClientRule, ClientState, ExactSum, Job, LocalWork, Mode,
    Outcome, Purpose, Resolved, Shard, Stream, SumError, TaskStream, Term, Update, Vectors,
};
use lyceum_strategies::ordering::Score;
use std::sync::Arc;

/// Samples that are looked at for values of an unusual size, once training has diverged.
const LOOKED_AT: usize = 100;
/// Features beyond this are taken for unscaled ones.
const UNSCALED: f32 = 20.0;

/// A client's part of the sum, and the state that replaces its old one.
pub(crate) type ClientUpdate = (Term, Option<(ClientId, ClientState)>);

/// What the scoring passes before training found.
#[derive(Default)]
struct Scored {
    /// One per sample of the shard; lower is easier.
    scores: Vec<f32>,
    /// Weight of each sample's loss; empty for 1.
    weights: Vec<f32>,
    /// Samples that went through the model.
    passes: u64,
}

/// What the steps left behind besides the parameters. Its size depends on an epoch, not on the call.
pub(crate) struct Trace {
    /// Sum of the losses of the first epoch's worth of steps.
    first: f64,
    /// Losses of the last epoch's worth of steps, the oldest overwritten first.
    recent: Vec<f32>,
    /// Steps of one epoch.
    epoch: u64,
    /// Of the first epoch's worth of steps: sum of the squared losses of samples, and how many they were.
    squares: (f64, u64),
    steps: u64,
    pub(crate) trained: u64,
    pub(crate) travel: f64,
}

/// What the clients of a unit have in common. Handles that several threads share are cloned once for all of them: a
/// count that two cores change in turn costs as much as a short vector.
pub(crate) struct Together<'a> {
    pub(crate) assignment: &'a Assignment,
    pub(crate) rule: &'a dyn ClientRule,
    /// The node's stream in the stage of the unit.
    pub(crate) stream: Option<&'a TaskStream>,
    pub(crate) sum: &'a ExactSum,
}

impl Worker {
    /// Trains one client, all of whose samples are `whole`. Its update is what the sum admits, with the state that goes
    /// with it; the report says why there is none.
    pub(crate) fn train_client(
        &mut self,
        together: &Together<'_>,
        job: &Job,
        client: ClientId,
        whole: &Shard,
    ) -> Result<(ClientReport, Option<ClientUpdate>), NodeError> {
        let &Together {
            assignment,
            rule,
            stream,
            sum,
        } = together;
        let unresolved = rule.objective(client, job.state.rule.as_ref());
        let vectors = Vectors {
            global: &assignment.global,
            round: &assignment.vectors,
        };
        let objective = unresolved
            .resolve(vectors)
            .ok_or(NodeError::Data("a vector of the round"))?;
        let post = stream.and_then(|stream| {
            Some(Post {
                assignment,
                client,
                stream,
                task: stream.view(client, assignment.round)?,
                shard: whole,
            })
        });
        // Of the log alone: where boundaries are hidden, the client itself is not told.
        let visit = stream.and_then(|stream| stream.calendar().at(client, assignment.round));
        let task = visit.map(|visit| visit.task);
        let seen = post
            .as_ref()
            .and_then(|post| Some((post, self.sight(client, assignment.round, whole)?)));
        let taken = match seen {
            Some((post, sight)) => {
                let memory = job.state.memory.as_ref();
                let call = Call::new(self.node.seed, assignment.ticket, client);
                let (methods, samples) = self.take_up(post, sight, memory, call)?;
                Some((post, methods, samples))
            }
            None => None,
        };
        let own;
        let (mut methods, shard) = match (taken, stream) {
            (Some((post, methods, samples)), _) => {
                own = samples;
                (Some((post, methods)), &own)
            }
            (None, None) => (None, whole),
            // Its first task has not come yet.
            (None, Some(_)) => {
                own = Shard::new(whole.pool.clone(), Arc::default());
                (None, &own)
            }
        };
        let scored = self.score_shard(assignment, job, shard)?;
        let model_bytes = 4 * assignment.global.len() as u64;
        let mut report = ClientReport {
            outcome: Outcome::Accepted,
            samples: shard.len() as u64,
            scored: scored.passes,
            difficulty: Some(mean(&scored.scores) as f32)
                .filter(|d| !scored.scores.is_empty() && d.is_finite()),
            bytes_down: model_bytes * (1 + assignment.vectors.len() as u64),
            bytes_up: 4 * rule.values_up(assignment.global.len()) as u64,
            task,
            ..ClientReport::dropped_out(client, 0, 0)
        };
        if shard.is_empty() {
            let report = ClientReport::dropped_out(client, 0, report.bytes_down);
            return Ok((report, None));
        }
        let mut rng = self
            .node
            .seed
            .stream(Purpose::ORDERING, assignment.ticket, Some(client));
        let keeps_model = self.node.ordering.as_ref().is_some_and(|o| o.needs_local());
        let is_judged = task.is_some() && self.node.judges_local;
        let (trace, memory, change) = match methods.take() {
            None => {
                let course = self.course(&scored.scores, shard, assignment, &mut rng);
                let batches = (shard, &course, &scored.weights[..]);
                let alone = course.steps == 1 && !keeps_model && !is_judged;
                let mut change = alone.then(|| self.vectors.pop().unwrap_or_default());
                let trace = self.walk(assignment, client, batches, &objective, &mut change);
                (trace, None, change)
            }
            Some((post, mut methods)) => {
                let course = methods.course(self, &scored.scores, shard, assignment, &mut rng);
                match methods.afresh {
                    true => {
                        let fresh = self.node.network.initial(self.node.seed);
                        self.learner.load(&fresh.into());
                    }
                    false => self.load(&assignment.global),
                }
                let weights = &scored.weights;
                let trace = self.walk_with(post, &mut methods, shard, &course, weights, &objective);
                let memory = self.put_down(post, methods, shard);
                (trace, Some(memory), None)
            }
        };
        trace.fill(&mut report);
        if let Some(task) = task.filter(|_| self.node.judges_local) {
            report.local_accuracy = Some(self.accuracy_on(task, assignment.round)?);
        }
        let delta = match change {
            Some(change) => change.into(),
            None => {
                let delta = self.vectors.pop().unwrap_or_default();
                self.learner.delta(&assignment.global, delta)
            }
        };
        let settled = self.node.bounds.settle(delta, |delta| {
            rule.settle(&LocalWork {
                client,
                delta,
                samples: report.samples,
                steps: report.steps,
                travel: trace.travel,
                state: job.state.rule.as_ref(),
                round: &assignment.vectors,
            })
        });
        let term = match sum.admit(settled.lanes) {
            Ok(term) => term,
            Err(reason) => {
                let advice = advice(&reason, shard);
                let reason = reason.told(self.node.network.layout());
                report.outcome =
                    Outcome::Refused(format!("its update is refused: {reason}{advice}"));
                report.bytes_up = 0;
                return Ok((report, None));
            }
        };
        let model = keeps_model.then(|| self.learner.params().to_vec().into());
        let state = ClientState {
            rule: settled.state,
            model,
            memory,
        };
        let state = (!state.is_empty()).then_some((client, state));
        Ok((report, Some((term, state))))
    }

    pub(crate) fn course(
        &self,
        scores: &[f32],
        shard: &Shard,
        assignment: &Assignment,
        rng: &mut Stream,
    ) -> Course {
        let (batch, epochs) = (
            self.node.training(assignment.round).batch.get(),
            self.node.training(assignment.round).epochs.get(),
        );
        let steps = self.node.training(assignment.round).steps();
        let Some(ordering) = &self.node.ordering else {
            return Course::epochs(shard.len(), batch, epochs).within(steps);
        };
        let labels: Vec<u32> = (0..shard.len()).map(|p| shard.label(p)).collect();
        Course::paced(
            ordering,
            ordering.arrange(scores, &labels, rng),
            assignment.round,
            batch,
            epochs,
        )
        .within(steps)
    }

    /// Trains on the batches of a course. If `change` has room for what a single step changes, and it is a plain one,
    /// it gets that, and nothing is loaded, stepped and compared.
    fn walk(
        &mut self,
        assignment: &Assignment,
        client: ClientId,
        (shard, course, weights): (&Shard, &Course, &[f32]),
        objective: &Resolved<'_>,
        change: &mut Option<Vec<f32>>,
    ) -> Trace {
        self.moments.reset();
        let Self {
            node,
            learner,
            moments,
            batch,
            ..
        } = self;
        let training = node.training(assignment.round);
        let optimizer = training.optimizer.rule();
        let momentum = training.optimizer.momentum();
        let mut rng = node
            .seed
            .stream(Purpose::BATCHES, assignment.ticket, Some(client));
        let mut update = Update {
            optimizer,
            rate: 0.0,
            weight_decay: training.weight_decay.get() as f32,
            clip: training.clip.map(|c| c.get() as f32),
            objective,
            memory: moments,
        };
        if !(update.is_plain_descent() && node.network.layout().all_follow()) {
            *change = None;
        }
        if change.is_none() {
            learner.load(&assignment.global);
        }
        let mut trace = Trace::new(course.epoch);
        let mut coefficient = 0.0;
        course.walk(&mut rng, |step, (positions, ahead), rng| {
            shard.pack(positions, batch);
            let places = &mut ahead.iter().map(|&p| shard.indices[p as usize]);
            learner.expect(&shard.pool, places);
            if !weights.is_empty() {
                batch
                    .weights
                    .extend(positions.iter().map(|&p| weights[p as usize]));
            }
            let mode = Mode::train(&node.network, rng, &[]);
            let rate = training.rate_at(step, assignment.round, node.rounds);
            update.rate = rate as f32;
            let loss = match change {
                Some(change) => {
                    learner.descend(&assignment.global, batch, mode, update.rate, change)
                }
                None => learner.step(batch, mode, &mut update),
            };
            coefficient = momentum * coefficient + 1.0;
            trace.travel += rate * coefficient;
            trace.trained += positions.len() as u64;
            trace.add(loss, batch.rows(), learner.seen_squares());
            loss.is_finite()
        });
        trace
    }

    fn score_shard(
        &mut self,
        assignment: &Assignment,
        job: &Job,
        shard: &Shard,
    ) -> Result<Scored, NodeError> {
        let Some(ordering) = self.node.ordering.clone() else {
            return Ok(Scored::default());
        };
        let mut found = Scored::default();
        if let Some(score) = ordering.sorts_by() {
            found.scores = self.scores(score, assignment, job, shard, &mut found.passes)?;
        }
        if let Some(weighting) = &ordering.weighting {
            let score = weighting.by.score();
            let losses = match ordering.sorts_by() == Some(score) {
                true => found.scores.clone(),
                false => self.scores(score, assignment, job, shard, &mut found.passes)?,
            };
            found.weights = weighting.weights(&losses, assignment.round);
        }
        Ok(found)
    }

    /// One score per sample: G, L, LG or E of Vahidian et al. 2023, as loss or as 0/1 error.
    fn scores(
        &mut self,
        score: Score,
        assignment: &Assignment,
        job: &Job,
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
        let local = job.state.model.as_ref().filter(|_| score.needs_local());
        // Before its first training a client has no model of its own: the global one stands in.
        let global = (score.is_sum() || local.is_none()).then_some(&assignment.global);
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
}

impl Trace {
    pub(crate) fn new(epoch: u64) -> Self {
        Self {
            first: 0.0,
            recent: Vec::with_capacity(epoch as usize),
            epoch,
            squares: (0.0, 0),
            steps: 0,
            trained: 0,
            travel: 0.0,
        }
    }

    /// Notes a step: its loss, its rows and the sum of their squared losses.
    pub(crate) fn add(&mut self, loss: f32, rows: usize, squares: f64) {
        if self.steps < self.epoch {
            self.first += f64::from(loss);
            self.squares.0 += squares;
            self.squares.1 += rows as u64;
            self.recent.push(loss);
        } else {
            self.recent[(self.steps % self.epoch) as usize] = loss;
        }
        self.steps += 1;
    }

    fn fill(&self, report: &mut ClientReport) {
        let mean_of = |sum: f64, n: u64| Some((sum / n as f64) as f32).filter(|m| m.is_finite());
        report.steps = self.steps;
        report.trained = self.trained;
        report.first_loss = mean_of(self.first, self.steps.min(self.epoch));
        report.last_loss = mean_of(mean(&self.recent), 1).filter(|_| self.steps > 0);
        let (squares, samples) = self.squares;
        let square = squares / samples.max(1) as f64;
        report.rms_loss = mean_of(square.sqrt(), 1).unwrap_or(0.0);
    }
}

/// What to do where training went out of all bounds.
fn advice(reason: &SumError, shard: &Shard) -> String {
    if !matches!(reason, SumError::Value { .. }) {
        return String::new();
    }
    let some = shard.indices.iter().take(LOOKED_AT);
    let values = some.flat_map(|&index| shard.pool.values(index as usize));
    let largest = values.fold(0.0_f32, |most, value| most.max(value.abs()));
    let scale = match largest > UNSCALED {
        true => format!(
            ", or scale the features, which reach {largest}, with data.normalise = \"standard\""
        ),
        false => String::new(),
    };
    format!("; training diverged: lower training.rate or set training.clip{scale}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(losses: &[f32]) -> ClientReport {
        let mut trace = Trace::new(2);
        // Of two samples, the loss of one is 0.
        let squares = |loss: f32| f64::from(2.0 * loss).powi(2);
        (losses.iter()).for_each(|&loss| trace.add(loss, 2, squares(loss)));
        let mut report = ClientReport::dropped_out(ClientId(0), 60, 0);
        trace.fill(&mut report);
        report
    }

    #[test]
    fn the_trace_reports_first_and_last_epoch_without_another_pass() {
        let whole = report(&[4.0, 2.0, 1.0, 1.0, 0.5, 0.25]);
        assert_eq!(
            (whole.first_loss, whole.last_loss, whole.steps),
            (Some(3.0), Some(0.375), 6)
        );
        // Squares of 8, 0, 4 and 0, whatever comes after the first epoch.
        assert_eq!(whole.rms_loss, 20.0_f32.sqrt());
        let broken_off = report(&[4.0, 2.0, 1.0]);
        assert_eq!(
            (broken_off.first_loss, broken_off.last_loss),
            (Some(3.0), Some(1.5))
        );
    }

    #[test]
    fn losses_that_are_no_numbers_are_not_reported() {
        let diverged = report(&[1.0, f32::NAN]);
        assert_eq!(
            (diverged.first_loss, diverged.last_loss, diverged.rms_loss),
            (None, None, 0.0)
        );
    }
}
