//! `[sweep]`: many runs in one file, as a grid over keys, as named points, or both, each over several seeds.
//!
//! A point is the file without its `[sweep]` table, with the point's values laid over it exactly as `--set` lays
//! them. So its runs have the fingerprints of single runs, and a fault in a value is shown where the value stands in
//! the table.

use crate::{
    diagnostic::{Diagnostic, Fault},
    document::{Document, Node, Texts, article, is_choice},
    registry::Registry,
    scenario::Scenario,
};
use serde_json::json;
use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
    ops::Range,
};
use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

/// Runs of one sweep at most.
const MOST_RUNS: usize = 10_000;
/// Bytes of a label at most: it names a folder.
const LONGEST_LABEL: usize = 200;
/// What a label, and any run's name, may hold.
pub(crate) const LABEL: &str = "letters, digits and `-_.=,+`, not starting with a dot";

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
            let scenario = Scenario::of(registry, document, &texts.sources)?;
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

fn too_many(runs: usize, table: &Range<usize>) -> Fault {
    let message = format!("a sweep of {runs} runs");
    let label = format!("at most {MOST_RUNS}: points times seeds");
    Fault::new(message, label, Some(table.clone()))
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
        false => Err(Diagnostic::new(faults, &texts.sources)),
    }
}

/// What each label is compared with: `baseline`, or the first label. Where `baseline` is no label, it names parts of
/// labels, and a label is compared with the one that has these parts and is otherwise the same: with
/// `strategy=fed_avg`, the label `rate=0.1,strategy=fed_prox` goes against `rate=0.1,strategy=fed_avg`. Empty if there is
/// nothing to compare with.
pub fn baselines(labels: &[&str], baseline: Option<&str>) -> BTreeMap<String, String> {
    let known: BTreeSet<&str> = labels.iter().copied().collect();
    let Some(wanted) = baseline.or(labels.first().copied()) else {
        return BTreeMap::new();
    };
    let other = |label: &str| match known.contains(wanted) {
        true => Some(wanted.to_owned()),
        false => with_parts(label, wanted).filter(|other| known.contains(other.as_str())),
    };
    labels
        .iter()
        .filter_map(|label| Some(((*label).to_owned(), other(label)?)))
        .collect()
}

/// A label with some of its parts replaced; `None` if it has no part of such a key.
fn with_parts(label: &str, parts: &str) -> Option<String> {
    let key = |part: &str| part.split('=').next().unwrap_or_default().to_owned();
    let mut new: BTreeMap<String, &str> = parts.split(',').map(|p| (key(p), p)).collect();
    let replaced: Vec<&str> = label
        .split(',')
        .map(|part| new.remove(&key(part)).unwrap_or(part))
        .collect();
    new.is_empty().then(|| replaced.join(","))
}

/// Reads seeds: `0..5` is 0, 1, 2, 3, 4; `1,7,42` is a list. `None` if they are neither, none, too many, or not distinct.
pub fn seeds(text: &str) -> Option<Vec<u64>> {
    // What a scenario file can hold.
    let number = |t: &str| {
        let seed = t.trim().parse::<u64>().ok()?;
        i64::try_from(seed).is_ok().then_some(seed)
    };
    let seeds: Vec<u64> = match text.split_once("..") {
        Some((from, to)) => {
            let range = number(from)?..number(to)?;
            range.take(MOST_RUNS + 1).collect()
        }
        None => text.split(',').map(number).collect::<Option<_>>()?,
    };
    distinct(&seeds).then_some(seeds)
}

fn distinct(seeds: &[u64]) -> bool {
    let set: BTreeSet<_> = seeds.iter().collect();
    !seeds.is_empty() && seeds.len() <= MOST_RUNS && set.len() == seeds.len()
}

/// The table as it was read.
#[derive(Default)]
struct Plan<'t> {
    seeds: Option<Vec<u64>>,
    seeds_at: Option<Range<usize>>,
    baseline: Option<(String, Range<usize>)>,
    axes: Vec<Axis<'t>>,
    named: Vec<Draft<'t>>,
}

