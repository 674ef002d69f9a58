//! In which order the tasks of a stream come: curricula over tasks.

use super::{
    Ground, StreamError,
    designer::{Designer, Distance},
    difficulty::{Endless, Hardness, Limits, Unknown},
};
use lyceum_core::{
    Samples, Stream, Task, shuffle,
    units::{Count, Misfit, Percentage},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The order of tasks.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TaskOrder {
    /// As the stream defines them.
    Defined(Defined),
    /// Drawn from the seed.
    Seeded(Seeded),
    /// Listed by position in the stream's definition.
    Given(Given),
    /// By how hard their samples are. Kumarappan et al. 2025, LeanAgent.
    Difficulty(Difficulty),
    /// By how many samples they have.
    Size(Size),
    /// By how far they lie apart. Singh et al. 2023, the Curriculum Designer.
    Designed(Designed),
    /// Each several times in a row: A A B B.
    Blocked(Repeats),
    /// All several times in turn: A B A B.
    Interleaved(Repeats),
}

/// As the stream defines them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Defined {
    /// The last one first; false by default.
    #[serde(default, skip_serializing_if = "is_false")]
    pub reversed: bool,
}

/// Drawn from the seed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Seeded {}

/// Listed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Given {
    /// Positions in the stream's definition, from 0. A task may come again; one that is left out never comes.
    pub tasks: Vec<u32>,
}

/// By difficulty: a sample is easy up to the 33rd percentile of all that is known, medium up to the 67th, and hard beyond.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Difficulty {
    /// What makes a task easy; "count-easy" by default.
    #[serde(default)]
    pub by: Ease,
    /// Which task comes first: "easiest" (the default) or "hardest".
    #[serde(default)]
    pub first: End,
    /// What says how hard a sample is; "loss" by default, an expert's.
    #[serde(default, skip_serializing_if = "is_default")]
    pub of: Hardness,
    /// Up to which percentiles samples are easy, and medium; 33 and 67 by default.
    #[serde(default = "thirds", skip_serializing_if = "are_thirds")]
    pub percentiles: [Percentage; 2],
    /// Whether what nobody could do has a part in the percentiles: "apart" (the default) or "counted".
    #[serde(default, skip_serializing_if = "is_default")]
    pub endless: Endless,
    /// What becomes of samples of unknown difficulty: "spread" (the default) or "left-out".
    #[serde(default, skip_serializing_if = "is_default")]
    pub unknown: Unknown,
}

/// By size.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Size {
    /// Which task comes first: "largest" (the default) or "smallest".
    #[serde(default)]
    pub first: Extent,
}

/// Which end of an order by size comes first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Extent {
    /// The task with the most training samples.
    #[default]
    Largest,
    /// The task with the fewest.
    Smallest,
}

/// What makes a task easy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Ease {
    /// Its number of easy samples: large tasks come first, too.
    #[default]
    CountEasy,
    /// Its share of easy samples.
    ShareEasy,
    /// A low mean of the expert's losses.
    MeanLoss,
    /// A low mean of the difficulties that are known and have an end.
    Mean,
}

/// Which end of an order comes first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum End {
    /// The easiest task.
    #[default]
    Easiest,
    /// The hardest task.
    Hardest,
}

/// By distance: the designer's ranking of orders. Features are the samples' values as the tasks show them.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Designed {
    /// Distance between the mean features of two tasks; "cosine" by default.
    pub distance: Distance,
    /// Samples of each class that a task's mean is taken over, at most; 500 by default.
    pub samples: Count,
    /// Orders that are ranked: all where there are no more, else so many drawn from the seed; 40,320 by default, all of
    /// up to 8 tasks.
    pub orders: Count,
    /// Place in the ranking: 0, the default, is the best order.
    pub rank: u32,
    /// Percentile of the scores, instead of a rank: 100 is the best order, 0 the worst.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub percentile: Option<Percentage>,
}

/// Several times.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Repeats {
    /// Visits of each task; 2 by default.
    pub repeats: Count,
}

impl Default for Repeats {
    fn default() -> Self {
        Self { repeats: count(2) }
    }
}

impl Default for Designed {
    fn default() -> Self {
        Self {
            distance: Distance::default(),
            samples: count(500),
            orders: count(40_320),
            rank: 0,
            percentile: None,
        }
    }
}

impl Default for Difficulty {
    fn default() -> Self {
        Self {
            by: Ease::default(),
            first: End::default(),
            of: Hardness::default(),
            percentiles: thirds(),
            endless: Endless::default(),
            unknown: Unknown::default(),
        }
    }
}

fn thirds() -> [Percentage; 2] {
    [33.0, 67.0].map(|percent| Percentage::new(percent).expect("defaults are in range"))
}

