//! Times of one thing, in little memory: for things that there are thousands of, such as nodes.

use crate::Quantiles;
use hdrhistogram::Histogram;

/// Microseconds of one thing, to two significant digits. Grows with what is recorded: a few KiB.
#[derive(Clone, Debug, Default)]
pub struct Latency {
    histogram: Option<Histogram<u32>>,
    total: u64,
}

impl Latency {
    /// Records one time.
    pub fn record(&mut self, micros: u64) {
        let empty = || Histogram::new(2).expect("two digits are allowed");
        let histogram = self.histogram.get_or_insert_with(empty);
        // It grows, so no value is too large.
        let _ = histogram.record(micros);
        self.total += micros;
    }

    /// Quantiles in milliseconds.
    pub fn quantiles(&self) -> Quantiles {
        let Some(histogram) = &self.histogram else {
            return Quantiles::default();
        };
        let at = |q| histogram.value_at_quantile(q) as f64 / 1000.0;
        Quantiles {
            count: histogram.len(),
            mean: self.total as f64 / 1000.0 / histogram.len().max(1) as f64,
            p50: at(0.5),
            p90: at(0.9),
            p99: at(0.99),
            max: histogram.max() as f64 / 1000.0,
        }
    }

    /// Sum of all times in seconds.
    pub fn total_seconds(&self) -> f64 {
        self.total as f64 / 1e6
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_right_to_two_digits() {
        let mut latency = Latency::default();
        assert_eq!(latency.quantiles(), Quantiles::default());
        (1..=1000).for_each(|i| latency.record(i * 1000));
        let found = latency.quantiles();
        assert_eq!(found.count, 1000);
        assert!((found.p50 - 500.0).abs() < 5.0, "{found:?}");
        assert!((found.mean - 500.5).abs() < 1e-9, "{found:?}");
        assert!((latency.total_seconds() - 500.5).abs() < 1e-9);
    }
}
