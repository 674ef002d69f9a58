//! One client's local training call, stage after stage: see, score, order, step, settle, transform, admit.

use crate::{
    Worker,
    call::ClientCall,
    continual::{Methods, Post},
    course::Course,
    error::NodeError,
    memory::damaged,
    scores::{Scored, mean},
    steps::{Lesson, Plain, Rule, Single},
    trace::Trace,
};
use lyceum_core::{
    ClientReport, ClientState, LocalWork, Outcome, Params, Probe, Purpose, Resolved, Role, Settled,
    Shard, SlotName, SumError, TaskId, Term, Vectors,
};
use std::{borrow::Cow, sync::Arc};

/// Samples that are looked at for values of an unusual size, once training has diverged.
const LOOKED_AT: usize = 100;
/// Features beyond this are taken for unscaled ones.
const UNSCALED: f32 = 20.0;

/// A client's part of the sum, and the state that replaces its old one.
pub(crate) type ClientUpdate = (Term, Option<ClientState>);

/// What a client sees in a call, and the methods that act in it: an empty list without a stream.
struct Seen<'a> {
    shard: Cow<'a, Shard>,
    /// The task that it is at; of the log alone, since where boundaries are hidden the client itself is not told.
    task: Option<TaskId>,
    methods: Methods,
    /// Where it is in a stream that has begun for it.
    post: Option<Post<'a>>,
}

/// What came of the steps.
struct Trained {
    trace: Trace,
    /// What the client keeps of its methods.
    state: ClientState,
    /// What the steps changed, where the learner does not hold it.
    change: Option<Vec<f32>>,
}

impl<'a> Seen<'a> {
    /// These samples and no methods.
    fn only(shard: Cow<'a, Shard>) -> Self {
        Self {
            shard,
            task: None,
            methods: Methods::default(),
            post: None,
        }
    }
}

impl Worker {
    /// Trains one client. Its update is what the sum admits, with the state that goes with it; the report says why there is
    /// none.
    pub(crate) fn train_client(
        &mut self,
        call: &ClientCall<'_>,
    ) -> Result<(ClientReport, Option<ClientUpdate>), NodeError> {
        let rule = call.together.rule;
        let before = call.state().floats(SlotName::STRATEGY);
        let objective = rule.objective(call.client, before);
        let vectors = Vectors {
            global: call.start,
            round: &call.assignment().vectors,
        };
        let objective = objective.resolve(vectors);
        let objective = objective.ok_or(NodeError::Data("a vector of the round"))?;
        let mut seen = self.see(call)?;
        let scored = self.score(call, &seen.shard)?;
        let mut report = report(call, &seen, &scored, self.node.local_len);
        if seen.shard.is_empty() {
            let report = ClientReport::dropped_out(call.client, 0, report.bytes_down);
            return Ok((report, None));
        }
        let course = self.order(call, &seen, &scored.scores);
        let trained = self.step(call, &mut seen, &course, &scored.weights, &objective);
        trained.trace.fill(&mut report);
        report.local_accuracy = self.judge_own(call, &seen)?;
        let delta = self.delta(call, trained.change);
        let mut settled = self.settle(call, &report, trained.trace.travel, delta);
        let mut state = trained.state;
        self.transform(call, &mut state, &mut settled.lanes)?;
        self.keep(settled.state, &mut state);
        self.node.look_at(call.client, &state)?;
        let update = self.admit(call, &seen.shard, settled.lanes, &mut report);
        let state = (!state.is_empty()).then_some(state);
        Ok((report, update.map(|term| (term, state))))
    }

    /// Keeps what the strategy's rule keeps, what of the model stays with the client, and the model where a score needs it.
    fn keep(&self, rule: Option<Params>, state: &mut ClientState) {
        let names = &self.node.names;
        if let Some(rule) = rule {
            state.put(names.strategy.clone(), rule);
        }
        if self.node.local_len > 0 {
            let own: Params = self
                .node
                .network
                .layout()
                .local_of(self.learner.params())
                .into();
            state.put(names.local.clone(), own);
        }
        if self.node.keeps_models {
            let model: Params = self.learner.params().to_vec().into();
            state.put(names.model.clone(), model);
        }
    }

