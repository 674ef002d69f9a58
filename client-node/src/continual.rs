//! A local training call in a stream of tasks: what continual methods add to it.

use crate::{Worker, course::Course, node::NodeError, train::Trace};
use lyceum_core::{
    Assignment, Batch, ClientId, Draft, Lessons, Memory, MethodRun, Mode, Moments, Needs, Noise,
    Optimizer, Params, Purpose, Resolved, ResolvedStrength, Round, Seed, Shard, Site, Step, Stream,
    TaskId, TaskStream, TaskView, Ticket, Update, codec,
};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// What stays with a client between its rounds in a stream.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Remembered {
    /// Where it trained last.
    last: Option<Last>,
    /// The state of each method, in the order of the scenario.
    methods: Vec<Vec<u8>>,
    /// The optimizer, where it goes on from call to call.
    optimizer: Option<Carried>,
}

/// An optimizer between two calls.
#[derive(Debug, Serialize, Deserialize)]
struct Carried {
    first: Vec<f32>,
    second: Vec<f32>,
    steps: u64,
}

/// Where a client trained last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Last {
    task: TaskId,
    place: u32,
    round: Round,
}

/// Where and when a client trains in a stream.
pub(crate) struct Post<'a> {
    pub(crate) assignment: &'a Assignment,
    pub(crate) client: ClientId,
    pub(crate) stream: &'a TaskStream,
    /// The task that it is at.
    pub(crate) task: TaskView,
    /// All of its samples.
    pub(crate) shard: &'a Shard,
}

/// The methods of a client at work.
pub(crate) struct Methods {
    runs: Vec<Box<dyn MethodRun>>,
    needs: Needs,
    last: Option<Last>,
    call: Call,
    /// What pulls parameters, beside the strategy.
    pulls: Vec<(Params, Params)>,
    pub(crate) afresh: bool,
    epochs: Option<usize>,
    optimizer: Option<Carried>,
}

/// What the hooks of one call have in common.
pub(crate) struct Call {
    /// What methods draw from.
    rng: Stream,
    /// Dropout masks of gradients that methods take.
    noise: Stream,
    /// One flag a layer: which batch normalisations are frozen.
    fixed: Vec<bool>,
}

impl Call {
    pub(crate) fn new(seed: Seed, ticket: Ticket, client: ClientId) -> Self {
        let stream = |purpose| seed.stream(purpose, ticket, Some(client));
        Self {
            rng: stream(Purpose::CONTINUAL),
            noise: stream(Purpose::REFERENCE),
            fixed: Vec::new(),
        }
    }
}

/// How the steps of a call change parameters.
struct Rule<'a> {
    optimizer: Optimizer,
    rate: f32,
    weight_decay: f32,
    clip: Option<f32>,
    objective: &'a Resolved<'a>,
}

