//! `[sweep]`: many runs in one file, as a grid over keys, as named points, or both, each over several seeds.
//!
//! A point is the file without its `[sweep]` table, with the point's values laid over it exactly as `--set` lays
//! them. So its runs have the fingerprints of single runs, and a fault in a value is shown where the value stands in
//! the table.

mod plan;
mod setting;
#[cfg(test)]
mod tests;

use crate::{
    diagnostic::{Diagnostic, Fault},
    document::{Document, Texts},
    label::{PATTERN, baselines},
    registry::Registry,
    scenario::Scenario,
};
use plan::{Draft, Plan, too_many};
use serde_json::json;
use setting::Setting;
use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Range,
};

/// Runs of one sweep at most.
const MOST_RUNS: usize = 10_000;

/// A scenario file with all of its runs, checked.
pub struct Sweep {
    /// `run.name` of the file.
    pub name: String,
    /// Whether the file has a `[sweep]` table; without one there is a single point.
    pub has_table: bool,
    /// The seeds of each point.
    pub seeds: Vec<u64>,
    /// The points, the grid's first, its last key fastest.
    pub points: Vec<Point>,
    /// What the points are compared with: `sweep.baseline`.
    pub baseline: Option<String>,
}

/// A point of a sweep.
pub struct Point {
    /// What it is called; the name of its runs.
    pub label: String,
    /// The keys that it sets, with their values as short texts.
    pub settings: Vec<(String, String)>,
    /// With the seed of the file.
    scenario: Scenario,
}

impl Point {
    /// The run of this point from one seed.
    pub fn scenario(&self, seed: u64) -> Scenario {
        let mut scenario = self.scenario.clone();
        scenario.run.seed = seed;
        scenario
    }
}

impl Sweep {
    /// Reads a file and checks every point. `overrides` have the form `path.to.key=value`; `seeds` stand in for those
    /// of the file.
    pub fn read(
        registry: &Registry,
        name: &str,
        text: &str,
        overrides: &[String],
        seeds: Option<Vec<u64>>,
    ) -> Result<Self, Diagnostic> {
        let texts = Texts::new(name, text, overrides);
        let mut document = texts.parse()?;
        let Some(table) = document.take("sweep") else {
            let scenario = Scenario::of(registry, document, &texts.sources);
            let scenario = scenario.map_err(|faults| faults.advised(registry))?;
            return Ok(Self::without_table(scenario, seeds));
        };
        let refuse = |faults| Diagnostic::new(faults, &texts.sources);
        let span = table.span();
        let plan = Plan::read(table).map_err(refuse)?;
        let faults = plan.overridden(&document, texts.file_len());
        if !faults.is_empty() {
            return Err(refuse(faults));
        }
        let drafts = plan.drafts(&span).map_err(refuse)?;
        let points = points(registry, &document, &texts, drafts)?;
        let own = points[0].scenario.run.seed;
        let sweep = Self {
            name: plan.name(&document),
            has_table: true,
            seeds: seeds.or(plan.seeds).unwrap_or_else(|| vec![own]),
            points,
            baseline: plan.baseline.as_ref().map(|(label, _)| label.clone()),
        };
        let fault = sweep.fault(&span, plan.baseline.map(|(_, span)| span));
        fault.map_or(Ok(sweep), |fault| Err(refuse(vec![fault])))
    }

    /// What of the sweep itself is hardly meant, in sentences.
    pub fn doubts(&self) -> Vec<String> {
        let alone = self.has_table && self.points.len() == 1 && self.points[0].settings.is_empty();
        let mut doubts = Vec::new();
        if alone && self.seeds.len() == 1 {
            doubts.push("the table [sweep] names no point and at most one seed, so it sweeps over nothing; `sweep.over` lists values of keys, and `sweep.seeds` seeds".to_owned());
        }
        let mut known: BTreeMap<String, &str> = BTreeMap::new();
        for point in &self.points {
            let mut settings = point.scenario.resolved();
            let run = settings.get_mut("run").and_then(toml::Value::as_table_mut);
            run.map(|run| run.remove("name"));
            let first = *known.entry(settings.to_string()).or_insert(&point.label);
            if first != point.label {
                let label = &point.label;
                doubts.push(format!(
                    "the points `{first}` and `{label}` are one scenario, and their runs are the same; leave one of them out"
                ));
            }
        }
        doubts
    }

    /// A sweep over different scenarios, each a point under its own name.
    pub fn of(name: &str, scenarios: Vec<Scenario>, seeds: Vec<u64>) -> Self {
        let point = |scenario: Scenario| Point {
            label: scenario.run.name.clone(),
            settings: Vec::new(),
            scenario,
        };
        Self {
            name: name.into(),
            has_table: true,
            seeds,
            points: scenarios.into_iter().map(point).collect(),
            baseline: None,
        }
    }

    fn without_table(scenario: Scenario, seeds: Option<Vec<u64>>) -> Self {
        let name = scenario.run.name.clone();
        Self {
            name: name.clone(),
            has_table: false,
            seeds: seeds.unwrap_or_else(|| vec![scenario.run.seed]),
            points: vec![Point {
                label: name,
                settings: Vec::new(),
                scenario,
            }],
            baseline: None,
        }
    }

