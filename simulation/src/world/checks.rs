//! What must hold in every world.

use lyceum_core::{
    Assignment, ClientId, Event, Fingerprint, Round, Ticket, Time, UnitId, UnitKey, Work,
};
use lyceum_protocol::message::Pulse;
use serde::Serialize;
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

/// Violations that are written down of one world; the first tells most.
const MOST: usize = 8;

/// What is promised of every world.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Property {
    /// The run ends in time.
    Ends,
    /// A coordinator starts again after whatever befell the one before.
    Starts,
    /// Without `deadline.close` the fingerprint is the one of a calm world.
    SameResult,
    /// A client of the cohort is reported once per round.
    CountedOnce,
    /// A node works on nothing that it was not given.
    OnlyAssigned,
    /// What a node was told to forget, because it was answered, is not asked for again.
    Acknowledged,
    /// All work of a stage stands on one model, whichever process gives it out.
    OneModel,
    /// A node that makes no mistake is not turned away.
    Trusted,
    /// Queues and memories are bounded.
    Bounded,
    /// No machine asks to be woken in its past.
    Rests,
    /// What is on disk at the end is the result.
    Kept,
}

impl fmt::Display for Property {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.serialize(f)
    }
}

/// A property that did not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Which one.
    pub property: Property,
    /// When, in the world's time.
    pub at: Time,
    /// What was seen.
    pub facts: String,
}

impl Violation {
    /// One line with the command that shows it again.
    pub fn line(&self, file: &str, seed: u64) -> String {
        let seconds = self.at.0 as f64 / 1e6;
        format!(
            "lyceum simulate {file} --world {seed}  # {} at {seconds:.3} s: {}",
            self.property, self.facts
        )
    }
}

/// Watches a world.
#[derive(Default)]
pub(super) struct Checks {
    pub(super) violations: Vec<Violation>,
    /// Whether bits that were safe have flipped.
    pub(super) rotten: bool,
    given: BTreeSet<(usize, UnitKey)>,
    accepted: BTreeMap<UnitKey, usize>,
    acknowledged: BTreeSet<UnitKey>,
    models: BTreeMap<(Ticket, Option<UnitId>), Fingerprint>,
    /// Of the coordinator process that is there.
    reported: BTreeSet<(Round, ClientId)>,
    of_round: u64,
}

impl Checks {
    pub(super) fn violated(&mut self, at: Time, property: Property, facts: String) {
        if self.violations.len() < MOST {
            self.violations.push(Violation {
                property,
                at,
                facts,
            });
        }
    }

    /// Another coordinator process begins; it may do again what was not saved.
    pub(super) fn another_process(&mut self) {
        self.reported.clear();
        self.of_round = 0;
    }

    pub(super) fn event(&mut self, at: Time, event: &Event) {
        match event {
            Event::Client { round, report } => {
                self.of_round += 1;
                if !self.reported.insert((*round, report.client)) {
                    let facts = format!("client {} twice in round {round}", report.client);
                    self.violated(at, Property::CountedOnce, facts);
                }
            }
            Event::RoundClosed { round, cohort, .. } => {
                let reported = std::mem::take(&mut self.of_round);
                if reported != *cohort {
                    let facts = format!("{reported} of {cohort} clients in round {round}");
                    self.violated(at, Property::CountedOnce, facts);
                }
            }
            _ => {}
        }
    }

    /// A coordinator gives a unit to a node.
    pub(super) fn assigned(&mut self, at: Time, node: usize, assignment: &Assignment) {
        let key = assignment.ticket.unit(assignment.unit);
        self.given.insert((node, key));
        if self.rotten {
            return;
        }
        if self.acknowledged.contains(&key) {
            let UnitKey { ticket, unit } = key;
            let facts = format!("unit {unit} of ticket {ticket} is asked for again");
            self.violated(at, Property::Acknowledged, facts);
        }
        // Models that somebody asks about are judged behind the round's own, in units of their own.
        let judged = (assignment.work == Work::Evaluate).then_some(assignment.unit);
        let stage = (assignment.ticket, judged);
        let model = Fingerprint::of(assignment.global.bytes());
        if *self.models.entry(stage).or_insert(model) != model {
            let facts = format!("ticket {} has work on two models", stage.0);
            self.violated(at, Property::OneModel, facts);
        }
    }

    /// A node begins a unit.
    pub(super) fn begun(&mut self, at: Time, node: usize, assignment: &Assignment) {
        let key = assignment.ticket.unit(assignment.unit);
        if !self.given.contains(&(node, key)) {
            let UnitKey { ticket, unit } = key;
            let facts = format!("node {node} begins unit {unit} of ticket {ticket}");
            self.violated(at, Property::OnlyAssigned, facts);
        }
    }

    /// What the process that began waits for was not kept, although one before had counted it.
    /// A unit that it has not come to yet was not, either.
    pub(super) fn resumed(&mut self, opened: &BTreeMap<Ticket, u64>, pending: &BTreeSet<UnitKey>) {
        let first = opened.keys().next().copied().unwrap_or_default();
        let lasts = |key: &UnitKey| match opened.get(&key.ticket) {
            Some(units) => key.unit.0 < *units && !pending.contains(key),
            None => key.ticket < first,
        };
        self.accepted.retain(|key, _| lasts(key));
    }

    /// An upload of a node counts.
    pub(super) fn accepted(&mut self, node: usize, ticket: Ticket, units: &[UnitId]) {
        for unit in units {
            self.accepted.insert(ticket.unit(*unit), node);
        }
    }

    /// A node is told what it may forget.
    pub(super) fn pulse(&mut self, node: usize, pulse: &Pulse) {
        for key in &pulse.drop {
            if self.accepted.get(key) == Some(&node) {
                self.acknowledged.insert(*key);
            }
        }
    }
}
