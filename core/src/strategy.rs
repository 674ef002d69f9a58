//! How updates become the next global model.
//!
//! A strategy is an immutable rule beside a serialisable state, so that checkpoints and resuming
//! come free. Authors implement [`Strategy`]; holders see its erased twin [`AnyStrategy`].

use crate::{
    Bounds, ClientId, Contribution, Folded, Halves, Harvest, Lane, Layout, Objective, Params, Pass,
    Reduction, Settled, SlotName, SlotSpec, SlotSpecs, Stall, codec, units::Misfit,
};
use serde::{Serialize, de::DeserializeOwned};
use std::sync::Arc;

/// An aggregation rule.
pub trait Strategy: Send + Sync + 'static {
    /// What the rule remembers between rounds.
    type State: Serialize + DeserializeOwned + Send + 'static;

    /// The state before the first round.
    fn init(&self, global: &Params) -> Self::State;

    /// Vectors that every client of the round needs besides the global model.
    fn broadcast(&self, state: &Self::State) -> Vec<Params> {
        let _ = state;
        Vec::new()
    }

    /// What [`close`](Self::close) must see of the clients' work.
    fn reduction(&self) -> Reduction {
        Reduction::Sum
    }

    /// Why the rule cannot do anything with so many updates, of which there is at least one. A round with no more leaves
    /// model and state as they are; a scenario whose rounds never have enough is refused at that key.
    fn short_of(&self, updates: usize) -> Option<Misfit> {
        let _ = updates;
        None
    }

    /// Turns what came of the round into the next global model.
    ///
    /// The sums are those of what follows gradients; elsewhere they are zero, and what a rule does there is undone: see
    /// [`Bounds`].
    fn close(
        &self,
        state: &mut Self::State,
        global: &mut Params,
        folded: &Folded<'_>,
    ) -> Result<(), Stall>;

    /// Whether the rule merges distributions, and so needs weights that are.
    fn merges_distributions(&self) -> bool {
        false
    }

    /// What happens on the client's side.
    fn client_half(&self) -> Arc<dyn ClientRule> {
        Arc::new(PlainClient)
    }
}

/// The client's side of a strategy: an immutable rule beside one state vector per client.
///
/// Lane 0 must hold the updates, so that a round without any can be told.
pub trait ClientRule: Send + Sync {
    /// What the client minimises besides its data loss.
    fn objective(&self, client: ClientId, state: Option<&Params>) -> Objective {
        let _ = (client, state);
        Objective::default()
    }

    /// The lanes that [`settle`](Self::settle) adds to.
    fn lanes(&self) -> Vec<Lane> {
        vec![Lane::INTEGER]
    }

    /// What the finished work adds to the sums, and the client's next state.
    fn settle(&self, work: &LocalWork<'_>) -> Settled;

    /// Number of values that a client keeps of the rule, for a model of `len` parameters; `None` for nothing. A state of
    /// another length is refused.
    fn keeps(&self, len: usize) -> Option<usize> {
        let _ = len;
        None
    }

    /// Training passes that clients take besides the shared one, after it and after those that the scenario asks for.
    fn passes(&self) -> Vec<Pass> {
        Vec::new()
    }

    /// Whether [`LocalWork::travel`] must be exact, which it is for SGD only.
    fn needs_travel(&self) -> bool {
        false
    }

    /// Whether a client sends what its parameters moved by, in lane 0 and as it is, and nothing besides: no other lane, and no
    /// state that follows from it. Only then may it be shortened or disturbed on its way.
    fn sends_change_alone(&self) -> bool {
        false
    }

    /// Number of values sent up per client, for a model of `len` parameters.
    fn values_up(&self, len: usize) -> usize {
        self.lanes().len() * len
    }
}

/// What a client did in one local training call.
#[derive(Clone, Copy, Debug)]
pub struct LocalWork<'a> {
    /// Who.
    pub client: ClientId,
    /// Trained minus received parameters; zero where they follow no gradient.
    pub delta: &'a Params,
    /// What the client started from.
    pub received: &'a Params,
    /// Its prior, where weights are distributions.
    pub prior: Option<Prior<'a>>,
    /// The client's number of training samples.
    pub samples: u64,
    /// Optimizer steps.
    pub steps: u64,
    /// How far a constant unit gradient would have moved each parameter: the sum over steps of the
    /// rate times the accumulated momentum coefficients. `rate * steps` for plain SGD.
    pub travel: f64,
    /// The client's state before.
    pub state: Option<&'a Params>,
    /// The vectors of the round.
    pub round: &'a [Params],
}

