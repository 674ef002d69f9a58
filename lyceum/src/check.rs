//! `lyceum check`, and reading scenario files.

use crate::output::{counted, line, warn};
use crate::{
    arguments::Check,
    failure::Failure,
    settings::{ProcessSettings, in_utf8},
};
use lyceum_coordinator::run::{initial, look_at_log};
use lyceum_core::TaskStream;
use lyceum_scenarios::{Loaded, Point, Registry, Scenario, Sweep, is_idle, shares};
use std::{
    collections::{BTreeMap, BTreeSet},
    io::ErrorKind,
    path::{Path, PathBuf},
    sync::Arc,
};

/// Reads a scenario file with its overrides.
pub(crate) fn read(registry: &Registry, path: &Path, set: &[String]) -> Result<Scenario, Failure> {
    let name = path.display().to_string();
    Ok(Scenario::read(registry, &name, &text(path)?, set)?)
}

/// Reads a scenario file with everything that it sweeps over.
pub(crate) fn read_sweep(
    registry: &Registry,
    path: &Path,
    set: &[String],
    seeds: Option<Vec<u64>>,
) -> Result<Sweep, Failure> {
    let name = path.display().to_string();
    Ok(Sweep::read(registry, &name, &text(path)?, set, seeds)?)
}

/// The seeds that a flag names.
pub(crate) fn parse_seeds(text: &str) -> Result<Vec<u64>, Failure> {
    lyceum_scenarios::seeds(text)
        .map_err(|wrong| Failure::input(format!("--seeds {text}: {wrong}")))
}

fn text(path: &Path) -> Result<String, Failure> {
    let name = path.display();
    let bytes = std::fs::read(path).map_err(|e| {
        Failure::input(match e.kind() {
            ErrorKind::NotFound => format!("there is no file {name}: expected a scenario file"),
            ErrorKind::IsADirectory => format!("{name} is a folder: expected a scenario file"),
            _ => format!("{name}: {e}"),
        })
    })?;
    in_utf8(&name.to_string(), bytes)
}

/// Reads a scenario and its data, builds its model, and prints what would run.
pub(crate) fn check(registry: &Registry, arguments: &Check) -> Result<(), Failure> {
    let seeds = arguments.seeds.as_deref().map(parse_seeds).transpose()?;
    let many = seeds.is_some();
    let sweep = read_sweep(registry, &arguments.file, &arguments.set, seeds)?;
    let folders = folders_of(
        &ProcessSettings::read()?,
        &arguments.data,
        &arguments.file,
        &sweep,
    );
    let found = feasible(registry, &sweep, &folders, true)?;
    if let Some(log) = &arguments.of_run.facts {
        one_run(&sweep, many, log)?;
        let scenario = sweep.points[0].scenario(sweep.seeds[0]);
        look_at_log(&scenario, log)?.iter().for_each(|w| warn(w));
    }
    if sweep.has_table || many {
        let (points, seeds) = (sweep.points.len() as u64, sweep.seeds.len() as u64);
        line(format_args!(
            "{}: {} x {} = {}",
            sweep.name,
            counted(points, "point"),
            counted(seeds, "seed"),
            counted(points * seeds, "run"),
        ));
    }
    let mut shown: Vec<String> = Vec::new();
    for (point, found) in sweep.points.iter().zip(found) {
        let scenario = point.scenario(sweep.seeds[0]);
        let Found {
            parameters,
            overview,
            ..
        } = found;
        line(format_args!(
            "{}: {} of {} on {}, {}, {}",
            point.label,
            counted(scenario.rounds(), "round"),
            rule(&scenario),
            scenario.data_set.name,
            counted(scenario.data.clients.get() as u64, "client"),
            counted(parameters as u64, "parameter"),
        ));
        // Points of a sweep that share their data say so by saying nothing.
        if shown != overview {
            overview.iter().for_each(|of| line(format_args!("  {of}")));
            shown = overview;
        }
    }
    Ok(())
}

/// Refuses what a run was told for the runs of a sweep.
pub(crate) fn one_run(sweep: &Sweep, seeds: bool, facts: &Path) -> Result<(), Failure> {
    let what = match sweep.has_table {
        true => "this is a sweep; what a run was told goes with one run, without a table [sweep]",
        false if seeds => "what a run was told goes with one run, without --seeds",
        false => return Ok(()),
    };
    let facts = facts.display();
    Err(Failure::input(format!("--facts {facts}: {what}")))
}

/// The strategy, and what updates go through before it.
fn rule(scenario: &Scenario) -> String {
    let names: Vec<_> = scenario.transforms.iter().map(|t| t.chosen.name).collect();
    match names.is_empty() {
        true => scenario.strategy.name.into(),
        false => format!("{} behind {}", scenario.strategy.name, names.join(", ")),
    }
}

/// What became of reading a point's data.
#[derive(Clone)]
pub(crate) struct Found {
    parameters: usize,
    /// What the samples are like, in lines.
    overview: Vec<String>,
    /// What of samples and model is probably not meant, in sentences.
    of_samples: Vec<String>,
    /// The stream of tasks, or that there is none; unknown where an expert has to say what it is.
    stream: Option<Option<Arc<TaskStream>>>,
    /// All that is probably not meant at the point, in sentences.
    pub(crate) warnings: Vec<String>,
}

