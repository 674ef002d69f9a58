//! `lyceum knowledge`: what a run with a knowledge base has learned, and models for preferences over its tasks.

mod base;
mod calibrated;
mod designs;
mod judge;
mod many;
mod measures;
mod preferences;

use crate::{
    arguments::Knowledge as Arguments,
    failure::{Failure, write_out},
    grid::Grid,
    output::{counted, line, warn},
    settings::{ProcessSettings, in_utf8},
};
use base::Base;
pub(crate) use calibrated::Sure;
use judge::Judge;
use lyceum_coordinator::run::model_file::to_safetensors;
use lyceum_core::{Params, Seed, TaskId};
use lyceum_scenarios::{Registry, Scenario};
use lyceum_strategies::knowledge::{CombineOn, Combined, Region, RegionKind};
use many::Many;
pub(crate) use measures::{Draws, Moment, PREFERENCES, kinds};
pub(crate) use preferences::random as random_preference;
use serde::Serialize;
use std::{
    fs,
    path::{Path, PathBuf},
    time::Instant,
};

/// The mass that regions leave out, and the models that are drawn from each, where nobody says.
const ALPHA: f64 = 0.1;
const DRAWS: u32 = 10;

/// Refuses what says how models are drawn from regions where none are.
fn draws_are_made(arguments: &Arguments) -> Result<(), Failure> {
    let given = [
        ("--alpha", arguments.alpha.map(|alpha| alpha.to_string())),
        ("--draws", arguments.draws.map(|draws| draws.to_string())),
    ];
    let given = given
        .into_iter()
        .find_map(|(flag, value)| Some((flag, value?)));
    match given.filter(|_| arguments.preference.is_none() && !arguments.measures) {
        None => Ok(()),
        Some((flag, value)) => Err(Failure::input(format!(
            "{flag} {value}: it goes with --preference or --measures; nothing else draws models from regions"
        ))),
    }
}

/// Tells of a seed from which nothing is drawn.
fn warn_of_seed(arguments: &Arguments) {
    let number = |text: &String| text.parse::<f64>().is_ok();
    let draws = arguments.preference.is_some()
        || arguments.measures
        || arguments.preferences.as_ref().is_some_and(number);
    if let Some(seed) = arguments.seed.filter(|_| !draws) {
        warn(&format!(
            "--seed {seed} does nothing here: nothing is drawn but for --preference, --measures and a number of --preferences"
        ));
    }
}

/// Tells where one posterior stands for all tasks.
fn warn_of_one_model(base: &Base) {
    let tasks = base.knowledge.learned().len();
    if tasks > 1 && base.knowledge.kept().len() == 1 {
        warn(&format!(
            "one posterior stands for all {tasks} tasks, so no preference makes a difference; a run with a lower `threshold` keeps more"
        ));
    }
}

/// Shows a knowledge base, or makes models of it.
pub(crate) fn knowledge(registry: &Registry, arguments: &Arguments) -> Result<(), Failure> {
    draws_are_made(arguments)?;
    warn_of_seed(arguments);
    let alpha = arguments.alpha.unwrap_or(ALPHA);
    if !(alpha > 0.0 && alpha < 1.0) {
        return Err(Failure::input(format!(
            "--alpha {alpha}: expected a number above 0 and below 1"
        )));
    }
    if let Some(out) = &arguments.out {
        out_is_free(out, arguments)?;
    }
    let scenario = scenario(registry, &arguments.run)?;
    let mut base = Base::read(&arguments.run, combines_on(&scenario))?;
    if let Some(tasks) = arguments.after {
        base.after(tasks)?;
    }
    warn_of_one_model(&base);
    let process = ProcessSettings::read()?;
    let threads = process.threads(arguments.threads)?;
    let judge = || {
        let place = (arguments.run.as_path(), &scenario, &arguments.data[..]);
        let state = (&base.snapshot, base.halves, threads);
        Judge::new(registry, &process, place, state)
    };
    match (&arguments.preference, &arguments.preferences) {
        (Some(text), _) => one(&base, &judge, text, arguments),
        (None, Some(text)) => {
            let tasks = base.knowledge.learned().len();
            let asked = Many::asked(text, tasks, arguments.seed.unwrap_or(0))?;
            asked.judge(&base, &judge()?, arguments.out.as_deref())
        }
        (None, None) if arguments.clients => {
            let judge = judge()?;
            let asked = Many::of_clients(&judge, &base.knowledge.learned());
            asked.judge(&base, &judge, arguments.out.as_deref())
        }
        (None, None) if arguments.measures => {
            let how = Draws {
                alpha,
                draws: arguments.draws.unwrap_or(DRAWS).max(1).into(),
                seed: arguments.seed.unwrap_or(0),
            };
            let found = moments_of(&arguments.run, &scenario, &judge()?, how)?;
            measures::print(&found, arguments.json)
        }
        (None, None) => list(&base, arguments),
    }
}

