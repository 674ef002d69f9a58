//! One run of a scenario, alone or as one of a sweep.

use crate::{
    arguments::Run, coordinator::Job, failure::Failure, local, output::warn,
    settings::ProcessSettings,
};
use lyceum_coordinator::quic::Stay;
use lyceum_core::Event;
use lyceum_metrics::Summary;
use lyceum_scenarios::{Deadline, Registry, Scenario};
use lyceum_simulation::{Settings, run as simulate};
use std::{
    sync::{Arc, atomic::AtomicBool},
    time::Duration,
};

/// Runs one scenario in this process, or on local nodes.
pub(crate) fn execute(
    registry: &Registry,
    process: &ProcessSettings,
    nodes: Option<u16>,
    (scenario, settings): (&Scenario, &Settings),
    stop: &Arc<AtomicBool>,
    observe: &mut dyn FnMut(&Event),
) -> Result<Summary, Failure> {
    let Some(nodes) = nodes else {
        return Ok(simulate(scenario, registry, settings, stop, observe)?);
    };
    let job = Job {
        scenario,
        registry,
        settings,
        process,
        stay: Stay {
            nodes: 0,
            afterwards: Some(Duration::ZERO),
            told: Box::new(|_| {}),
        },
    };
    local::run(job, nodes.into(), stop, observe)
}

pub(crate) fn checkpoint_every(
    arguments: &Run,
    process: &ProcessSettings,
) -> Result<Duration, Failure> {
    let seconds = arguments
        .checkpoint_every
        .or(process.checkpoint_every)
        .unwrap_or(10.0);
    Duration::try_from_secs_f64(seconds).map_err(|_| {
        Failure::input(format!(
            "--checkpoint-every {seconds}: expected seconds, 0 or above"
        ))
    })
}

/// Tells of a deadline in one process, where nobody is ever late.
pub(crate) fn warn_of_deadline(scenario: &Scenario, nodes: Option<u16>) {
    if nodes.is_none() && matches!(scenario.deadline, Some(Deadline::Close(_))) {
        warn(
            "`deadline.close` does nothing here: in one process no client is late; `--nodes N` runs it on nodes",
        );
    }
}