impl Rule<'_> {
    fn update<'m>(&'m self, memory: &'m mut Moments) -> Update<'m> {
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

/// Buffers of one worker that methods need beside those of every call.
#[derive(Default)]
pub(crate) struct Spare {
    draft: Draft,
    batch: Batch,
    grad: Vec<f32>,
    before: Vec<f32>,
    logits: Vec<f32>,
    pub(crate) features: Vec<f32>,
    /// Learning rate of the step, or of the first.
    rate: f32,
    /// The round of the call.
    round: Round,
}

impl Worker {
    /// Takes up the methods of a client: a task that is over is ended, a new one begun, and the samples of the call
    /// are known. The learner holds the global model before and after.
    pub(crate) fn take_up(
        &mut self,
        post: &Post<'_>,
        sight: Shard,
        memory: Option<&Memory>,
        call: Call,
    ) -> Result<(Methods, Shard), NodeError> {
        let damaged = |_| NodeError::Data("a memory of a client that can be read");
        let remembered: Remembered = match memory {
            None => Remembered::default(),
            Some(memory) => {
                let bytes = memory.bytes().ok_or(NodeError::Data("a client's memory"))?;
                codec::decode(bytes).map_err(damaged)?
            }
        };
        let mut saved = remembered.methods.iter();
        let runs = self.node.methods.iter();
        let runs = runs
            .map(|method| method.clone().start(saved.next().map(Vec::as_slice)))
            .collect::<Result<Vec<_>, _>>()
            .map_err(damaged)?;
        let mut methods = Methods {
            needs: self.node.needs(),
            last: remembered.last,
            runs,
            call,
            pulls: Vec::new(),
            afresh: false,
            epochs: None,
            optimizer: remembered.optimizer,
        };
        self.load(&post.assignment.global);
        let round = post.assignment.round;
        let rate = self
            .node
            .training(round)
            .rate_at(0, round, self.node.rounds);
        self.spare.rate = rate as f32;
        self.spare.round = round;
        self.cross_boundary(&mut methods, post, &sight);
        self.open_sets(post.stream, &post.task);
        let mut lessons = Lessons::default();
        for run in &mut methods.runs {
            let mut site = site(self, &mut methods.call, &sight, &post.task, post.stream);
            let own = run.begin_call(&mut site);
            lessons.also.extend(own.also);
            lessons.only |= own.only;
            lessons.afresh |= own.afresh;
            lessons.epochs = own.epochs.or(lessons.epochs);
            lessons.frozen.extend(own.frozen);
        }
        methods.pulls = methods.runs.iter().flat_map(|run| run.pulls()).collect();
        methods.call.fixed = self.node.network.fixed(&lessons.frozen);
        methods.afresh = lessons.afresh;
        methods.epochs = lessons.epochs;
        let samples = match (lessons.only, lessons.also.is_empty()) {
            (false, true) => sight,
            (true, _) => sight.of_items(&lessons.also),
            (false, false) => {
                let all: Vec<_> = sight.items().chain(lessons.also).collect();
                sight.of_items(&all)
            }
        };
        Ok((methods, samples))
    }

    fn cross_boundary(&mut self, methods: &mut Methods, post: &Post<'_>, sight: &Shard) {
        let Post {
            assignment,
            client,
            stream,
            ref task,
            shard,
        } = *post;
        let here = Last {
            task: task.task,
            place: task.place,
            round: assignment.round,
        };
        let before = methods.last.replace(here);
        if before.is_some_and(|last| last.place == here.place) {
            return;
        }
        if let Some(last) = before
            && let Some(over) = stream.view(client, last.round)
        {
            let whole = stream.whole_task(last.task, shard);
            self.open_sets(stream, &over);
            for run in &mut methods.runs {
                run.end_task(&mut site(self, &mut methods.call, &whole, &over, stream));
            }
        }
        self.open_sets(stream, task);
        for run in &mut methods.runs {
            run.begin_task(&mut site(self, &mut methods.call, sight, task, stream));
        }
    }

    /// Takes the steps of a call. The learner holds the parameters to start from.
    pub(crate) fn walk_with(
        &mut self,
        post: &Post<'_>,
        methods: &mut Methods,
        samples: &Shard,
        course: &Course,
        weights: &[f32],
        objective: &Resolved<'_>,
    ) -> Trace {
        self.moments.reset();
        if let Some(carried) = methods.optimizer.take() {
            self.moments.first = carried.first;
            self.moments.second = carried.second;
            self.moments.steps = carried.steps;
        }
        let pulls = std::mem::take(&mut methods.pulls);
        let mut objective = objective.clone();
        let own = pulls.iter();
        objective
            .pulls
            .extend(own.map(|(strength, anchor)| (ResolvedStrength::Each(strength), &anchor[..])));
        let node = self.node.clone();
        let assignment = post.assignment;
        let training = node.training(assignment.round);
        let optimizer = training.optimizer.rule();
        let momentum = training.optimizer.momentum();
        let mut rng = node
            .seed
            .stream(Purpose::BATCHES, assignment.ticket, Some(post.client));
        self.batch.keep_logits = methods.needs.logits;
        self.batch.aims.sets = self.spare.batch.aims.sets.clone();
        let mut trace = Trace::new(course.epoch);
        let mut coefficient = 0.0;
        course.walk(&mut rng, |step, (positions, _), rng| {
            let rate = training.rate_at(step, assignment.round, node.rounds);
            self.spare.rate = rate as f32;
            self.draft(post, methods, samples, positions, weights);
            let noise = Noise::draw(&node.network, rng);
            let rule = Rule {
                optimizer,
                rate: self.spare.rate,
                weight_decay: training.weight_decay.get() as f32,
                clip: training.clip.map(|c| c.get() as f32),
                objective: &objective,
            };
            let loss = self.step_with(post, methods, samples, noise, &rule);
            coefficient = momentum * coefficient + 1.0;
            trace.travel += rate * coefficient;
            trace.trained += self.spare.draft.rows() as u64;
            trace.add(loss, self.batch.rows(), self.learner.seen_squares());
            loss.is_finite()
        });
        self.batch.aims = Default::default();
        self.batch.keep_logits = false;
        trace
    }

    /// Puts the rows of a step into the batch.
    fn draft(
        &mut self,
        post: &Post<'_>,
        methods: &mut Methods,
        samples: &Shard,
        positions: &[u32],
        weights: &[f32],
    ) {
        let mut draft = std::mem::take(&mut self.spare.draft);
        draft.begin(self.node.network.classes(), samples, positions, weights);
        for run in &mut methods.runs {
            let mut site = site(self, &mut methods.call, samples, &post.task, post.stream);
            run.rows(&mut draft, &mut site);
        }
        let head = post.stream.rules().head;
        if !draft.open.is_empty() || head.masks() {
            let own = draft.open.len();
            let rest = draft.items[own..].iter();
            draft.open.extend(rest.map(|item| head.set_of(*item)));
        }
        samples.pack_items(&draft.items, &mut self.batch);
        draft.finish(&mut self.batch);
        self.spare.draft = draft;
    }

    fn step_with(
        &mut self,
        post: &Post<'_>,
        methods: &mut Methods,
        samples: &Shard,
        noise: Noise,
        rule: &Rule<'_>,
    ) -> f32 {
        let fixed = &methods.call.fixed;
        let mode = Mode::Train { noise, fixed };
        let Needs {
            gradient,
            steps,
            logits,
            ..
        } = methods.needs;
        let loss = if gradient || steps {
            let mut grad = std::mem::take(&mut self.moments.grad);
            let loss = self.learner.backward(&self.batch, mode, &mut grad);
            if logits {
                self.learner.seen_logits(&mut self.spare.logits);
            }
            if gradient {
                for run in &mut methods.runs {
                    let mut site = site(self, &mut methods.call, samples, &post.task, post.stream);
                    run.gradient(&mut grad, &mut site);
                }
            }
            if steps {
                replace(&mut self.spare.grad, &grad);
                replace(&mut self.spare.before, self.learner.params());
            }
            self.moments.grad = grad;
            rule.update(&mut self.moments)
                .apply(self.learner.params_mut());
            loss
        } else {
            let mut update = rule.update(&mut self.moments);
            let loss = self.learner.step(&self.batch, mode, &mut update);
            if logits {
                self.learner.seen_logits(&mut self.spare.logits);
            }
            loss
        };
        if steps || logits {
            self.show_step(post, methods, samples);
        }
        loss
    }

    fn show_step(&mut self, post: &Post<'_>, methods: &mut Methods, samples: &Shard) {
        let Spare {
            draft,
            grad,
            before,
            logits,
            ..
        } = &mut self.spare;
        let (draft, logits) = (std::mem::take(draft), std::mem::take(logits));
        let (grad, before) = (std::mem::take(grad), std::mem::take(before));
        let only_if = |wanted: bool, values| if wanted { values } else { &[][..] };
        let step = Step {
            draft: &draft,
            grad: only_if(methods.needs.steps, &grad),
            before: only_if(methods.needs.steps, &before),
            logits: only_if(methods.needs.logits, &logits),
        };
        for run in &mut methods.runs {
            let mut site = site(self, &mut methods.call, samples, &post.task, post.stream);
            run.after_step(&step, &mut site);
        }
        let spare = &mut self.spare;
        (spare.draft, spare.logits) = (draft, logits);
        (spare.grad, spare.before) = (grad, before);
    }

    /// Says to methods which sets of classes there are where a client is.
    fn open_sets(&mut self, stream: &TaskStream, task: &TaskView) {
        let sets = class_sets(stream, task, self.node.network.classes());
        self.spare.batch.aims.sets = Arc::new(sets);
    }

    /// Ends a call; what the client is to remember.
    pub(crate) fn put_down(
        &mut self,
        post: &Post<'_>,
        mut methods: Methods,
        samples: &Shard,
    ) -> Memory {
        for run in &mut methods.runs {
            let mut site = site(self, &mut methods.call, samples, &post.task, post.stream);
            run.end_call(&mut site);
        }
        let carries = self.node.training(post.assignment.round).carry;
        let optimizer = carries.then(|| Carried {
            first: self.moments.first.clone(),
            second: self.moments.second.clone(),
            steps: self.moments.steps,
        });
        let remembered = Remembered {
            optimizer,
            last: methods.last,
            methods: methods.runs.iter().map(|run| run.save()).collect(),
        };
        Memory::new(&codec::encode(&remembered))
    }
}

impl Methods {
    /// The steps of the call.
    pub(crate) fn course(
        &self,
        worker: &Worker,
        scores: &[f32],
        samples: &Shard,
        assignment: &Assignment,
        rng: &mut Stream,
    ) -> Course {
        match self.epochs {
            Some(epochs) => Course::epochs(
                samples.len(),
                worker.node.training(assignment.round).batch.get(),
                epochs,
            ),
            None => worker.course(scores, samples, assignment, rng),
        }
    }
}

fn replace(buffer: &mut Vec<f32>, values: &[f32]) {
    buffer.clear();
    buffer.extend_from_slice(values);
}

fn site<'a>(
    worker: &'a mut Worker,
    call: &'a mut Call,
    sight: &'a Shard,
    task: &'a TaskView,
    stream: &TaskStream,
) -> Site<'a> {
    let Worker {
        node,
        learner,
        spare,
        ..
    } = worker;
    let training = node.training(spare.round);
    Site {
        learner: &mut **learner,
        network: &node.network,
        sight,
        task,
        rng: &mut call.rng,
        noise: &mut call.noise,
        fixed: &call.fixed,
        batch: &mut spare.batch,
        loss: training.loss,
        head: stream.rules().head,
        optimizer: training.optimizer.rule(),
        rate: spare.rate,
        rows: training.batch.get(),
        seed: node.seed,
    }
}