    /// Share of hits of the client's own model on the task that it is at or, without a stream, on all test samples.
    fn judge_own(
        &mut self,
        call: &ClientCall<'_>,
        seen: &Seen<'_>,
    ) -> Result<Option<f64>, NodeError> {
        let probe = match (seen.task, call.together.stream) {
            (Some(task), _) => Some(Probe::Task(task)),
            (None, None) => Some(Probe::Test),
            (None, Some(_)) => None,
        };
        let probe = probe.filter(|_| self.node.judges_local);
        let accuracy = probe.map(|probe| self.accuracy_on(probe, call.round()));
        accuracy.transpose().map(Option::flatten)
    }

    /// What the client sees of its samples, with its methods taken up.
    fn see<'a>(&mut self, call: &ClientCall<'a>) -> Result<Seen<'a>, NodeError> {
        let Some(stream) = call.together.stream else {
            return Ok(Seen::only(Cow::Borrowed(call.whole)));
        };
        let (client, round) = (call.client, call.round());
        let task = stream.calendar().at(client, round).map(|visit| visit.task);
        let view = stream.view(client, round);
        let found = view.and_then(|view| Some((view, self.sight(client, round, call.whole)?)));
        let Some((view, sight)) = found else {
            // Its first task has not come yet.
            let none = Shard::new(call.whole.pool.clone(), Arc::default());
            let seen = Seen::only(Cow::Owned(none));
            return Ok(Seen { task, ..seen });
        };
        let (post, methods, samples) = self.take_up(call, stream, view, sight)?;
        Ok(Seen {
            shard: Cow::Owned(samples),
            task,
            methods,
            post: Some(post),
        })
    }

    /// Which samples the steps see, and in which order.
    fn order(&self, call: &ClientCall<'_>, seen: &Seen<'_>, scores: &[f32]) -> Course {
        let (round, shard) = (call.round(), &*seen.shard);
        let training = self.node.training(round);
        let (batch, epochs) = (training.batch.get(), training.epochs.get());
        if let Some(epochs) = seen.methods.epochs {
            return Course::epochs(shard.len(), batch, epochs);
        }
        let Some(ordering) = &self.node.ordering else {
            return Course::epochs(shard.len(), batch, epochs).within(training.steps());
        };
        let (seed, ticket) = (self.node.seed, call.assignment().ticket);
        let mut rng = seed.stream(Purpose::ORDERING, ticket, Some(call.client));
        let labels: Vec<u32> = (0..shard.len()).map(|p| shard.label(p)).collect();
        let order = ordering.arrange(scores, &labels, &mut rng);
        Course::paced(ordering, order, round, batch, epochs).within(training.steps())
    }

    /// Takes the steps, in the way that suits the whole call.
    fn step(
        &mut self,
        call: &ClientCall<'_>,
        seen: &mut Seen<'_>,
        course: &Course,
        weights: &[f32],
        objective: &Resolved<'_>,
    ) -> Trained {
        let lesson = Lesson {
            shard: &seen.shard,
            weights,
        };
        self.moments.reset();
        let (mut state, mut change) = (ClientState::default(), None);
        let rule = Rule::new(self.node.training(call.round()), objective);
        let trace = if let Some(post) = &mut seen.post {
            let methods = &mut seen.methods;
            let trace = self.walk_with(call, (post, methods), course, lesson, rule);
            self.put_down((post, methods), lesson.shard, &mut state);
            trace
        } else if course.steps == 1 && self.needs_no_model(&rule) {
            let mut single = Single {
                lesson,
                start: call.start,
                change: self.vectors.pop().unwrap_or_default(),
            };
            let trace = self.walk(call, course, rule, &mut single);
            change = Some(single.change);
            trace
        } else {
            self.load(call.start);
            self.walk(call, course, rule, &mut Plain(lesson))
        };
        Trained {
            trace,
            state,
            change,
        }
    }

    /// Whether what a single step changes is all that anybody wants of it.
    fn needs_no_model(&mut self, rule: &Rule<'_>) -> bool {
        !self.node.keeps_models
            && !self.judges_alone()
            && rule.update(&mut self.moments).is_plain_descent()
            && self.node.network.layout().all_follow()
            && self.node.local_len == 0
    }

    /// Whether clients' own models are judged where there is no stream.
    fn judges_alone(&self) -> bool {
        self.node.judges_local && self.stream.is_none()
    }

    /// Trained minus received parameters.
    fn delta(&mut self, call: &ClientCall<'_>, change: Option<Vec<f32>>) -> Params {
        match change {
            Some(change) => change.into(),
            None => {
                let room = self.vectors.pop().unwrap_or_default();
                self.learner.delta(call.start, room)
            }
        }
    }

    /// What the strategy makes of the client's work.
    fn settle(
        &self,
        call: &ClientCall<'_>,
        report: &ClientReport,
        travel: f64,
        delta: Params,
    ) -> Settled {
        self.node.bounds.settle(delta, |delta| {
            call.together.rule.settle(&LocalWork {
                client: call.client,
                delta,
                samples: report.samples,
                steps: report.steps,
                travel,
                state: call.state().floats(SlotName::STRATEGY),
                round: &call.assignment().vectors,
            })
        })
    }

    /// Lets the transforms of the run act on an update, each with what the client kept of it.
    fn transform(
        &self,
        call: &ClientCall<'_>,
        state: &mut ClientState,
        lanes: &mut [(f64, Params)],
    ) -> Result<(), NodeError> {
        let (node, ticket) = (&self.node, call.assignment().ticket);
        if node.transforms.is_empty() {
            return Ok(());
        }
        let (address, layout) = ((node.seed, ticket, call.client), node.network.layout());
        let states = (call.state(), state);
        let done = node.transforms.on_client(address, states, lanes, layout);
        done.map_err(damaged)
    }

    /// A value that stays with the client and is no finite number.
    fn own_fault(&self) -> Option<SumError> {
        if self.node.local_len == 0 {
            return None;
        }
        let values = self.learner.params();
        let local = self.node.network.layout().ranges(Role::is_local);
        let index = local
            .into_iter()
            .flatten()
            .find(|&i| !values[i].is_finite())?;
        let value = values[index];
        Some(SumError::Value { index, value })
    }

    /// Lets an update into the sum, or says in the report why not.
    fn admit(
        &self,
        call: &ClientCall<'_>,
        shard: &Shard,
        lanes: Vec<(f64, Params)>,
        report: &mut ClientReport,
    ) -> Option<Term> {
        let refused = |reason: SumError| {
            let advice = advice(&reason, shard);
            let reason = reason.told(self.node.network.layout());
            report.outcome = Outcome::Refused(format!("its update is refused: {reason}{advice}"));
            report.bytes_up = 0;
        };
        match self.own_fault() {
            Some(reason) => Err(reason),
            None => call.together.sum.admit(lanes),
        }
        .map_err(refused)
        .ok()
    }
}

/// What is known of a call before its first step.
fn report(call: &ClientCall<'_>, seen: &Seen<'_>, scored: &Scored, local: usize) -> ClientReport {
    let Scored { scores, passes, .. } = scored;
    let assignment = call.assignment();
    let values = assignment.global.len() - local;
    let difficulty = Some(mean(scores) as f32);
    ClientReport {
        outcome: Outcome::Accepted,
        samples: seen.shard.len() as u64,
        scored: *passes,
        difficulty: difficulty.filter(|d| !scores.is_empty() && d.is_finite()),
        bytes_down: 4 * values as u64 * (1 + assignment.vectors.len() as u64),
        bytes_up: 4 * call.together.rule.values_up(values) as u64,
        task: seen.task,
        ..ClientReport::dropped_out(call.client, 0, 0)
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
