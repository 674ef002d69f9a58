//! `lyceum reproduce ibcl`: the claims of the paper on Fashion-MNIST, beside baselines with the same number of steps.

mod claims;
mod learners;
mod tables;

use crate::{
    arguments::Reproduce,
    check::parse_seeds,
    failure::Failure,
    knowledge::{Draws, PREFERENCES, kinds, measured},
    output::complain,
    settings::ProcessSettings,
    stop::Stop,
};
use claims::{Baseline, Variant, claims};
use learners::{LEARNERS, Learner};
use lyceum_core::{Event, Probe};
use lyceum_metrics::{EVENTS, EventReader, Status, Summary, hypervolume, ranks::spearman};
use lyceum_scenarios::{Registry, Scenario};
use lyceum_simulation::{Settings, run};
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

const TEXT: &str = include_str!("../../../../scenarios/catalogue/ibcl-fashion.toml");
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

/// Features that are no guess: of the first task alone.
const COMPONENTS: &str = "data.features={ pca = { size = 512, classes = [0, 1] } }";

/// IBCL, what parts of the published code make of it, and other settings of the protocol; whether its features are those of the others.
const VARIANTS: [(&str, &[&str], bool); 6] = [
    ("IBCL", &[], true),
    (
        "the divergence counts in each batch",
        &["variational.kl=\"each-batch\""],
        true,
    ),
    ("deviations begin at 1", &["variational.start=1.0"], true),
    (
        "deviations begin at 1, half of the samples, 10 passes, rate 0.001",
        &[
            "variational.start=1.0",
            "data.parts=2",
            "training.epochs=10",
            "training.rate=0.001",
        ],
        true,
    ),
    (ON_COMPONENTS, &[COMPONENTS], false),
    (
        "features are such components, each of variance 1",
        &["data.features={ pca = { size = 512, classes = [0, 1], whiten = true } }"],
        false,
    ),
];
const ON_COMPONENTS: &str = "features are 512 principal components of the first task";

