//! How hard samples are: who says so, and in which of three bins they lie.

use super::{Ground, StreamError};
use lyceum_core::{Members, Samples, Task, units::Percentage};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What says how hard a sample is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Hardness {
    /// The loss of an expert that was trained on all samples first.
    Loss(ByLoss),
    /// What the data set says: of `lean-premises`, the steps of a theorem's proof, without end where nobody has proved it, unknown
    /// where it has no steps. Theorems are counted, those without a premise among them.
    Given(ByData),
    /// The number of values that are not zero: of texts, about how long they are; of pairs, the query's.
    Length(ByLength),
    /// A column of the table, which is one of its features.
    Column(ByColumn),
}

/// An expert's loss.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ByLoss {}

/// What the data set says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ByData {}

/// Values that are not zero.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ByLength {}

/// A feature of a table.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ByColumn {
    /// Its name.
    pub name: String,
}

/// Whether what nobody could do has a part in the percentiles. It is hard in any case.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Endless {
    /// It has none.
    #[default]
    Apart,
    /// It has, as in the code of LeanAgent's authors.
    Counted,
}

/// What becomes of samples of which nobody knows how hard they are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Unknown {
    /// They are spread evenly over the three bins of their task; what is left over goes to the easy ones, then to the medium ones.
    #[default]
    Spread,
    /// They are in no bin.
    LeftOut,
}

/// How many samples of a task lie in each bin.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bins {
    /// Up to the first percentile.
    pub easy: u64,
    /// Up to the second one.
    pub medium: u64,
    /// Beyond it.
    pub hard: u64,
    /// In no bin.
    pub left_out: u64,
}

/// Up to where samples are easy, and up to where they are medium. Found anew whenever it is known of more samples.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Limits {
    /// Of the easy ones.
    pub easy: f64,
    /// Of the medium ones.
    pub medium: f64,
}

impl Default for Hardness {
    fn default() -> Self {
        Self::Loss(ByLoss {})
    }
}

impl Hardness {
    /// How hard everything is that the data hold.
    pub(super) fn of<'a>(
        &self,
        ground: &'a Ground<'a>,
        key: &str,
    ) -> Result<Known<'a>, StreamError> {
        let pool = match self {
            Self::Given(_) => None,
            _ => Some(ground.pool(key)?),
        };
        let each = |value: &dyn Fn(usize) -> f64| {
            let kept = ground.kept.iter();
            kept.map(|&place| (Whose::Place(place), Some(value(place as usize))))
                .collect()
        };
        let all = match (self, pool) {
            (Self::Given(_), _) => given(ground, key)?,
            (Self::Loss(_), _) => {
                let losses = ground.losses.ok_or_else(|| {
                    let label = "an expert scores the samples first";
                    StreamError::new(key, "the samples have no difficulty yet", label)
                })?;
                let places = ground.kept.iter().map(|&place| Whose::Place(place));
                places
                    .zip(losses.iter().map(|&l| Some(f64::from(l))))
                    .collect()
            }
            (Self::Length(_), Some(pool)) => each(&|place| length(pool, place)),
            (Self::Column(column), Some(pool)) => {
                let at = ground.column(&column.name, key)?;
                each(&|place| f64::from(pool.values(place)[at]))
            }
            (_, None) => Vec::new(),
        };
        Ok(Known { pool, all })
    }
}

fn given(ground: &Ground<'_>, key: &str) -> Result<Vec<(Whose, Option<f64>)>, StreamError> {
    let items = ground.items.filter(|items| !items.all.is_empty());
    let items = items.ok_or_else(|| {
        let message = "the data set does not say how hard its samples are";
        let label = "`of = \"loss\"`, `\"length\"`, or a column of a table";
        StreamError::new(key, message, label)
    })?;
    let all = items.all.iter();
    Ok(all
        .map(|item| (Whose::Class(item.class), item.difficulty))
        .collect())
}

/// Values of a sample that are not zero.
fn length(pool: &Samples, place: usize) -> f64 {
    let count = match pool.pairs() {
        Some(pairs) => {
            let query = pairs.of[place][0] as usize;
            pairs.corpus.queries().row(query).0.len()
        }
        None => pool.values(place).iter().filter(|v| **v != 0.0).count(),
    };
    count as f64
}

/// To what a difficulty belongs.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Whose {
    /// The training sample at a place.
    Place(u32),
    /// A class of the data, or none.
    Class(Option<u32>),
}

/// Difficulties of everything.
pub(super) struct Known<'a> {
    pool: Option<&'a Samples>,
    all: Vec<(Whose, Option<f64>)>,
}