/// Refuses to write where nothing is asked for that is written, and over what belongs to a run.
fn out_is_free(out: &Path, arguments: &Arguments) -> Result<(), Failure> {
    let shown = out.display();
    let writes = arguments.preference.is_some() || arguments.preferences.is_some();
    if !writes && !arguments.clients {
        return Err(Failure::input(format!(
            "--out {shown}: it goes with --preference, --preferences or --clients"
        )));
    }
    let folder = out.parent().filter(|folder| !folder.as_os_str().is_empty());
    if folder.is_some_and(|folder| !folder.is_dir()) {
        return Err(Failure::input(format!(
            "--out {shown}: its folder does not exist"
        )));
    }
    let real = |path: &Path| path.canonicalize().ok();
    let inside = real(out).zip(real(&arguments.run));
    match inside.is_some_and(|(out, run)| out.starts_with(run)) {
        true => Err(Failure::input(format!(
            "--out {shown}: this file is there and belongs to the run; another name is right"
        ))),
        false => Ok(()),
    }
}

fn moments_of(
    run: &Path,
    scenario: &Scenario,
    judge: &Judge,
    how: Draws,
) -> Result<Vec<Moment>, Failure> {
    let read = |over: usize| {
        let mut base = Base::read(run, combines_on(scenario))?;
        if over > 0 {
            base.after(over)?;
        }
        Ok(base)
    };
    measures::moments(&read, judge, how)
}

/// What the knowledge base of a finished run was worth behind each task, as the paper measures it.
pub(crate) fn measured(
    registry: &Registry,
    process: &ProcessSettings,
    (run, data): (&Path, &[PathBuf]),
    (how, threads): (Draws, usize),
) -> Result<Vec<Moment>, Failure> {
    let scenario = scenario(registry, run)?;
    let base = Base::read(run, combines_on(&scenario))?;
    let place = (run, &scenario, data);
    let judge = Judge::new(
        registry,
        process,
        place,
        (&base.snapshot, base.halves, threads),
    )?;
    moments_of(run, &scenario, &judge, how)
}

fn scenario(registry: &Registry, folder: &Path) -> Result<Scenario, Failure> {
    let file = folder.join("scenario.toml");
    let name = file.display().to_string();
    if folder.is_file() {
        let shown = folder.display();
        return Err(Failure::input(format!(
            "{shown}: it is a file; the folder of a run is right, which `lyceum run` prints"
        )));
    }
    let text = fs::read(&file).map_err(|e| {
        Failure::input(format!(
            "{name}: {e}; the folder of a run is right, which `lyceum run` prints"
        ))
    })?;
    let text = in_utf8(&name, text)?;
    Ok(Scenario::read(registry, &name, &text, &[])?)
}

fn combines_on(scenario: &Scenario) -> CombineOn {
    let stream = scenario.stream.as_ref();
    let on = stream.and_then(|stream| stream.kind.resolved.get("combine")?.as_str());
    match on {
        Some("variances") => CombineOn::Variances,
        _ => CombineOn::Deviations,
    }
}

/// What a posterior is, for JSON.
#[derive(Serialize)]
struct Listed<'a> {
    task: TaskId,
    prior: u32,
    began_with: &'a str,
    model: &'a str,
    reused: bool,
    divergence: f64,
    distance: Option<f64>,
}

fn list(base: &Base, arguments: &Arguments) -> Result<(), Failure> {
    let points = &base.knowledge.points;
    let listed: Vec<Listed<'_>> = points
        .iter()
        .map(|point| Listed {
            task: point.task,
            prior: point.prior,
            began_with: &point.prior_model,
            model: &point.model,
            reused: point.reused,
            divergence: point.divergence,
            distance: point.distance,
        })
        .collect();
    let kept = base.knowledge.kept().len();
    let bytes = kept * 8 * base.halves.len;
    if arguments.json {
        let json = serde_json::json!({
            "posteriors": listed, "kept": kept, "bytes": bytes, "weights": base.halves.len,
            "rounds": base.snapshot.rounds,
        });
        let text = serde_json::to_string_pretty(&json).map_err(Failure::other)?;
        line(format_args!("{text}"));
        return Ok(());
    }
    line(format_args!(
        "{} of {} after {}; {kept} {} kept, {} each, {}\n",
        counted(points.len() as u64, "posterior"),
        counted(base.knowledge.learned().len() as u64, "task"),
        counted(base.snapshot.rounds, "round"),
        if kept == 1 { "is" } else { "are" },
        counted(base.halves.len as u64, "weight"),
        counted(bytes as u64, "byte"),
    ));
    line(format_args!("{}", posteriors(&listed).text()));
    Ok(())
}

