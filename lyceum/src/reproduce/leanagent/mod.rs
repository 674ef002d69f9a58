//! `lyceum reproduce leanagent`: progressive training on repositories of Lean, beside the reference of the data and the paper's claims.

mod claims;
mod setups;

use crate::{
    arguments::Reproduce, check::parse_seeds, failure::Failure, grid::Grid, output::complain,
    output::line, settings::ProcessSettings, stop::Stop,
};
use lyceum_metrics::{
    EVENTS, EventReader, Status, StreamRecord,
    continual::{
        AccuracyMatrix,
        lean_agent::{self, LeanAgent},
    },
};
use lyceum_scenarios::{Registry, Scenario};
use lyceum_simulation::{Settings, run};
use setups::{SETUPS, Setup, Start, Value};
use std::{
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

const TEXT: &str = include_str!("../../../../scenarios/catalogue/progressive-lean.toml");
const LIBRARY: &str = include_str!("../../../../scenarios/catalogue/lean-premises-library.toml");

/// What came of a run.
struct Found {
    /// Recall of the first ten of each task after each task, in the order of the run; where all tasks come at once there is no more than
    /// the end.
    matrix: Option<AccuracyMatrix>,
    end: Option<f64>,
    published: LeanAgent,
    standard: LeanAgent,
}

impl Found {
    fn read(folder: &Path) -> Result<Self, Failure> {
        let mut record = StreamRecord::default();
        for event in EventReader::open(&folder.join(EVENTS)).map_err(Failure::other)? {
            record.observe(&event.map_err(Failure::other)?);
        }
        let end = record.measures().get("average_accuracy").copied();
        let curve = record.curve();
        let measured = |matrix: &AccuracyMatrix| {
            let mut tasks = 0..matrix.tasks();
            tasks.all(|task| matrix.just_learned(task).is_some())
        };
        let matrix = curve.matrix().filter(measured);
        let validation = record.validation(&curve.tasks);
        let form = |form: fn(&AccuracyMatrix, &[Option<f64>], usize) -> LeanAgent| {
            let of = |matrix| form(matrix, &validation, lean_agent::WINDOW);
            matrix.as_ref().map_or_else(LeanAgent::default, of)
        };
        Ok(Self {
            published: form(lean_agent::published),
            standard: form(lean_agent::standard),
            matrix,
            end,
        })
    }

    fn value(&self, value: Value) -> Option<f64> {
        if value == Value::End {
            return self.end;
        }
        let matrix = self.matrix.as_ref()?;
        let last = matrix.tasks();
        let of = |task: usize| {
            let own = matrix.just_learned(task)?;
            let end = matrix.at_end(task)?;
            let since = (task..last).map(|row| matrix.after(row, task));
            let most = since.collect::<Option<Vec<f64>>>()?;
            Some(match value {
                Value::Just => own,
                Value::End => end,
                Value::Backward => end - own,
                Value::Forgetting => most.into_iter().fold(end, f64::max) - end,
            })
        };
        let all: Option<Vec<f64>> = (0..last).map(of).collect();
        lyceum_metrics::mean(&all?)
    }
}

/// Runs the set-ups, and prints what is compared.
pub(super) fn reproduce(registry: &Registry, arguments: &Reproduce) -> Result<(), Failure> {
    let process = ProcessSettings::read()?;
    let stop = Stop::watch()?;
    let out = arguments.out.clone();
    let bench = Bench {
        registry,
        process: &process,
        arguments,
        stop: &stop,
        out: out.unwrap_or_else(|| PathBuf::from("runs/reproduce-leanagent")),
    };
    let seeds = parse_seeds(&arguments.seeds)?;
    let only = &arguments.only;
    let is_whole = |part: &str| SETUPS.iter().any(|setup| setup.name == part);
    let named = |part: &String, name: &str| match is_whole(part) {
        true => name == part,
        false => name.contains(part.as_str()),
    };
    let wanted =
        |setup: &&Setup| only.is_empty() || only.iter().any(|part| named(part, setup.name));
    let mut all = Vec::new();
    for setup in SETUPS.iter().filter(wanted) {
        let runs: Result<Vec<Found>, Failure> =
            seeds.iter().map(|&seed| bench.found(setup, seed)).collect();
        all.push((setup.name, runs?));
    }
    if all.is_empty() {
        let names: Vec<&str> = SETUPS.iter().map(|setup| setup.name).collect();
        return Err(Failure::input(format!(
            "{}: no set-up has such a name; there are {}",
            only.join(" "),
            names.join("; ")
        )));
    }
    let show = |lines: Vec<Vec<String>>| {
        let words = &[0, 1];
        let grid = Grid { lines, words };
        let text = match arguments.markdown {
            true => grid.markdown(),
            false => grid.text(),
        };
        line(format_args!("{text}\n"));
    };
    show(claims::references(&all));
    show(claims::measures(
        &all,
        |found| &found.published,
        "set-up, as published",
    ));
    show(claims::measures(
        &all,
        |found| &found.standard,
        "set-up, standard",
    ));
    show(claims::claims(&all));
    Ok(())
}

struct Bench<'a> {
    registry: &'a Registry,
    process: &'a ProcessSettings,
    arguments: &'a Reproduce,
    stop: &'a Stop,
    out: PathBuf,
}

impl Bench<'_> {
    /// Runs a set-up with a seed, unless that is done, and reads what came of it.
    fn found(&self, setup: &Setup, seed: u64) -> Result<Found, Failure> {
        let mut keys: Vec<String> = setup.keys.iter().map(|key| (*key).to_owned()).collect();
        if setup.start == Start::Library {
            let library = self.run(("library", LIBRARY), &[], seed)?;
            let model = library.join("checkpoint/000001/global.safetensors");
            let model = std::path::absolute(&model).unwrap_or(model);
            keys.push(format!("run.start_from={:?}", model.display().to_string()));
        }
        let folder = self.run((setup.name, TEXT), &keys, seed)?;
        Found::read(&folder)
    }

    fn run(
        &self,
        (name, text): (&str, &str),
        keys: &[String],
        seed: u64,
    ) -> Result<PathBuf, Failure> {
        let folder = self
            .out
            .join(name.replace(", ", "-").replace(' ', "-"))
            .join(seed.to_string());
        let mut set = keys.to_vec();
        set.push(format!("run.seed={seed}"));
        let scenario = Scenario::read(self.registry, name, text, &set)?;
        let there = folder.join("summary.json").is_file();
        let settings = Settings {
            threads: self.process.threads(self.arguments.threads)?,
            folders: self
                .process
                .folders(&self.arguments.data, Path::new("."), &[]),
            resume: (self.arguments.resume || name == "library") && folder.exists(),
            out: folder.clone(),
            checkpoint_every: Duration::from_secs(10),
            updates_bytes: self.process.updates_bytes(),
            facts: None,
            started: Instant::now(),
        };
        if !self.arguments.quiet && !there {
            complain(&format!("{name}, seed {seed}\n"));
        }
        let summary = run(
            &scenario,
            self.registry,
            &settings,
            self.stop.flag(),
            &mut |_| {},
        )?;
        match summary.status {
            Status::Finished => Ok(folder),
            status => Err(Failure::other(format!("{}: {status}", folder.display()))),
        }
    }
}
