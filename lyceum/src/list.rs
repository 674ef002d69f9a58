//! `lyceum list` and `lyceum schema`: what the registry holds.

use crate::failure::Failure;
use crate::output::line;
use lyceum_core::{Layer, Loss};
use lyceum_scenarios::{
    Plugins, Registry, schema as scenario_schema,
    streams::{CompetenceGate, Shift, TaskOrder},
    variants,
};
use lyceum_strategies::ordering;

/// Prints every name a scenario can use with one line each.
pub(crate) fn list(registry: &Registry) -> Result<(), Failure> {
    plugins("strategies", "[strategy.NAME]", &registry.strategies);
    plugins("transforms", "[[transform.NAME]]", &registry.transforms);
    plugins("steering", "[steering.NAME]", &registry.steering);
    plugins("selections", "[selection.NAME]", &registry.selectors);
    section("orders", "ordering.order", variants::<ordering::Order>());
    section(
        "paces",
        "[ordering.pace.NAME]",
        variants::<ordering::Pace>(),
    );
    section("scores", "ordering.score", variants::<ordering::Score>());
    plugins("partitions", "[data.partition.NAME]", &registry.partitions);
    plugins("data sets", "data.set", &registry.data_sets);
    plugins("models", "[model.NAME]", &registry.models);
    let open = registry.layers.entries().iter();
    let open = open.map(|e| (e.name.to_string(), e.summary.to_string()));
    let layers = variants::<Layer>().into_iter().chain(open).collect();
    section("layers", "model.cnn.layers", layers);
    section("losses", "training.loss", variants::<Loss>());
    plugins("streams", "[scenario.NAME]", &registry.streams);
    section(
        "shifts",
        "[scenario.domain_incremental.shift.NAME]",
        variants::<Shift>(),
    );
    section(
        "task orders",
        "[scenario.STREAM.order.NAME]",
        variants::<TaskOrder>(),
    );
    section(
        "competence gates",
        "[scenario.STREAM.gate.NAME]",
        variants::<CompetenceGate>(),
    );
    plugins(
        "methods",
        "[scenario.STREAM.method.NAME]",
        &registry.methods,
    );
    section(
        "engines",
        "training.engine",
        pairs(registry.engines.iter().map(|e| (e.name, e.summary))),
    );
    Ok(())
}

/// Prints the JSON Schema of scenario files.
pub(crate) fn schema(registry: &Registry) -> Result<(), Failure> {
    let text = serde_json::to_string_pretty(&scenario_schema(registry)).map_err(Failure::other)?;
    line(format_args!("{text}"));
    Ok(())
}

fn plugins<T: ?Sized + 'static>(title: &str, place: &str, plugins: &Plugins<T>) {
    section(
        title,
        place,
        pairs(plugins.entries().iter().map(|e| (e.name, e.summary))),
    );
}

fn pairs<'a>(lines: impl Iterator<Item = (&'a str, &'a str)>) -> Vec<(String, String)> {
    lines
        .map(|(name, summary)| (name.to_string(), summary.to_string()))
        .collect()
}

fn section(title: &str, place: &str, lines: Vec<(String, String)>) {
    line(format_args!("{title} ({place})"));
    for (name, summary) in lines {
        line(format_args!("  {name:<20} {summary}"));
    }
    line(format_args!(""));
}
