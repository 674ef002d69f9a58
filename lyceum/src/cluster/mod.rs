//! `lyceum cluster`: what starts a scenario on many machines, sized by a look at the scenario and its data.

mod files;
mod size;
mod template;

use crate::{
    arguments::{Cluster, Place},
    check::read,
    failure::Failure,
    output::line,
    settings::ProcessSettings,
};
use lyceum_coordinator::run::toml_text;
use lyceum_scenarios::{Registry, Scenario};
use size::Size;
use std::fs;
use template::{Values, render};

/// Prints what starts a scenario.
pub(crate) fn cluster(registry: &Registry, arguments: &Cluster) -> Result<(), Failure> {
    let settings = ProcessSettings::read()?;
    let scenario = read(registry, &arguments.file, &arguments.set)?;
    let own = &scenario.data.folders;
    let folders = settings.folders(&arguments.data, &arguments.file, own);
    let size = Size::of(&scenario, arguments, &folders)?;
    image_is_fixed(&arguments.image)?;
    let values = values(&scenario, arguments, &size)?;
    let files = match arguments.place {
        Place::K8s => files::K8S,
        Place::Compose => files::COMPOSE,
        Place::Slurm => files::SLURM,
        Place::Systemd => files::SYSTEMD,
    };
    let mut parts = Vec::new();
    let mut add = |file: &str, values: &Values| {
        let text = render(file, values).map_err(Failure::other)?;
        parts.push(text.trim_end().to_owned());
        Ok::<_, Failure>(())
    };
    for file in files {
        add(file, &values)?;
    }
    let each = if arguments.place == Place::Compose {
        arguments.nodes
    } else {
        0
    };
    for node in 0..each {
        let mut values = values.clone();
        values.insert("index", node.to_string());
        add(files::COMPOSE_NODE, &values)?;
    }
    let between = match arguments.place {
        Place::K8s => "\n---\n",
        _ => "\n",
    };
    let head = size.told(&arguments.file, arguments.nodes);
    let text = parts.join(between);
    // A script begins with the line that says what runs it.
    line(format_args!(
        "{}",
        match text.split_once('\n') {
            Some((first, rest)) if first.starts_with("#!") => format!("{first}\n{head}{rest}"),
            _ => format!("{head}{text}"),
        }
    ));
    Ok(())
}

/// An image without a version is another one tomorrow, and all nodes of a run have to be of one build.
fn image_is_fixed(image: &str) -> Result<(), Failure> {
    let name = image.rsplit('/').next().unwrap_or(image);
    let version = name.split_once(['@', ':']).map(|(_, version)| version);
    match version {
        Some(version) if !version.is_empty() && version != "latest" => Ok(()),
        _ => Err(Failure::input(format!(
            "--image {image}: expected a version or a digest, such as {image}:0.1.0; all nodes of a run must be of one build",
        ))),
    }
}

/// What the templates ask for.
fn values(scenario: &Scenario, arguments: &Cluster, size: &Size) -> Result<Values, Failure> {
    let file = &arguments.file;
    let text = match arguments.set.is_empty() {
        true => fs::read_to_string(file)
            .map_err(|e| Failure::input(format!("{}: {e}", file.display())))?,
        false => toml_text(scenario),
    };
    let task = size.node_mib.max(size.coordinator_mib);
    let per_cpu = task.div_ceil(arguments.threads as u64);
    let data = if size.needs_data { "lyceum-data" } else { "" };
    Ok(Values::from([
        ("name", plain(&scenario.run.name)),
        ("image", arguments.image.clone()),
        ("nodes", arguments.nodes.to_string()),
        ("tasks", (arguments.nodes + 1).to_string()),
        ("lastNode", (arguments.nodes - 1).to_string()),
        ("nodeThreads", arguments.threads.to_string()),
        ("nodeMemory", size.node_memory()),
        ("nodeMib", size.node_mib.to_string()),
        ("nodeQuota", format!("{}%", 100 * arguments.threads)),
        ("mibPerCpu", per_cpu.to_string()),
        ("coordinatorMemory", size.coordinator_memory()),
        ("coordinatorMib", size.coordinator_mib.to_string()),
        ("coordinatorStorage", size.storage()),
        ("dataClaim", data.into()),
        ("scenario", text),
    ]))
}

/// A name that may stand in a file of any kind.
fn plain(name: &str) -> String {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    let plain: String = name
        .chars()
        .map(|c| if allowed(c) { c } else { '-' })
        .collect();
    plain.to_lowercase()
}