/// Where the data of a sweep is looked for; all its points look in the same places.
pub(crate) fn folders_of(
    process: &ProcessSettings,
    flags: &[PathBuf],
    file: &Path,
    sweep: &Sweep,
) -> Vec<PathBuf> {
    let first = sweep.points.first();
    let own = first.map_or_else(Vec::new, |p| p.scenario(sweep.seeds[0]).data.folders);
    process.told_folders(flags, file, &own)
}

/// Reads the data of every point and builds its model, once for all that share them, and shows each warning once.
/// `listed` asks for what the samples are like.
pub(crate) fn feasible(
    registry: &Registry,
    sweep: &Sweep,
    folders: &[PathBuf],
    listed: bool,
) -> Result<Vec<Found>, Failure> {
    let mut seen = BTreeMap::new();
    let mut all: Vec<Found> = Vec::new();
    let idle = idle_everywhere(sweep);
    for point in &sweep.points {
        let scenario = point.scenario(sweep.seeds[0]);
        let mut ground = scenario.resolved();
        let decisive = [
            "data",
            "model",
            "scenario",
            "timeline",
            "availability",
            "personal",
        ];
        ground.retain(|table, _| decisive.contains(&table));
        let engine = scenario.training.engine.clone();
        let start = scenario.start_from(folders);
        let expert = scenario.needs_expert();
        let key = (ground.to_string(), engine, scenario.rounds(), start, expert);
        let mut found = match seen.get(&key) {
            Some(&place) => Found::clone(&all[place]),
            None => examined(registry, &scenario, folders, listed)?,
        };
        seen.entry(key).or_insert(all.len());
        found.warnings = said_of(&scenario, &idle, &found)?;
        all.push(found);
    }
    sweep.doubts().iter().for_each(|doubt| warn(doubt));
    tell(sweep, &all);
    Ok(all)
}

/// What is hardly meant at a point: keys where they do nothing at any, and what its own keys and its samples say.
fn said_of(scenario: &Scenario, idle: &[String], found: &Found) -> Result<Vec<String>, Failure> {
    let own = scenario.idle_keys().into_iter();
    let mut said: Vec<String> = own
        .filter(|sentence| !is_idle(sentence) || idle.contains(sentence))
        .collect();
    said.extend_from_slice(&found.of_samples);
    if let Some(stream) = &found.stream {
        said.extend(scenario.timetable(stream.as_deref())?.warnings);
    }
    Ok(said)
}

/// Shows each warning once, with the points that it is of where others are not.
fn tell(sweep: &Sweep, all: &[Found]) {
    let mut told = BTreeSet::new();
    for message in all.iter().flat_map(|found| &found.warnings) {
        if !told.insert(message) {
            continue;
        }
        let of = sweep.points.iter().zip(all);
        let of = of.filter(|(_, found)| found.warnings.contains(message));
        let labels: Vec<&str> = of.map(|(point, _)| point.label.as_str()).collect();
        match labels.as_slice() {
            every if every.len() == all.len() => warn(message),
            [] | [_] => warn(&format!("{}: {message}", labels.concat())),
            [first, others @ ..] => {
                let others = counted(others.len() as u64, "other point");
                warn(&format!("{first} and {others}: {message}"));
            }
        }
    }
}

/// Keys that do nothing at any point: points share keys that only some of them need.
fn idle_everywhere(sweep: &Sweep) -> Vec<String> {
    let keys = |point: &Point| point.scenario(sweep.seeds[0]).idle_keys();
    let mut points = sweep.points.iter().map(keys);
    let mut all = points.next().unwrap_or_default();
    points.for_each(|keys| all.retain(|key| keys.contains(key)));
    all
}

fn examined(
    registry: &Registry,
    scenario: &Scenario,
    folders: &[PathBuf],
    listed: bool,
) -> Result<Found, Failure> {
    let loaded = Loaded::read(scenario, folders)?;
    let network = loaded.network(scenario)?;
    if let Some(engine) = registry.engine(&scenario.training.engine) {
        (engine.build)(&network)
            .map_err(|e| scenario.fault("training.engine", e, "cannot be used here"))?;
    }
    initial(scenario, &network, folders)?;
    let of_samples = loaded.warnings(scenario, &network);
    let mut found = None;
    let mut overview = match listed {
        true => loaded.overview(scenario),
        false => Vec::new(),
    };
    // Where layers are chosen by number, it says which number is which layer.
    let methods = scenario.stream.iter().flat_map(|stream| &stream.methods);
    if listed
        && methods
            .into_iter()
            .any(|m| m.resolved.get("layers").is_some())
    {
        overview.push(format!("layers    {}", network.weighted().join("; ")));
    }
    if !scenario.needs_expert() {
        let stream = loaded.stream(scenario, None)?;
        scenario.timetable(stream.as_deref())?;
        let outside = stream.as_ref();
        let outside = outside.and_then(|stream| loaded.outside_tasks(stream));
        overview.extend(outside.filter(|_| listed));
        let federation = loaded.federate(scenario, None)?;
        if listed {
            overview.push(shares(scenario, &*federation));
        }
        found = Some(stream);
    }
    Ok(Found {
        parameters: network.layout().len(),
        overview,
        of_samples,
        stream: found,
        warnings: Vec::new(),
    })
}
