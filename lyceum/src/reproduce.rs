//! `lyceum reproduce`: experiments with published numbers, run and compared.

mod expected;
mod ibcl;
mod leanagent;

use crate::{
    arguments::{Reproduce, Run},
    check::parse_seeds,
    failure::Failure,
    grid::Grid,
    output::line,
    settings::ProcessSettings,
    stop::Stop,
    sweep,
};
use expected::{Expected, Order, Row};
use lyceum_metrics::{Interval, Labelled, interval};
use lyceum_scenarios::{Registry, Scenario, Sweep};
use std::path::PathBuf;

/// Runs the rows that are asked for, and prints published value, ours with its interval, and verdict.
pub(crate) fn reproduce(registry: &Registry, arguments: &Reproduce) -> Result<(), Failure> {
    if arguments.what == "ibcl" {
        return ibcl::reproduce(registry, arguments);
    }
    if arguments.what == "leanagent" {
        return leanagent::reproduce(registry, arguments);
    }
    let process = ProcessSettings::read()?;
    let stop = Stop::watch()?;
    let mut expected = Expected::continual();
    expected.keep(&arguments.only);
    if expected.rows.is_empty() {
        let names = Expected::continual();
        let names: Vec<_> = names.rows.iter().map(|row| row.scenario.clone()).collect();
        return Err(Failure::input(format!(
            "{}: no row has such a name; there are {}",
            arguments.only.join(" "),
            names.join(", ")
        )));
    }
    let scenarios = expected.rows.iter().map(|row| row.read(registry));
    let scenarios: Vec<Scenario> = scenarios.collect::<Result<_, _>>()?;
    let name = format!("reproduce-{}", arguments.what);
    let sweep = Sweep::of(&name, scenarios, parse_seeds(&arguments.seeds)?);
    let run = as_run(arguments);
    let collected = sweep::collect(registry, &run, &process, &sweep, stop.flag());
    let (_, runs) = stop.settle(collected)?;
    let found = Found::new(&expected, &runs);
    line(format_args!("{}", found.table(arguments.markdown)));
    match found.misses() {
        0 => Ok(()),
        misses => Err(Failure::other(format!("{misses} outside what is accepted"))),
    }
}

/// The options of a sweep over the rows.
fn as_run(arguments: &Reproduce) -> Run {
    Run {
        file: PathBuf::from("reproduce"),
        set: Vec::new(),
        threads: arguments.threads,
        out: arguments.out.clone(),
        data: arguments.data.clone(),
        resume: arguments.resume,
        seeds: None,
        jobs: None,
        checkpoint_every: None,
        nodes: None,
        facts: None,
        quiet: arguments.quiet,
    }
}

/// What came out of each row.
struct Found<'a> {
    rows: Vec<(&'a Row, Option<Interval>)>,
    /// Runs of each row that did not come to an end.
    failed: Vec<usize>,
    orders: Vec<(&'a Order, Option<bool>)>,
}

impl<'a> Found<'a> {
    fn new(expected: &'a Expected, runs: &[Labelled]) -> Self {
        let rows: Vec<_> = expected
            .rows
            .iter()
            .map(|row| (row, interval(&values(row, runs))))
            .collect();
        let mean = |name: &str| {
            let row = rows.iter().find(|(row, _)| row.scenario == name)?;
            Some(row.1.as_ref()?.mean)
        };
        let holds = |order: &Order| {
            let (more, less) = (mean(&order.more)?, mean(&order.less)?);
            Some(if order.or_equal {
                more >= less
            } else {
                more > less
            })
        };
        let orders = expected.orders.iter().map(|o| (o, holds(o))).collect();
        let of_row = |row: &Row| {
            let own = runs.iter().filter(|run| run.label == row.scenario);
            own.filter(|run| run.outcome.is_err()).count()
        };
        let failed = expected.rows.iter().map(of_row).collect();
        Self {
            rows,
            failed,
            orders,
        }
    }

    fn misses(&self) -> usize {
        let rows = self.rows.iter().filter(|(row, found)| {
            row.accept.is_some() && !row.accepts(found.as_ref().map(|i| i.mean))
        });
        let orders = self
            .orders
            .iter()
            .filter(|(_, holds)| *holds == Some(false));
        rows.count() + orders.count()
    }

    fn table(&self, markdown: bool) -> String {
        let head = [
            "experiment",
            "published %",
            "authors' code, run again %",
            "accepted %",
            "ours %",
            "verdict",
        ];
        let rows = self
            .rows
            .iter()
            .zip(&self.failed)
            .map(|((row, found), &failed)| cells(row, found.as_ref(), failed));
        let lines = std::iter::once(head.map(String::from)).chain(rows);
        let grid = Grid {
            lines: lines.map(Vec::from).collect(),
            words: &[0, 5],
        };
        let mut text = match markdown {
            true => grid.markdown(),
            false => grid.text(),
        };
        let orders = self.orders.iter().filter_map(|(order, holds)| {
            let holds = if (*holds)? { "holds" } else { "DOES NOT HOLD" };
            let sign = if order.or_equal { ">=" } else { ">" };
            Some(format!("* {} {sign} {}: {holds}", order.more, order.less))
        });
        let orders: Vec<String> = orders.collect();
        if !orders.is_empty() {
            text.push_str(&format!("\n\n{}", orders.join("\n")));
        }
        text
    }
}

/// The measure of every run of a row.
fn values(row: &Row, runs: &[Labelled]) -> Vec<f64> {
    let own = runs.iter().filter(|run| run.label == row.scenario);
    own.filter_map(|run| {
        run.outcome
            .as_ref()
            .ok()?
            .measures
            .get(&row.measure)
            .copied()
    })
    .collect()
}

fn cells(row: &Row, found: Option<&Interval>, failed: usize) -> [String; 6] {
    let percent = |value: f64| format!("{:.2}", 100.0 * value);
    let seeds = |n: usize| match failed {
        0 => format!("{n} seeds"),
        _ => format!("{n} of {} seeds, {failed} failed", n + failed),
    };
    let ours = found.map_or_else(
        || "-".into(),
        |i| match i.half_width {
            Some(half) => format!("{} ± {} ({})", percent(i.mean), percent(half), seeds(i.n)),
            None => percent(i.mean),
        },
    );
    let accepted = row.accept.map_or_else(
        || "-".into(),
        |[low, high]| format!("{:.1} to {:.1}", 100.0 * low, 100.0 * high),
    );
    let verdict = match (row.accept, found) {
        (_, None) => "not run",
        (None, _) => "no range",
        (Some(_), Some(i)) if row.accepts(Some(i.mean)) => "within",
        _ => "OUTSIDE",
    };
    let published = row
        .published
        .map_or_else(|| "-".into(), |v| format!("{:.1}", 100.0 * v));
    let again = row.again.clone().unwrap_or_else(|| "-".into());
    [
        row.title.clone(),
        published,
        again,
        accepted,
        ours,
        verdict.into(),
    ]
}