/// A key with the values that it takes in turn.
struct Axis<'t> {
    path: String,
    at: Range<usize>,
    values: Vec<Spanned<DeValue<'t>>>,
}

/// A key with one value.
#[derive(Clone)]
struct Setting<'t> {
    path: String,
    at: Range<usize>,
    value: Spanned<DeValue<'t>>,
}

/// A point before its scenario is read. Without a label it is the file as it stands.
struct Draft<'t> {
    label: String,
    at: Range<usize>,
    settings: Vec<Setting<'t>>,
}

impl<'t> Plan<'t> {
    fn read(mut table: Node<'t>) -> Result<Self, Vec<Fault>> {
        let mut plan = Self::default();
        let mut faults = Vec::new();
        let mut keep = |result: Result<(), Fault>| faults.extend(result.err());
        if let Some(node) = table.take("seeds") {
            keep(plan.read_seeds(node));
        }
        if let Some(node) = table.take("baseline") {
            let span = node.span();
            let label = node.read::<String>();
            keep(label.map(|label| plan.baseline = Some((label, span))));
        }
        if let Some(node) = table.take("over") {
            keep(plan.read_axes(node));
        }
        if let Some(node) = table.take("point") {
            keep(plan.read_points(node));
        }
        keep(nothing_left(
            table.into_value(),
            "seeds, baseline, over, point",
        ));
        match faults.is_empty() {
            true => Ok(plan),
            false => Err(faults),
        }
    }

    fn read_seeds(&mut self, node: Node<'t>) -> Result<(), Fault> {
        let span = node.span();
        let wrong = || {
            let label =
                "expected distinct whole numbers, such as [0, 1, 2], or a range such as \"0..3\"";
            Fault::new("these are no seeds", label, Some(span.clone()))
        };
        self.seeds_at = Some(span.clone());
        let list = match node.value() {
            DeValue::String(text) => seeds(text),
            _ => Some(node.read::<Vec<u64>>()?),
        };
        self.seeds = Some(list.filter(|list| distinct(list)).ok_or_else(wrong)?);
        Ok(())
    }

    fn read_axes(&mut self, node: Node<'t>) -> Result<(), Fault> {
        let span = node.span();
        let (table, _) =
            expect_table(node.into_value(), "sweep.over", "keys with lists of values")?;
        for setting in settings(table, &span, "", |_| false)? {
            self.axes.push(setting.axis()?);
        }
        self.axes.sort_by_key(|axis| axis.at.start);
        let mut before: Vec<&Axis<'_>> = Vec::new();
        for axis in &self.axes {
            if let Some(other) = before.iter().find(|other| overlap(&other.path, &axis.path)) {
                let message = format!("`{}` and `{}` are both swept", other.path, axis.path);
                let label = "list whole values of one key, or name points with `[[sweep.point]]`";
                return Err(Fault::new(message, label, Some(axis.at.clone())));
            }
            before.push(axis);
        }
        Ok(())
    }

    fn read_points(&mut self, node: Node<'t>) -> Result<(), Fault> {
        let span = node.span();
        let DeValue::Array(points) = node.into_value().into_inner() else {
            let label = "expected `[[sweep.point]]` with `label` and `set`";
            return Err(Fault::new("points are a list of tables", label, Some(span)));
        };
        for point in points.iter() {
            self.named.push(named(point.clone())?);
        }
        Ok(())
    }

