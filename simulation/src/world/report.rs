//! Many worlds, and what became of them.

use super::{Counters, Faults, Ground, Lab, Outcome, Property, Violation, World};
use crate::RunError;
use lyceum_coordinator::conductor::Ending;
use lyceum_core::Fingerprint;
use lyceum_scenarios::{Registry, Scenario};
use serde::Serialize;
use std::{
    collections::BTreeMap,
    ops::Range,
    path::PathBuf,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
};

/// Which worlds are looked at, and how.
#[derive(Clone, Debug)]
pub struct Span {
    /// Seeds of the worlds.
    pub seeds: Range<u64>,
    /// What is wrong with them; drawn from each one's seed by default.
    pub faults: Option<Faults>,
    /// Threads that look at worlds. They change how long it takes and nothing else.
    pub threads: usize,
    /// The scenario's file, as it is called in the lines that show a violation again.
    pub file: String,
    /// Where data sets are looked for.
    pub folders: Vec<PathBuf>,
}

/// Hears how many worlds are done; says whether to go on.
pub type Progress<'a> = dyn Fn(u64) -> bool + Sync + 'a;

/// What became of many worlds.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Report {
    /// Worlds looked at.
    pub worlds: u64,
    /// Worlds whose run finished.
    pub finished: u64,
    /// Worlds whose run was stopped for want of answers, as the scenario says.
    pub stalled: u64,
    /// What happened in them.
    pub counters: Counters,
    /// What did not hold, by the world's seed, each with the command that shows it again.
    pub violations: BTreeMap<u64, Vec<String>>,
    /// The fingerprint that every world has; none where rounds close without the late.
    pub fingerprint: Option<Fingerprint>,
    /// Hash of all worlds' traces in the order of their seeds.
    pub trace: Fingerprint,
}

impl Report {
    /// All violations, one line each.
    pub fn lines(&self) -> impl Iterator<Item = &str> {
        self.violations.values().flatten().map(String::as_str)
    }
}

/// Runs a scenario in many worlds.
pub fn worlds(
    scenario: &Scenario,
    registry: &Registry,
    span: &Span,
    progress: &Progress,
) -> Result<Report, RunError> {
    let ground = Ground::new(scenario, registry, &span.folders)?;
    let calm = World::run(&ground, &mut Lab::new(&ground)?, &Faults::calm(), 0);
    if let Some(Ending::Stalled { reason, .. }) = calm.ending {
        return Err(RunError::Stalled {
            round: calm.counters.rounds,
            reason,
            passing: false,
        });
    }
    let expected = calm.fingerprint.filter(|_| ground.waits());
    let (next, done) = (AtomicU64::new(span.seeds.start), AtomicU64::new(0));
    let (stopped, outcomes) = (AtomicBool::new(false), Mutex::new(BTreeMap::new()));
    let look = || -> Result<(), RunError> {
        let mut lab = Lab::new(&ground)?;
        while !stopped.load(Ordering::Relaxed) {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= span.seeds.end {
                break;
            }
            let outcome = look_at(&ground, &mut lab, span, seed, expected);
            let mut outcomes = outcomes.lock().unwrap_or_else(PoisonError::into_inner);
            outcomes.insert(seed, outcome);
            drop(outcomes);
            if !progress(done.fetch_add(1, Ordering::Relaxed) + 1) {
                stopped.store(true, Ordering::Relaxed);
            }
        }
        Ok(())
    };
    thread::scope(|scope| {
        let all: Vec<_> = (0..span.threads.max(1))
            .map(|_| scope.spawn(look))
            .collect();
        all.into_iter().try_for_each(|one| {
            let died = || RunError::Panic("a world panicked".into());
            one.join().unwrap_or_else(|_| Err(died()))
        })
    })?;
    let outcomes = outcomes
        .into_inner()
        .unwrap_or_else(PoisonError::into_inner);
    Ok(report(span, expected, &outcomes))
}

/// One world, and whether its result is the one expected.
fn look_at(
    ground: &Ground,
    lab: &mut Lab,
    span: &Span,
    seed: u64,
    expected: Option<Fingerprint>,
) -> Outcome {
    let drawn = || Faults::drawn(seed);
    let faults = span.faults.clone().unwrap_or_else(drawn);
    let mut outcome = World::run(ground, lab, &faults, seed);
    outcome.compare(expected);
    outcome
}

impl Outcome {
    /// Adds a violation where the run finished with another fingerprint.
    pub fn compare(&mut self, expected: Option<Fingerprint>) {
        let (Some(want), Some(got)) = (expected, self.fingerprint) else {
            return;
        };
        if want != got {
            self.violations.push(Violation {
                property: Property::SameResult,
                at: self.ended,
                facts: format!("the fingerprint is {got}, a calm world's {want}"),
            });
        }
    }
}

fn report(
    span: &Span,
    fingerprint: Option<Fingerprint>,
    outcomes: &BTreeMap<u64, Outcome>,
) -> Report {
    let mut report = Report {
        fingerprint,
        ..Report::default()
    };
    let mut trace = Fingerprint::default().extend();
    for (seed, outcome) in outcomes {
        report.worlds += 1;
        match &outcome.ending {
            Some(Ending::Finished) => report.finished += 1,
            Some(Ending::Stalled { .. }) => report.stalled += 1,
            Some(Ending::Paused) | None => {}
        }
        report.counters += &outcome.counters;
        trace.add(outcome.trace.bytes());
        let lines = outcome.violations.iter();
        let lines: Vec<String> = lines.map(|v| v.line(&span.file, *seed)).collect();
        if !lines.is_empty() {
            report.violations.insert(*seed, lines);
        }
    }
    report.trace = trace.link();
    report
}
