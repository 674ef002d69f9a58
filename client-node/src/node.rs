//! A node and the workers that run on its threads.

use crate::{continual::Spare, train::Together};
use lyceum_core::{
    Addend, AnyMethod, Assignment, Batch, Bounds, ClientId, ClientRule, ClientTerm, DataRef,
    Engine, ExactSum, ExpertScores, FactError, Federation, Grid, Learner, Moments, Needs, Network,
    Params, Payload, Reduction, Round, Seed, Shard, SumError, TaskStream, Term, Trained, Upload,
    Work,
};
use lyceum_scenarios::{Expert, Phase, Scenario, Training};
use lyceum_strategies::ordering::Ordering;
use std::{borrow::Cow, sync::Arc, time::Instant};

/// Why a unit could not be worked on at all.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum NodeError {
    /// The engine cannot be used here.
    #[error("{0}")]
    Engine(String),
    /// The assignment asks for samples that this node does not have.
    #[error("the assignment names {0}, which this node does not have")]
    Data(&'static str),
    /// The sum of a unit cannot hold its terms.
    #[error("a unit cannot be summed: {0}")]
    Sum(SumError),
    /// The stream cannot take what it is told.
    #[error("{0}")]
    Facts(FactError),
    /// The assignment's model is not the scenario's.
    #[error("the assignment's model has {got} parameters, the scenario's has {want}")]
    Model {
        /// In the assignment.
        got: usize,
        /// In the scenario.
        want: usize,
    },
}

/// Everything that the workers of one node share, read-only.
pub struct Node {
    pub(crate) federation: Arc<dyn Federation>,
    pub(crate) network: Network,
    pub(crate) seed: Seed,
    pub(crate) rounds: u64,
    training: Training,
    pub(crate) ordering: Option<Ordering>,
    pub(crate) expert: Expert,
    pub(crate) rule: Arc<dyn ClientRule>,
    /// What of the model is the rule's.
    pub(crate) bounds: Bounds,
    reduction: Reduction,
    /// What the expert makes of each sample, by its index in the pool.
    pub(crate) expert_scores: Option<ExpertScores>,
    engine: Engine,
    /// What changes when.
    phases: Vec<Phase>,
    /// What clients see when, where there is a stream.
    pub(crate) stream: Option<Arc<TaskStream>>,
    /// How clients hold on to what they learned.
    pub(crate) methods: Vec<Arc<dyn AnyMethod>>,
    needs: Needs,
    /// Clients' own models are judged.
    pub(crate) judges_local: bool,
    /// It is one real client.
    pub(crate) alone: bool,
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
        Self {
            seed: scenario.seed(),
            rounds: scenario.rounds(),
            training: scenario.training.clone(),
            ordering: scenario.ordering.clone(),
            expert: scenario.expert.clone(),
            rule: scenario.strategy.plugin.client_half(),
            bounds: Bounds::of(network.layout()),
            reduction: scenario
                .strategy
                .plugin
                .contribution(network.layout())
                .reduction,
            expert_scores,
            engine,
            stream: None,
            phases: Vec::new(),
            methods: scenario.methods().collect(),
            needs: scenario.needs(),
            judges_local: scenario.evaluation.local,
            alone: false,
            federation,
            network,
        }
    }

    /// Whether units go into one sum. The unit of a real client, and one whose updates are asked for one by one, is
    /// answered by itself.
    pub fn sums_units(&self) -> bool {
        !self.alone && self.reduction == Reduction::Sum
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
    pub(crate) spare: Spare,
    /// Vectors of earlier clients, of which nothing but the memory is used.
    pub(crate) vectors: Vec<Vec<f32>>,
    /// The node's stream in the stage of the unit at work.
    pub(crate) stream: Option<Arc<TaskStream>>,
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
            spare: Spare::default(),
            vectors: Vec::new(),
            stream: None,
            node,
        })
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
        match first.work {
            Work::Train => self.train_units(first, more),
            Work::Score => self.score_unit(first).map(&mut upload),
            Work::Evaluate => self.evaluate_unit(first).map(&mut upload),
            Work::Expert => self.train_expert(&first.global).map(&mut upload),
        }
    }

    fn train_units(
        &mut self,
        first: &Assignment,
        mut more: impl FnMut() -> Option<Assignment>,
    ) -> Result<Upload, NodeError> {
        let (rule, stream) = (self.node.rule.clone(), self.stream.clone());
        let federation = self.node.federation.clone();
        let grid = Grid::from(self.node.network.layout());
        let mut sum = ExactSum::new(&rule.lanes(), grid);
        let (mut reports, mut states) = (Vec::new(), Vec::new());
        let (mut units, mut micros) = (Vec::new(), Vec::new());
        let mut terms = Vec::with_capacity(ExactSum::FOLD);
        let mut each = Vec::new();
        let singly = self.node.reduction == Reduction::EachUpdate;
        let mut start = Instant::now();
        let mut next = Some(Cow::Borrowed(first));
        while let Some(unit) = next {
            if (unit.ticket, unit.work) != (first.ticket, Work::Train) {
                return Err(NodeError::Data("units of another stage to sum together"));
            }
            let mut jobs = unit.jobs.iter().map(|job| match job.data {
                DataRef::Shard(client) => Ok((job, client, federation.shard(client))),
                _ => Err(NodeError::Data("a probe to train on")),
            });
            let mut coming = jobs.next().transpose()?;
            while let Some((job, client, shard)) = coming {
                coming = jobs.next().transpose()?;
                if let Some((.., shard)) = &coming {
                    let places = &mut shard.indices.iter().copied();
                    self.learner.expect(&shard.pool, places);
                }
                let together = Together {
                    assignment: &unit,
                    rule: &*rule,
                    stream: stream.as_deref(),
                    sum: &sum,
                };
                let (report, update) = self.train_client(&together, job, client, &shard)?;
                reports.push(report);
                if let Some((term, state)) = update {
                    match (singly, job.data) {
                        (true, DataRef::Shard(client)) => each.push(ClientTerm {
                            client,
                            lanes: term.into_parts(),
                        }),
                        _ => terms.push(term),
                    }
                    states.extend(state);
                }
                if terms.len() == ExactSum::FOLD {
                    sum.fold(&terms).map_err(NodeError::Sum)?;
                    self.take_back(&mut terms);
                }
                let now = Instant::now();
                micros.push((now - start).as_micros() as u64);
                start = now;
            }
            units.push(unit.unit);
            next = match self.node.sums_units() {
                true => more().map(Cow::Owned),
                false => None,
            };
        }
        let sum = match (self.node.alone, terms.len()) {
            _ if singly => Addend::Each(each),
            (true, 1) => Addend::Single(terms.remove(0).into_parts()),
            _ => {
                sum.fold(&terms).map_err(NodeError::Sum)?;
                sum.into()
            }
        };
        Ok(Upload {
            ticket: first.ticket,
            units,
            payload: Payload::Trained(Trained {
                sum,
                reports,
                states,
            }),
            micros,
        })
    }

    /// What a client sees of its samples in a round; `None` before its first task has come.
    pub(crate) fn sight(&self, client: ClientId, round: Round, shard: &Shard) -> Option<Shard> {
        match &self.stream {
            None => Some(shard.clone()),
            Some(stream) => stream.sight(client, round, shard, self.node.needs().reach),
        }
    }

    /// Keeps the vectors of terms that are summed, so that the next clients' need not be made.
    fn take_back(&mut self, terms: &mut Vec<Term>) {
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