fn are_thirds(percentiles: &[Percentage; 2]) -> bool {
    *percentiles == thirds()
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

fn is_false(value: &bool) -> bool {
    !value
}

fn count(value: u64) -> Count {
    Count::new(value).expect("defaults are in range")
}

impl Default for TaskOrder {
    fn default() -> Self {
        Self::Defined(Defined::default())
    }
}

impl TaskOrder {
    /// Whether an expert must score the samples first.
    pub fn needs_expert(&self) -> bool {
        matches!(
            self,
            Self::Difficulty(Difficulty {
                of: Hardness::Loss(_),
                ..
            })
        )
    }

    /// Keys that are in range each, but do not go together.
    pub fn misfit(&self) -> Option<Misfit> {
        match self {
            Self::Designed(designed) if designed.percentile.is_some() && designed.rank > 0 => {
                Some(Misfit {
                    key: "designed.rank".into(),
                    message: "both `rank` and `percentile` are given".into(),
                    expected: "keep only one of them".into(),
                })
            }
            Self::Difficulty(rule) => rule.misfit(),
            _ => None,
        }
    }

    /// The tasks by position. Errors name keys beside the order's own.
    pub(crate) fn of(
        &self,
        tasks: &[Task],
        ground: &Ground<'_>,
        rng: &mut Stream,
    ) -> Result<Vec<u32>, StreamError> {
        let mut order: Vec<u32> = (0..tasks.len() as u32).collect();
        let repeated = match self {
            Self::Blocked(rule) => Some(("order.blocked.repeats", rule)),
            Self::Interleaved(rule) => Some(("order.interleaved.repeats", rule)),
            _ => None,
        };
        if let Some((key, rule)) = repeated {
            few_visits(key, tasks.len(), rule.repeats.get())?;
        }
        match self {
            Self::Defined(defined) if defined.reversed => order.reverse(),
            Self::Defined(_) => {}
            Self::Seeded(_) => shuffle(&mut order, rng),
            Self::Given(given) => order = given.of(tasks.len())?,
            Self::Difficulty(rule) => order = rule.of(tasks, ground)?,
            Self::Size(rule) => order = rule.of(tasks, ground)?,
            Self::Designed(rule) => order = rule.of(tasks, ground, rng)?,
            Self::Blocked(rule) => {
                let each = |task| std::iter::repeat_n(task, rule.repeats.get());
                order = order.into_iter().flat_map(each).collect();
            }
            Self::Interleaved(rule) => order = order.repeat(rule.repeats.get()),
        }
        Ok(order)
    }
}

/// Visits of tasks, at most: each takes a round or more.
const MOST_VISITS: usize = 1 << 20;

/// Refuses more visits than memory should hold.
pub(super) fn few_visits(key: &str, tasks: usize, repeats: usize) -> Result<(), StreamError> {
    let visits = tasks.saturating_mul(repeats);
    if visits <= MOST_VISITS {
        return Ok(());
    }
    let message = format!("{tasks} tasks that come {repeats} times each are too many visits");
    let label = format!("at most {} times", MOST_VISITS / tasks.max(1));
    Err(StreamError::new(key, message, label))
}

impl Given {
    fn of(&self, tasks: usize) -> Result<Vec<u32>, StreamError> {
        let refuse = |message| {
            let label = "positions in the stream's definition, from 0";
            Err(StreamError::new("order.given.tasks", message, label))
        };
        if self.tasks.is_empty() {
            return refuse("the list is empty".into());
        }
        match self.tasks.iter().find(|t| **t as usize >= tasks) {
            None => Ok(self.tasks.clone()),
            Some(beyond) => refuse(format!(
                "there is no task {beyond}: there are {tasks}, from 0"
            )),
        }
    }
}

impl Difficulty {
    fn misfit(&self) -> Option<Misfit> {
        let refuse = |key: &str, message: &str, expected: &str| {
            Some(Misfit {
                key: format!("difficulty.{key}"),
                message: message.into(),
                expected: expected.into(),
            })
        };
        let [easy, medium] = self.percentiles.map(Percentage::get);
        match self {
            _ if easy > medium => refuse(
                "percentiles",
                "what is easy would be harder than what is medium",
                "the smaller percentile first, such as [33, 67]",
            ),
            Self {
                by: Ease::MeanLoss,
                of,
                ..
            } if *of != Hardness::default() => refuse(
                "by",
                "there are no losses: something else says how hard a sample is",
                "\"mean\", \"count-easy\" or \"share-easy\"",
            ),
            _ => None,
        }
    }

    fn of(&self, tasks: &[Task], ground: &Ground<'_>) -> Result<Vec<u32>, StreamError> {
        let key = "order.difficulty";
        let known = self.of.of(ground, key)?;
        let limits = Limits::of(&known.all(), self.percentiles, self.endless);
        let ease = |task: &Task| self.ease(&known.of(task), limits);
        let eases: Vec<f64> = tasks.iter().map(ease).collect();
        if tasks.len() > 1 && eases.iter().all(|ease| *ease == eases[0]) {
            let message =
                "the tasks show the same samples, which are no harder in one than in another";
            let label = "an order by difficulty needs tasks of different samples";
            return Err(StreamError::new(key, message, label));
        }
        Ok(descending(&eases, self.first == End::Hardest))
    }

    /// High for easy tasks.
    fn ease(&self, samples: &[Option<f64>], limits: Limits) -> f64 {
        let bins = limits.bins(samples, self.unknown);
        match self.by {
            Ease::CountEasy => bins.easy as f64,
            Ease::ShareEasy => bins.easy as f64 / bins.all().max(1) as f64,
            Ease::MeanLoss | Ease::Mean => {
                let ended = samples.iter().flatten().filter(|value| value.is_finite());
                let (count, sum) = ended.fold((0, 0.0), |(n, sum), value| (n + 1, sum + value));
                -sum / f64::from(count.max(1))
            }
        }
    }
}

/// Places of values, the highest first unless reversed; of equal ones the first.
fn descending(values: &[f64], reversed: bool) -> Vec<u32> {
    let mut order: Vec<u32> = (0..values.len() as u32).collect();
    order.sort_by(|&a, &b| {
        let higher = values[b as usize].total_cmp(&values[a as usize]);
        match reversed {
            false => higher,
            true => higher.reverse(),
        }
    });
    order
}

impl Size {
    fn of(&self, tasks: &[Task], ground: &Ground<'_>) -> Result<Vec<u32>, StreamError> {
        let pool = ground.pool("order.size")?;
        let size = |task: &Task| {
            let own = ground.kept.iter();
            own.filter(|place| task.train.contain(pool, **place))
                .count() as f64
        };
        let sizes: Vec<f64> = tasks.iter().map(size).collect();
        Ok(descending(&sizes, self.first == Extent::Smallest))
    }
}

impl Designed {
    fn of(
        &self,
        tasks: &[Task],
        ground: &Ground<'_>,
        rng: &mut Stream,
    ) -> Result<Vec<u32>, StreamError> {
        let pool = ground.pool("order.designed")?;
        let means: Vec<_> = tasks.iter().map(|t| self.mean(t, pool, ground)).collect();
        let designer = Designer::new(&means, self.distance).ok_or_else(|| {
            let label = "such an order needs tasks that look different";
            StreamError::new("order.designed", "two tasks look the same", label)
        })?;
        let mut ranking = designer.ranking(self.orders.get(), rng);
        let last = ranking.len() - 1;
        let at = match self.percentile {
            None => self.rank as usize,
            Some(p) => ((1.0 - p.get() / 100.0) * last as f64).round() as usize,
        };
        if at > last {
            let message = format!("only {} orders are ranked", last + 1);
            let label = "a smaller rank, from 0";
            return Err(StreamError::new("order.designed.rank", message, label));
        }
        Ok(ranking.swap_remove(at).1)
    }

    /// Mean of a task's samples as it shows them, over the first ones of each class.
    fn mean(&self, task: &Task, pool: &Samples, ground: &Ground<'_>) -> Vec<f64> {
        let mut taken = vec![0; pool.classes];
        let (mut sum, mut spare) = (vec![0.0; pool.width()], Vec::new());
        for &place in ground.kept {
            let taken = &mut taken[pool.labels[place as usize] as usize];
            if *taken >= self.samples.get() || !task.train.contain(pool, place) {
                continue;
            }
            *taken += 1;
            let mut values = pool.values(place as usize);
            task.lens.apply(place as usize, &mut values, &mut spare);
            let sums = sum.iter_mut().zip(values);
            sums.for_each(|(s, v)| *s += f64::from(v));
        }
        let all = taken.iter().sum::<usize>().max(1) as f64;
        sum.iter_mut().for_each(|s| *s /= all);
        sum
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ease_counts_shares_or_averages() {
        let by = |by| Difficulty {
            by,
            ..Difficulty::default()
        };
        let limits = Limits {
            easy: 0.2,
            medium: 1.0,
        };
        let losses = [0.1, 0.2, 2.0, 0.1].map(Some);
        assert_eq!(by(Ease::CountEasy).ease(&losses, limits), 3.0);
        assert_eq!(by(Ease::ShareEasy).ease(&losses, limits), 0.75);
        assert!((by(Ease::MeanLoss).ease(&losses, limits) + 0.6).abs() < 1e-9);
        let some = [Some(1.0), Some(3.0), Some(f64::INFINITY), None, None];
        assert_eq!(by(Ease::Mean).ease(&some, limits), -2.0);
        assert_eq!(by(Ease::CountEasy).ease(&some, limits), 1.0);
    }

    #[test]
    fn of_equal_tasks_the_first_stays_first() {
        assert_eq!(descending(&[1.0, 3.0, 1.0, 2.0], false), [1, 3, 0, 2]);
        assert_eq!(descending(&[1.0, 3.0, 1.0, 2.0], true), [0, 2, 3, 1]);
    }
}
