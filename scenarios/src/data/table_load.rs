//! Tables of numbers, read from CSV files.

use super::labels::Labels;
use super::table::Csv;
use super::table_layout::{BY_SCENARIO, Part, Wanted};
use super::table_rows::Rows;
use super::table_values::{Statistics, Table};
use super::{DataError, DataSet, LoadContext, Source, same_samples};
use std::path::Path;

impl DataSet for Csv {
    fn paths(&self) -> &'static [&'static str] {
        &["train", "test"]
    }

    fn load(&self, context: &LoadContext) -> Result<Source, DataError> {
        let mut labels = self.labels()?;
        let train = self.rows(
            (context, &self.train),
            Part::Train,
            self.wanted(),
            &mut labels,
        );
        let train = train.map_err(|e| e.at("train"))?;
        let (train, test) = match &self.test {
            Some(path) => {
                let wanted = Wanted {
                    names: train.names.as_deref(),
                    width: train.width,
                    by: "the training file has",
                };
                let test = self.rows((context, path), Part::Other, Some(wanted), &mut labels);
                let test = test.map_err(|e| e.at("test"))?;
                (train, test)
            }
            None => self.split(train)?,
        };
        let has_owners = self.client.is_some();
        let table = Table::new(
            train,
            test,
            labels.classes(),
            has_owners,
            self.statistics()?,
        )?;
        Ok(Source::Table(Box::new(table)))
    }

    fn table(&self) -> Option<&Csv> {
        Some(self)
    }

    fn warnings(&self) -> Vec<String> {
        let idle = self.test.is_some() && self.test_fraction != super::table::fifth();
        let told = "`data.set.csv.test_fraction` does nothing here: `test` names the test samples";
        let idle = idle.then(|| told.to_owned());
        let same = self.test.as_ref() == Some(&self.train);
        idle.into_iter().chain(same.then(same_samples)).collect()
    }
}

impl Csv {
    fn rows(
        &self,
        (context, path): (&LoadContext, &Path),
        part: Part,
        wanted: Option<Wanted<'_>>,
        labels: &mut Labels,
    ) -> Result<Rows, DataError> {
        let rows = Rows::read(self, &context.find(path)?, part, wanted, labels)?;
        holds_rows(&rows)?;
        Ok(rows)
    }

    /// The labels that the set knows before it is read.
    pub(super) fn labels(&self) -> Result<Labels, DataError> {
        let Some(classes) = &self.classes else {
            return Ok(Labels::open());
        };
        if classes.is_empty() {
            let problem = "names no class: leave it out, or name every label".to_owned();
            return Err(DataError::Key {
                key: "classes",
                problem,
            });
        }
        Labels::given(classes).map_err(|name| DataError::Key {
            key: "classes",
            problem: format!("names one class twice ({name}): expected each label once"),
        })
    }

    /// The features that the set knows before it is read.
    pub(super) fn wanted(&self) -> Option<Wanted<'_>> {
        self.features.as_ref().map(|names| Wanted {
            names: Some(names),
            width: names.len(),
            by: BY_SCENARIO,
        })
    }

    /// What standardises the features, where the set knows it before it is read.
    pub(super) fn statistics(&self) -> Result<Option<Statistics>, DataError> {
        let wrong = |key, problem: &str| {
            let problem = problem.to_owned();
            Err(DataError::Key { key, problem })
        };
        match (&self.mean, &self.deviation) {
            (None, None) => Ok(None),
            (Some(_), None) => wrong(
                "deviation",
                "is missing: expected one value for each `mean`",
            ),
            (None, Some(_)) => wrong(
                "mean",
                "is missing: expected one value for each `deviation`",
            ),
            (Some(mean), Some(_)) if mean.iter().any(|m| !m.is_finite()) => {
                wrong("mean", "has a value that is no finite number")
            }
            (Some(mean), Some(deviation)) => {
                let positive = |d: &f64| d.is_finite() && *d > 0.0;
                if deviation.len() != mean.len() || !deviation.iter().all(positive) {
                    return wrong("deviation", "needs one value above 0 for each `mean`");
                }
                Ok(Some(Statistics {
                    mean: mean.clone(),
                    deviation: deviation.clone(),
                }))
            }
        }
    }

    fn split(&self, rows: Rows) -> Result<(Rows, Rows), DataError> {
        let path = rows.path.clone();
        let (train, test) = rows.split(self.test_fraction);
        if !train.is_empty() && !test.is_empty() {
            return Ok((train, test));
        }
        Err(DataError::Key {
            key: "test_fraction",
            problem: format!(
                "leaves {} training and {} test samples of {}: expected at least one of each",
                train.labels.len(),
                test.labels.len(),
                path.display()
            ),
        })
    }
}

/// Refuses a file without samples, and one with more than `u32` can number.
pub(super) fn holds_rows(rows: &Rows) -> Result<(), DataError> {
    let problem = match (rows.labels.len(), &rows.names) {
        (0, Some(_)) => "has a header and no sample: expected at least one row below it",
        (0, None) => "has no sample: expected at least one row",
        (1..=0xffff_ffff, _) => return Ok(()),
        _ => "has more than 4,294,967,295 samples: divide it into several files",
    };
    Err(DataError::Format {
        path: rows.path.clone(),
        problem: problem.to_owned(),
    })
}

/// The file at a path, read as the set says for samples that are not its own training samples.
pub(super) fn read_other(set: &Csv, path: &Path, wanted: Wanted<'_>) -> Result<Rows, DataError> {
    let rows = Rows::read(set, path, Part::Other, Some(wanted), &mut set.labels()?)?;
    holds_rows(&rows).map(|()| rows)
}

#[cfg(test)]
#[path = "table_tests.rs"]
mod tests;