fn posteriors(listed: &[Listed<'_>]) -> Grid {
    let head = [
        "task",
        "prior",
        "began with",
        "model",
        "divergence",
        "distance",
        "",
    ];
    let mut lines = vec![head.map(String::from).to_vec()];
    for point in listed {
        let distance = point.distance.map_or("-".into(), |d| format!("{d:.5}"));
        let note = match point.reused {
            true => "near enough: given up",
            false => "",
        };
        lines.push(vec![
            point.task.to_string(),
            point.prior.to_string(),
            point.began_with.into(),
            point.model.into(),
            format!("{:.2}", point.divergence),
            distance,
            note.into(),
        ]);
    }
    let words = &[2, 3, 6];
    Grid { lines, words }
}

/// What the models of a preference are worth on a task.
#[derive(Serialize)]
struct Row {
    task: String,
    weight: f64,
    point: f64,
    /// By region: mean, best and worst of the drawn models.
    regions: Vec<(&'static str, [f64; 3])>,
    /// Of the point model, and of the averaged draws of each region.
    calibration: Vec<Sure>,
}

fn one(
    base: &Base,
    judge: &dyn Fn() -> Result<Judge, Failure>,
    text: &str,
    arguments: &Arguments,
) -> Result<(), Failure> {
    let tasks = base.knowledge.learned();
    let weights = preferences::parse(text, tasks.len())
        .map_err(|fault| Failure::input(format!("--preference: {fault}")))?;
    let began = Instant::now();
    let combined = base.combined(&weights)?;
    let seconds = began.elapsed().as_secs_f64();
    if let Some(out) = &arguments.out {
        save(base, &combined, out)?;
    }
    let judge = judge()?;
    let mut models = vec![combined.means.clone()];
    for kind in RegionKind::ALL {
        let region = Region {
            kind,
            alpha: arguments.alpha.unwrap_or(ALPHA),
        };
        let seed = Seed(arguments.seed.unwrap_or(0));
        let draws = (0..u64::from(arguments.draws.unwrap_or(DRAWS)))
            .map(|n| region.draw(seed, (0, n), &combined));
        models.extend(draws);
    }
    let accuracies = judge.accuracies(&models, &tasks)?;
    let draws = arguments.draws.unwrap_or(DRAWS) as usize;
    let sure = calibrated::of_preference(&judge, &models, draws, &tasks)?;
    let rows: Vec<Row> = tasks
        .iter()
        .enumerate()
        .zip(sure)
        .map(|((place, task), calibration)| Row {
            task: format!("{} ({})", task, judge.name(*task)),
            weight: weights[place],
            point: accuracies[0][place],
            regions: regions(&accuracies[1..], place, draws),
            calibration,
        })
        .collect();
    tell(&rows, seconds, arguments.json)
}

/// Prints what the models of a preference are worth.
fn tell(rows: &[Row], seconds: f64, json: bool) -> Result<(), Failure> {
    let weighted: f64 = rows.iter().map(|row| row.weight * row.point).sum();
    if json {
        let json = serde_json::json!({ "tasks": rows, "weighted": weighted, "seconds": seconds });
        let text = serde_json::to_string_pretty(&json).map_err(Failure::other)?;
        line(format_args!("{text}"));
        return Ok(());
    }
    line(format_args!("{}", table(rows).text()));
    let sure: Vec<_> = rows
        .iter()
        .map(|row| (row.task.clone(), row.calibration.clone()))
        .collect();
    line(format_args!("{}", calibrated::table("task", &sure).text()));
    line(format_args!(
        "weighted accuracy of the point model {:.2} %, made in {:.2} ms; nothing was trained",
        100.0 * weighted,
        1e3 * seconds
    ));
    Ok(())
}

fn regions(accuracies: &[Vec<f64>], place: usize, draws: usize) -> Vec<(&'static str, [f64; 3])> {
    let kinds = RegionKind::ALL.iter().zip(accuracies.chunks(draws.max(1)));
    let of = |models: &[Vec<f64>]| {
        let all = models.iter().map(|tasks| tasks[place]);
        let mean = all.clone().sum::<f64>() / models.len() as f64;
        [
            mean,
            all.clone().fold(0.0, f64::max),
            all.fold(1.0, f64::min),
        ]
    };
    kinds
        .map(|(kind, models)| (kind.name(), of(models)))
        .collect()
}

fn table(rows: &[Row]) -> Grid {
    let mut head = vec!["task".to_owned(), "weight".into(), "point".into()];
    for (name, _) in rows.first().into_iter().flat_map(|row| &row.regions) {
        head.extend(["mean", "best", "worst"].map(|word| format!("{name} {word}")));
    }
    let mut lines = vec![head];
    let percent = |share: f64| format!("{:.2} %", 100.0 * share);
    for row in rows {
        let mut cells = vec![
            row.task.clone(),
            format!("{:.4}", row.weight),
            percent(row.point),
        ];
        cells.extend(row.regions.iter().flat_map(|(_, all)| all.map(percent)));
        lines.push(cells);
    }
    Grid { lines, words: &[0] }
}

/// Writes the posterior of a preference: its means under the names of the plain network, and `rho`, the logarithms of its deviations.
fn save(base: &Base, combined: &Combined, out: &Path) -> Result<(), Failure> {
    let mut params = vec![0.0; base.layout.len()];
    params[base.halves.means()].copy_from_slice(&combined.means);
    let rhos = combined.deviations.iter().map(|s| s.ln());
    let places = params[base.halves.rhos()].iter_mut();
    places.zip(rhos).for_each(|(place, rho)| *place = rho);
    let params: Params = params.into();
    let bytes = to_safetensors(out, &base.layout, &params)?;
    write_out(out, &bytes)
}
