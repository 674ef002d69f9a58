//! Rules that steer a run: which model a round trains, which are judged beside it, what becomes of them.
//!
//! A rule is immutable beside a state, as a [`Strategy`](crate::Strategy) is. It sees reports, tallies and names of models,
//! never a sample, and asks for what it wants by [`Directive`]s; state and directives are in the chain.

use crate::{ClientReport, Params, Probe, Round, Tally, TaskDefinition, codec, units::Misfit};
use serde::{Serialize, de::DeserializeOwned};
use std::{collections::BTreeMap, sync::Arc};

/// The model that every run begins with, and that a run without a rule trains.
pub const GLOBAL: &str = "global";

/// What a rule is told before a round.
#[derive(Clone, Debug)]
pub struct RunView<'a> {
    /// The next round.
    pub round: Round,
    /// The models of the book, in the order of their names.
    pub models: Vec<&'a str>,
    /// Tasks of the stream so far; 0 without one.
    pub tasks: usize,
}

/// What a round does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoundPlan {
    /// The model that the cohort trains, which must be in the book.
    pub train: String,
    /// Models that are judged besides, behind a round whose model is judged.
    pub judge: Vec<String>,
}

impl Default for RoundPlan {
    fn default() -> Self {
        Self {
            train: GLOBAL.into(),
            judge: Vec::new(),
        }
    }
}

/// What came of a round.
#[derive(Clone, Copy, Debug)]
pub struct RoundOutcome<'a> {
    /// Which round.
    pub round: Round,
    /// The model that was trained.
    pub trained: &'a str,
    /// Its parameters now.
    pub model: &'a Params,
    /// Of the clients, ascending.
    pub reports: &'a [ClientReport],
    /// Of the models that were judged, by name and probe; none where the round is not judged.
    pub tallies: &'a BTreeMap<(String, Probe), Tally>,
}

/// What a rule wants done behind a round.
#[derive(Clone, Debug, PartialEq)]
pub enum Directive {
    /// The weighted sum of models of the book becomes a model of it. One model with weight 1 is copied bit for bit.
    Combine {
        /// Name of the result: a new one, or one that is replaced.
        into: String,
        /// Names and weights, added in this order in 64 bits and rounded once.
        of: Vec<(String, f64)>,
    },
    /// A model leaves the book.
    Forget {
        /// Which one; not [`GLOBAL`].
        model: String,
    },
    /// A task joins the stream with the next round.
    Announce(TaskDefinition),
    /// This was the last round.
    Finish,
}

/// A rule that steers a run.
pub trait Steering: Send + Sync + 'static {
    /// What changes from round to round.
    type State: Serialize + DeserializeOwned + Send + 'static;

    /// The state before the first round.
    fn init(&self) -> Self::State;

    /// Keys that are in range each, but do not go together.
    fn misfit(&self) -> Option<Misfit> {
        None
    }

    /// Models besides [`GLOBAL`] that are in the book from the start, as copies of it.
    fn models(&self) -> Vec<String> {
        Vec::new()
    }

    /// What the next round does.
    fn plan(&self, state: &Self::State, view: &RunView<'_>) -> RoundPlan {
        let _ = (state, view);
        RoundPlan::default()
    }

    /// Takes what came of a round, and says what is to be done before the next one.
    fn absorb(&self, state: &mut Self::State, outcome: &RoundOutcome<'_>) -> Vec<Directive>;
}

/// A rule whose state type is hidden. Implemented for every [`Steering`].
pub trait AnySteering: Send + Sync {
    /// Begins a run.
    fn start(self: Arc<Self>) -> Box<dyn SteeringRun>;
    /// See [`Steering::misfit`].
    fn misfit(&self) -> Option<Misfit>;
    /// See [`Steering::models`].
    fn models(&self) -> Vec<String>;
}

/// A rule in the middle of a run.
pub trait SteeringRun: Send {
    /// See [`Steering::plan`].
    fn plan(&self, view: &RunView<'_>) -> RoundPlan;
    /// See [`Steering::absorb`].
    fn absorb(&mut self, outcome: &RoundOutcome<'_>) -> Vec<Directive>;
    /// The state as bytes.
    fn save(&self) -> Vec<u8>;
    /// Takes back a saved state.
    fn restore(&mut self, bytes: &[u8]) -> Result<(), codec::CodecError>;
}

struct Running<S: Steering> {
    rule: Arc<S>,
    state: S::State,
}

impl<S: Steering> AnySteering for S {
    fn start(self: Arc<Self>) -> Box<dyn SteeringRun> {
        let state = self.init();
        Box::new(Running { rule: self, state })
    }

    fn misfit(&self) -> Option<Misfit> {
        Steering::misfit(self)
    }

    fn models(&self) -> Vec<String> {
        Steering::models(self)
    }
}

impl<S: Steering> SteeringRun for Running<S> {
    fn plan(&self, view: &RunView<'_>) -> RoundPlan {
        self.rule.plan(&self.state, view)
    }

    fn absorb(&mut self, outcome: &RoundOutcome<'_>) -> Vec<Directive> {
        self.rule.absorb(&mut self.state, outcome)
    }

    fn save(&self) -> Vec<u8> {
        codec::encode(&self.state)
    }

    fn restore(&mut self, bytes: &[u8]) -> Result<(), codec::CodecError> {
        self.state = codec::decode(bytes)?;
        Ok(())
    }
}