    /// Faults for what the command line sets and the sweep would set again.
    fn overridden(&self, document: &Document<'_>, file_len: usize) -> Vec<Fault> {
        let places = document.places();
        let axes = self.axes.iter().map(|axis| axis.path.as_str());
        let named = self.named.iter().flat_map(|draft| &draft.settings);
        let seeds = self.seeds_at.iter().map(|_| "run.seed");
        let paths: BTreeSet<_> = axes
            .chain(named.map(|s| s.path.as_str()))
            .chain(seeds)
            .collect();
        let fault = |path: &str| {
            let span = places.behind(path, file_len)?;
            let message = format!("`{path}` is set here and by the sweep");
            let label = "leave one of them out";
            Some(Fault::new(message, label, Some(span)))
        };
        paths.into_iter().filter_map(fault).collect()
    }

    fn name(&self, document: &Document<'_>) -> String {
        document.text("run", "name").unwrap_or_default()
    }

    /// All points: the grid, or else the file as it stands, then the named ones.
    fn drafts(&self, table: &Range<usize>) -> Result<Vec<Draft<'t>>, Vec<Fault>> {
        let size = self.axes.iter().map(|axis| axis.values.len());
        let size = size.fold(1_usize, usize::saturating_mul);
        if size > MOST_RUNS {
            return Err(vec![too_many(size, table)]);
        }
        let grid = match self.axes.is_empty() {
            true if self.named.is_empty() => 0..1,
            true => 0..0,
            false => 0..size,
        };
        let keys = self.short_keys();
        let mut drafts: Vec<_> = grid.map(|index| self.draft(index, &keys, table)).collect();
        drafts.extend(self.named.iter().map(Draft::duplicate));
        let faults = faults_of_labels(&drafts);
        match faults.is_empty() {
            true => Ok(drafts),
            false => Err(faults),
        }
    }

    /// A point of the grid; the last key changes fastest.
    fn draft(&self, index: usize, keys: &[&str], table: &Range<usize>) -> Draft<'t> {
        let mut rest = index;
        let mut settings: Vec<_> = self
            .axes
            .iter()
            .rev()
            .map(|axis| axis.pick(&mut rest))
            .collect();
        settings.reverse();
        let parts = settings.iter().zip(keys);
        let label: Vec<_> = parts.map(|(setting, key)| setting.part(key)).collect();
        let last = settings.last().map_or(table.clone(), |s| s.value.span());
        Draft {
            label: label.join(","),
            at: last,
            settings,
        }
    }

    /// The last word of each key, or the whole key where two end in the same word.
    fn short_keys(&self) -> Vec<&str> {
        let last = |path: &'_ str| path.rfind('.').map_or(0, |dot| dot + 1);
        let words: Vec<&str> = self.axes.iter().map(|a| &a.path[last(&a.path)..]).collect();
        let once = |word: &str| words.iter().filter(|w| **w == word).count() == 1;
        let axes = self.axes.iter().zip(&words);
        axes.map(|(axis, word)| if once(word) { *word } else { &axis.path })
            .collect()
    }
}

fn faults_of_labels(drafts: &[Draft<'_>]) -> Vec<Fault> {
    let mut known = BTreeSet::new();
    let fault = |draft: &Draft<'_>| {
        let label = &draft.label;
        let (message, expected) = if !known.insert(label.clone()) {
            let message = format!("two points have the label `{label}`");
            (
                message,
                "leave one out, or name them with `[[sweep.point]]`".into(),
            )
        } else if label.len() > LONGEST_LABEL {
            let message = format!("the label `{label}` is too long for a folder");
            let expected = format!("at most {LONGEST_LABEL} bytes; name it with `[[sweep.point]]`");
            (message, expected)
        } else {
            return None;
        };
        Some(Fault::new(message, expected, Some(draft.at.clone())))
    };
    drafts.iter().filter_map(fault).collect()
}

impl<'t> Axis<'t> {
    /// The value whose turn it is; what is left of the turn is for the keys in front.
    fn pick(&self, turn: &mut usize) -> Setting<'t> {
        let value = self.values[*turn % self.values.len()].clone();
        *turn /= self.values.len();
        Setting {
            path: self.path.clone(),
            at: self.at.clone(),
            value,
        }
    }
}

