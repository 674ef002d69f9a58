//! Who takes part in a round.

use crate::{ClientId, ClientReport, Roster, Round, Stream, codec, units::Misfit};
use serde::{Serialize, de::DeserializeOwned};
use std::sync::Arc;

/// A rule that picks the cohort of each round. Its cost may depend on the cohort, not on the
/// population, unless it asks for the scores of every client.
pub trait ClientSelector: Send + Sync + 'static {
    /// What the rule remembers between rounds.
    type State: Serialize + DeserializeOwned + Send + 'static;

    /// The state before the first of `rounds` rounds. (Paced rules keep `rounds` in their state.)
    fn init(&self, roster: &dyn Roster, rounds: u64) -> Self::State;

    /// Clients of one round when everybody answers.
    fn cohort(&self, roster: &dyn Roster) -> usize;

    /// How many rounds the run takes where the rule counts something else, such as client updates, and `rounds` are
    /// what the scenario asks for. It depends on nothing that happens during the run. `None` where rounds are rounds.
    fn rounds(&self, roster: &dyn Roster, rounds: u64) -> Option<u64> {
        let _ = (roster, rounds);
        None
    }

    /// Keys that are in range each, but do not go together.
    fn misfit(&self) -> Option<Misfit> {
        None
    }

    /// Keys by which what a round does depends on how many rounds the run has. A run with one of them cannot be lengthened.
    fn bound_to_rounds(&self) -> Vec<&'static str> {
        Vec::new()
    }

    /// Clients whose score (mean loss of their samples) the rule needs for this round. Scores are a
    /// stage of their own; its cost is charged and reported.
    fn wants_scores(
        &self,
        state: &mut Self::State,
        roster: &dyn Roster,
        round: Round,
        rng: &mut Stream,
    ) -> Option<Vec<ClientId>> {
        let _ = (state, roster, round, rng);
        None
    }

    /// The cohort. `scores` are in ascending client order and empty unless they were asked for.
    fn select(
        &self,
        state: &mut Self::State,
        roster: &dyn Roster,
        round: Round,
        scores: &[(ClientId, f32)],
        rng: &mut Stream,
    ) -> Vec<ClientId>;

    /// Sees what the cohort reported, in ascending client order.
    fn observe(&self, state: &mut Self::State, round: Round, reports: &[ClientReport]) {
        let _ = (state, round, reports);
    }
}

/// A selector whose state type is hidden. Implemented for every [`ClientSelector`].
pub trait AnySelector: Send + Sync {
    /// Begins a run of `rounds` rounds over these clients.
    fn start(self: Arc<Self>, roster: Arc<dyn Roster>, rounds: u64) -> Box<dyn SelectorRun>;
    /// See [`ClientSelector::cohort`].
    fn cohort(&self, roster: &dyn Roster) -> usize;
    /// See [`ClientSelector::rounds`].
    fn rounds(&self, roster: &dyn Roster, rounds: u64) -> Option<u64>;
    /// See [`ClientSelector::misfit`].
    fn misfit(&self) -> Option<Misfit>;
    /// See [`ClientSelector::bound_to_rounds`].
    fn bound_to_rounds(&self) -> Vec<&'static str>;
}

/// A selector in the middle of a run.
pub trait SelectorRun: Send {
    /// See [`ClientSelector::wants_scores`].
    fn wants_scores(&mut self, round: Round, rng: &mut Stream) -> Option<Vec<ClientId>>;
    /// See [`ClientSelector::select`].
    fn select(
        &mut self,
        round: Round,
        scores: &[(ClientId, f32)],
        rng: &mut Stream,
    ) -> Vec<ClientId>;
    /// See [`ClientSelector::observe`].
    fn observe(&mut self, round: Round, reports: &[ClientReport]);
    /// The state as bytes.
    fn save(&self) -> Vec<u8>;
    /// Takes back a saved state.
    fn restore(&mut self, bytes: &[u8]) -> Result<(), codec::CodecError>;
}

struct Running<S: ClientSelector> {
    rule: Arc<S>,
    roster: Arc<dyn Roster>,
    state: S::State,
}

impl<S: ClientSelector> AnySelector for S {
    fn start(self: Arc<Self>, roster: Arc<dyn Roster>, rounds: u64) -> Box<dyn SelectorRun> {
        let state = self.init(&*roster, rounds);
        Box::new(Running {
            rule: self,
            roster,
            state,
        })
    }

    fn cohort(&self, roster: &dyn Roster) -> usize {
        ClientSelector::cohort(self, roster)
    }

    fn rounds(&self, roster: &dyn Roster, rounds: u64) -> Option<u64> {
        ClientSelector::rounds(self, roster, rounds)
    }

    fn misfit(&self) -> Option<Misfit> {
        ClientSelector::misfit(self)
    }

    fn bound_to_rounds(&self) -> Vec<&'static str> {
        ClientSelector::bound_to_rounds(self)
    }
}

impl<S: ClientSelector> SelectorRun for Running<S> {
    fn wants_scores(&mut self, round: Round, rng: &mut Stream) -> Option<Vec<ClientId>> {
        self.rule
            .wants_scores(&mut self.state, &*self.roster, round, rng)
    }

    fn select(
        &mut self,
        round: Round,
        scores: &[(ClientId, f32)],
        rng: &mut Stream,
    ) -> Vec<ClientId> {
        self.rule
            .select(&mut self.state, &*self.roster, round, scores, rng)
    }

    fn observe(&mut self, round: Round, reports: &[ClientReport]) {
        self.rule.observe(&mut self.state, round, reports);
    }

    fn save(&self) -> Vec<u8> {
        codec::encode(&self.state)
    }

    fn restore(&mut self, bytes: &[u8]) -> Result<(), codec::CodecError> {
        self.state = codec::decode(bytes)?;
        Ok(())
    }
}
