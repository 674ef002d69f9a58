//! A node and the workers that run on its threads.

use crate::{
    continual::Spare,
    error::NodeError,
    memory::{Method, Names},
    plan::Plan,
    retrieval::LastEmbedded,
};
use lyceum_core::{
    Assignment, Augmentation, Batch, Bounds, ClientId, ClientRule, ClientState, Divergence, Engine,
    ExactSum, ExpertScores, Federation, Learner, Moments, Needs, Network, Params, Predict,
    Reduction, Round, Seed, Shard, SlotName, SlotSpecs, Stream, TaskStream, Term, Transforms,
    Upload, VectorRef, Work,
};
use lyceum_layers::Contrast;
use lyceum_scenarios::{Evaluation, Expert, Phase, Scenario, Training};
use lyceum_strategies::ordering;
use std::{
    borrow::Cow,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

/// Everything that the workers of one node share, read-only.
pub struct Node {
    pub(crate) federation: Arc<dyn Federation>,
    pub(crate) network: Network,
    pub(crate) seed: Seed,
    pub(crate) rounds: u64,
    training: Training,
    pub(crate) ordering: Option<ordering::Ordering>,
    pub(crate) expert: Expert,
    pub(crate) rule: Arc<dyn ClientRule>,
    /// What of the model is the rule's.
    pub(crate) bounds: Bounds,
    pub(crate) reduction: Reduction,
    /// What clients do in a call.
    pub(crate) plan: Arc<Plan>,
    /// What happens to updates; here the clients' halves.
    pub(crate) transforms: Transforms,
    /// What the expert makes of each sample, by its index in the pool.
    pub(crate) expert_scores: Option<ExpertScores>,
    engine: Engine,
    /// What is minimised besides the data loss, where weights are distributions.
    divergence: Option<Divergence>,
    /// The last vector of an assignment is the prior.
    gives_priors: bool,
    /// What changes when.
    phases: Vec<Phase>,
    /// What clients see when, where there is a stream.
    pub(crate) stream: Option<Arc<TaskStream>>,
    /// How clients hold on to what they learned.
    pub(crate) methods: Vec<Method>,
    needs: Needs,
    /// How answers are found.
    pub(crate) predict: Arc<dyn Predict>,
    /// What clients may keep, and where.
    pub(crate) slots: SlotSpecs,
    pub(crate) names: Names,
    /// Values of the model that stay with their clients.
    pub(crate) local_len: usize,
    /// Clients' own models stay from round to round.
    pub(crate) keeps_models: bool,
    /// What is judged, and what is counted.
    pub(crate) evaluation: Evaluation,
    /// It is one real client.
    pub(crate) alone: bool,
    /// Candidates of pairs as the last model embeds them.
    pub(crate) embedded: LastEmbedded,
}

impl Node {
    /// As the node of one real client, whose update is sent as it is.
    pub fn alone(mut self) -> Self {
        self.alone = true;
        self
    }

    /// In a stream of tasks.
    pub fn in_stream(mut self, stream: Option<Arc<TaskStream>>) -> Self {
        self.stream = stream;
        self
    }

    /// With a training that changes from phase to phase.
    pub fn in_phases(mut self, phases: Vec<Phase>) -> Self {
        self.phases = phases;
        self
    }

    /// How parameters follow their gradients in a round.
    pub(crate) fn training(&self, round: Round) -> &Training {
        let begun = self.phases.partition_point(|phase| phase.from <= round);
        match begun.checked_sub(1) {
            Some(last) => &self.phases[last].training,
            None => &self.training,
        }
    }

    /// What the methods ask for, together.
    pub(crate) fn needs(&self) -> Needs {
        self.needs
    }

    /// What a call minimises besides its data loss where weights are distributions.
    pub(crate) fn divergence(&self, vectors: &[Params]) -> Option<Divergence> {
        let own = self.divergence.clone()?;
        let given = vectors.len().checked_sub(1).filter(|_| self.gives_priors);
        Some(match given {
            Some(last) => Divergence {
                prior: VectorRef::Round(last),
                ..own
            },
            None => own,
        })
    }

    /// A node for a scenario. `expert` is in the order of the federation's pooled samples.
    pub fn new(
        scenario: &Scenario,
        engine: Engine,
        network: Network,
        federation: Arc<dyn Federation>,
        expert: Option<&ExpertScores>,
    ) -> Self {
        let expert_scores = expert.and_then(|scores| {
            let pooled = federation.pooled()?;
            let (losses, errors) = (
                by_index(&pooled, &scores.losses),
                by_index(&pooled, &scores.errors),
            );
            Some(ExpertScores { losses, errors })
        });
        let contribution = scenario.contribution(&network, federation.pooled().as_ref());
        Self {
            seed: scenario.seed(),
            rounds: scenario.rounds(),
            training: scenario.training.clone(),
            ordering: scenario.ordering.clone(),
            expert: scenario.expert.clone(),
            rule: scenario.strategy.plugin.client_half(),
            bounds: Bounds::of(network.layout()),
            reduction: contribution.reduction,
            slots: contribution.slots,
            local_len: network.layout().local_len(),
            names: Names::default(),
            keeps_models: scenario.keeps_models(),
            plan: Arc::new(Plan::new(&scenario.passes(), &network)),
            transforms: scenario.transforms(),
            expert_scores,
            engine,
            divergence: scenario.divergence(&network),
            gives_priors: scenario.gives_priors(),
            stream: None,
            phases: Vec::new(),
            methods: Method::all(scenario),
            needs: scenario.needs(),
            predict: scenario.predict(),
            evaluation: scenario.evaluation.clone(),
            alone: false,
            embedded: LastEmbedded::default(),
            federation,
            network,
        }
    }

    /// Whether units go into one sum. The unit of a real client, and one whose updates are asked for one by one, is
    /// answered by itself.
    pub fn sums_units(&self) -> bool {
        !self.alone && self.reduction == Reduction::Sum
    }

    /// Whether a client's state is one that this run knows.
    pub(crate) fn look_at(&self, client: ClientId, state: &ClientState) -> Result<(), NodeError> {
        let looked = self.slots.check(state);
        looked.map_err(|fault| NodeError::Slot { client, fault })
    }

    /// The model that a client starts from: the global one, with what stays with the client in its places.
    pub(crate) fn start_of<'a>(
        &self,
        global: &'a Params,
        client: ClientId,
        state: &ClientState,
    ) -> Result<Cow<'a, Params>, NodeError> {
        self.look_at(client, state)?;
        let Some(own) = state.floats(SlotName::LOCAL) else {
            return Ok(Cow::Borrowed(global));
        };
        let start = self.network.layout().with_local(global, own);
        let start = start.ok_or(NodeError::Data("what stays with a client"))?;
        Ok(Cow::Owned(start))
    }

    /// The clients and their samples.
    pub fn federation(&self) -> &Arc<dyn Federation> {
        &self.federation
    }

    /// The model.
    pub fn network(&self) -> &Network {
        &self.network
    }
}

