//! One client's local training call, stage after stage: see, score, order, step (a pass after another), settle, transform, admit.

use crate::{
    Worker,
    call::ClientCall,
    continual::{Methods, Post},
    course::Course,
    error::NodeError,
    memory::damaged,
    passes::Kept,
    plan::Planned,
    scores::{Scored, mean},
    steps::{Lesson, Plain, Rule, Single},
    trace::Trace,
};
use lyceum_core::{
    ClientReport, ClientState, Divergence, Length, LocalWork, Outcome, Params, Prior, Probe,
    Resolved, Role, Settled, Shard, SlotName, SumError, TaskId, Term, VectorRef, Vectors,
};
use lyceum_scenarios::Evaluation;
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
        let plan = call.together.plan;
        let mut objective = rule.objective(call.client, before);
        objective.also(&plan.shared.pass.objective);
        let vectors = &call.assignment().vectors;
        objective.divergences.extend(self.node.divergence(vectors));
        let vectors = Vectors {
            global: call.start,
            round: &call.assignment().vectors,
        };
        let objective = objective.resolve(vectors);
        let mut objective = objective.ok_or(NodeError::Data("a vector of the round"))?;
        let mut seen = self.see(call)?;
        let rows = self.node.training(call.round()).batch.get();
        objective.charge(seen.shard.len(), rows);
        let scored = self.score(call, &seen.shard)?;
        let mut report = report(call, &seen, &scored, self.node.local_len);
        if seen.shard.is_empty() {
            let report = ClientReport::dropped_out(call.client, 0, report.bytes_down);
            return Ok((report, None));
        }
        let mut kept = Kept::default();
        for pass in &plan.before {
            self.take_pass(call, pass, (&seen.shard, &scored), &mut kept)?;
        }
        let (trace, delta) = self.share(call, &mut seen, &scored, &objective, &mut kept)?;
        trace.fill(&mut report);
        for pass in &plan.after {
            self.take_pass(call, pass, (&seen.shard, &scored), &mut kept)?;
        }
        self.judge_own(call, &seen, &mut report)?;
        let mut settled = self.settle(call, &report, trace.travel, delta);
        report.steps += kept.steps;
        report.trained += kept.trained;
        let mut state = kept.state;
        self.transform(call, &mut state, &mut settled.lanes)?;
        if let Some(rule) = settled.state {
            state.put(self.node.names.strategy.clone(), rule);
        }
        self.node.look_at(call.client, &state)?;
        let admitted = (settled.lanes, kept.fault);
        let update = self.admit(call, &seen.shard, admitted, &mut report);
        let state = (!state.is_empty()).then_some(state);
        Ok((report, update.map(|term| (term, state))))
    }

    /// Takes the pass whose change goes to the strategy: what the steps left behind, and the change.
    fn share(
        &mut self,
        call: &ClientCall<'_>,
        seen: &mut Seen<'_>,
        scored: &Scored,
        objective: &Resolved<'_>,
        kept: &mut Kept,
    ) -> Result<(Trace, Params), NodeError> {
        let shared = &call.together.plan.shared;
        let epochs = seen.methods.epochs;
        let course = match epochs {
            Some(epochs) => self.epochs(call, &seen.shard, epochs),
            None => self.order(call, shared, &seen.shard, &scored.scores),
        };
        let start = self.start_of_pass(call, &shared.pass, kept)?;
        let (weights, state) = (&scored.weights, &mut kept.state);
        let (trace, change) = self.step(call, &start, seen, (&course, weights), objective, state);
        let delta = self.delta(call, change);
        self.keep(kept);
        Ok((trace, delta))
    }

    /// Keeps what of the model stays with the client, and the model where a score needs it.
    fn keep(&self, kept: &mut Kept) {
        let (node, names) = (&self.node, &self.node.names);
        if node.local_len > 0 {
            let (layout, model) = (node.network.layout(), self.learner.params());
            kept.look_at(model, &layout.ranges(Role::is_local));
            let own: Params = layout.local_of(model).into();
            kept.state.put(names.local.clone(), own);
        }
        if node.keeps_models {
            let model: Params = self.learner.params().to_vec().into();
            kept.state.put(names.model.clone(), model);
        }
    }

    /// Judges the client's own model, which is what its last pass left in the learner, on the task that it is at or, without a
    /// stream, on all test samples.
    fn judge_own(
        &mut self,
        call: &ClientCall<'_>,
        seen: &Seen<'_>,
        report: &mut ClientReport,
    ) -> Result<(), NodeError> {
        let Evaluation {
            local, personal, ..
        } = self.node.evaluation;
        let probe = match (seen.task, call.together.stream) {
            (Some(task), _) => Some(Probe::Task(task)),
            (None, None) => Some(Probe::Test),
            (None, Some(_)) => None,
        };
        let Some(probe) = probe.filter(|_| local || personal) else {
            return Ok(());
        };
        let Some(tally) = self.tally_on(probe, call.round())? else {
            return Ok(());
        };
        report.local_accuracy = local.then(|| tally.accuracy());
        if personal {
            let classes = seen.shard.class_counts(self.node.network.classes());
            report.personal_accuracy = tally.accuracy_among(&classes);
            if self.node.local_len == 0 {
                self.load(&call.assignment().global);
                let received = self.tally_on(probe, call.round())?;
                report.received_accuracy = received.and_then(|all| all.accuracy_among(&classes));
            }
        }
        Ok(())
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

    /// So many passes over all samples.
    fn epochs(&self, call: &ClientCall<'_>, shard: &Shard, epochs: usize) -> Course {
        let batch = self.node.training(call.round()).batch.get();
        let course = Course::epochs(shard.len(), batch, epochs);
        let pairs = shard.pool.pairs();
        let Some((pairs, most)) = pairs.and_then(|pairs| Some((pairs, pairs.most?))) else {
            return course;
        };
        let query = |&index: &u32| pairs.of[index as usize][0];
        course.at_most(shard.indices.iter().map(query).collect(), most)
    }

    /// Which samples the steps of a pass see, and in which order.
    pub(crate) fn order(
        &self,
        call: &ClientCall<'_>,
        planned: &Planned,
        shard: &Shard,
        scores: &[f32],
    ) -> Course {
        let round = call.round();
        let training = self.node.training(round);
        let (epochs, steps) = match planned.pass.length {
            Length::Training => (training.epochs.get(), training.steps()),
            Length::Epochs(epochs) => (epochs, None),
            Length::Steps(steps) => (training.epochs.get(), Some(steps)),
        };
        let course = match &self.node.ordering {
            None => self.epochs(call, shard, epochs),
            Some(ordering) => {
                let (seed, ticket) = (self.node.seed, call.assignment().ticket);
                let mut rng = seed.stream(planned.dice.ordering, ticket, Some(call.client));
                let labels: Vec<u32> = (0..shard.len()).map(|p| shard.label(p)).collect();
                let order = ordering.arrange(scores, &labels, &mut rng);
                Course::paced(ordering, order, round, training.batch.get(), epochs)
            }
        };
        course.within(steps).drawn_for(planned.dice.batches)
    }

    /// Takes the steps of the shared pass, in the way that suits all of them: what they left behind and, where the learner does
    /// not hold it, what they changed.
    fn step(
        &mut self,
        call: &ClientCall<'_>,
        start: &Params,
        seen: &mut Seen<'_>,
        (course, weights): (&Course, &[f32]),
        objective: &Resolved<'_>,
        state: &mut ClientState,
    ) -> (Trace, Option<Vec<f32>>) {
        let shared = &call.together.plan.shared;
        let lesson = Lesson {
            shard: &seen.shard,
            weights,
            fixed: &shared.fixed,
        };
        self.begin_pass(call, shared);
        let mut change = None;
        let rule = Rule::new(self.node.training(call.round()), objective);
        let trace = if let Some(post) = &mut seen.post {
            let methods = &mut seen.methods;
            let trace = self.walk_with(call, (post, methods), course, lesson, rule);
            self.put_down((post, methods), lesson.shard, state);
            trace
        } else if course.steps == 1 && shared.moves_all() && self.needs_no_model(&rule) {
            let mut single = Single {
                lesson,
                start,
                change: self.vectors.pop().unwrap_or_default(),
            };
            let trace = self.walk(call, course, rule, &mut single);
            change = Some(single.change);
            trace
        } else {
            self.load(start);
            self.walk(call, course, rule, &mut Plain(lesson))
        };
        (trace, change)
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
        let Evaluation {
            local, personal, ..
        } = self.node.evaluation;
        (local || personal) && self.stream.is_none()
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
        let divergence = self.node.divergence(&call.assignment().vectors);
        let prior = divergence.as_ref().and_then(|d| self.prior(call, d));
        self.node.bounds.settle(delta, |delta| {
            call.together.rule.settle(&LocalWork {
                client: call.client,
                delta,
                received: call.start,
                prior,
                samples: report.samples,
                steps: report.steps,
                travel,
                state: call.state().floats(SlotName::STRATEGY),
                round: &call.assignment().vectors,
            })
        })
    }

    /// The prior of a call, where weights are distributions.
    fn prior<'b>(&self, call: &ClientCall<'b>, divergence: &'b Divergence) -> Option<Prior<'b>> {
        let values = match &divergence.prior {
            VectorRef::Inline(values) => values,
            VectorRef::Round(index) => call.assignment().vectors.get(*index)?,
            VectorRef::Global => &call.assignment().global,
        };
        let halves = divergence.halves;
        Some(Prior { values, halves })
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

    /// Lets an update into the sum, or says in the report why not.
    fn admit(
        &self,
        call: &ClientCall<'_>,
        shard: &Shard,
        (lanes, fault): (Vec<(f64, Params)>, Option<SumError>),
        report: &mut ClientReport,
    ) -> Option<Term> {
        let refused = |reason: SumError| {
            let advice = advice(&reason, shard);
            let reason = reason.told(self.node.network.layout());
            report.outcome = Outcome::Refused(format!("its update is refused: {reason}{advice}"));
            report.bytes_up = 0;
        };
        match fault {
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
