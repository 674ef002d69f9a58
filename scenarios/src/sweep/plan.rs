//! The `[sweep]` table as it was read, and the points that follow from it.

use super::{
    MOST_RUNS, NO_SEEDS, distinct, seeds,
    setting::{Axis, Setting, expect_table, key_span, settings},
};
use crate::{
    diagnostic::Fault,
    document::{Document, Node, is_choice},
    label::{LABEL, LONGEST_LABEL, is_label, short},
};
use std::{collections::BTreeSet, ops::Range};
use toml::{Spanned, de::DeValue};

/// The table as it was read.
#[derive(Default)]
pub(super) struct Plan<'t> {
    pub(super) seeds: Option<Vec<u64>>,
    seeds_at: Option<Range<usize>>,
    pub(super) baseline: Option<(String, Range<usize>)>,
    axes: Vec<Axis<'t>>,
    named: Vec<Draft<'t>>,
}

/// A point before its scenario is read. Without a label it is the file as it stands.
pub(super) struct Draft<'t> {
    pub(super) label: String,
    /// Whether its author gave it the label.
    is_named: bool,
    pub(super) at: Range<usize>,
    pub(super) settings: Vec<Setting<'t>>,
}

impl<'t> Plan<'t> {
    pub(super) fn read(mut table: Node<'t>) -> Result<Self, Vec<Fault>> {
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
        let refuse = |wrong: String| {
            let (message, label) = wrong.split_once(": ").unwrap_or((NO_SEEDS, &wrong));
            Fault::new(message, label, Some(span.clone()))
        };
        self.seeds_at = Some(span.clone());
        let list = match node.value() {
            DeValue::String(text) => seeds(text),
            DeValue::Array(_) => distinct(node.read()?),
            _ => Err("expected a list such as [0, 1, 2], or a range such as \"0..3\"".into()),
        };
        self.seeds = Some(list.map_err(refuse)?);
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
    pub(super) fn overridden(&self, document: &Document<'_>, file_len: usize) -> Vec<Fault> {
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

    pub(super) fn name(&self, document: &Document<'_>) -> String {
        document.text("run", "name").unwrap_or_default()
    }

    /// All points: the grid, or else the file as it stands, then the named ones.
    pub(super) fn drafts(&self, table: &Range<usize>) -> Result<Vec<Draft<'t>>, Vec<Fault>> {
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
            is_named: false,
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
            is_named: self.is_named,
            at: self.at.clone(),
            settings: self.settings.clone(),
        }
    }
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
        DeValue::Integer(_) | DeValue::Float(_) => {
            let message = "a number cannot label a point";
            return Err(Fault::new(message, "a text, in quotes", Some(at)));
        }
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
        is_named: true,
        at,
        settings: list,
    })
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

fn faults_of_labels(drafts: &[Draft<'_>]) -> Vec<Fault> {
    let mut known = BTreeSet::new();
    let fault = |draft: &Draft<'_>| {
        let label = &draft.label;
        let (message, expected) = if !known.insert(label.clone()) {
            let message = format!("two points have the label `{label}`");
            let expected = match draft.is_named {
                true => "give one of them another label",
                false => "leave one out, or name them with `[[sweep.point]]`",
            };
            (message, expected.into())
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

/// More runs than a sweep may have.
pub(super) fn too_many(runs: usize, table: &Range<usize>) -> Fault {
    let message = format!("a sweep of {runs} runs");
    let label = format!("at most {MOST_RUNS}: points times seeds");
    Fault::new(message, label, Some(table.clone()))
}