impl Draft<'_> {
    fn duplicate(&self) -> Self {
        Self {
            label: self.label.clone(),
            at: self.at.clone(),
            settings: self.settings.clone(),
        }
    }
}

impl<'t> Setting<'t> {
    /// The same as a list of values.
    fn axis(self) -> Result<Axis<'t>, Fault> {
        let span = self.value.span();
        let expected = "expected a list of values, such as [0.1, 0.01]";
        let refuse = |message: String| Fault::new(message, expected, Some(span.clone()));
        let values = match self.value.get_ref() {
            DeValue::Array(values) if values.is_empty() => {
                return Err(refuse(format!("`{}` has no values", self.path)));
            }
            DeValue::Array(values) => values.to_vec(),
            other => {
                let noun = article(other.type_str());
                return Err(refuse(format!("`{}` is {noun}", self.path)));
            }
        };
        Ok(Axis {
            path: self.path,
            at: self.at,
            values,
        })
    }

    /// As the tree that `--set` would make of it.
    fn tree(&self) -> DeTable<'t> {
        let mut value = self.value.clone();
        for word in self.path.rsplit('.') {
            let key = Spanned::new(self.at.clone(), Cow::Owned(word.to_owned()));
            let table = DeTable::from_iter([(key, value)]);
            value = Spanned::new(self.at.clone(), DeValue::Table(table));
        }
        match value.into_inner() {
            DeValue::Table(table) => table,
            _ => DeTable::new(),
        }
    }

    /// Its part of a label.
    fn part(&self, key: &str) -> String {
        let safe = |c: char| if is_plain(c) && c != ',' { c } else { '_' };
        let value: String = short(self.value.get_ref()).chars().map(safe).collect();
        format!("{key}={value}")
    }

    /// The key with its value as a short text.
    fn shown(&self) -> (String, String) {
        (self.path.clone(), short(self.value.get_ref()))
    }
}

/// A value in a few characters: `{ fed_prox = { mu = 0.1 } }` is `fed_prox+mu=0.1`.
fn short(value: &DeValue<'_>) -> String {
    let join = |parts: Vec<String>| parts.join("+");
    match value {
        DeValue::String(text) => text.to_string(),
        DeValue::Integer(number) => number.to_string(),
        DeValue::Float(number) => number.to_string(),
        DeValue::Boolean(truth) => truth.to_string(),
        DeValue::Datetime(time) => time.to_string(),
        DeValue::Array(values) => join(values.iter().map(|v| short(v.get_ref())).collect()),
        DeValue::Table(table) => {
            let mut entries: Vec<_> = table.iter().collect();
            entries.sort_by_key(|(key, _)| key.span().start);
            let entry = |(key, value): (&Spanned<Cow<'_, str>>, &Spanned<DeValue<'_>>)| {
                let (key, inner) = (key.get_ref(), short(value.get_ref()));
                match value.get_ref() {
                    DeValue::Table(table) if table.is_empty() => key.to_string(),
                    DeValue::Table(_) => format!("{key}+{inner}"),
                    _ => format!("{key}={inner}"),
                }
            };
            join(entries.into_iter().map(entry).collect())
        }
    }
}

fn is_plain(c: char) -> bool {
    c.is_ascii_alphanumeric() || "-_.=,+".contains(c)
}

/// Whether text can name a run and its folder.
pub(crate) fn is_label(text: &str) -> bool {
    !text.is_empty() && !text.starts_with('.') && text.chars().all(is_plain)
}

