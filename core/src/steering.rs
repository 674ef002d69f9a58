//! Rules that steer a run: which model a round trains, which are judged beside it, what becomes of them.
//!
//! A rule is immutable beside a state, as a [`Strategy`](crate::Strategy) is. It sees reports, tallies and names of models,
//! never a sample, and asks for what it wants by [`Directive`]s; state and directives are in the chain.

use crate::{
    ClientId, ClientReport, Halves, Params, Posterior, Probe, Round, Tally, TaskDefinition,
    TaskStream, codec, units::Misfit,
};
use serde::{Serialize, de::DeserializeOwned};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

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
    /// Clients of the run.
    pub clients: u64,
    /// What clients see when, where there is a stream.
    pub stream: Option<&'a TaskStream>,
}

/// What a round does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoundPlan {
    /// The models that are trained, at least one, side by side; the first is judged as the round's own.
    pub train: Vec<ModelTraining>,
    /// Models that are judged besides, behind a round whose model is judged.
    pub judge: Vec<String>,
}

/// A model that a round trains, and who does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelTraining {
    /// The model, which must be in the book unless it is `from` another one.
    pub model: String,
    /// The model of the book that it is a copy of from this round on, bit for bit; `None` to go on with it as it is.
    pub from: Option<String>,
    /// The model of the book that is its prior, where its weights are distributions and the rule gives priors.
    pub prior: Option<String>,
    /// Its clients, none of which is another model's in the same round. `None` for those that the selection finds, less
    /// those that other models name; at most one model has them.
    pub clients: Option<Vec<ClientId>>,
}

impl ModelTraining {
    /// A model that the clients of the selection train.
    pub fn of(model: impl Into<String>) -> Self {
        Self {
            model: model.into(),
            from: None,
            prior: None,
            clients: None,
        }
    }
}

impl RoundPlan {
    /// The clients of the selection train this model.
    pub fn training(model: impl Into<String>) -> Self {
        Self {
            train: vec![ModelTraining::of(model)],
            judge: Vec::new(),
        }
    }

    /// What is wrong with the plan for a run with these models and so many clients.
    pub fn fault(&self, models: &[&str], population: u64) -> Option<String> {
        let trained = self.train.iter().map(|training| &training.model);
        let read = |t: &'_ ModelTraining| t.from.clone().unwrap_or_else(|| t.model.clone());
        let priors = self.train.iter().filter_map(|t| t.prior.clone());
        let read: Vec<String> = self.train.iter().map(read).chain(priors).collect();
        let named = read.iter().chain(&self.judge);
        if let Some(name) = named.into_iter().find(|n| !models.contains(&n.as_str())) {
            let known = models.join(", ");
            return Some(format!(
                "the rule names the model `{name}`; there are {known}"
            ));
        }
        let distinct: BTreeSet<&String> = trained.clone().collect();
        if distinct.is_empty() || distinct.len() < self.train.len() {
            return Some("the rule must train at least one model, and each once a round".into());
        }
        let selections = self.train.iter().filter(|t| t.clients.is_none()).count();
        if selections > 1 {
            return Some("the rule gives the selected clients to several models".into());
        }
        let mut seen = BTreeSet::new();
        let clients = self.train.iter().flat_map(|t| t.clients.iter().flatten());
        let wrong = clients
            .into_iter()
            .find(|c| c.0 >= population || !seen.insert(**c));
        wrong.map(|client| match client.0 < population {
            true => format!("the rule gives client {client} to two models of a round"),
            false => format!("the rule names client {client}; there are {population}"),
        })
    }
}

impl Default for RoundPlan {
    fn default() -> Self {
        Self::training(GLOBAL)
    }
}

/// What came of a round.
#[derive(Clone, Copy, Debug)]
pub struct RoundOutcome<'a> {
    /// Which round.
    pub round: Round,
    /// The models that were trained, in the plan's order.
    pub trained: &'a [TrainedModel<'a>],
    /// Of the models that were judged, by name and probe; none where the round is not judged.
    pub tallies: &'a BTreeMap<(String, Probe), Tally>,
    /// The models of the book by name, as they are now.
    pub models: &'a BTreeMap<&'a str, &'a Params>,
    /// Where means and deviations stand in a model, where weights are distributions.
    pub halves: Option<Halves>,
    /// What the rule was told before the round, but for the models; `None` in tests of rules that need none of it.
    pub now: Option<&'a RunView<'a>>,
    /// What the rule will be told before the next round; `None` behind the last one.
    pub next: Option<&'a RunView<'a>>,
}

