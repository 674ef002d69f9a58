//! The table of `lyceum bench`.

use super::{
    Rates,
    workload::{Sample, Variant},
};
use serde_json::{Value, json};

/// One line of the table.
pub(super) struct Row {
    label: String,
    method: Option<&'static str>,
    engine: String,
    threads: u64,
    rounds: usize,
    /// Median and least seconds of a round, or of a task.
    seconds: f64,
    least: f64,
    /// From the start of the process to the end of the first round, or to the first step.
    first: f64,
    samples_per_second: f64,
    /// Operations per second in the products of a round; `None` where nothing is counted.
    flops: Option<f64>,
    /// OpenBLAS at both shapes, median over the runs.
    rates: Rates,
    peak_mib: f64,
    /// Microseconds of the workers outside of local training calls, per client.
    overhead: Option<f64>,
    /// Microseconds of processor time of the whole process, per client.
    cpu: Option<f64>,
    accuracy: f64,
}

/// The value in the middle; the mean of two.
fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    match values.len() {
        0 => f64::NAN,
        n => (values[(n - 1) / 2] + values[n / 2]) / 2.0,
    }
}

impl Row {
    pub(super) fn of_rounds(
        variant: &Variant,
        samples: &[Sample],
        flops: u64,
        rates: &[Rates],
    ) -> Self {
        let of = |value: fn(&Sample) -> f64| median(samples.iter().map(value));
        let seconds = of(|s| median(s.rounds.iter().copied()));
        let last = &samples[samples.len() - 1];
        let summary = &last.summary;
        let cohort = last.cohort as f64;
        let trained = last.trained as f64;
        let idle = summary.engine == "idle";
        let shape = |at: usize| median(rates.iter().flatten().map(|rates| rates[at]));
        let in_training = of(|s| s.summary.latency.client_update.mean * 1e3);
        let clients = summary.rounds as f64 * cohort;
        Self {
            label: variant.label.into(),
            method: variant.method,
            engine: summary.engine.clone(),
            threads: summary.threads,
            rounds: summary.rounds as usize,
            seconds,
            least: samples
                .iter()
                .flat_map(|s| s.rounds.iter().copied())
                .fold(f64::INFINITY, f64::min),
            first: match variant.method {
                None => of(|s| s.summary.seconds_to_first_round),
                Some(_) => of(|s| s.before_first_step),
            },
            samples_per_second: trained / seconds,
            flops: (!idle).then(|| trained * flops as f64 / seconds),
            rates: rates
                .iter()
                .all(Option::is_some)
                .then(|| [shape(0), shape(1)]),
            peak_mib: of(|s| s.summary.peak_rss_mib),
            overhead: Some(
                (summary.threads as f64 * seconds * 1e6 / cohort - in_training).max(0.0),
            ),
            cpu: idle.then(|| of(|s| s.summary.cpu_seconds) * 1e6 / clients),
            accuracy: summary.final_accuracy.unwrap_or(f64::NAN),
        }
    }

    /// One JSON object on one line.
    pub(super) fn json(&self) -> Value {
        let [unit, first] = match self.method {
            None => ["seconds_per_round", "first_round_seconds"],
            Some(_) => ["seconds_per_task", "first_step_seconds"],
        };
        let mut object = json!({
            "workload": self.label,
            "engine": self.engine,
            "threads": self.threads,
            "rounds": self.rounds,
            "min": self.least,
            "samples_per_second": self.samples_per_second,
            "gflops": self.flops.map(|f| f / 1e9),
            "openblas_gflops": self.rates.map(|r| r.map(|r| r / 1e9)),
            "peak_mib": self.peak_mib,
            "overhead_us_per_client": self.overhead,
            "cpu_us_per_client": self.cpu,
            "accuracy": self.accuracy,
        });
        object[unit] = json!(self.seconds);
        object[first] = json!(self.first);
        if let Some(method) = self.method {
            object["method"] = json!(method);
        }
        object
    }

    fn cells(&self) -> Vec<String> {
        let share = |at: usize| match (self.flops, self.rates) {
            (Some(flops), Some(rates)) => format!("{:.0} %", 100.0 * flops / rates[at]),
            _ => "-".into(),
        };
        let or_dash = |value: Option<f64>| value.map_or("-".into(), |v| format!("{v:.1}"));
        vec![
            self.method
                .map_or(self.label.clone(), |m| format!("{} {m}", self.label)),
            self.engine.clone(),
            format!("{:.4}", self.seconds),
            format!("{:.4}", self.least),
            format!("{:.2}", self.first),
            format!("{:.0}", self.samples_per_second),
            or_dash(self.flops.map(|f| f / 1e9)),
            share(0),
            share(1),
            format!("{:.0}", self.peak_mib),
            or_dash(self.overhead),
            or_dash(self.cpu),
            format!("{:.2}", 100.0 * self.accuracy),
        ]
    }
}

const HEAD: [&str; 13] = [
    "workload",
    "engine",
    "s/round",
    "least",
    "to first",
    "samples/s",
    "GFLOP/s",
    "of 32x784x200",
    "of 2048^3",
    "MiB",
    "overhead us",
    "cpu us",
    "accuracy",
];

/// The rows as Markdown, and the rates that shares are taken of.
pub(super) fn render(rows: &[Row], threads: usize) -> String {
    let mut lines: Vec<Vec<String>> = vec![HEAD.map(String::from).to_vec()];
    lines.extend(rows.iter().map(Row::cells));
    let width = |column: usize| {
        lines
            .iter()
            .map(|line| line[column].len())
            .max()
            .unwrap_or(0)
    };
    let widths: Vec<usize> = (0..HEAD.len()).map(width).collect();
    let draw = |line: &Vec<String>| {
        let cells = line
            .iter()
            .zip(&widths)
            .map(|(cell, width)| format!("{cell:>width$}", width = *width));
        format!("| {} |\n", cells.collect::<Vec<_>>().join(" | "))
    };
    let mut text = draw(&lines[0]);
    text += &format!(
        "|{}\n",
        widths
            .iter()
            .map(|w| format!("{:->1$}|", ":", w + 2))
            .collect::<String>()
    );
    lines[1..].iter().for_each(|line| text += &draw(line));
    let seen = rows.iter().filter_map(|row| row.rates).collect::<Vec<_>>();
    let at = |i: usize| median(seen.iter().map(|rates| rates[i] / 1e9));
    text += &match seen.is_empty() {
        true => "OpenBLAS was not found: no shares. Name its library in LYCEUM__OPENBLAS (on Debian: package libopenblas0-pthread).".into(),
        false => format!(
            "OpenBLAS on {threads} threads: {:.0} GFLOP/s at 32x784x200, {:.0} at 2048^3.",
            at(0), at(1)
        ),
    };
    text + "\noverhead: time of the workers outside of local training, per client. cpu: processor time of the whole process, per client."
}
