//! Measures of lifetimes.

use super::options::Options;
use super::show;
use super::table::Table;
use crate::failure::Failure;
use crate::output::warn;
use lyceum_metrics::continual::lifelong::{LifelongReport, TaskReport, evaluate};
use lyceum_metrics::l2log::{LifetimeLog, ScenarioInfo, read_experts, read_lifetime};
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// What is printed as JSON: the fields of l2metrics.
#[derive(Serialize)]
struct Output<'a> {
    #[serde(flatten)]
    report: &'a LifelongReport,
    run_id: &'a str,
    #[serde(flatten)]
    scenario: &'a ScenarioInfo,
    metrics_column: &'a str,
    /// In seconds.
    runtime: Option<f64>,
}

/// Prints the lifelong suite of a lifetime.
pub(super) fn print(options: &Options) -> Result<(), Failure> {
    let suite = &options.suite;
    let performance = suite.performance.as_deref();
    let log = read_lifetime(&options.file, performance).map_err(Failure::input)?;
    if let Some(message) = incomplete(&options.file, &log.missing) {
        warn(&message);
    }
    let beside = suite.ste.clone().or_else(|| experts_beside(&options.file));
    let experts = match &beside {
        Some(folder) => read_experts(folder, performance).map_err(Failure::input)?,
        None => Vec::new(),
    };
    let report = evaluate(&log.lifetime, &experts, &suite.settings()?);
    let report =
        report.map_err(|e| Failure::input(format_args!("{}: {e}", options.file.display())))?;
    let output = Output {
        report: &report,
        run_id: &log.run_id,
        scenario: &log.scenario,
        metrics_column: &log.performance,
        runtime: log.seconds,
    };
    let title = title(options, &log, &report, beside.as_deref());
    show(options, &title, &table(&log, &report), &[], &output)
}

/// What to say of a lifetime some of whose blocks are not there.
fn incomplete(folder: &Path, missing: &[u64]) -> Option<String> {
    const SHOWN: usize = 8;
    let numbers: Vec<String> = missing.iter().take(SHOWN).map(u64::to_string).collect();
    let more = match missing.len().saturating_sub(SHOWN) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    let blocks = if missing.len() == 1 {
        "block"
    } else {
        "blocks"
    };
    (!missing.is_empty()).then(|| {
        format!(
            "{}: {blocks} {}{more} have no complete experience or are missing: the measures are of the others, and not those of \
             the whole lifetime",
            folder.display(),
            numbers.join(", ")
        )
    })
}

/// `ste_logs` beside the folder `ll_logs` that the lifetime lies in.
fn experts_beside(lifetime: &Path) -> Option<PathBuf> {
    let whole = std::fs::canonicalize(lifetime).ok()?;
    let logs = whole
        .ancestors()
        .find(|folder| folder.file_name().is_some_and(|name| name == "ll_logs"))?;
    Some(logs.with_file_name("ste_logs")).filter(|folder| folder.is_dir())
}

fn title(
    options: &Options,
    log: &LifetimeLog,
    report: &LifelongReport,
    experts: Option<&Path>,
) -> String {
    let experts = match experts {
        Some(folder) => format!("experts from {}", folder.display()),
        None => "no experts".to_owned(),
    };
    format!(
        "{}: {} tasks, {} blocks, {} learning and {} evaluation experiences, {experts}",
        options.file.display(),
        report.task_metrics.len(),
        log.lifetime.blocks.len(),
        report.num_lx,
        report.num_ex,
    )
}

type OfLifetime = fn(&LifelongReport) -> Option<f64>;
type OfTask = fn(&TaskReport) -> Option<f64>;
type ToOthers = fn(&TaskReport) -> Option<&BTreeMap<String, Vec<f64>>>;

const MEASURES: [(&str, OfLifetime, OfTask); 7] = [
    ("perf_recovery", |l| l.perf_recovery, |t| t.perf_recovery),
    ("avg_train_perf", |l| l.avg_train_perf, |t| t.avg_train_perf),
    ("avg_eval_perf", |l| l.avg_eval_perf, |t| t.avg_eval_perf),
    (
        "perf_maintenance_mrlep",
        |l| l.perf_maintenance_mrlep,
        |t| t.perf_maintenance_mrlep,
    ),
    (
        "perf_maintenance_mrtlp",
        |l| l.perf_maintenance_mrtlp,
        |t| t.perf_maintenance_mrtlp,
    ),
    ("ste_rel_perf", |l| l.ste_rel_perf, |t| t.ste_rel_perf),
    (
        "sample_efficiency",
        |l| l.sample_efficiency,
        |t| t.sample_efficiency,
    ),
];

const TRANSFERS: [(&str, OfLifetime, ToOthers); 4] = [
    (
        "forward_transfer_ratio",
        |l| l.forward_transfer_ratio,
        |t| t.forward_transfer_ratio.as_ref(),
    ),
    (
        "forward_transfer_contrast",
        |l| l.forward_transfer_contrast,
        |t| t.forward_transfer_contrast.as_ref(),
    ),
    (
        "backward_transfer_ratio",
        |l| l.backward_transfer_ratio,
        |t| t.backward_transfer_ratio.as_ref(),
    ),
    (
        "backward_transfer_contrast",
        |l| l.backward_transfer_contrast,
        |t| t.backward_transfer_contrast.as_ref(),
    ),
];

/// A column for the lifetime and one for each task, in order of learning. Transfers have a row for each
/// task they go to, with the first value from the task of the column.
fn table(log: &LifetimeLog, report: &LifelongReport) -> Table {
    let mut names: Vec<&String> = report.task_metrics.keys().collect();
    let learned = log.lifetime.tasks();
    // Without variants, names are cut, and the order is that of names.
    names.sort_by_key(|name| learned.iter().position(|task| task == *name));
    let tasks: Vec<&TaskReport> = names
        .iter()
        .map(|&name| &report.task_metrics[name])
        .collect();
    let columns = std::iter::once("lifetime".to_owned()).chain(names.iter().map(|&n| n.clone()));
    let mut table = Table {
        columns: columns.collect(),
        ..Table::default()
    };
    for (name, of_lifetime, of_task) in MEASURES {
        let values = tasks.iter().map(|&task| of_task(task));
        add(
            &mut table,
            name.to_owned(),
            of_lifetime(report),
            values.collect(),
        );
    }
    for (name, of_lifetime, to_others) in TRANSFERS {
        add(
            &mut table,
            name.to_owned(),
            of_lifetime(report),
            vec![None; tasks.len()],
        );
        for other in &names {
            let first = |task: &&TaskReport| to_others(task)?.get(*other)?.first().copied();
            let values = tasks.iter().map(first).collect();
            add(&mut table, format!("  to {other}"), None, values);
        }
    }
    table
}

/// Adds a row unless nothing in it was computed.
fn add(table: &mut Table, name: String, lifetime: Option<f64>, mut values: Vec<Option<f64>>) {
    values.insert(0, lifetime);
    if values.iter().any(Option::is_some) {
        table.row(name, values);
    }
}
