//! A local training call in a stream of tasks: what continual methods add to it.

mod guided;

use crate::{
    Worker,
    call::ClientCall,
    course::Course,
    error::NodeError,
    memory::damaged,
    steps::{Lesson, Rule},
    trace::Trace,
};
use guided::Guided;
use lyceum_core::{
    Batch, ClientId, ClientState, Draft, Lessons, MethodRun, Needs, Params, Purpose,
    ResolvedStrength, Round, Seed, Shard, Site, SlotName, Stream, TaskId, TaskStream, TaskView,
    Ticket, codec,
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::sync::Arc;

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

/// Where a client trains in a stream, and what goes with it from call to call.
pub(crate) struct Post<'a> {
    client: ClientId,
    round: Round,
    stream: &'a TaskStream,
    /// The task that it is at.
    task: TaskView,
    /// All of its samples.
    whole: &'a Shard,
    last: Option<Last>,
    optimizer: Option<Carried>,
    dice: Dice,
}

/// The methods of a client at work, and what they ask of the call.
#[derive(Default)]
pub(crate) struct Methods {
    runs: Vec<Box<dyn MethodRun>>,
    needs: Needs,
    /// What pulls parameters, beside the strategy.
    pulls: Vec<(Params, Params)>,
    /// The prior that a method gives.
    prior: Option<Params>,
    /// Where the steps begin, instead of the global model.
    start: Option<Params>,
    pub(crate) epochs: Option<usize>,
}

/// What the hooks of one call have in common.
struct Dice {
    /// What methods draw from.
    rng: Stream,
    /// Dropout masks of gradients that methods take.
    noise: Stream,
    /// One flag a layer: which batch normalisations are frozen.
    fixed: Vec<bool>,
}

