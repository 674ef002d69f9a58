//! What is published, what the authors' code gives, and what is accepted.

use crate::failure::Failure;
use lyceum_scenarios::{Registry, Scenario};
use serde::Deserialize;

/// Rows and orders of one set of experiments.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Expected {
    #[serde(rename = "row")]
    pub(super) rows: Vec<Row>,
    #[serde(rename = "order")]
    pub(super) orders: Vec<Order>,
}

/// One experiment.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Row {
    /// Name of its scenario in the catalogue.
    pub(super) scenario: String,
    /// For the table.
    pub(super) title: String,
    /// Measure of a run's summary.
    #[serde(default = "average_accuracy")]
    pub(super) measure: String,
    /// As a share.
    pub(super) published: Option<f64>,
    /// What the authors' code gave when it was run again.
    pub(super) again: Option<String>,
    /// Range of the mean over seeds; absent where only orders are known.
    pub(super) accept: Option<[f64; 2]>,
}

/// A mean that must be above another.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Order {
    pub(super) more: String,
    pub(super) less: String,
    #[serde(default)]
    pub(super) or_equal: bool,
}

fn average_accuracy() -> String {
    "average_accuracy".into()
}

macro_rules! catalogue {
    ($($name:literal),* $(,)?) => {
        &[$(($name, include_str!(concat!("../../../scenarios/catalogue/continual/", $name, ".toml")))),*]
    };
}

/// The scenarios of the continual part of the catalogue.
const SCENARIOS: &[(&str, &str)] = catalogue![
    "gdumb-4400",
    "multi-head-si",
    "permuted-mnist-der-pp-500",
    "permuted-mnist-er-500",
    "permuted-mnist-naive",
    "split-mnist-a-gem-200",
    "split-mnist-der-200",
    "split-mnist-der-pp-200",
    "split-mnist-der-pp-500",
    "split-mnist-er-200",
    "split-mnist-er-500",
    "split-mnist-ewc-online",
    "split-mnist-gem-200",
    "split-mnist-icarl-500",
    "split-mnist-icarl-5120",
    "split-mnist-joint",
    "split-mnist-lwf",
    "split-mnist-naive",
    "split-mnist-si",
    "three-types-er",
    "three-types-icarl",
    "three-types-lwf",
    "three-types-si",
];

impl Expected {
    /// Continual learning on MNIST.
    pub(super) fn continual() -> Self {
        toml::from_str(include_str!("continual.toml")).expect("the built-in table is right")
    }

    /// Keeps the rows whose names contain one of these, or all if there are none.
    pub(super) fn keep(&mut self, only: &[String]) {
        let wanted = |row: &Row| only.iter().any(|part| row.scenario.contains(part.as_str()));
        self.rows.retain(|row| only.is_empty() || wanted(row));
    }
}

impl Row {
    /// Whether a mean is within the accepted range.
    pub(super) fn accepts(&self, mean: Option<f64>) -> bool {
        match (self.accept, mean) {
            (Some([low, high]), Some(mean)) => (low..=high).contains(&mean),
            _ => false,
        }
    }

    /// Its scenario.
    pub(super) fn read(&self, registry: &Registry) -> Result<Scenario, Failure> {
        let text = SCENARIOS.iter().find(|(name, _)| *name == self.scenario);
        let Some((name, text)) = text else {
            let message = format!("the catalogue has no scenario {}", self.scenario);
            return Err(Failure::other(message));
        };
        Ok(Scenario::read(registry, name, text, &[])?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_has_its_scenario_and_every_order_its_rows() {
        let expected = Expected::continual();
        let registry = crate::registry();
        for row in &expected.rows {
            row.read(&registry).map_err(|e| e.sentence()).unwrap();
        }
        assert_eq!(expected.rows.len(), SCENARIOS.len());
        for order in &expected.orders {
            for name in [&order.more, &order.less] {
                assert!(
                    expected.rows.iter().any(|row| row.scenario == *name),
                    "{name}"
                );
            }
        }
    }
}
