//! From the rows of a table to the samples of a run: class names, normalisation, and one rounding at the end.

use super::DataError;
use super::labels::{Classes, is_missing, listed};
use super::normalise::Normalisation;
use super::table_rows::Rows;
use lyceum_core::{Affine, Features, Samples};
use std::collections::BTreeMap;

/// Share of a feature's deviation that rounding may take.
const BLUR: f64 = 1e-3;

/// A table as it was read: training and test rows in 64-bit numbers, and the names of everything.
#[derive(Clone, Debug)]
pub struct Table {
    train: Rows,
    test: Rows,
    /// Class of each label's number.
    of: Vec<u32>,
    classes: Vec<String>,
    /// Owner of each training row, as they first appear.
    natural: Option<Vec<u32>>,
    owners: Vec<String>,
    statistics: Option<Statistics>,
}

/// What standardises features: `(value - mean) / deviation`.
#[derive(Clone, Debug, PartialEq)]
pub struct Statistics {
    /// Of each feature.
    pub mean: Vec<f64>,
    /// Of each feature; 1 for one that never varies.
    pub deviation: Vec<f64>,
}

/// What the parts of a table are called, and what standardises it: all that is needed to read further samples of it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TableNames {
    /// Of the classes.
    pub classes: Vec<String>,
    /// Of the features, if the file holds them.
    pub features: Option<Vec<String>>,
    /// Of the owners of training samples; empty where the set knows none.
    pub owners: Vec<String>,
    /// Owners in the file of whose samples none is for training.
    pub without: Vec<String>,
    /// With `normalise = "standard"`.
    pub statistics: Option<Statistics>,
    /// Where samples are of texts.
    pub text: Option<TextNames>,
}

/// What tokens of texts are called.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TextNames {
    /// Tokens in the order of their numbers, where they were learned from texts.
    pub vocabulary: Option<Vec<String>>,
    /// Whether the classes are the tokens.
    pub predicted: bool,
}

impl TableNames {
    /// The keys of the data set that say the same.
    pub(crate) fn keys(&self) -> toml::Table {
        let texts = |names: &[String]| toml::Value::from(names.to_vec());
        let mut keys = toml::Table::new();
        let text = self.text.as_ref();
        if !text.is_some_and(|text| text.predicted) {
            keys.insert("classes".into(), texts(&self.classes));
        }
        if let Some(vocabulary) = text.and_then(|text| text.vocabulary.as_ref()) {
            keys.insert("vocabulary".into(), texts(vocabulary));
        }
        if let Some(features) = &self.features {
            keys.insert("features".into(), texts(features));
        }
        if let Some(Statistics { mean, deviation }) = &self.statistics {
            keys.insert("mean".into(), mean.clone().into());
            keys.insert("deviation".into(), deviation.clone().into());
        }
        keys
    }
}

/// A table, or texts, ready for training.
#[derive(Debug)]
pub struct Settled {
    pub(crate) train: Samples,
    pub(crate) test: Samples,
    pub(crate) natural: Option<Vec<u32>>,
    pub(crate) names: TableNames,
    pub(crate) warnings: Vec<String>,
    /// What else was found, in lines for people.
    pub(crate) notes: Vec<String>,
}

impl Table {
    /// Refuses a test set of whose labels training knows none.
    pub(super) fn new(
        train: Rows,
        test: Rows,
        classes: Classes,
        has_owners: bool,
        statistics: Option<Statistics>,
    ) -> Result<Self, DataError> {
        let (natural, owners) = contiguous(&train);
        let table = Self {
            natural: has_owners.then_some(natural),
            owners,
            of: classes.of,
            classes: classes.names,
            train,
            test,
            statistics,
        };
        table.must_share_labels()?;
        Ok(table)
    }

    /// Samples of each class among some rows.
    fn held(&self, rows: &Rows) -> Vec<usize> {
        let mut held = vec![0; self.classes.len()];
        let classes = rows.labels.iter().map(|&label| self.of[label as usize]);
        classes.for_each(|class| held[class as usize] += 1);
        held
    }