impl Dice {
    fn new(seed: Seed, ticket: Ticket, client: ClientId) -> Self {
        let stream = |purpose| seed.stream(purpose, ticket, Some(client));
        Self {
            rng: stream(Purpose::CONTINUAL),
            noise: stream(Purpose::REFERENCE),
            fixed: Vec::new(),
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
    /// Learning rate of the step, or of the first.
    rate: f32,
    /// The round of the call.
    round: Round,
}

impl Worker {
    /// Takes up the methods of a client: a task that is over is ended, a new one begun, and the samples of the call
    /// are known.
    pub(crate) fn take_up<'a>(
        &mut self,
        call: &ClientCall<'a>,
        stream: &'a TaskStream,
        task: TaskView,
        sight: Shard,
    ) -> Result<(Post<'a>, Methods, Shard), NodeError> {
        let mut methods = self.start_methods(call.state())?;
        let (client, round) = (call.client, call.round());
        let mut post = Post {
            client,
            round,
            stream,
            task,
            whole: call.whole,
            last: kept(call.state(), SlotName::PLACE)?,
            optimizer: kept(call.state(), SlotName::OPTIMIZER)?,
            dice: Dice::new(self.node.seed, call.assignment().ticket, client),
        };
        self.load(call.start);
        let training = self.node.training(round);
        self.spare.rate = training.rate_at((0, 1), round, self.node.rounds) as f32;
        self.spare.round = round;
        self.cross_boundary(&mut methods, &mut post, &sight);
        self.open_sets(stream, &post.task);
        let samples = self.begin_call(&mut methods, &mut post, sight);
        Ok((post, methods, samples))
    }

    /// The scenario's methods with what they remember, in the order of the scenario.
    fn start_methods(&self, state: &ClientState) -> Result<Methods, NodeError> {
        let runs = self.node.methods.iter();
        let runs = runs.map(|method| method.rule.clone().start(state.bytes(&method.slot)));
        let runs = runs.collect::<Result<_, _>>().map_err(damaged)?;
        Ok(Methods {
            runs,
            needs: self.node.needs(),
            ..Methods::default()
        })
    }

    /// Begins a call with all methods; the samples that it goes through.
    fn begin_call(&mut self, methods: &mut Methods, post: &mut Post<'_>, sight: Shard) -> Shard {
        let mut lessons = Lessons::default();
        self.each_method(methods, post, &sight, |run, site| {
            let own = run.begin_call(site);
            lessons.also.extend(own.also);
            lessons.only |= own.only;
            lessons.start = own.start.or(lessons.start.take());
            lessons.epochs = own.epochs.or(lessons.epochs);
            lessons.frozen.extend(own.frozen);
        });
        methods.pulls = methods.runs.iter().flat_map(|run| run.pulls()).collect();
        methods.prior = methods.runs.iter().rev().find_map(|run| run.prior());
        methods.start = lessons.start;
        methods.epochs = lessons.epochs;
        post.dice.fixed = self.node.network.fixed(&lessons.frozen);
        match (lessons.only, lessons.also.is_empty()) {
            (false, true) => sight,
            (true, _) => sight.of_items(&lessons.also),
            (false, false) => {
                let all: Vec<_> = sight.items().chain(lessons.also).collect();
                sight.of_items(&all)
            }
        }
    }

    /// Calls a hook of every method, in their order.
    fn each_method(
        &mut self,
        methods: &mut Methods,
        post: &mut Post<'_>,
        sight: &Shard,
        mut hook: impl FnMut(&mut dyn MethodRun, &mut Site<'_>),
    ) {
        for run in &mut methods.runs {
            let mut site = site(self, &mut post.dice, sight, &post.task, post.stream);
            hook(&mut **run, &mut site);
        }
    }

    fn cross_boundary(&mut self, methods: &mut Methods, post: &mut Post<'_>, sight: &Shard) {
        let here = Last {
            task: post.task.task,
            place: post.task.place,
            round: post.round,
        };
        let before = post.last.replace(here);
        if before.is_some_and(|last| last.place == here.place) {
            return;
        }
        let stream = post.stream;
        if let Some(last) = before
            && let Some(over) = stream.view(post.client, last.round)
        {
            let whole = stream.whole_task(last.task, post.whole);
            self.open_sets(stream, &over);
            for run in &mut methods.runs {
                run.end_task(&mut site(self, &mut post.dice, &whole, &over, stream));
            }
        }
        self.open_sets(stream, &post.task);
        self.each_method(methods, post, sight, |run, site| run.begin_task(site));
    }

    /// Takes the steps of a call with its methods, from the global model or from where a method has them begin.
    pub(crate) fn walk_with(
        &mut self,
        call: &ClientCall<'_>,
        (post, methods): (&mut Post<'_>, &mut Methods),
        course: &Course,
        lesson: Lesson<'_>,
        rule: Rule<'_>,
    ) -> Trace {
        match methods.start.take() {
            Some(start) => self.load(&start),
            None => self.load(call.start),
        }
        if let Some(carried) = post.optimizer.take() {
            self.moments.first = carried.first;
            self.moments.second = carried.second;
            self.moments.steps = carried.steps;
        }
        let pulls = std::mem::take(&mut methods.pulls);
        let prior = methods.prior.take();
        let mut objective = rule.objective.clone();
        if let Some(prior) = &prior {
            objective.set_prior(prior);
        }
        let own = pulls.iter();
        objective
            .pulls
            .extend(own.map(|(strength, anchor)| (ResolvedStrength::Each(strength), &anchor[..])));
        let rule = rule.towards(&objective);
        self.batch.keep_logits = methods.needs.logits;
        self.batch.aims.sets = self.spare.batch.aims.sets.clone();
        let mut guided = Guided {
            post,
            methods,
            lesson,
        };
        let trace = self.walk(call, course, rule, &mut guided);
        self.batch.aims = Default::default();
        self.batch.keep_logits = false;
        trace
    }

    /// Says to methods which sets of classes there are where a client is.
    fn open_sets(&mut self, stream: &TaskStream, task: &TaskView) {
        let sets = class_sets(stream, task, self.node.network.classes());
        self.spare.batch.aims.sets = Arc::new(sets);
    }

    /// Ends a call; what the client is to remember goes to its state.
    pub(crate) fn put_down(
        &mut self,
        (post, methods): (&mut Post<'_>, &mut Methods),
        samples: &Shard,
        state: &mut ClientState,
    ) {
        self.each_method(methods, post, samples, |run, site| run.end_call(site));
        let names = &self.node.names;
        if let Some(last) = &post.last {
            state.put(names.place.clone(), codec::encode(last));
        }
        if self.node.training(post.round).carry {
            self.learner.settle(&mut self.moments);
            let optimizer = codec::encode(&Carried {
                first: self.moments.first.clone(),
                second: self.moments.second.clone(),
                steps: self.moments.steps,
            });
            state.put(names.optimizer.clone(), optimizer);
        }
        for (method, run) in self.node.methods.iter().zip(&methods.runs) {
            state.put(method.slot.clone(), run.save());
        }
    }
}

/// What a client keeps in a slot; nothing before its first call.
fn kept<T: DeserializeOwned>(state: &ClientState, slot: &str) -> Result<Option<T>, NodeError> {
    let bytes = state.bytes(slot);
    bytes.map(codec::decode).transpose().map_err(damaged)
}

fn site<'a>(
    worker: &'a mut Worker,
    dice: &'a mut Dice,
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
        rng: &mut dice.rng,
        noise: &mut dice.noise,
        fixed: &dice.fixed,
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
    use lyceum_core::{Init, Layer, Network, Noise};

    #[test]
    fn noise_of_reference_gradients_is_addressed() {
        let layers = vec![Layer::Dropout { share: 0.5 }, Layer::Dense { units: 2 }];
        let network = Network::new(&[3], 2, layers, Init::He).unwrap();
        let noise = |seed, ticket, client| {
            let mut dice = Dice::new(Seed(seed), Ticket(ticket), ClientId(client));
            Noise::draw(&network, &mut dice.noise)
        };
        let here = noise(1, 2, 3);
        assert_eq!(here, noise(1, 2, 3));
        for elsewhere in [noise(2, 2, 3), noise(1, 3, 3), noise(1, 2, 4)] {
            assert_ne!(here, elsewhere);
        }
    }
}
