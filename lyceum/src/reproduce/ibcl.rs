//! `lyceum reproduce ibcl`: the claims of the paper on Fashion-MNIST, beside baselines with the same number of steps.

use crate::{
    arguments::Reproduce,
    check::parse_seeds,
    failure::Failure,
    grid::Grid,
    knowledge::{Draws, PREFERENCES, kinds, measured, random_preference},
    output::{complain, line},
    settings::ProcessSettings,
    stop::Stop,
};
use lyceum_core::{Event, Probe};
use lyceum_metrics::{EVENTS, EventReader, Status, interval};
use lyceum_scenarios::{Registry, Scenario};
use lyceum_simulation::{Settings, run};
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

const TEXT: &str = include_str!("../../../scenarios/catalogue/ibcl-fashion.toml");
const TASKS: u32 = 5;
/// Rounds of each task: as many as IBCL has priors, so that everybody takes the same number of steps.
const ROUNDS: u64 = 3;
/// The last of them.
const LAST: u64 = TASKS as u64 * ROUNDS - 1;
const DRAWS: Draws = Draws {
    alpha: 0.1,
    draws: 10,
    seed: 0,
};

/// A learner of one model for all preferences.
const BASELINES: [(&str, &str, bool); 7] = [
    ("VCL", "vcl = {}", true),
    (
        "VCL, 200 samples replayed",
        "vcl = {}, er = { memory = 200 }",
        true,
    ),
    ("fine-tuning", "naive = {}", false),
    ("replay, 200 samples", "er = { memory = 200 }", false),
    ("GEM, 200 samples", "gem = { memory = 200 }", false),
    ("A-GEM, 200 samples", "a_gem = { memory = 200 }", false),
    ("all tasks at once", "joint = {}", false),
];

/// The true trade-off: a model for each preference, which goes through all tasks at once.
const BY_PREFERENCE: &str = "all at once, a model a preference";

/// IBCL, and what parts of the published code make of it.
const VARIANTS: [(&str, &[&str]); 3] = [
    ("IBCL", &[]),
    (
        "IBCL, divergence in each batch",
        &["variational.kl=\"each-batch\""],
    ),
    ("IBCL, deviations begin at 1", &["variational.start=1.0"]),
];

/// Average and peak accuracy when all tasks are over, and backward transfer; by seed.
#[derive(Clone, Default)]
struct Values {
    average: Vec<f64>,
    peak: Vec<f64>,
    transfer: Vec<f64>,
    as_published: Vec<f64>,
    /// Of weights and accuracies, by task.
    correlations: Vec<Vec<f64>>,
}

