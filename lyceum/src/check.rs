//! `lyceum check`, and reading scenario files.

use crate::output::line;
use crate::{arguments::Check, failure::Failure, settings::ProcessSettings};
use lyceum_scenarios::{Loaded, Registry, Scenario};
use std::path::Path;

/// Reads a scenario file with its overrides.
pub(crate) fn read(registry: &Registry, path: &Path, set: &[String]) -> Result<Scenario, Failure> {
    let name = path.display().to_string();
    let bytes = std::fs::read(path).map_err(|e| Failure::input(format!("{name}: {e}")))?;
    let text = String::from_utf8(bytes).map_err(|e| {
        let at = e.utf8_error().valid_up_to();
        let line = e.as_bytes()[..at].iter().filter(|&&b| b == b'\n').count() + 1;
        let column = at
            - e.as_bytes()[..at]
                .iter()
                .rposition(|&b| b == b'\n')
                .map_or(0, |p| p + 1)
            + 1;
        Failure::Input(format!(
            "error: this is not a text file\n --> {name}:{line}:{column}: expected TOML in UTF-8\n"
        ))
    })?;
    Ok(Scenario::read(registry, &name, &text, set)?)
}

/// Reads a scenario and its data, builds its model, and prints what would run.
pub(crate) fn check(registry: &Registry, arguments: &Check) -> Result<(), Failure> {
    let scenario = read(registry, &arguments.file, &arguments.set)?;
    let folders = ProcessSettings::read()?.folders(&arguments.data, &arguments.file);
    let loaded = Loaded::read(&scenario, &folders)?;
    let network = loaded.network(&scenario)?;
    if let Some(engine) = registry.engine(&scenario.training.engine) {
        (engine.build)(&network)
            .map_err(|e| scenario.fault("training.engine", e, "cannot be used here"))?;
    }
    let parameters = network.layout().len();
    if !scenario.needs_expert() {
        loaded.stream(&scenario, None)?;
        loaded.federate(&scenario, None)?;
    }
    line(format_args!(
        "{}: {} rounds of {} on {}, {} clients, {parameters} parameters",
        scenario.run.name,
        scenario.run.rounds.get(),
        scenario.strategy.name,
        scenario.data_set.name,
        scenario.data.clients.get(),
    ));
    Ok(())
}