/// The prior of a model whose weights are distributions.
#[derive(Clone, Copy, Debug)]
pub struct Prior<'a> {
    /// As a model has them.
    pub values: &'a Params,
    /// Where means and deviations stand.
    pub halves: Halves,
}

/// Adds the update, weighted by the number of samples (McMahan et al. 2017, algorithm 1).
#[derive(Clone, Copy, Debug, Default)]
pub struct PlainClient;

impl ClientRule for PlainClient {
    fn sends_change_alone(&self) -> bool {
        true
    }

    fn settle(&self, work: &LocalWork<'_>) -> Settled {
        Settled {
            lanes: vec![(work.samples as f64, work.delta.clone())],
            state: None,
        }
    }
}

/// A strategy whose state type is hidden. Implemented for every [`Strategy`].
pub trait AnyStrategy: Send + Sync {
    /// Begins a run at these parameters, which have this layout.
    fn start(self: Arc<Self>, global: &Params, layout: &Layout) -> Box<dyn StrategyRun>;
    /// What happens on the client's side.
    fn client_half(&self) -> Arc<dyn ClientRule>;
    /// What clients of a model of this layout add to a round.
    fn contribution(&self, layout: &Layout) -> Contribution;
    /// See [`Strategy::short_of`].
    fn short_of(&self, updates: usize) -> Option<Misfit>;
    /// See [`Strategy::merges_distributions`].
    fn merges_distributions(&self) -> bool;
}

/// A strategy in the middle of a run.
pub trait StrategyRun: Send {
    /// See [`Strategy::broadcast`].
    fn broadcast(&self) -> Vec<Params>;
    /// See [`Strategy::short_of`].
    fn short_of(&self, updates: usize) -> Option<Misfit>;
    /// See [`Strategy::close`].
    fn close(&mut self, global: &mut Params, harvest: Harvest<'_>) -> Result<(), Stall>;
    /// The state as bytes.
    fn save(&self) -> Vec<u8>;
    /// Takes back a saved state.
    fn restore(&mut self, bytes: &[u8]) -> Result<(), codec::CodecError>;
}

struct Running<S: Strategy> {
    rule: Arc<S>,
    state: S::State,
    bounds: Bounds,
}

impl<S: Strategy> AnyStrategy for S {
    fn start(self: Arc<Self>, global: &Params, layout: &Layout) -> Box<dyn StrategyRun> {
        let (state, bounds) = (self.init(global), Bounds::of(layout));
        let rule = self;
        Box::new(Running {
            rule,
            state,
            bounds,
        })
    }

    fn client_half(&self) -> Arc<dyn ClientRule> {
        Strategy::client_half(self)
    }

    fn contribution(&self, layout: &Layout) -> Contribution {
        let client = Strategy::client_half(self);
        let mut slots = SlotSpecs::default();
        if let Some(values) = client.keeps(layout.len()) {
            slots.push(SlotSpec::vector(SlotName::STRATEGY, values));
        }
        Contribution {
            lanes: client.lanes(),
            reduction: self.reduction(),
            layout: layout.clone(),
            slots,
            answers: 1,
        }
    }

    fn short_of(&self, updates: usize) -> Option<Misfit> {
        Strategy::short_of(self, updates)
    }

    fn merges_distributions(&self) -> bool {
        Strategy::merges_distributions(self)
    }
}

impl<S: Strategy> StrategyRun for Running<S> {
    fn broadcast(&self) -> Vec<Params> {
        self.rule.broadcast(&self.state)
    }

    fn short_of(&self, updates: usize) -> Option<Misfit> {
        Strategy::short_of(&*self.rule, updates)
    }

    fn close(&mut self, global: &mut Params, harvest: Harvest<'_>) -> Result<(), Stall> {
        let Self {
            rule,
            state,
            bounds,
        } = self;
        bounds.close(global, harvest, rule.reduction(), |global, folded| {
            rule.close(state, global, folded)
        })
    }

    fn save(&self) -> Vec<u8> {
        codec::encode(&self.state)
    }

    fn restore(&mut self, bytes: &[u8]) -> Result<(), codec::CodecError> {
        self.state = codec::decode(bytes)?;
        Ok(())
    }
}