/// Runs what is compared, and prints the claims with verdicts.
pub(super) fn reproduce(registry: &Registry, arguments: &Reproduce) -> Result<(), Failure> {
    let process = ProcessSettings::read()?;
    let stop = Stop::watch()?;
    let seeds = parse_seeds(&arguments.seeds)?;
    let out = arguments.out.clone();
    let bench = Bench {
        registry,
        process: &process,
        arguments,
        stop: &stop,
        out: out.unwrap_or_else(|| PathBuf::from("runs/reproduce-ibcl")),
    };
    let mut variants = Vec::new();
    let mut kept = Vec::new();
    for (name, keys) in VARIANTS {
        let mut by_kind = vec![Values::default(); kinds().len()];
        for &seed in &seeds {
            let found = bench.knowledge(name, keys, seed, &mut by_kind)?;
            kept.extend((name == VARIANTS[0].0).then_some(found));
        }
        variants.push((name, by_kind));
    }
    let mut baselines = Vec::new();
    for (name, method, variational) in BASELINES {
        let mut values = Values::default();
        for &seed in &seeds {
            bench.baseline((name, method, variational), seed, &mut values)?;
        }
        baselines.push((name, values));
    }
    let mut weighted = Values::default();
    for &seed in &seeds {
        bench.by_preference(seed, &mut weighted)?;
    }
    baselines.push((BY_PREFERENCE, weighted));
    let growth = bench.growth(seeds.first().copied().unwrap_or(0))?;
    print(&variants, &baselines, &kept, &growth, arguments.markdown);
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
    /// Runs a scenario into a folder of its own, unless it is there and finished.
    fn run(&self, name: &str, text: &str, keys: &[String], seed: u64) -> Result<PathBuf, Failure> {
        let folder = self
            .out
            .join(name.replace([' ', ','], "-"))
            .join(seed.to_string());
        let mut set = keys.to_vec();
        set.push(format!("run.seed={seed}"));
        let scenario = Scenario::read(self.registry, name, text, &set)?;
        let settings = Settings {
            threads: self.process.threads(self.arguments.threads)?,
            folders: self
                .process
                .folders(&self.arguments.data, Path::new("."), &[]),
            resume: self.arguments.resume && folder.exists(),
            out: folder.clone(),
            checkpoint_every: Duration::from_secs(10),
            updates_bytes: self.process.updates_bytes(),
            facts: None,
            started: Instant::now(),
        };
        if !self.arguments.quiet {
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

    /// IBCL with further keys: posteriors that are kept at the end. Adds to the values of each kind of model.
    fn knowledge(
        &self,
        name: &str,
        keys: &[&str],
        seed: u64,
        by_kind: &mut [Values],
    ) -> Result<usize, Failure> {
        let keys: Vec<String> = keys.iter().map(|key| (*key).to_owned()).collect();
        let folder = self.run(name, TEXT, &keys, seed)?;
        let threads = self.process.threads(self.arguments.threads)?;
        let place = (folder.as_path(), &self.arguments.data[..]);
        let moments = measured(self.registry, self.process, place, (DRAWS, threads))?;
        let Some(last) = moments.last() else {
            return Ok(0);
        };
        for (kind, values) in by_kind.iter_mut().enumerate() {
            values.average.push(last.average[kind]);
            values.peak.push(last.peak[kind]);
            let transfer = last.backward_transfer.as_ref();
            values.transfer.extend(transfer.map(|all| all[kind]));
            let published = last.backward_transfer_published.as_ref();
            values.as_published.extend(published.map(|all| all[kind]));
        }
        let found = last.rank_correlation.iter();
        let found = found.map(|rho| rho.unwrap_or(0.0)).collect();
        by_kind[0].correlations.push(found);
        Ok(last.kept)
    }

    /// Runs a baseline: accuracies by task and round.
    fn rounds(
        &self,
        (name, method, variational): (&str, &str, bool),
        seed: u64,
    ) -> Result<BTreeMap<(u32, u64), f64>, Failure> {
        let mut text = TEXT.replace("[scenario.ibcl]\ntasks = 5\n", "");
        if !variational {
            text = text.replace("[variational]\nstart = 0.1\n", "");
        }
        let stream = format!(
            "scenario={{ domain_incremental = {{ tasks = {TASKS}, shift = {{ groups = {{}} }}, method = {{ {method} }} }} }}"
        );
        let mut keys = vec![stream];
        keys.extend(variational.then(|| "variational.prior=0.25".to_owned()));
        let folder = self.run(name, &text, &keys, seed)?;
        accuracies(&folder.join(EVENTS))
    }

    fn baseline(
        &self,
        learner: (&str, &str, bool),
        seed: u64,
        values: &mut Values,
    ) -> Result<(), Failure> {
        let all = self.rounds(learner, seed)?;
        let at = |task: u32, round: u64| all.get(&(task, round)).copied().unwrap_or(0.0);
        let end: Vec<f64> = (0..TASKS).map(|task| at(task, LAST)).collect();
        values
            .average
            .push(end.iter().sum::<f64>() / end.len() as f64);
        values.peak.push(end.iter().copied().fold(0.0, f64::max));
        let own = |task: u32| at(task, (u64::from(task) + 1) * ROUNDS - 1);
        let gained = (0..TASKS - 1).map(|task| end[task as usize] - own(task));
        values
            .transfer
            .push(gained.sum::<f64>() / f64::from(TASKS - 1));
        Ok(())
    }

    /// A model for each of the preferences that IBCL is asked for: accuracy on a task by how much they weigh it.
    fn by_preference(&self, seed: u64, values: &mut Values) -> Result<(), Failure> {
        let (mut sums, mut weights) = (vec![0.0; TASKS as usize], vec![0.0; TASKS as usize]);
        for number in 0..PREFERENCES as u64 {
            let preference = random_preference(TASKS as usize, DRAWS.seed, number);
            let words: Vec<String> = preference.iter().map(|w| format!("{w:.6}")).collect();
            let method = format!("joint = {{ weights = [{}] }}", words.join(", "));
            let name = format!("{BY_PREFERENCE} {number}");
            let all = self.rounds((&name, &method, false), seed)?;
            for (task, weight) in (0..TASKS).zip(&preference) {
                let found = all.get(&(task, LAST)).copied().unwrap_or(0.0);
                sums[task as usize] += weight * found;
                weights[task as usize] += weight;
            }
        }
        let found: Vec<f64> = sums.iter().zip(&weights).map(|(s, w)| s / w).collect();
        values
            .average
            .push(found.iter().sum::<f64>() / found.len() as f64);
        values.peak.push(found.iter().copied().fold(0.0, f64::max));
        Ok(())
    }

    /// Posteriors that are kept behind each task, for growing thresholds.
    fn growth(&self, seed: u64) -> Result<Vec<(f64, Vec<u64>)>, Failure> {
        let mut all = Vec::new();
        for threshold in [0.0, 0.02, 0.03, 0.04, 0.06, 0.2] {
            let key = format!("scenario.ibcl.threshold={threshold}");
            let folder = self.run(&format!("threshold {threshold}"), TEXT, &[key], seed)?;
            let mut kept = BTreeMap::new();
            for event in EventReader::open(&folder.join(EVENTS)).map_err(Failure::other)? {
                if let Event::PosteriorLearned { round, posterior } =
                    event.map_err(Failure::other)?
                {
                    kept.insert(round, posterior.kept);
                }
            }
            all.push((threshold, kept.into_values().collect()));
        }
        Ok(all)
    }
}

/// Accuracy by task and round.
fn accuracies(events: &Path) -> Result<BTreeMap<(u32, u64), f64>, Failure> {
    let mut all = BTreeMap::new();
    for event in EventReader::open(events).map_err(Failure::other)? {
        if let Event::Evaluated {
            probe: Probe::Task(task),
            round,
            accuracy,
            ..
        } = event.map_err(Failure::other)?
        {
            all.insert((task.0, round.0), accuracy);
        }
    }
    Ok(all)
}

type ByKind = Vec<Values>;

fn print(
    variants: &[(&str, ByKind)],
    baselines: &[(&str, Values)],
    kept: &[usize],
    growth: &[(f64, Vec<u64>)],
    markdown: bool,
) {
    let show = |lines: Vec<Vec<String>>| {
        let grid = Grid {
            lines,
            words: &[0, 1, 3],
        };
        let text = match markdown {
            true => grid.markdown(),
            false => grid.text(),
        };
        line(format_args!("{text}\n"));
    };
    let first = variants.first().map_or(&[][..], |(_, all)| &all[..]);
    show(claims(first, baselines, kept));
    show(figures(variants, baselines));
    let head = ["threshold", "posteriors kept behind each task"].map(String::from);
    let rows = growth.iter().map(|(threshold, kept)| {
        let kept: Vec<String> = kept.iter().map(u64::to_string).collect();
        vec![threshold.to_string(), kept.join(", ")]
    });
    let lines = std::iter::once(head.to_vec()).chain(rows).collect();
    let grid = Grid { lines, words: &[1] };
    line(format_args!(
        "{}",
        if markdown {
            grid.markdown()
        } else {
            grid.text()
        }
    ));
}

/// A mean with its 95 % interval, in points.
fn shown(values: &[f64]) -> String {
    match interval(values) {
        None => "-".into(),
        Some(found) => match found.half_width {
            Some(half) => format!("{:+.2} ± {:.2}", 100.0 * found.mean, 100.0 * half),
            None => format!("{:+.2}", 100.0 * found.mean),
        },
    }
}

/// Whether values are above a bound, by their interval.
fn verdict(values: &[f64], bound: f64) -> &'static str {
    let Some(found) = interval(values) else {
        return "not run";
    };
    let half = found.half_width.unwrap_or(f64::INFINITY);
    match found.mean - bound {
        above if above - half > 0.0 => "holds",
        above if above + half < 0.0 => "does not hold",
        _ => "not decided",
    }
}

fn row(cells: [&str; 4]) -> Vec<String> {
    cells.map(String::from).to_vec()
}

fn claims(ours: &[Values], baselines: &[(&str, Values)], kept: &[usize]) -> Vec<Vec<String>> {
    let mut lines = vec![row(["claim", "published", "ours, points", "verdict"])];
    let most = kept.iter().max().copied().unwrap_or(0);
    let counted = format!("{most} kept of {TASKS} tasks, for any number of preferences");
    let holds = match most <= ROUNDS as usize * TASKS as usize {
        true => "holds",
        false => "does not hold",
    };
    lines.push(row(["at most 3 models a task", "3", &counted, holds]));
    let average = ours.iter().map(|values| &values.average[..]).collect();
    let peak = ours.iter().map(|values| &values.peak[..]).collect();
    let above = |values: &Values| (values.average.clone(), values.peak.clone());
    let others: Vec<_> = baselines
        .iter()
        .map(|(name, v)| (*name, above(v)))
        .collect();
    let averages: Vec<_> = others.iter().map(|(name, v)| (*name, &v.0[..])).collect();
    let peaks: Vec<_> = others.iter().map(|(name, v)| (*name, &v.1[..])).collect();
    lines.extend(comparisons(("average", "up to +23"), average, &averages));
    lines.extend(comparisons(("peak", "up to +15"), peak, &peaks));
    lines.extend(ours.first().into_iter().flat_map(point_claims));
    lines
}

/// The point model and the best of the box beside each baseline, paired by seed.
fn comparisons(
    (what, published): (&str, &str),
    ours: Vec<&[f64]>,
    baselines: &[(&str, &[f64])],
) -> Vec<Vec<String>> {
    let names = kinds();
    let mut lines = Vec::new();
    for (name, values) in baselines {
        for kind in [0, 2] {
            let pairs = ours[kind].iter().zip(*values);
            let apart: Vec<f64> = pairs.map(|(a, b)| a - b).collect();
            let claim = format!("{what} above {name} ({})", names[kind]);
            let verdict = verdict(&apart, 0.0);
            lines.push(row([&claim, published, &shown(&apart), verdict]));
        }
    }
    lines
}

/// What is claimed of the point model alone.
fn point_claims(point: &Values) -> Vec<Vec<String>> {
    let near = "near 0 or above";
    let transfer =
        |claim: &str, values: &[f64]| row([claim, near, &shown(values), verdict(values, -0.01)]);
    let mut lines = vec![
        transfer("backward transfer, R[last][l] - R[l][l]", &point.transfer),
        transfer("as the published code computes it", &point.as_published),
    ];
    for task in 0..TASKS as usize {
        let by_seed = point.correlations.iter();
        let all: Vec<f64> = by_seed.map(|by_task| by_task[task]).collect();
        let claim = format!("rank correlation of weight and accuracy, task {task}, above 0.8");
        let found = interval(&all).map_or_else(
            || "-".into(),
            |found| match found.half_width {
                Some(half) => format!("{:.2} ± {half:.2}", found.mean),
                None => format!("{:.2}", found.mean),
            },
        );
        lines.push(row([&claim, "-", &found, verdict(&all, 0.8)]));
    }
    lines
}

fn figures(variants: &[(&str, ByKind)], baselines: &[(&str, Values)]) -> Vec<Vec<String>> {
    let head = ["learner", "models", "average", "peak", "backward transfer"];
    let mut lines = vec![head.map(String::from).to_vec()];
    let cells = |name: &str, kind: &str, values: &Values| {
        let figures = [&values.average, &values.peak, &values.transfer];
        let words = [name.to_owned(), kind.to_owned()];
        words
            .into_iter()
            .chain(figures.map(|all| shown(all)))
            .collect()
    };
    for (name, all) in variants {
        for (kind, values) in kinds().iter().zip(all) {
            lines.push(cells(name, kind, values));
        }
    }
    for (name, values) in baselines {
        let models = match *name {
            BY_PREFERENCE => "one for each preference",
            _ => "one for all preferences",
        };
        lines.push(cells(name, models, values));
    }
    lines
}
