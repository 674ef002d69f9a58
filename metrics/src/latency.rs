//! How long things took, as quantiles.

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

/// Longest time told apart from longer ones: a day, in microseconds.
const LONGEST: u64 = 24 * 60 * 60 * 1_000_000;

/// What was timed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LatencyKind {
    /// One client's job on a node.
    ClientUpdate,
    /// A round, from its start to its close.
    Round,
    /// The evaluations after a round.
    Evaluation,
}

/// Times of each kind, in microseconds, to three significant digits and up to a day, in constant
/// memory.
#[derive(Clone, Debug)]
pub struct Latencies {
    client_update: Times,
    round: Times,
    evaluation: Times,
}

/// Quantiles of the times of one kind, in milliseconds; zeros without any.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Quantiles {
    /// How many times were recorded.
    pub count: u64,
    /// Mean.
    #[serde(default)]
    pub mean: f64,
    /// Median.
    pub p50: f64,
    /// 90 % took at most this.
    pub p90: f64,
    /// 99 % took at most this.
    pub p99: f64,
    /// The longest, exactly.
    pub max: f64,
}

/// Quantiles of each kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct LatencyReport {
    /// One client's job on a node.
    pub client_update: Quantiles,
    /// A round, from its start to its close.
    pub round: Quantiles,
    /// The evaluations after a round.
    pub evaluation: Quantiles,
}

#[derive(Clone, Debug)]
struct Times {
    histogram: Histogram<u64>,
    longest: u64,
    total: u64,
}

impl Latencies {
    /// Nothing recorded yet.
    pub fn new() -> Self {
        Self {
            client_update: Times::new(),
            round: Times::new(),
            evaluation: Times::new(),
        }
    }

    /// Records one time.
    pub fn record(&mut self, kind: LatencyKind, micros: u64) {
        match kind {
            LatencyKind::ClientUpdate => &mut self.client_update,
            LatencyKind::Round => &mut self.round,
            LatencyKind::Evaluation => &mut self.evaluation,
        }
        .record(micros);
    }

    /// Quantiles of one kind.
    pub fn quantiles(&self, kind: LatencyKind) -> Quantiles {
        match kind {
            LatencyKind::ClientUpdate => &self.client_update,
            LatencyKind::Round => &self.round,
            LatencyKind::Evaluation => &self.evaluation,
        }
        .quantiles()
    }

    /// Quantiles of all kinds.
    pub fn report(&self) -> LatencyReport {
        LatencyReport {
            client_update: self.quantiles(LatencyKind::ClientUpdate),
            round: self.quantiles(LatencyKind::Round),
            evaluation: self.quantiles(LatencyKind::Evaluation),
        }
    }
}

impl Default for Latencies {
    fn default() -> Self {
        Self::new()
    }
}

impl Times {
    fn new() -> Self {
        Self {
            histogram: Histogram::new_with_bounds(1, LONGEST, 3)
                .expect("the bounds are constants that the histogram allows"),
            longest: 0,
            total: 0,
        }
    }

    fn record(&mut self, micros: u64) {
        self.histogram.saturating_record(micros);
        self.longest = self.longest.max(micros);
        self.total = self.total.saturating_add(micros);
    }

    fn quantiles(&self) -> Quantiles {
        // The histogram answers with the upper end of a bucket, which can lie above the maximum.
        let at = |quantile| millis(self.histogram.value_at_quantile(quantile).min(self.longest));
        Quantiles {
            count: self.histogram.len(),
            mean: millis(self.total) / self.histogram.len().max(1) as f64,
            p50: at(0.5),
            p90: at(0.9),
            p99: at(0.99),
            max: millis(self.longest),
        }
    }
}

fn millis(micros: u64) -> f64 {
    micros as f64 / 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_of_one_to_a_hundred_are_exact() {
        let mut latencies = Latencies::new();
        (1..=100).for_each(|i| latencies.record(LatencyKind::Round, i * 10));
        let expected = Quantiles {
            count: 100,
            mean: 0.505,
            p50: 0.5,
            p90: 0.9,
            p99: 0.99,
            max: 1.0,
        };
        assert_eq!(latencies.report().round, expected);
        assert_eq!(latencies.report().evaluation, Quantiles::default());
    }

    #[test]
    fn a_large_time_is_within_a_thousandth_and_its_maximum_exact() {
        let mut latencies = Latencies::new();
        latencies.record(LatencyKind::ClientUpdate, 1_234_567);
        latencies.record(LatencyKind::ClientUpdate, 9_876_543);
        let quantiles = latencies.quantiles(LatencyKind::ClientUpdate);
        assert!((quantiles.p50 / 1234.567 - 1.0).abs() < 1e-3);
        assert_eq!(quantiles.max, 9876.543);
        assert_eq!(quantiles.p99, 9876.543);
    }

    #[test]
    fn zero_and_more_than_a_day_are_recorded() {
        let mut latencies = Latencies::new();
        latencies.record(LatencyKind::Evaluation, 0);
        latencies.record(LatencyKind::Evaluation, 2 * LONGEST);
        let quantiles = latencies.quantiles(LatencyKind::Evaluation);
        assert_eq!((quantiles.count, quantiles.p50), (2, 0.0));
        assert_eq!(quantiles.max, 2.0 * LONGEST as f64 / 1000.0);
    }
}