/// Values in the order of a shard, spread to the places of its samples in the pool.
fn by_index(shard: &Shard, values: &[f32]) -> Vec<f32> {
    let mut all = vec![f32::NAN; shard.pool.len()];
    shard
        .indices
        .iter()
        .zip(values)
        .for_each(|(&i, &value)| all[i as usize] = value);
    all
}

/// One thread's learner and buffers.
pub struct Worker {
    pub(crate) node: Arc<Node>,
    pub(crate) learner: Box<dyn Learner>,
    pub(crate) moments: Moments,
    pub(crate) batch: Batch,
    pub(crate) logits: Vec<f32>,
    pub(crate) losses: Vec<f32>,
    pub(crate) contrast: Contrast,
    pub(crate) spare: Spare,
    /// Vectors of earlier clients, of which nothing but the memory is used.
    pub(crate) vectors: Vec<Vec<f32>>,
    /// The node's stream in the stage of the unit at work.
    pub(crate) stream: Option<Arc<TaskStream>>,
    /// How the pass at work changes the samples of its steps.
    pub(crate) augmenting: Option<(Vec<Augmentation>, Stream)>,
    /// Becomes true when nobody wants the work in hand any more.
    pub(crate) halt: Arc<AtomicBool>,
}

impl Worker {
    /// A worker on the node's engine.
    pub fn new(node: Arc<Node>) -> Result<Self, NodeError> {
        let learner = (node.engine.build)(&node.network).map_err(NodeError::Engine)?;
        Ok(Self {
            learner,
            moments: Moments::new(node.network.layout()),
            batch: Batch {
                loss: node.training.loss,
                ..Batch::default()
            },
            logits: Vec::new(),
            losses: Vec::new(),
            contrast: Contrast::default(),
            spare: Spare::default(),
            vectors: Vec::new(),
            stream: None,
            augmenting: None,
            halt: Arc::default(),
            node,
        })
    }