/// One of `[[sweep.point]]`.
fn named(point: Spanned<DeValue<'_>>) -> Result<Draft<'_>, Fault> {
    let span = point.span();
    let (mut table, _) = expect_table(point, "a point", "`label` and `set`")?;
    let label = table.remove("label").ok_or_else(|| {
        let label = "add `label = ...` here";
        Fault::new("a point has no label", label, Some(span.clone()))
    })?;
    let at = label.span();
    let label = match label.into_inner() {
        DeValue::String(label) if is_label(&label) => label.into_owned(),
        other => {
            let message = format!("`{}` cannot label a point", short(&other));
            return Err(Fault::new(message, LABEL, Some(at)));
        }
    };
    let set = table.remove("set");
    nothing_left(Spanned::new(span, DeValue::Table(table)), "label, set")?;
    let mut list = Vec::new();
    if let Some(set) = set {
        let (set, span) = expect_table(set, "`set`", "keys with their values")?;
        list = settings(set, &span, "", is_choice)?;
        list.sort_by_key(|setting| setting.at.start);
    }
    Ok(Draft {
        label,
        at,
        settings: list,
    })
}

impl<'t> Setting<'t> {
    fn new(path: &str, at: Range<usize>, value: Spanned<DeValue<'t>>) -> Result<Self, Fault> {
        if path
            .split('.')
            .any(|word| word.trim() != word || word.is_empty())
        {
            let message = format!("`{path}` is no key");
            return Err(Fault::new(
                message,
                "expected such as training.rate",
                Some(at),
            ));
        }
        let whose = match path {
            "run.seed" => "sweep.seeds lists the seeds",
            "run.name" => "a run is named by its label",
            "run" | "sweep" => "name keys inside it",
            _ => {
                let path = path.to_owned();
                return Ok(Self { path, at, value });
            }
        };
        Err(Fault::new(
            format!("`{path}` cannot be swept"),
            whose,
            Some(at),
        ))
    }
}

/// Where a key stands; one that was made of a dotted one stands where its table does.
fn key_span(key: &Spanned<Cow<'_, str>>, table: &Range<usize>) -> Range<usize> {
    if key.span().is_empty() {
        table.clone()
    } else {
        key.span()
    }
}

/// The keys of a table with dotted paths. Tables in it are entered unless they are empty or `whole`.
fn settings<'t>(
    table: DeTable<'t>,
    span: &Range<usize>,
    path: &str,
    whole: fn(&str) -> bool,
) -> Result<Vec<Setting<'t>>, Fault> {
    let mut found = Vec::new();
    for (key, value) in table {
        let at = key_span(&key, span);
        let path = match path {
            "" => key.get_ref().to_string(),
            path => format!("{path}.{}", key.get_ref()),
        };
        match value.get_ref().as_table() {
            Some(inner) if !inner.is_empty() && !whole(&path) => {
                let (inner, span) = expect_table(value, "", "")?;
                found.extend(settings(inner, &span, &path, whole)?);
            }
            _ => found.push(Setting::new(&path, at, value)?),
        }
    }
    Ok(found)
}

fn expect_table<'t>(
    value: Spanned<DeValue<'t>>,
    what: &str,
    holds: &str,
) -> Result<(DeTable<'t>, Range<usize>), Fault> {
    let span = value.span();
    match value.into_inner() {
        DeValue::Table(table) => Ok((table, span)),
        other => {
            let message = format!("{what} is {}", article(other.type_str()));
            let label = format!("expected a table of {holds}");
            Err(Fault::new(message, label, Some(span)))
        }
    }
}

fn nothing_left(value: Spanned<DeValue<'_>>, known: &str) -> Result<(), Fault> {
    let (table, span) = expect_table(value, "`[sweep]`", known)?;
    match table.into_iter().next() {
        None => Ok(()),
        Some((key, _)) => Err(Fault::new(
            format!("unknown key `{}`", key.get_ref()),
            format!("expected one of {known}"),
            Some(key_span(&key, &span)),
        )),
    }
}

