//! One run of a scenario, alone or as one of a sweep.

use crate::{arguments::Run, coordinator::Job, failure::Failure, local, settings::ProcessSettings};
use lyceum_core::Event;
use lyceum_metrics::Summary;
use lyceum_scenarios::{Registry, Scenario};
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