    fn must_share_labels(&self) -> Result<(), DataError> {
        let (train, test) = (self.held(&self.train), self.held(&self.test));
        if train
            .iter()
            .zip(&test)
            .any(|(train, test)| *train > 0 && *test > 0)
        {
            return Ok(());
        }
        let names = |held: &[usize]| {
            let there = self.classes.iter().zip(held).filter(|(_, held)| **held > 0);
            let names: Vec<String> = there.map(|(name, _)| name.clone()).collect();
            listed(names.iter())
        };
        Err(DataError::Format {
            path: self.test.path.clone(),
            problem: format!(
                "its test samples have the labels {}, the training samples {}: expected labels that training knows",
                names(&test),
                names(&train)
            ),
        })
    }

    /// Test labels that no training sample has.
    fn strange_labels(&self) -> Option<String> {
        let (train, test) = (self.held(&self.train), self.held(&self.test));
        let both = train.iter().zip(&test).zip(&self.classes);
        let strange = both.filter(|((train, test), _)| **train == 0 && **test > 0);
        let strange: Vec<(String, usize)> = strange.map(|((_, n), c)| (c.clone(), *n)).collect();
        let samples: usize = strange.iter().map(|(_, samples)| samples).sum();
        let names: Vec<String> = strange.into_iter().map(|(name, _)| name).collect();
        (samples > 0).then(|| {
            format!(
                "{samples} of {} test samples have a label that no training sample has, and cannot be told: {}",
                self.test.labels.len(),
                listed(names.iter())
            )
        })
    }

    /// Labels that usually stand for a missing one.
    fn missing_labels(&self) -> Option<String> {
        let names: Vec<&String> = self
            .classes
            .iter()
            .filter(|name| is_missing(name))
            .collect();
        (!names.is_empty()).then(|| {
            format!(
                "labels that usually stand for a missing one are classes of their own: {}; leave such rows out if they are not meant",
                listed(names.into_iter())
            )
        })
    }

    /// A column without a name, which is a feature as any other.
    fn nameless(&self) -> Option<String> {
        let column = self
            .train
            .names
            .as_ref()?
            .iter()
            .position(String::is_empty)?;
        Some(format!(
            "{}: a column without a name is the feature {column}; where it numbers the rows, as the index of a pandas table does, leave it \
             out (`index=False`), or name the others in `features`",
            self.train.path.display()
        ))
    }

    /// Samples as training takes them.
    pub(crate) fn settle(self, how: Normalisation) -> Result<Settled, DataError> {
        let statistics = match how {
            Normalisation::Standard => Some(self.standard()?),
            Normalisation::None | Normalisation::Unit => None,
        };
        let mut warnings = Vec::from_iter(self.strange_labels());
        warnings.extend(self.missing_labels());
        warnings.extend(self.nameless());
        warnings.extend(blurred(&self.train, statistics.as_ref()));
        let given = self.statistics.clone();
        let samples =
            |rows: &Rows| samples(rows, &self.of, self.classes.len(), statistics.as_ref());
        let other = match self.test.path == self.train.path {
            true => "train",
            false => "test",
        };
        Ok(Settled {
            train: samples(&self.train).map_err(|e| e.at("train"))?,
            test: samples(&self.test).map_err(|e| e.at(other))?,
            names: TableNames {
                without: self.owners_without(),
                classes: self.classes,
                features: self.train.names,
                owners: self.owners,
                statistics: statistics.or(given),
                text: None,
            },
            natural: self.natural,
            warnings,
            notes: Vec::new(),
        })
    }

    fn standard(&self) -> Result<Statistics, DataError> {
        let Some(given) = &self.statistics else {
            return Ok(Statistics::of(&self.train));
        };
        if given.mean.len() == self.train.width {
            return Ok(given.clone());
        }
        Err(DataError::Key {
            key: "mean",
            problem: format!(
                "has {} values: expected one for each of {} features",
                given.mean.len(),
                self.train.width
            ),
        })
    }