/// Average and peak accuracy when all tasks are over, and backward transfer; by seed.
#[derive(Clone, Default)]
struct Values {
    average: Vec<f64>,
    peak: Vec<f64>,
    transfer: Vec<f64>,
    as_published: Vec<f64>,
    /// What the models of the preferences are worth together.
    hypervolume: Vec<f64>,
    /// Of weights and accuracies, by task.
    correlations: Vec<Vec<f64>>,
    /// The same for preferences that are spread evenly, and where the task's weight alone varies.
    even: Vec<Vec<f64>>,
    alone: Vec<Vec<f64>>,
    /// Calibration error and negative log likelihood.
    error: Vec<f64>,
    likelihood: Vec<f64>,
    /// Models that were trained, and the steps of all of them.
    models: usize,
    steps: u64,
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
    for (name, keys, same_features) in VARIANTS {
        let mut by_kind = vec![Values::default(); kinds().len()];
        for &seed in &seeds {
            let found = bench.knowledge(name, keys, seed, &mut by_kind)?;
            kept.extend((name == VARIANTS[0].0).then_some(found));
        }
        variants.push(Variant {
            name,
            by_kind,
            same_features,
        });
    }
    let mut baselines = Vec::new();
    for learner in LEARNERS {
        let mut values = Values::default();
        let mut on_components = learner.on_components.then(Values::default);
        for &seed in &seeds {
            bench.baseline(learner, None, seed, &mut values)?;
            if let Some(values) = &mut on_components {
                bench.baseline(learner, Some(COMPONENTS), seed, values)?;
            }
        }
        baselines.push(Baseline {
            learner,
            values,
            on_components,
        });
    }
    let growth = bench.growth(seeds.first().copied().unwrap_or(0))?;
    let show = |lines| tables::show(lines, arguments.markdown);
    show(claims(&variants, &baselines, &kept, &growth));
    show(tables::figures(&variants, &baselines));
    show(tables::growth(&growth));
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
            values.models = (u64::from(TASKS) * ROUNDS) as usize;
            values.steps = steps(&folder)?;
        }
        let point = &mut by_kind[0];
        let known = |all: &[Option<f64>]| all.iter().map(|rho| rho.unwrap_or(0.0)).collect();
        point.correlations.push(known(&last.rank_correlation));
        point.even.push(known(&last.correlations.even));
        point.alone.push(known(&last.correlations.alone));
        point.hypervolume.push(last.hypervolume);
        for (kind, sure) in [0, 1, 3, 5].iter().zip(&last.calibration) {
            by_kind[*kind].error.extend(sure.calibration_error);
            by_kind[*kind]
                .likelihood
                .extend(sure.negative_log_likelihood);
        }
        Ok(last.kept)
    }

    /// Runs a model of a baseline: what it was worth, and its steps.
    fn model(
        &self,
        learner: Learner,
        (name, preference): (&str, &[f64]),
        features: Option<&str>,
        seed: u64,
    ) -> Result<(Course, u64), Failure> {
        let mut text = TEXT.replace("[scenario.ibcl]\ntasks = 5\n", "");
        if !learner.variational {
            text = text.replace("[variational]\nstart = 0.1\n", "");
        }
        let methods = learner.methods(preference);
        let mut keys = vec![
            format!(
                "scenario={{ domain_incremental = {{ tasks = {TASKS}, shift = {{ groups = {{}} }}, method = {{ {methods} }} }} }}"
            ),
            "evaluation.calibration=true".into(),
            format!("evaluation.every={ROUNDS}"),
        ];
        keys.extend((learner.variational).then(|| "variational.prior=0.25".to_owned()));
        keys.extend(learner.steps.map(|steps| format!("training.steps={steps}")));
        keys.extend(features.map(String::from));
        let name = match features {
            Some(_) => format!("{name}, components"),
            None => name.to_owned(),
        };
        let folder = self.run(&name, &text, &keys, seed)?;
        Ok((Course::read(&folder.join(EVENTS))?, steps(&folder)?))
    }

    /// Runs a baseline, whose models count for a task by how much their preferences weigh it.
    fn baseline(
        &self,
        learner: Learner,
        features: Option<&str>,
        seed: u64,
        values: &mut Values,
    ) -> Result<(), Failure> {
        let tasks = TASKS as usize;
        let preferences = learner.preferences(tasks, PREFERENCES, DRAWS.seed);
        let mut courses = Vec::new();
        values.steps = 0;
        for (number, preference) in preferences.iter().enumerate() {
            let name = learner.model(number);
            let (course, steps) = self.model(learner, (&name, preference), features, seed)?;
            courses.push(course);
            values.steps += steps;
        }
        values.models = courses.len();
        let by_weight = |of: &dyn Fn(&Course, usize) -> Option<f64>, task: usize| -> Option<f64> {
            let sum: f64 = preferences.iter().map(|weights| weights[task]).sum();
            let all = courses.iter().zip(&preferences);
            let terms = all.map(|(course, weights)| Some(weights[task] / sum * of(course, task)?));
            terms.sum()
        };
        let each = |of: &dyn Fn(&Course, usize) -> Option<f64>| -> Option<Vec<f64>> {
            (0..tasks).map(|task| by_weight(of, task)).collect()
        };
        let mean = |all: &[f64]| all.iter().sum::<f64>() / all.len() as f64;
        let end = each(&|course, task| course.at(task, LAST)).unwrap_or_default();
        let own = each(&|course, task| course.at(task, (task as u64 + 1) * ROUNDS - 1));
        let own = own.unwrap_or_default();
        values.average.push(mean(&end));
        values.peak.push(end.iter().copied().fold(0.0, f64::max));
        let gained: Vec<f64> = end.iter().zip(&own).map(|(now, then)| now - then).collect();
        values.transfer.push(mean(&gained[..tasks - 1]));
        let error = each(&|course, task| course.found(task, "calibration_error"));
        values.error.extend(error.map(|all| mean(&all)));
        let likelihood = each(&|course, task| course.found(task, "negative_log_likelihood"));
        values.likelihood.extend(likelihood.map(|all| mean(&all)));
        let front: Vec<Vec<f64>> = courses.iter().map(Course::end).collect();
        values.hypervolume.push(hypervolume(&front));
        if learner.each_preference {
            let of = |task: usize| {
                let weights: Vec<f64> = preferences.iter().map(|all| all[task]).collect();
                let worth: Vec<f64> = front.iter().map(|all| all[task]).collect();
                spearman(&weights, &worth).unwrap_or(0.0)
            };
            values.correlations.push((0..tasks).map(of).collect());
        }
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

/// Steps of a finished run.
fn steps(folder: &Path) -> Result<u64, Failure> {
    let summary = Summary::read(&folder.join("summary.json")).map_err(Failure::other)?;
    Ok(summary.steps)
}

/// What a run's model was worth when tasks were over.
#[derive(Default)]
struct Course {
    /// Accuracy by task and round.
    accuracies: BTreeMap<(u32, u64), f64>,
    /// What else was found by task, in the end.
    further: BTreeMap<u32, BTreeMap<String, f64>>,
}

impl Course {
    fn read(events: &Path) -> Result<Self, Failure> {
        let mut all = Self::default();
        for event in EventReader::open(events).map_err(Failure::other)? {
            if let Event::Evaluated {
                probe: Probe::Task(task),
                round,
                accuracy,
                further,
                ..
            } = event.map_err(Failure::other)?
            {
                all.accuracies.insert((task.0, round.0), accuracy);
                all.further.insert(task.0, further);
            }
        }
        Ok(all)
    }

    fn at(&self, task: usize, round: u64) -> Option<f64> {
        self.accuracies.get(&(task as u32, round)).copied()
    }

    fn found(&self, task: usize, name: &str) -> Option<f64> {
        self.further.get(&(task as u32))?.get(name).copied()
    }

    /// Accuracies when all tasks are over.
    fn end(&self) -> Vec<f64> {
        let tasks = 0..TASKS as usize;
        tasks.filter_map(|task| self.at(task, LAST)).collect()
    }
}
