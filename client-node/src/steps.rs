//! The steps of a local training call: one loop, and the ways in which a step is taken.

use crate::{Worker, call::ClientCall, course::Course, trace::Trace};
use lyceum_core::{Mode, Moments, Optimizer, Params, Purpose, Resolved, Shard, Stream, Update};
use lyceum_scenarios::Training;

/// How a step is taken. Chosen once for all steps of a call.
pub(crate) trait Stepper {
    /// Takes a step on the samples at these positions; those of the next one are known, too. The loss before the step, and
    /// how many samples went through it.
    fn step(
        &mut self,
        worker: &mut Worker,
        rule: &Rule<'_>,
        positions: (&[u32], &[u32]),
        rng: &mut Stream,
    ) -> (f32, u64);
}

/// How the steps of a call change parameters.
pub(crate) struct Rule<'a> {
    optimizer: Optimizer,
    pub(crate) rate: f32,
    weight_decay: f32,
    clip: Option<f32>,
    pub(crate) objective: &'a Resolved<'a>,
}

impl<'a> Rule<'a> {
    pub(crate) fn new(training: &Training, objective: &'a Resolved<'a>) -> Self {
        Self {
            optimizer: training.optimizer.rule(),
            rate: 0.0,
            weight_decay: training.weight_decay.get() as f32,
            clip: training.clip.map(|c| c.get() as f32),
            objective,
        }
    }

    /// The same with another objective.
    pub(crate) fn towards<'b>(self, objective: &'b Resolved<'b>) -> Rule<'b> {
        Rule { objective, ..self }
    }

    pub(crate) fn update<'m>(&'m self, memory: &'m mut Moments) -> Update<'m> {
        Update {
            optimizer: self.optimizer,
            rate: self.rate,
            weight_decay: self.weight_decay,
            clip: self.clip,
            objective: self.objective,
            memory,
        }
    }
}

/// The samples of a call, and how much the loss of each counts: nothing for 1.
#[derive(Clone, Copy)]
pub(crate) struct Lesson<'a> {
    pub(crate) shard: &'a Shard,
    pub(crate) weights: &'a [f32],
    /// One flag a layer: which batch normalisations stand still. Empty where none does.
    pub(crate) fixed: &'a [bool],
}

impl Lesson<'_> {
    /// Puts the samples of a step into the worker's batch.
    fn pack(&self, worker: &mut Worker, (positions, ahead): (&[u32], &[u32])) {
        let Self { shard, weights, .. } = *self;
        shard.pack(positions, &mut worker.batch);
        let places = &mut ahead.iter().map(|&p| shard.indices[p as usize]);
        worker.learner.expect(&shard.pool, places);
        if !weights.is_empty() {
            let own = positions.iter().map(|&p| weights[p as usize]);
            worker.batch.weights.extend(own);
        }
        worker.augment(&shard.pool.shape);
    }
}

/// Steps that the engine takes by itself, from what the learner holds.
pub(crate) struct Plain<'a>(pub(crate) Lesson<'a>);

impl Stepper for Plain<'_> {
    fn step(
        &mut self,
        worker: &mut Worker,
        rule: &Rule<'_>,
        positions: (&[u32], &[u32]),
        rng: &mut Stream,
    ) -> (f32, u64) {
        self.0.pack(worker, positions);
        let mode = Mode::train(&worker.node.network, rng, self.0.fixed);
        let mut update = rule.update(&mut worker.moments);
        let loss = worker.learner.step(&worker.batch, mode, &mut update);
        (loss, positions.0.len() as u64)
    }
}

/// The only step of a call, where it is one of plain descent: nothing is loaded, stepped and compared.
pub(crate) struct Single<'a> {
    pub(crate) lesson: Lesson<'a>,
    pub(crate) start: &'a Params,
    /// What the step adds to the start.
    pub(crate) change: Vec<f32>,
}

impl Stepper for Single<'_> {
    fn step(
        &mut self,
        worker: &mut Worker,
        rule: &Rule<'_>,
        positions: (&[u32], &[u32]),
        rng: &mut Stream,
    ) -> (f32, u64) {
        self.lesson.pack(worker, positions);
        let mode = Mode::train(&worker.node.network, rng, &[]);
        let (batch, change) = (&worker.batch, &mut self.change);
        let loss = (worker.learner).descend(self.start, batch, mode, rule.rate, change);
        (loss, positions.0.len() as u64)
    }
}

impl Worker {
    /// Changes the samples of a step, where the scenario says so.
    pub(crate) fn augment(&mut self, shape: &[usize]) {
        let Some((changes, rng)) = &mut self.augmenting else {
            return;
        };
        let classes = self.node.network.classes();
        for change in changes.iter() {
            change.apply(&mut self.batch, shape, classes, rng);
        }
    }

    /// The changes of samples in a call's pass, with dice of its own.
    fn begin_augmenting(&mut self, call: &ClientCall<'_>, course: &Course) {
        let changes = &self.node.training(call.round()).augment;
        self.augmenting = (!changes.is_empty()).then(|| {
            let purpose = match course.dice {
                Purpose::BATCHES => Purpose::AUGMENT,
                Purpose(of_pass) => Purpose::named(&format!("augment {of_pass}")),
            };
            let ticket = call.assignment().ticket;
            let rng = self.node.seed.stream(purpose, ticket, Some(call.client));
            (changes.clone(), rng)
        });
    }

    /// Takes the steps of a course, each by its own rate.
    pub(crate) fn walk(
        &mut self,
        call: &ClientCall<'_>,
        course: &Course,
        mut rule: Rule<'_>,
        stepper: &mut impl Stepper,
    ) -> Trace {
        let (ticket, round) = (call.assignment().ticket, call.round());
        let seed = self.node.seed;
        self.begin_augmenting(call, course);
        let mut rng = seed.stream(course.dice, ticket, Some(call.client));
        let (momentum, looks_ahead) = self.node.training(round).optimizer.momentum();
        let mut trace = Trace::new(course.epoch);
        let mut coefficient = 0.0;
        course.walk(&mut rng, |step, positions, rng| {
            let node = &self.node;
            let rate = node
                .training(round)
                .rate_at((step, course.steps), round, node.rounds);
            rule.rate = rate as f32;
            let (loss, trained) = stepper.step(self, &rule, positions, rng);
            coefficient = momentum * coefficient + 1.0;
            let travel = match looks_ahead {
                true => 1.0 + momentum * coefficient,
                false => coefficient,
            };
            trace.travel += rate * travel;
            trace.trained += trained;
            trace.add(loss, self.batch.rows(), self.learner.seen_squares());
            loss.is_finite() && !self.halted()
        });
        trace
    }
}