    /// Owners that a split left without a training sample.
    fn owners_without(&self) -> Vec<String> {
        let mut there = vec![false; self.train.owner_names.len()];
        self.train
            .owners
            .iter()
            .for_each(|&owner| there[owner as usize] = true);
        let names = self.train.owner_names.iter().zip(there);
        names
            .filter(|(_, there)| !there)
            .map(|(name, _)| name.clone())
            .collect()
    }
}

/// Owners renumbered as they first appear among these rows, without gaps, and their names.
fn contiguous(rows: &Rows) -> (Vec<u32>, Vec<String>) {
    let (mut numbers, mut names) = (BTreeMap::new(), Vec::new());
    let mut number = |owner: &u32| {
        *numbers.entry(*owner).or_insert_with(|| {
            names.push(rows.owner_names[*owner as usize].clone());
            names.len() as u32 - 1
        })
    };
    let natural = rows.owners.iter().map(&mut number).collect();
    (natural, names)
}

impl Statistics {
    /// Over rows, measured from the first, so that large values keep their differences.
    fn of(rows: &Rows) -> Self {
        let moments: Vec<(f64, f64)> = (0..rows.width).map(|at| moments(rows.column(at))).collect();
        let scale = |&(_, deviation): &(f64, f64)| match deviation > 0.0 {
            true => deviation,
            false => 1.0,
        };
        Self {
            mean: moments.iter().map(|(mean, _)| *mean).collect(),
            deviation: moments.iter().map(scale).collect(),
        }
    }
}

/// Mean and standard deviation; exactly 0 where nothing varies.
fn moments(values: impl Iterator<Item = f64> + Clone) -> (f64, f64) {
    let Some(first) = values.clone().next() else {
        return (0.0, 0.0);
    };
    let count = values.clone().count() as f64;
    let offset = values.clone().map(|v| v - first).sum::<f64>() / count;
    let squares = values.map(|v| (v - first - offset).powi(2)).sum::<f64>();
    (first + offset, (squares / count).sqrt())
}

/// Rows as samples, each value rounded once.
pub(super) fn samples(
    rows: &Rows,
    of: &[u32],
    classes: usize,
    statistics: Option<&Statistics>,
) -> Result<Samples, DataError> {
    let mut features = Vec::with_capacity(rows.values.len());
    for (at, &value) in rows.values.iter().enumerate() {
        let column = at % rows.width;
        let shown = match statistics {
            Some(s) => (value - s.mean[column]) / s.deviation[column],
            None => value,
        };
        if !(shown as f32).is_finite() {
            return Err(rows.too_large(column, value, shown));
        }
        features.push(shown as f32);
    }
    Ok(Samples {
        shape: vec![rows.width],
        classes,
        features: Features::F32(features),
        labels: rows
            .labels
            .iter()
            .map(|&label| of[label as usize])
            .collect(),
        targets: Vec::new(),
        goals: Vec::new(),
        affine: Affine::identity(),
    })
}

/// Features whose values lie so close together, for their size, that rounding them takes differences away.
fn blurred(rows: &Rows, statistics: Option<&Statistics>) -> Option<String> {
    let rounding = |value: f64| (value - f64::from(value as f32)).abs();
    let mut names = Vec::new();
    for column in 0..rows.width {
        let errors = rows.column(column).map(|value| match statistics {
            Some(_) => 0.0,
            None => rounding(value),
        });
        let error = errors.fold(0.0, f64::max) + rows.lost[column];
        let varies =
            rows.lost[column] > 0.0 || rows.column(column).any(|v| v != rows.values[column]);
        if varies && error > BLUR * moments(rows.column(column)).1 {
            names.push(rows.name(column));
        }
    }
    let (number, remedy) = match statistics {
        None => ("32", "`normalise = \"standard\"` in [data] keeps them"),
        Some(_) => ("64", "subtract a constant in the file"),
    };
    (!names.is_empty()).then(|| {
        let names: Vec<String> = names.iter().map(|n| n.trim_matches('`').to_owned()).collect();
        format!(
            "values of the features {} lie closer together than numbers of {number} bits can tell: {remedy}",
            listed(names.iter())
        )
    })
}