impl Known<'_> {
    /// All of them.
    pub(super) fn all(&self) -> Vec<Option<f64>> {
        self.all.iter().map(|(_, difficulty)| *difficulty).collect()
    }

    /// Those of a task.
    pub(super) fn of(&self, task: &Task) -> Vec<Option<f64>> {
        let own = |whose: Whose| match (whose, &task.train) {
            (Whose::Place(place), members) => {
                let contain = |pool| members.contain(pool, place);
                self.pool.is_some_and(contain)
            }
            (Whose::Class(class), Members::Classes(flags)) => {
                class.is_some_and(|class| flags.get(class as usize) == Some(&true))
            }
            (Whose::Class(class), _) => class.is_some(),
        };
        let all = self.all.iter().filter(|(whose, _)| own(*whose));
        all.map(|(_, difficulty)| *difficulty).collect()
    }
}

impl Limits {
    /// The percentiles of all difficulties that are known.
    pub fn of(known: &[Option<f64>], percentiles: [Percentage; 2], endless: Endless) -> Self {
        let counts = |value: &f64| endless == Endless::Counted || value.is_finite();
        let mut sorted: Vec<f64> = known.iter().flatten().copied().filter(counts).collect();
        sorted.sort_by(f64::total_cmp);
        let [easy, medium] = percentiles.map(|percent| percentile(&sorted, percent.get()));
        Self { easy, medium }
    }

    /// How many of a task's samples are in each bin.
    pub fn bins(&self, samples: &[Option<f64>], unknown: Unknown) -> Bins {
        let mut bins = Bins::default();
        let mut lost = 0;
        for difficulty in samples {
            let bin = match difficulty {
                None => &mut lost,
                Some(value) if *value <= self.easy => &mut bins.easy,
                Some(value) if *value <= self.medium && value.is_finite() => &mut bins.medium,
                Some(_) => &mut bins.hard,
            };
            *bin += 1;
        }
        match unknown {
            Unknown::LeftOut => bins.left_out = lost,
            Unknown::Spread => {
                bins.easy += lost / 3 + u64::from(lost % 3 > 0);
                bins.medium += lost / 3 + u64::from(lost % 3 > 1);
                bins.hard += lost / 3;
            }
        }
        bins
    }
}

impl Bins {
    /// Samples that are in some bin.
    pub fn all(&self) -> u64 {
        self.easy + self.medium + self.hard
    }
}

/// The value that `percent` of ascending values do not exceed, with a straight line between two of them; without values 0.
fn percentile(sorted: &[f64], percent: f64) -> f64 {
    let Some(last) = sorted.len().checked_sub(1) else {
        return 0.0;
    };
    let at = last as f64 * percent / 100.0;
    let (below, above) = (sorted[at.floor() as usize], sorted[at.ceil() as usize]);
    match below == above {
        true => below,
        false => below + (above - below) * at.fract(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ENDLESS: Option<f64> = Some(f64::INFINITY);

    fn percent(values: [f64; 2]) -> [Percentage; 2] {
        values.map(|v| Percentage::new(v).unwrap())
    }

    fn limits(values: &[f64], endless: Endless) -> (f64, f64) {
        let values: Vec<_> = values.iter().copied().map(Some).collect();
        let found = Limits::of(&values, percent([50.0, 75.0]), endless);
        (found.easy, found.medium)
    }

    #[test]
    fn percentiles_lie_on_lines_between_values() {
        assert_eq!(percentile(&[1.0, 2.0, 3.0, 4.0], 50.0), 2.5);
        assert_eq!(percentile(&[1.0, 2.0], 33.0), 1.33);
        assert_eq!(percentile(&[7.0], 33.0), 7.0);
        assert_eq!(percentile(&[], 33.0), 0.0);
    }

    /// Steps 5 1 3 and two that nobody could do: apart, the median of 1 3 5 is 3; counted, that of 1 3 5 and two endless ones is
    /// 5, and the upper quartile is endless, so that it divides nothing.
    #[test]
    fn what_has_no_end_counts_or_not_and_is_hard() {
        let steps = [5.0, f64::INFINITY, 1.0, f64::INFINITY, 3.0];
        assert_eq!(limits(&steps, Endless::Apart), (3.0, 4.0));
        assert_eq!(limits(&steps, Endless::Counted), (5.0, f64::INFINITY));
        let found = Limits {
            easy: 5.0,
            medium: f64::INFINITY,
        };
        let bins = found.bins(&[Some(6.0), ENDLESS, Some(5.0)], Unknown::Spread);
        assert_eq!((bins.easy, bins.medium, bins.hard), (1, 1, 1));
    }

    /// Of eight unknown ones each bin has two; one more is easy, a second one medium.
    #[test]
    fn unknown_ones_are_spread_or_left_out() {
        let limits = Limits {
            easy: 2.0,
            medium: 8.0,
        };
        let mut samples = vec![Some(2.0), Some(8.0), Some(8.5), ENDLESS];
        samples.extend([None; 8]);
        let spread = limits.bins(&samples, Unknown::Spread);
        assert_eq!((spread.easy, spread.medium, spread.hard), (4, 4, 4));
        assert_eq!((spread.all(), spread.left_out), (12, 0));
        let known = limits.bins(&samples, Unknown::LeftOut);
        assert_eq!((known.easy, known.medium, known.hard), (1, 1, 2));
        assert_eq!((known.all(), known.left_out), (4, 8));
    }
}
