//! `lyceum bench`: how long rounds take, beside what the machine could do at most.
//!
//! Every figure comes from `lyceum run` in a process of its own, so that start-up and memory are those of a user's
//! run. Rates are those of OpenBLAS on the same number of threads, measured in between.

mod continual;
mod openblas;
mod table;
mod workload;

use crate::{
    arguments::{Bench, Workload},
    failure::Failure,
    output::line,
    settings::ProcessSettings,
};
use clap::ValueEnum;
use continual::{Method, Split, Tasks};
use lyceum_scenarios::Registry;
use openblas::OpenBlas;
use std::time::Instant;
use table::Row;
use workload::{Sample, Variant};

/// Shapes of the products that rates are measured at: a layer of W1, and one that is all arithmetic.
const SHAPES: [[usize; 3]; 2] = [[32, 784, 200], [2048, 2048, 2048]];

/// Operations per second of OpenBLAS at each shape, if it is there.
pub(crate) type Rates = Option<[f64; 2]>;

/// Measures workloads one after another and prints a table, or a JSON object each.
pub(crate) fn bench(
    registry: &Registry,
    arguments: &Bench,
    started: Instant,
) -> Result<(), Failure> {
    let settings = ProcessSettings::read()?;
    let threads = settings.threads(arguments.threads)?;
    if registry.engine(&arguments.engine).is_none() {
        return Err(Failure::input(format!(
            "--engine {}: see `lyceum list`",
            arguments.engine
        )));
    }
    let blas = OpenBlas::find(settings.openblas.as_deref());
    let rates = || {
        blas.as_ref()
            .map(|blas| SHAPES.map(|shape| blas.rate(threads, shape)))
    };
    let workloads = match arguments.workloads.as_slice() {
        [] => Workload::value_variants(),
        chosen => chosen,
    };
    let mut rows = Vec::new();
    for &workload in workloads {
        for row in measure(registry, workload, arguments, threads, started, &rates)? {
            if arguments.json {
                line(format_args!("{}", row.json()));
            }
            rows.push(row);
        }
    }
    if !arguments.json {
        line(format_args!("{}", table::render(&rows, threads)));
    }
    Ok(())
}

fn measure(
    registry: &Registry,
    workload: Workload,
    arguments: &Bench,
    threads: usize,
    started: Instant,
    rates: &dyn Fn() -> Rates,
) -> Result<Vec<Row>, Failure> {
    if workload == Workload::W5 {
        return continual(registry, arguments, started);
    }
    let variants = workload::variants(workload);
    // Variants take turns, so that a machine that slows down slows all of them down.
    let mut samples: Vec<Vec<Sample>> = variants.iter().map(|_| Vec::new()).collect();
    let mut limits = Vec::new();
    for _ in 0..arguments.runs {
        limits.push(rates());
        for (variant, samples) in variants.iter().zip(&mut samples) {
            samples.push(workload::run(variant, arguments, threads)?);
        }
    }
    let row = |(variant, samples): (&Variant, Vec<Sample>)| {
        let flops = workload::flops(registry, variant)?;
        Ok(Row::of_rounds(variant.label, &samples, flops, &limits))
    };
    variants.iter().zip(samples).map(row).collect()
}

/// W5 runs in this process and on one thread; where it is the only workload, the first step counts from the
/// start of the process.
fn continual(
    registry: &Registry,
    arguments: &Bench,
    started: Instant,
) -> Result<Vec<Row>, Failure> {
    let alone = arguments.workloads == [Workload::W5];
    let started = if alone { started } else { Instant::now() };
    let [data] = &workload::variants(Workload::W1)[..] else {
        return Err(Failure::other("W1 is one workload"));
    };
    let split = Split::read(registry, data, arguments)?;
    let ready = started.elapsed();
    let mut rows = Vec::new();
    for method in [Method::Naive, Method::Replay, Method::Ewc] {
        let runs = (0..arguments.runs).map(|_| split.run(method, ready));
        let runs: Vec<Tasks> = runs.collect::<Result<_, _>>()?;
        rows.push(Row::of_tasks(&runs, &arguments.engine));
    }
    Ok(rows)
}