/// What came of a model's training.
#[derive(Clone, Copy, Debug)]
pub struct TrainedModel<'a> {
    /// Its name.
    pub model: &'a str,
    /// Its parameters now.
    pub params: &'a Params,
    /// Of its clients, ascending.
    pub reports: &'a [ClientReport],
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
    /// A model that the rule made becomes one of the book.
    Store {
        /// Its name: a new one, or one that is replaced.
        into: String,
        /// As long as every model.
        params: Params,
    },
    /// Something was learned of a posterior: for the log.
    Learned(Posterior),
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

    /// Whether every model that a round trains has a prior, by [`ModelTraining::prior`]. Weights are then distributions.
    fn gives_priors(&self) -> bool {
        false
    }

    /// Models besides [`GLOBAL`] that are in the book from the start as the rule makes them; `halves` say where means and
    /// deviations stand in them.
    fn first_models(&self, len: usize, halves: Option<Halves>) -> Vec<(String, Params)> {
        let _ = (len, halves);
        Vec::new()
    }

    /// The weighted sum of models of the book that stands for a preference over tasks, which has one weight a task, each at
    /// least 0 and 1 together.
    fn preferred(
        &self,
        state: &Self::State,
        preference: &[f64],
    ) -> Result<Vec<(String, f64)>, String> {
        let _ = (state, preference);
        Err("this run has no knowledge base: `[scenario.ibcl]` makes one".into())
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
    /// See [`Steering::gives_priors`].
    fn gives_priors(&self) -> bool;
    /// See [`Steering::first_models`].
    fn first_models(&self, len: usize, halves: Option<Halves>) -> Vec<(String, Params)>;
}

/// A rule in the middle of a run.
pub trait SteeringRun: Send {
    /// See [`Steering::plan`].
    fn plan(&self, view: &RunView<'_>) -> RoundPlan;
    /// See [`Steering::preferred`].
    fn preferred(&self, preference: &[f64]) -> Result<Vec<(String, f64)>, String>;
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

    fn gives_priors(&self) -> bool {
        Steering::gives_priors(self)
    }

    fn first_models(&self, len: usize, halves: Option<Halves>) -> Vec<(String, Params)> {
        Steering::first_models(self, len, halves)
    }
}

impl<S: Steering> SteeringRun for Running<S> {
    fn plan(&self, view: &RunView<'_>) -> RoundPlan {
        self.rule.plan(&self.state, view)
    }

    fn preferred(&self, preference: &[f64]) -> Result<Vec<(String, f64)>, String> {
        self.rule.preferred(&self.state, preference)
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

#[cfg(test)]
mod tests {
    use super::*;

    fn part(model: &str, clients: Option<&[u64]>) -> ModelTraining {
        ModelTraining {
            clients: clients.map(|c| c.iter().copied().map(ClientId).collect()),
            ..ModelTraining::of(model)
        }
    }

    #[test]
    fn a_plan_that_cannot_be_followed_says_why() {
        let fault = |train: Vec<ModelTraining>| {
            let judge = Vec::new();
            RoundPlan { train, judge }.fault(&["global", "second"], 5)
        };
        assert_eq!(
            fault(vec![part("global", None), part("second", Some(&[0, 4]))]),
            None
        );
        let wrong = [
            (vec![], "at least one model"),
            (
                vec![part("global", None), part("global", Some(&[1]))],
                "each once",
            ),
            (
                vec![part("third", None)],
                "`third`; there are global, second",
            ),
            (
                vec![part("global", None), part("second", None)],
                "to several models",
            ),
            (
                vec![part("global", Some(&[1])), part("second", Some(&[1]))],
                "client 1 to two models",
            ),
            (
                vec![part("global", Some(&[5]))],
                "names client 5; there are 5",
            ),
        ];
        for (train, want) in wrong {
            let told = fault(train).unwrap();
            assert!(told.contains(want), "{told}");
        }
    }
}