/// Whether one path is the other, or lies in it.
fn overlap(a: &str, b: &str) -> bool {
    let inside = |a: &str, b: &str| b.strip_prefix(a).is_some_and(|rest| rest.starts_with('.'));
    a == b || inside(a, b) || inside(b, a)
}

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
                    { "type": "array", "items": { "type": "integer", "minimum": 0 }, "minItems": 1 },
                    { "type": "string" },
                ],
            },
            "baseline": {
                "type": "string",
                "description": "What the points are compared with: a label, or parts of labels such as \"strategy=fed_avg\"; the first point by default.",
            },
            "over": {
                "type": "object",
                "description": "Dotted keys with lists of values; the points are all combinations.",
                "additionalProperties": { "type": ["array", "object"] },
            },
            "point": {
                "type": "array",
                "description": "Points by name, beside those of `over`.",
                "items": {
                    "type": "object",
                    "additionalProperties": false,
                    "required": ["label"],
                    "properties": {
                        "label": { "type": "string", "description": "Name of the point and of its runs." },
                        "set": { "type": "object", "description": "Dotted keys with the point's values." },
                    },
                },
            },
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = r#"
[run]
name = "many"
seed = 3
rounds = 3
[data]
set = "digits"
clients = 10
[data.partition.iid]
[model.softmax]
[training]
rate = 0.5
[selection.uniform]
per_round = 4
[strategy.fed_prox]
mu = 0.5
"#;

    fn registry() -> Registry {
        let mut registry = Registry::default();
        registry.engines.push(lyceum_core::Engine {
            name: "fused",
            summary: "",
            build: |_| Err("none here".into()),
        });
        registry
    }

    fn with(table: &str, set: &[&str]) -> Result<Sweep, String> {
        let text = format!("{FILE}{table}");
        let set: Vec<String> = set.iter().map(|s| s.to_string()).collect();
        Sweep::read(&registry(), "a.toml", &text, &set, None).map_err(|e| e.to_string())
    }

    fn single(set: &[&str]) -> Scenario {
        let set: Vec<String> = set.iter().map(|s| s.to_string()).collect();
        Scenario::read(&registry(), "a.toml", FILE, &set).unwrap_or_else(|e| panic!("{e}"))
    }

    fn labels(sweep: &Sweep) -> Vec<&str> {
        sweep.points.iter().map(|p| p.label.as_str()).collect()
    }

    fn refused(table: &str, set: &[&str]) -> String {
        with(table, set).err().unwrap_or_else(|| panic!("{table}"))
    }

    const GRID: &str = r#"