    /// A worker that gives its unit up, within a step, once this is true.
    pub(crate) fn until(self, halt: Arc<AtomicBool>) -> Self {
        Self { halt, ..self }
    }

    /// Whether the work in hand is to be given up. What was begun is not complete then, and must not be handed in.
    pub(crate) fn halted(&self) -> bool {
        self.halt.load(Ordering::Relaxed)
    }

    /// An error where the work in hand is to be given up.
    pub(crate) fn go_on(&self) -> Result<(), NodeError> {
        match self.halted() {
            true => Err(NodeError::Halted),
            false => Ok(()),
        }
    }

    /// Works on one unit.
    pub fn execute(&mut self, assignment: &Assignment) -> Result<Upload, NodeError> {
        self.execute_with(assignment, || None)
    }

    /// Works on one unit and, if it is one of training whose clients are summed, on every further one of its ticket that
    /// `more` hands out. The clients of all of them go into one sum, so that nobody has to merge theirs.
    pub fn execute_with(
        &mut self,
        first: &Assignment,
        more: impl FnMut() -> Option<Assignment>,
    ) -> Result<Upload, NodeError> {
        let want = self.node.network.layout().len();
        if first.global.len() != want {
            let got = first.global.len();
            return Err(NodeError::Model { got, want });
        }
        let stream = self.node.stream.as_ref();
        let told = stream.map(|stream| stream.told(&first.facts)).transpose();
        self.stream = told.map_err(NodeError::Facts)?;
        let mut upload = |payload| Upload {
            ticket: first.ticket,
            units: vec![first.unit],
            payload,
            micros: Vec::new(),
        };
        let done = match first.work {
            Work::Train => self.train_units(first, more),
            Work::Score => self.score_unit(first).map(&mut upload),
            Work::Evaluate => self.evaluate_unit(first).map(&mut upload),
            Work::Expert => self.train_expert(&first.global).map(&mut upload),
        }?;
        // Work that was given up midway looks like any other.
        self.go_on().map(|()| done)
    }

    /// What a client sees of its samples in a round; `None` before its first task has come.
    pub(crate) fn sight(&self, client: ClientId, round: Round, shard: &Shard) -> Option<Shard> {
        match &self.stream {
            None => Some(shard.clone()),
            Some(stream) => stream.sight(client, round, shard, self.node.needs().reach),
        }
    }

    /// Keeps the vectors of terms that are summed, so that the next clients' need not be made.
    pub(crate) fn take_back(&mut self, terms: &mut Vec<Term>) {
        let vectors = terms.drain(..).flat_map(Term::into_parts);
        let whole = vectors.filter_map(|(_, values)| values.into_vec());
        // Lanes of weights alone have none.
        self.vectors
            .extend(whole.filter(|vector| !vector.is_empty()));
        self.vectors.truncate(ExactSum::FOLD);
    }

    /// Loads parameters into the learner.
    pub(crate) fn load(&mut self, params: &Params) {
        self.learner.load(params);
    }
}
