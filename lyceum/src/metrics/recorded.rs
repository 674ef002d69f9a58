//! Measures of a run that has a stream of tasks, from its log.

use super::{matrix, options::Options};
use crate::{
    codes::is_full,
    experts::{self, Bench},
    failure::Failure,
    output::{complain, warn},
    settings::ProcessSettings,
};
use lyceum_coordinator::run::alterations;
use lyceum_metrics::{
    Curve, EVENTS, EventReader, InputError, Setup, StreamRecord,
    continual::{TaskValues, weighted_matrix},
    l2log::{self, L2Log, ScenarioInfo},
};
use lyceum_scenarios::Registry;
use std::{
    path::Path,
    time::{SystemTime, UNIX_EPOCH},
};

/// Who lives a lifetime that is written.
const WORKER: &str = "global";

/// Prints the measures of a run's folder.
pub(super) fn print(registry: &Registry, options: &Options) -> Result<(), Failure> {
    let folder = options.file.as_path();
    if let Some(data) = options.data.first().filter(|_| !options.experts) {
        let data = data.display();
        warn(&format!(
            "--data {data} does nothing here: only --experts reads data"
        ));
    }
    let record = read(folder)?;
    let curve = record.curve();
    let setups = setups(&record, &curve);
    if setups.is_empty() {
        let name = folder.display();
        return Err(Failure::input(format_args!(
            "{name}/{EVENTS}: no task of the stream was judged yet; `lyceum run --resume` goes on with it"
        )));
    }
    let mut known = vec![TaskValues::default(); setups.len()];
    if options.experts {
        let process = ProcessSettings::read()?;
        let bench = Bench {
            registry,
            process: &process,
            data: &options.data,
            say: &|text| complain(&format!("{text}\n")),
        };
        known[0] = experts::values(&bench, folder, &record, &curve.tasks)?;
    }
    let validation = record.validation(&curve.tasks);
    if validation.iter().any(Option::is_some) {
        known[0].validation = validation;
    }
    if let Some(out) = &options.l2log {
        write_lifetime(&record, out)?;
    }
    matrix::print(options, &setups, known, record.unmeasured())
}

fn read(folder: &Path) -> Result<StreamRecord, Failure> {
    let name = folder.display();
    let events = folder.join(EVENTS);
    if !events.is_file() {
        return Err(Failure::input(format_args!(
            "{name}: the folder holds neither {EVENTS} nor {}; a run, a lifetime or an accuracy matrix \
             as CSV is right",
            l2log::LOGGER_INFO
        )));
    }
    alterations(folder).iter().for_each(|text| warn(text));
    let mut record = StreamRecord::default();
    for event in EventReader::open(&events).map_err(Failure::input)? {
        record.observe(&event.map_err(Failure::input)?);
    }
    match record.is_empty() {
        true => Err(Failure::input(format_args!(
            "{name}/{EVENTS}: the run holds no task stream, so there is nothing to remember or forget; \
             `lyceum compare {name}` shows what it holds"
        ))),
        false => Ok(record),
    }
}

/// The matrix of the common order and, where clients have orders of their own, the mean of theirs.
fn setups(record: &StreamRecord, curve: &Curve) -> Vec<Setup> {
    let names = |tasks: &mut dyn Iterator<Item = usize>| -> Vec<String> {
        tasks.map(|t| record.tasks()[t].name.clone()).collect()
    };
    let Some(matrix) = curve.matrix().filter(|m| m.at_end(0).is_some()) else {
        return Vec::new();
    };
    let several = record.learned().len() > 1;
    let mut setups = vec![Setup {
        name: several.then(|| "common order".into()),
        tasks: names(&mut curve.tasks.iter().map(|t| t.0 as usize)),
        matrix,
    }];
    if let Some(matrix) = weighted_matrix(&record.client_matrices()).filter(|_| several) {
        let places = 1..=matrix.tasks();
        setups.push(Setup {
            name: Some("clients' orders".into()),
            tasks: places.map(|place| format!("task {place}")).collect(),
            matrix,
        });
    }
    setups
}

fn write_lifetime(record: &StreamRecord, out: &Path) -> Result<(), Failure> {
    if record.order().len() > 1 && record.ends_apart() {
        return Err(Failure::input(
            "--l2log: clients have the tasks in orders of their own, and a lifetime is one after another; a run whose \
             clients go through the tasks together is right",
        ));
    }
    let info = ScenarioInfo {
        scenario_type: "custom".into(),
        ..ScenarioInfo::default()
    };
    let (there, lifetime) = (out.exists(), out.join(l2log::LOGGER_INFO).exists());
    let written = written(record, out, &info);
    written.map_err(|e| {
        if !lifetime && is_full(&e) {
            clear(out, there);
        }
        Failure::unless_full(&e, Failure::input(format!("--l2log {e}")))
    })
}

/// Takes away what there was no space for, so that it may be tried again.
fn clear(out: &Path, there: bool) {
    // What stays is told of by the next attempt.
    if !there {
        let _ = std::fs::remove_dir_all(out);
        return;
    }
    for file in [l2log::LOGGER_INFO, l2log::SCENARIO_INFO] {
        let _ = std::fs::remove_file(out.join(file));
    }
    let _ = std::fs::remove_dir_all(out.join(WORKER));
}

fn written(record: &StreamRecord, out: &Path, info: &ScenarioInfo) -> Result<(), InputError> {
    let mut log = L2Log::create(out, info, WORKER, "performance")?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let micros = now.map_or(0, |since| since.as_micros() as u64);
    for block in &record.lifetime().blocks {
        log.write(block, micros)?;
    }
    Ok(())
}
