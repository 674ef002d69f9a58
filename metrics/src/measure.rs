//! What runs are judged by: an open list.

use crate::summary::Summary;

/// How the values of a measure are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// A share, shown in percent.
    Percent,
    /// Anything else, shown as it is.
    Number,
}

/// A measure of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Measure {
    /// Name of its columns in files, such as `final_accuracy`.
    pub key: String,
    /// Name of its columns in tables for people.
    pub title: String,
    /// How its values are shown.
    pub unit: Unit,
}

/// Last words of the names of measures that are shares.
const SHARES: [&str; 6] = [
    "accuracy",
    "forgetting",
    "transfer",
    "intransigence",
    "share",
    "retention",
];

impl Measure {
    fn new(key: &str, title: &str, unit: Unit) -> Self {
        Self {
            key: key.to_owned(),
            title: title.to_owned(),
            unit,
        }
    }

    /// A measure that is known by its name only, such as `backward transfer`. It is a share if its last
    /// word is that of one: accuracy, forgetting, transfer, intransigence, share.
    pub fn named(name: &str) -> Self {
        let words: Vec<_> = name
            .split(|c: char| c.is_whitespace() || c == '_')
            .filter(|word| !word.is_empty())
            .collect();
        let unit = match words.last() {
            Some(last) if SHARES.contains(last) => Unit::Percent,
            _ => Unit::Number,
        };
        Self::new(&words.join("_"), &words.join(" "), unit)
    }

    /// Its name with its unit, at the head of a column.
    pub(crate) fn head(&self) -> String {
        match self.unit {
            Unit::Percent => format!("{} %", self.title),
            Unit::Number => self.title.clone(),
        }
    }
}

impl Unit {
    /// A value as it stands in tables for people.
    pub(crate) fn show(self, value: f64, signed: bool) -> String {
        match (self, signed) {
            (Self::Percent, false) => format!("{:.2}", 100.0 * value),
            (Self::Percent, true) => format!("{:+.2}", 100.0 * value),
            (Self::Number, false) => format!("{value:.4}"),
            (Self::Number, true) => format!("{value:+.4}"),
        }
    }
}

impl Summary {
    /// Every measure that this run has, in the order of columns.
    pub fn measured(&self) -> Vec<(Measure, f64)> {
        let accuracies = [
            ("final_accuracy", "final", self.final_accuracy),
            (
                "mean_last_10_accuracy",
                "mean last 10 evaluations",
                self.mean_last_10_accuracy,
            ),
            ("best_accuracy", "best", self.best_accuracy),
        ];
        let built_in = accuracies.into_iter().filter_map(|(key, title, value)| {
            Some((Measure::new(key, title, Unit::Percent), value?))
        });
        let further = self.measures.iter();
        built_in
            .chain(further.map(|(name, &value)| (Measure::named(name), value)))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Conditions, SummaryBuilder};

    #[test]
    fn a_name_says_how_its_values_are_shown() {
        let found = Measure::named("backward transfer");
        assert_eq!(
            found,
            Measure::new("backward_transfer", "backward transfer", Unit::Percent)
        );
        assert_eq!(
            Measure::named("backward_transfer"),
            found,
            "either spelling"
        );
        assert_eq!(Measure::named("seconds per task").unit, Unit::Number);
        assert_eq!(Unit::Number.show(-0.5, true), "-0.5000");
        assert_eq!(Unit::Percent.show(0.5, true), "+50.00");
    }

    #[test]
    fn a_summary_lists_what_it_has() {
        let mut summary = SummaryBuilder::new().summary(Conditions::default());
        summary.final_accuracy = Some(0.5);
        summary.measures.insert("forgetting".to_owned(), 0.25);
        let found: Vec<_> = summary
            .measured()
            .into_iter()
            .map(|(measure, value)| (measure.head(), value))
            .collect();
        assert_eq!(
            found,
            [
                ("final %".to_owned(), 0.5),
                ("forgetting %".to_owned(), 0.25)
            ]
        );
    }
}
