//! In which order the tasks of a stream come: curricula over tasks.

use super::{
    Ground, StreamError,
    designer::{Designer, Distance},
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
    /// By how hard an expert finds their samples. Kumarappan et al. 2025, LeanAgent.
    Difficulty(Difficulty),
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
pub struct Defined {}

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

/// By difficulty: a sample is easy if an expert's loss on it is not above the 33rd percentile of all training samples.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Difficulty {
    /// What makes a task easy; "count-easy" by default.
    #[serde(default)]
    pub by: Ease,
    /// Which task comes first: "easiest" (the default) or "hardest".
    #[serde(default)]
    pub first: End,
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

fn count(value: u64) -> Count {
    Count::new(value).expect("defaults are in range")
}

impl Default for TaskOrder {
    fn default() -> Self {
        Self::Defined(Defined {})
    }
}

impl TaskOrder {
    /// Whether an expert must score the samples first.
    pub fn needs_expert(&self) -> bool {
        matches!(self, Self::Difficulty(_))
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
            Self::Defined(_) => {}
            Self::Seeded(_) => shuffle(&mut order, rng),
            Self::Given(given) => order = given.of(tasks.len())?,
            Self::Difficulty(rule) => order = rule.of(tasks, ground)?,
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
    fn of(&self, tasks: &[Task], ground: &Ground<'_>) -> Result<Vec<u32>, StreamError> {
        let key = "order.difficulty";
        let pool = ground.pool(key)?;
        let losses = ground.losses.ok_or_else(|| {
            let label = "an expert scores the samples first";
            StreamError::new(key, "the samples have no difficulty yet", label)
        })?;
        let limit = percentile(losses, 33.0);
        let ease = |task: &Task| self.ease(&losses_of(task, pool, ground.kept, losses), limit);
        let eases: Vec<f64> = tasks.iter().map(ease).collect();
        if tasks.len() > 1 && eases.iter().all(|ease| *ease == eases[0]) {
            let message =
                "the tasks show the same samples, which are no harder in one than in another";
            let label = "an order by difficulty needs tasks of different samples";
            return Err(StreamError::new(key, message, label));
        }
        let mut order: Vec<u32> = (0..tasks.len() as u32).collect();
        order.sort_by(|&a, &b| {
            let easier = eases[b as usize].total_cmp(&eases[a as usize]);
            match self.first {
                End::Easiest => easier,
                End::Hardest => easier.reverse(),
            }
        });
        Ok(order)
    }

    /// High for easy tasks.
    fn ease(&self, losses: &[f32], limit: f64) -> f64 {
        let easy = losses.iter().filter(|l| f64::from(**l) <= limit).count() as f64;
        let all = losses.len().max(1) as f64;
        match self.by {
            Ease::CountEasy => easy,
            Ease::ShareEasy => easy / all,
            Ease::MeanLoss => -losses.iter().map(|l| f64::from(*l)).sum::<f64>() / all,
        }
    }
}

/// Losses of the samples of a task.
fn losses_of(task: &Task, pool: &Samples, kept: &[u32], losses: &[f32]) -> Vec<f32> {
    let all = kept.iter().zip(losses);
    let own = all.filter(|(place, _)| task.train.contain(pool, **place));
    own.map(|(_, loss)| *loss).collect()
}

/// The value that `percent` of the values do not exceed, with a straight line between two of them.
fn percentile(values: &[f32], percent: f64) -> f64 {
    let mut sorted: Vec<f64> = values.iter().map(|v| f64::from(*v)).collect();
    sorted.sort_by(f64::total_cmp);
    let Some(last) = sorted.len().checked_sub(1) else {
        return 0.0;
    };
    let at = last as f64 * percent / 100.0;
    let (below, above) = (sorted[at.floor() as usize], sorted[at.ceil() as usize]);
    below + (above - below) * at.fract()
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
    fn percentiles_lie_on_lines_between_values() {
        assert_eq!(percentile(&[4.0, 1.0, 3.0, 2.0], 50.0), 2.5);
        assert_eq!(percentile(&[1.0, 2.0], 33.0), 1.33);
        assert_eq!(percentile(&[7.0], 33.0), 7.0);
        assert_eq!(percentile(&[], 33.0), 0.0);
    }

    #[test]
    fn ease_counts_shares_or_averages() {
        let by = |by| Difficulty {
            by,
            ..Difficulty::default()
        };
        let losses = [0.1, 0.2, 2.0, 0.1];
        assert_eq!(by(Ease::CountEasy).ease(&losses, 0.2_f32.into()), 3.0);
        assert_eq!(by(Ease::ShareEasy).ease(&losses, 0.2_f32.into()), 0.75);
        assert!((by(Ease::MeanLoss).ease(&losses, 0.2) + 0.6).abs() < 1e-6);
    }
}