[sweep]
seeds = "4..6"
[sweep.over]
"training.rate" = [0.1, 0.01]
strategy = ["fed_avg", { fed_prox = { mu = 0.1 } }]
[[sweep.point]]
label = "ours"
set = { training.batch = 7, strategy = { fed_dyn = {} } }
"#;

    #[test]
    fn a_grid_is_the_product_in_the_order_of_the_file() {
        let sweep = with(GRID, &[]).unwrap();
        let expected = [
            "rate=0.1,strategy=fed_avg",
            "rate=0.1,strategy=fed_prox+mu=0.1",
            "rate=0.01,strategy=fed_avg",
            "rate=0.01,strategy=fed_prox+mu=0.1",
            "ours",
        ];
        assert_eq!(labels(&sweep), expected);
        assert_eq!(
            (sweep.name.as_str(), &sweep.seeds[..]),
            ("many", &[4, 5][..])
        );
        let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        assert_eq!(
            sweep.points[1].settings,
            [
                pair("training.rate", "0.1"),
                pair("strategy", "fed_prox+mu=0.1")
            ]
        );
    }

    #[test]
    fn a_point_is_the_file_with_the_same_overrides() {
        let sweep = with(GRID, &["run.rounds=9"]).unwrap();
        let sets: [&[&str]; 5] = [
            &["training.rate=0.1", "strategy=fed_avg"],
            &["training.rate=0.1", "strategy={fed_prox={mu=0.1}}"],
            &["training.rate=0.01", "strategy=fed_avg"],
            &["training.rate=0.01", "strategy.fed_prox.mu=0.1"],
            &["training.batch=7", "strategy.fed_dyn={}"],
        ];
        for (point, set) in sweep.points.iter().zip(sets) {
            let set = [set, &["run.rounds=9", "run.seed=5"]].concat();
            let one = single(&set);
            assert_eq!(point.scenario(5).digest(), one.digest(), "{set:?}");
            assert_eq!(point.scenario(5).run.name, point.label);
        }
    }

    #[test]
    fn a_resolved_point_reads_back_as_itself() {
        let scenario = with(GRID, &[]).unwrap().points[1].scenario(4);
        let text = scenario.resolved().to_string();
        let again = Scenario::read(&registry(), "b", &text, &[]);
        let again = again.unwrap_or_else(|e| panic!("{e}"));
        assert_eq!(again.resolved(), scenario.resolved());
    }

    #[test]
    fn a_file_without_the_table_is_one_point() {
        let sweep = with("", &[]).unwrap();
        assert_eq!((labels(&sweep), sweep.has_table), (vec!["many"], false));
        assert_eq!(sweep.seeds, [3]);
        let only_seeds = with("[sweep]\nseeds = [8, 7]\n", &[]).unwrap();
        assert_eq!(labels(&only_seeds), ["many"]);
        assert_eq!(only_seeds.seeds, [8, 7]);
    }

    #[test]
    fn the_command_line_may_change_the_table_but_not_what_it_sets() {
        let set = ["sweep.over.strategy=[\"fed_avg\"]", "sweep.seeds=\"0..3\""];
        let sweep = with(GRID, &set).unwrap();
        assert_eq!((sweep.points.len(), sweep.seeds.len()), (3, 3));
        for set in ["training.rate=1", "strategy.fed_prox.mu=1", "run.seed=1"] {
            let text = refused(GRID, &[set]);
            assert!(text.contains("is set here and by the sweep"), "{text}");
            assert!(text.contains(&format!("--> --set {set}:1:")), "{text}");
        }
        assert!(
            with(
                "[sweep.over]\nstrategy.fed_prox.mu=[1]",
                &["strategy=fed_prox"]
            )
            .is_ok()
        );
    }

    #[test]
    fn every_value_is_checked_and_shown_where_it_stands() {
        let text = refused(
            "[sweep.over]\n\"training.rate\" = [0.1, -7]\nselection.uniform.per_round = [1, 99]\n",
            &[],
        );
        assert_eq!(text.matches("error:").count(), 2, "each once: {text}");
        assert!(
            text.contains("\"training.rate\" = [0.1, -7]\n   |                         ^^"),
            "{text}"
        );
        let text = refused("[sweep.over]\nselection.uniform.per_round = [1, 99]\n", &[]);
        assert!(text.contains("^^ at most data.clients = 10"), "{text}");
        let text = refused("[sweep.over]\n\"training.rte\" = [1, 2]\n", &[]);
        assert!(text.contains("unknown key `rte`"), "{text}");
        assert!(text.contains("| ^^^^^^^^^^^^^^ "), "{text}");
        let text = refused(
            "[[sweep.point]]\nlabel = \"x\"\nset = { strategy = \"fad\" }",
            &[],
        );
        assert!(text.contains("^^^^^ expected one of fed_avg"), "{text}");
    }

    #[test]
    fn a_wrong_table_gets_a_sentence() {
        let point = |label: &str| format!("[[sweep.point]]\nlabel = {label}\n");
        let long = format!("\"{}\"", "a".repeat(201));
        let thousand = format!("{:?}", (1..=1000).collect::<Vec<_>>());
        let cases = [
            ("[sweep]\nseed = [1]\n".into(), "unknown key `seed`"),
            ("[sweep]\nseeds = [1, 1]\n".into(), "these are no seeds"),
            ("[sweep]\nseeds = \"5..1\"\n".into(), "these are no seeds"),
            ("[sweep]\nseeds = [-1]\n".into(), "invalid value"),
            (
                "[sweep.over]\ntraining.rate = 1\n".into(),
                "`training.rate` is an integer",
            ),
            ("[sweep.over]\ntraining.rate = []\n".into(), "has no values"),
            (
                "[sweep.over]\ntraining.rate = [1, 1]\n".into(),
                "two points have the label `rate=1`",
            ),
            (
                "[sweep.over]\nstrategy = {}\n".into(),
                "`strategy` is a table",
            ),
            (
                "[sweep.over]\nrun.seed = [1]\n".into(),
                "`run.seed` cannot be swept",
            ),
            (
                "[sweep.over]\n\"training..rate\" = [1]\n".into(),
                "is no key",
            ),
            (
                "[sweep.over]\nstrategy = [\"fed_avg\"]\n\"strategy.fed_prox.mu\" = [1]\n".into(),
                "are both swept",
            ),
            ("[[sweep.point]]\nset = {}\n".into(), "a point has no label"),
            (point("\"a b\""), "`a b` cannot label a point"),
            (
                point("\"a\"") + &point("\"a\""),
                "two points have the label `a`",
            ),
            (point(&long), "too long for a folder"),
            (point("\"a\"") + "sett = {}", "unknown key `sett`"),
            ("[sweep]\npoint = 3\n".into(), "points are a list of tables"),
            (
                "[sweep]\nbaseline = \"c\"\n".to_owned() + &point("\"a\"") + &point("\"b\""),
                "no point is called `c`",
            ),
            (
                format!("[sweep]\nseeds = \"0..11\"\nover.run.rounds = {thousand}"),
                "a sweep of 11000 runs",
            ),
        ];
        for (table, expected) in cases {
            let text = refused(&table, &[]);
            assert_eq!(text.matches("error:").count(), 1, "{table}{text}");
            assert!(text.contains(expected), "{table}{text}");
            assert!(text.contains('^'), "{table}{text}");
        }
    }

    #[test]
    fn a_single_scenario_has_no_sweep() {
        let text = format!("{FILE}{GRID}");
        let refused = Scenario::read(&registry(), "a.toml", &text, &[]);
        let text = refused.err().map(|e| e.to_string()).unwrap_or_default();
        assert!(text.contains("a sweep is many scenarios"), "{text}");
    }

    #[test]
    fn keys_that_end_alike_are_written_out() {
        let table = "[sweep.over]\ntraining.rate = [1]\nexpert.rate = [1]\n";
        let sweep = with(table, &[]).unwrap();
        assert_eq!(labels(&sweep), ["training.rate=1,expert.rate=1"]);
    }

    #[test]
    fn a_baseline_is_a_label_or_parts_of_labels() {
        let labels = [
            "rate=1,rule=a",
            "rate=1,rule=b",
            "rate=2,rule=a",
            "rate=2,rule=b",
            "c",
        ];
        let found = |baseline| -> Vec<Option<String>> {
            let map = baselines(&labels, baseline);
            labels.iter().map(|l| map.get(*l).cloned()).collect()
        };
        let all = |label: &str| vec![Some(label.to_owned()); 5];
        assert_eq!(found(None), all("rate=1,rule=a"));
        assert_eq!(found(Some("c")), all("c"));
        let text = |label: &str| Some(label.to_owned());
        assert_eq!(
            found(Some("rule=a")),
            [
                text("rate=1,rule=a"),
                text("rate=1,rule=a"),
                text("rate=2,rule=a"),
                text("rate=2,rule=a"),
                None
            ]
        );
        assert!(baselines(&labels, Some("d")).is_empty());
        assert!(baselines(&labels, Some("rule=z")).is_empty());
    }

    #[test]
    fn seeds_are_a_range_or_a_list() {
        assert_eq!(seeds("0..3"), Some(vec![0, 1, 2]));
        assert_eq!(seeds("1,7, 42"), Some(vec![1, 7, 42]));
        for bad in [
            "",
            "3..3",
            "a",
            "1..b",
            "0..99999999",
            "1,2,1",
            "18446744073709551615",
        ] {
            assert_eq!(seeds(bad), None, "{bad}");
        }
    }
}
