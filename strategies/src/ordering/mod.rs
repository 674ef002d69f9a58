//! Which local samples a client trains on, in which order and with which weight.
//!
//! Pure functions and closed choices: scores come in as numbers, positions and sizes go out.

mod cycle;
mod order;
mod pace;
mod weighting;

pub use cycle::{Cyclical, cycle_weights};
pub use order::{Order, Score, arrange, ranked};
pub use pace::{AllAtOnce, Pace, Ramp};
pub use weighting::{Weighting, WeightingScore};

use crate::sampling::weighted_sample;
use lyceum_core::{
    Round, Stream,
    units::{Count, Misfit},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Orders a client's samples by their scores and trains on a growing part of that order, anew in
/// every local training call (Vahidian et al. 2023, data curriculum; with the pace "cyclical",
/// Kesgin & Amasyali 2022).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Ordering {
    /// The order of the samples; default "vanilla", as they come.
    pub order: Order,
    /// What curriculum and anti-curriculum sort by; default "global-loss".
    pub score: Score,
    /// How much of the order is in use at each step; default all of it. The order "vanilla" has no pace.
    pub pace: Pace,
    /// Number of samples below which the pace never goes, as far as the client has them; 1 or above;
    /// default 32.
    pub floor: Count,
    /// Weights of the samples in the loss; default none.
    pub weighting: Option<Weighting>,
}

impl Default for Ordering {
    fn default() -> Self {
        Self {
            order: Order::default(),
            score: Score::default(),
            pace: Pace::default(),
            floor: Count::new(32).expect("defaults are in range"),
            weighting: None,
        }
    }
}

impl Ordering {
    /// Keys that are in range each, but do not go together.
    pub fn misfit(&self) -> Option<Misfit> {
        let Pace::Cyclical(cycle) = &self.pace else {
            return None;
        };
        let (start, end) = (cycle.start.get(), cycle.end.get());
        if start > end {
            return Some(Misfit {
                key: "pace.cyclical.start".into(),
                message: format!("a cycle that starts above its end: {start} > {end}"),
                expected: format!("at most pace.cyclical.end = {end}"),
            });
        }
        (cycle.factor.get() >= 1.0).then(|| Misfit {
            key: "pace.cyclical.factor".into(),
            message: "a cycle that never grows".into(),
            expected: "a factor below 1".into(),
        })
    }

    /// The scores that [`arrange`](Self::arrange) needs, if any.
    pub fn sorts_by(&self) -> Option<Score> {
        self.order.needs_scores().then_some(self.score)
    }

    /// Whether the losses of the global model are needed, for the order or for the weights.
    pub fn needs_global(&self) -> bool {
        self.needs(Score::needs_global)
    }

    /// Whether the model that the client trained last is needed.
    pub fn needs_local(&self) -> bool {
        self.needs(Score::needs_local)
    }

    /// Whether the centrally trained expert is needed, for the order or for the weights.
    pub fn needs_expert(&self) -> bool {
        self.needs(Score::needs_expert)
    }

    fn needs(&self, what: fn(Score) -> bool) -> bool {
        let weighting = self.weighting.as_ref().map(|w| w.by.score());
        self.sorts_by().is_some_and(what) || weighting.is_some_and(what)
    }

    /// All positions, in the order in which they come into use: a call trains on the first
    /// [`size`](Self::size) of them.
    ///
    /// With the pace "cyclical", curriculum and anti-curriculum draw by weight instead of sorting;
    /// the first `k` positions are then a weighted sample of `k` without replacement.
    pub fn arrange(&self, scores: &[f32], labels: &[u32], rng: &mut Stream) -> Vec<u32> {
        let drawn = matches!(self.pace, Pace::Cyclical(_)) && self.order.needs_scores();
        if drawn {
            let mut weights = cycle_weights(self.order, scores);
            weights.resize(labels.len(), 0.0);
            weighted_sample(&weights, labels.len(), rng)
        } else {
            arrange(self.order, scores, labels, rng)
        }
    }

    /// How many of `n` samples are in use after `t` of `total` steps of a call in `round`: the pace,
    /// but at least the floor (which does not hold for cycles), and never more than `n`.
    pub fn size(&self, t: f64, total: f64, round: Round, n: usize) -> usize {
        let size = self.pace.size(t, total, round, n);
        match self.pace {
            Pace::Cyclical(_) => size,
            _ => size.max(self.floor.get()).min(n),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lyceum_core::{Purpose, Seed};

    fn rng() -> Stream {
        Seed(1).once(Purpose::ORDERING)
    }

    fn linear() -> Ordering {
        Ordering {
            order: Order::Curriculum,
            pace: Pace::Linear(Ramp::default()),
            ..Ordering::default()
        }
    }

    #[test]
    fn the_floor_holds_as_far_as_there_are_samples() {
        let size = |t, n| linear().size(t, 100.0, Round(0), n);
        assert_eq!(size(0.0, 100), 32);
        assert_eq!(size(0.0, 1000), 200);
        assert_eq!(size(0.0, 20), 20);
        assert_eq!(size(0.0, 0), 0);
        assert_eq!(size(80.0, 1000), 1000);
    }

    #[test]
    fn what_is_needed_follows_from_order_and_weighting() {
        let plain = Ordering::default();
        assert_eq!(plain.sorts_by(), None);
        assert!(!plain.needs_global() && !plain.needs_local() && !plain.needs_expert());
        let both = Ordering {
            score: Score::BothLosses,
            ..linear()
        };
        assert!(both.needs_global() && both.needs_local() && !both.needs_expert());
        let weighting = Weighting {
            by: WeightingScore::ExpertLoss,
            ..Weighting::default()
        };
        let weighted = Ordering {
            weighting: Some(weighting),
            ..Ordering::default()
        };
        assert!(weighted.needs_expert() && !weighted.needs_global());
        assert_eq!(weighted.sorts_by(), None);
    }

    #[test]
    fn cyclical_curriculum_draws_easy_samples_first_but_not_always() {
        let ordering = Ordering {
            order: Order::Curriculum,
            pace: Pace::Cyclical(Cyclical::default()),
            ..Ordering::default()
        };
        let (scores, labels) = ([0.1, 1.0, 1.0, 1.0], [0; 4]);
        let mut rng = rng();
        let firsts = (0..1300).map(|_| ordering.arrange(&scores, &labels, &mut rng)[0]);
        let easy = firsts.filter(|&f| f == 0).count();
        // Weights 10, 1, 1, 1: 10 / 13 of 1300.
        assert!(easy.abs_diff(1000) < 75, "{easy}");
        let missing = ordering.arrange(&[], &labels, &mut rng);
        assert_eq!(missing.len(), 4);
    }
}
