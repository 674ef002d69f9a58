//! What comes before the first round: an expert is trained, on whose view of the samples the clients' shards may depend.
//!
//! A machine for it has this one stage and no rounds, since there are no clients yet.

use super::RoundMachine;
use crate::{
    plan::{InputError, Output, Plan},
    round::Stage,
    schedule::Synchronous,
};
use lyceum_core::{
    Assignment, ClientId, ClientReport, Contribution, Fingerprint, Harvest, Params, Roster, Round,
    Seed, SelectorRun, Stall, StrategyRun, Stream, codec, units::Misfit,
};
use std::sync::Arc;

impl RoundMachine {
    /// A machine that has an expert trained, and no rounds.
    pub fn prelude(assignment: Assignment) -> Self {
        let plan = Plan {
            rounds: 0,
            seed: Seed(0),
            dropout: 0.0,
            evaluate_every: 1,
            probes: Vec::new(),
            classes: 0,
            contribution: Contribution::default(),
            transforms: Default::default(),
            alone_from: ClientId(0),
            schedule: Arc::new(Synchronous::default()),
            stream: None,
            judges_ahead: false,
            attendance: Default::default(),
            changes: Vec::new(),
            phases: Vec::new(),
            judges_before: false,
            given: Vec::new(),
            prior: None,
            steering: None,
        };
        let global = assignment.global.clone();
        let (roster, origin) = (Arc::new(Nobody), Fingerprint::default());
        Self {
            expert: Some(assignment),
            ..Self::new(
                plan,
                roster,
                Box::new(Nobody),
                Box::new(Nobody),
                global,
                origin,
            )
        }
    }

    /// Whether it is for what comes before the first round.
    pub fn is_prelude(&self) -> bool {
        self.expert.is_some()
    }

    pub(super) fn begin_prelude(&mut self, assignment: Assignment) -> Result<(), InputError> {
        self.current.stage = Stage::Expert;
        let flight = self.current.first();
        flight.ticket = assignment.ticket;
        flight.pending.insert(assignment.unit);
        self.outputs.push_back(Output::Assign(assignment));
        Ok(())
    }

    /// Tells what the expert's training found.
    pub(super) fn end_prelude(&mut self) {
        self.current.stage = Stage::Over;
        let found = self.current.expert.take();
        self.outputs.extend(found.map(Output::Expert));
        self.outputs.push_back(Output::Finished);
    }
}

/// The clients before there are any, and what would be done with them.
struct Nobody;

impl Roster for Nobody {
    fn clients(&self) -> u64 {
        0
    }

    fn samples(&self, _: ClientId) -> usize {
        0
    }
}

impl StrategyRun for Nobody {
    fn broadcast(&self) -> Vec<Params> {
        Vec::new()
    }

    fn short_of(&self, _: usize) -> Option<Misfit> {
        None
    }

    fn close(&mut self, _: &mut Params, _: Harvest<'_>) -> Result<(), Stall> {
        Ok(())
    }

    fn save(&self) -> Vec<u8> {
        Vec::new()
    }

    fn restore(&mut self, _: &[u8]) -> Result<(), codec::CodecError> {
        Ok(())
    }
}

impl SelectorRun for Nobody {
    fn wants_scores(&mut self, _: Round, _: &mut Stream) -> Option<Vec<ClientId>> {
        None
    }

    fn select(&mut self, _: Round, _: &[(ClientId, f32)], _: &mut Stream) -> Vec<ClientId> {
        Vec::new()
    }

    fn observe(&mut self, _: Round, _: &[ClientReport]) {}

    fn save(&self) -> Vec<u8> {
        Vec::new()
    }

    fn restore(&mut self, _: &[u8]) -> Result<(), codec::CodecError> {
        Ok(())
    }
}