/// The sets of classes that rows may be masked to, in the order of [`lyceum_core::sets`].
fn class_sets(stream: &TaskStream, task: &TaskView, classes: usize) -> Vec<Vec<bool>> {
    let flags = |labels: &mut dyn Iterator<Item = u32>| {
        let mut set = vec![false; classes];
        labels.for_each(|label| set[label as usize] = true);
        set
    };
    let TaskView {
        classes: current,
        before,
        ..
    } = task;
    let mut all = vec![
        flags(&mut current.iter().copied()),
        flags(&mut before.iter().copied()),
        flags(&mut current.iter().chain(before.iter()).copied()),
        flags(&mut (0..classes as u32).filter(|label| !before.contains(label))),
    ];
    let tasks = stream.tasks().iter();
    all.extend(tasks.map(|task| flags(&mut task.classes.iter().copied())));
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use lyceum_core::{Init, Layer, Network};

    #[test]
    fn noise_of_reference_gradients_is_addressed() {
        let layers = vec![Layer::Dropout { share: 0.5 }, Layer::Dense { units: 2 }];
        let network = Network::new(&[3], 2, layers, Init::He).unwrap();
        let noise = |seed, ticket, client| {
            let mut call = Call::new(Seed(seed), Ticket(ticket), ClientId(client));
            Noise::draw(&network, &mut call.noise)
        };
        let here = noise(1, 2, 3);
        assert_eq!(here, noise(1, 2, 3));
        for elsewhere in [noise(2, 2, 3), noise(1, 3, 3), noise(1, 2, 4)] {
            assert_ne!(here, elsewhere);
        }
    }
}
