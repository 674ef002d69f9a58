//! What another run was told, for this one.

use super::{Prepared, RunError};
use lyceum_core::{Event, Fingerprint, Round, TaskDefinition};
use lyceum_metrics::EventReader;
use lyceum_scenarios::Scenario;
use std::path::Path;

/// Tasks, each with the round in which it joins.
type Given = Vec<(Round, TaskDefinition)>;

/// What a run's log says that it was told.
struct Told {
    /// What was run, as its first line says.
    run: Fingerprint,
    given: Given,
    cut_off: bool,
}

fn read(path: &Path) -> Result<Told, RunError> {
    let (mut begun, mut given) = (None, Vec::new());
    let mut events = EventReader::open(path).map_err(RunError::misused_log)?;
    for event in &mut events {
        match event.map_err(RunError::misused_log)? {
            Event::RunStarted { scenario, .. } => begun = Some(scenario),
            Event::Answered(answer) => {
                let round = Round(answer.round.0 + 1);
                given.extend(answer.task.map(|task| (round, task)));
            }
            _ => {}
        }
    }
    let Some(run) = begun else {
        let reason = "it is not the log of a run, whose first line is its start; name the events.jsonl of a run's folder";
        return Err(RunError::misused(path, reason));
    };
    let cut_off = events.is_cut_off();
    Ok(Told {
        run,
        given,
        cut_off,
    })
}

/// Refuses a file that is no log of a run, before anything else is done.
pub fn must_be_log(path: &Path) -> Result<(), RunError> {
    read(path).map(drop)
}

/// Looks at a log as a run would that is to be told what it holds; returns warnings.
pub fn look_at_log(scenario: &Scenario, path: &Path) -> Result<Vec<String>, RunError> {
    fitting(scenario, path).map(|(_, _, warnings)| warnings)
}

/// What a log tells a run of this scenario, and what is probably not meant with it.
fn fitting(
    scenario: &Scenario,
    path: &Path,
) -> Result<(Fingerprint, Given, Vec<String>), RunError> {
    let Told {
        run,
        given,
        cut_off,
    } = read(path)?;
    if scenario.stream.is_none() && !given.is_empty() {
        let reason = "it tells of tasks that joined, and this scenario has no stream of tasks";
        return Err(RunError::misused(path, reason));
    }
    let mut warnings = Vec::new();
    if cut_off {
        let path = path.display();
        warnings.push(format!(
            "{path}: its last line is cut off and left out; whatever that run was told from there on is not known here"
        ));
    }
    if given.is_empty() {
        warnings.push(format!(
            "{}: that run was told nothing, so this one is not either",
            path.display()
        ));
    }
    warnings.extend(told_too_late(&given, scenario.rounds(), path));
    Ok((run, given, warnings))
}

impl Prepared {
    /// Tells the run what another one, whose log this is, was told by somebody outside.
    pub fn told(mut self, scenario: &Scenario, log: Option<&Path>) -> Result<Self, RunError> {
        if let Some(path) = log {
            let (run, given, warnings) = fitting(scenario, path)?;
            if run != self.digest {
                self.warnings.push(format!(
                    "{}: it is the log of a run that is not the same but for what it was told: another scenario, seed, start or data; \
                     the two runs have no fingerprint in common",
                    path.display()
                ));
            }
            self.given.extend(given);
            self.warnings.extend(warnings);
        }
        Ok(self)
    }
}

/// Tasks that would join when the run is over.
fn told_too_late(given: &Given, rounds: u64, path: &Path) -> Option<String> {
    let late = given.iter().filter(|(round, _)| round.0 >= rounds);
    let late: Vec<String> = late
        .map(|(round, task)| format!("`{}` in round {round}", task.name))
        .collect();
    (!late.is_empty()).then(|| {
        format!(
            "{}: tasks that join after the end of this run, whose last round is {}: {}",
            path.display(),
            rounds - 1,
            late.join(", ")
        )
    })
}
