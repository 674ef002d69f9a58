//! `lyceum bench`: how long rounds take, beside what the machine could do at most.
//!
//! Every figure comes from `lyceum run` in a process of its own, so that start-up and memory are those of a user's
//! run. Rates are those of OpenBLAS on the same number of threads, measured in between.

mod openblas;
mod table;
mod workload;

use crate::{
    arguments::{Bench, Workload},
    failure::Failure,
    output::{line, warn},
    settings::ProcessSettings,
};
use clap::ValueEnum;
use lyceum_scenarios::Registry;
use openblas::OpenBlas;
use table::Row;
use workload::{Sample, Variant};

/// Shapes of the products that rates are measured at: a layer of W1, and one that is all arithmetic.
const SHAPES: [[usize; 3]; 2] = [[32, 784, 200], [2048, 2048, 2048]];

/// Operations per second of OpenBLAS at each shape, if it is there.
pub(crate) type Rates = Option<[f64; 2]>;

/// Measures workloads one after another and prints a table, or a JSON object each.
pub(crate) fn bench(registry: &Registry, arguments: &Bench) -> Result<(), Failure> {
    let settings = ProcessSettings::read()?;
    let threads = settings.threads(arguments.threads)?;
    if registry.engine(&arguments.engine).is_none() {
        return Err(Failure::input(format!(
            "--engine {}: see `lyceum list`",
            arguments.engine
        )));
    }
    let workloads = match arguments.workloads.as_slice() {
        [] => Workload::value_variants(),
        chosen => chosen,
    };
    for &workload in workloads {
        workload::has_data(registry, workload, &settings, &arguments.data)?;
    }
    let blas = OpenBlas::find(settings.openblas.as_deref());
    if let (Some(path), None) = (&settings.openblas, &blas) {
        warn(&format!(
            "the setting `openblas` names {path}, which cannot be loaded as OpenBLAS"
        ));
    }
    let rates = || {
        blas.as_ref()
            .map(|blas| SHAPES.map(|shape| blas.rate(threads, shape)))
    };
    let mut rows = Vec::new();
    for &workload in workloads {
        for row in measure(registry, workload, arguments, threads, &rates)? {
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
    rates: &dyn Fn() -> Rates,
) -> Result<Vec<Row>, Failure> {
    // One learner is one thread's work.
    let threads = if workload == Workload::W5 { 1 } else { threads };
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
        Ok(Row::of_rounds(variant, &samples, flops, &limits))
    };
    variants.iter().zip(samples).map(row).collect()
}