    /// What is wrong with the sweep as a whole.
    fn fault(&self, table: &Range<usize>, baseline: Option<Range<usize>>) -> Option<Fault> {
        let runs = self.points.len().saturating_mul(self.seeds.len());
        if runs > MOST_RUNS {
            return Some(too_many(runs, table));
        }
        let labels: Vec<&str> = self.points.iter().map(|p| p.label.as_str()).collect();
        let wanted = self.baseline.as_deref();
        if labels.len() > 1 && baselines(&labels, wanted).is_empty() {
            let some = labels.iter().take(5).copied().collect::<Vec<_>>();
            let message = format!("no point is called `{}`", wanted.unwrap_or_default());
            let label = format!("expected a label, or parts of one: {}", some.join(" "));
            return Some(Fault::new(message, label, baseline));
        }
        None
    }
}

/// The points of all drafts; the faults of all are reported at once, each once.
fn points<'t>(
    registry: &Registry,
    document: &Document<'t>,
    texts: &Texts,
    drafts: Vec<Draft<'t>>,
) -> Result<Vec<Point>, Diagnostic> {
    let (mut points, mut faults) = (Vec::new(), Vec::<Fault>::new());
    for draft in drafts {
        let layers = draft.settings.iter().map(Setting::tree);
        match Scenario::of(registry, document.with(layers), &texts.sources) {
            Ok(mut scenario) => {
                let over = draft.settings.iter();
                let over = over.flat_map(|s| [s.at.clone(), s.value.span()]);
                scenario.places.lay(over.collect());
                if !draft.label.is_empty() {
                    scenario.run.name.clone_from(&draft.label);
                }
                points.push(Point {
                    label: scenario.run.name.clone(),
                    settings: draft.settings.iter().map(Setting::shown).collect(),
                    scenario,
                });
            }
            Err(diagnostic) => {
                for fault in diagnostic.faults() {
                    if !faults.contains(fault) {
                        faults.push(fault.clone());
                    }
                }
            }
        }
    }
    match faults.is_empty() {
        true => Ok(points),
        false => Err(Diagnostic::new(faults, &texts.sources).advised(registry)),
    }
}

/// Reads seeds: `0..5` is 0, 1, 2, 3, 4; `1,7,42` is a list. The error says what is wrong, and what would be right.
pub fn seeds(text: &str) -> Result<Vec<u64>, String> {
    // What a scenario file can hold.
    let number = |t: &str| {
        let seed = t.trim().parse::<u64>().ok()?;
        i64::try_from(seed).is_ok().then_some(seed)
    };
    let seeds: Option<Vec<u64>> = match text.split_once("..") {
        Some((from, to)) => number(from)
            .zip(number(to))
            .map(|(from, to)| (from..to).take(MOST_RUNS + 1).collect()),
        None => text.split(',').map(number).collect(),
    };
    let seeds = seeds.ok_or_else(|| FORM.to_owned())?;
    distinct(seeds)
}

/// What is said of a text or value that holds no seeds.
const NO_SEEDS: &str = "these are no seeds";
/// What seeds look like.
const FORM: &str = "expected a range such as 0..5 or a list such as 1,7,42";

/// Seeds, if there are some, each once, and no more than a sweep may have runs.
fn distinct(seeds: Vec<u64>) -> Result<Vec<u64>, String> {
    let mut set = BTreeSet::new();
    match seeds.iter().find(|seed| !set.insert(**seed)) {
        Some(twice) => Err(format!(
            "the seed {twice} is there twice: expected each once"
        )),
        None if seeds.is_empty() => Err(format!("there is no seed in it: {FORM}")),
        None if seeds.len() > MOST_RUNS => Err(format!(
            "these are more than {MOST_RUNS} seeds: expected at most {MOST_RUNS} runs"
        )),
        None => Ok(seeds),
    }
}

/// The form of seeds in a string.
const SEEDS: &str = r"^\s*[0-9]+\s*(\.\.\s*[0-9]+\s*|(,\s*[0-9]+\s*)*)$";

/// JSON Schema of the table.
pub(crate) fn schema() -> serde_json::Value {
    json!({
        "type": "object",
        "description": "Many runs in one file: every point with every seed.",
        "additionalProperties": false,
        "properties": {
            "seeds": {
                "description": "Seeds of each point: a list, or a range such as \"0..5\"; run.seed by default.",
                "oneOf": [
                    { "type": "array", "items": { "type": "integer", "minimum": 0 }, "minItems": 1, "uniqueItems": true },
                    { "type": "string", "pattern": SEEDS },
                ],
            },
            "baseline": {
                "type": "string",
                "description": "What the points are compared with: a label, or parts of labels such as \"strategy=fed_avg\"; the first point by default.",
            },
            "over": {
                "type": "object",
                "description": "Dotted keys with lists of values; the points are all combinations.",
                "additionalProperties": { "anyOf": [{ "type": "array", "minItems": 1 }, { "type": "object" }] },
            },
            "point": {
                "type": "array",
                "description": "Points by name, beside those of `over`.",
                "items": {
                    "type": "object",
                    "additionalProperties": false,
                    "required": ["label"],
                    "properties": {
                        "label": { "type": "string", "pattern": PATTERN, "description": "Name of the point and of its runs." },
                        "set": { "type": "object", "description": "Dotted keys with the point's values." },
                    },
                },
            },
        },
    })
}
