//! Orders of samples, and the scores they go by.

use lyceum_core::{Stream, shuffle};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::cmp;
use std::collections::BTreeMap;

/// The order in which samples come into use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Order {
    /// Low scores first.
    Curriculum,
    /// High scores first.
    AntiCurriculum,
    /// A random order, drawn anew for each call.
    Random,
    /// As the samples come.
    #[default]
    Vanilla,
    /// Class after class.
    Blocked,
    /// One sample of each class in turn.
    Interleaved,
}

impl Order {
    /// Whether the order depends on scores.
    pub fn needs_scores(self) -> bool {
        matches!(self, Self::Curriculum | Self::AntiCurriculum)
    }
}

/// What a sample is scored by; low is easy.
///
/// Losses are cross entropies in nats, errors are 0 or 1. Before its first training a client has no
/// model of its own, and the global model's score stands for it ("both" is then the global one only).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Score {
    /// Loss under the global model as received.
    #[default]
    GlobalLoss,
    /// Loss under the model that the client trained last.
    LocalLoss,
    /// Sum of the global and the local loss.
    BothLosses,
    /// Loss under a model that was trained centrally on all samples.
    ExpertLoss,
    /// Whether the global model is wrong.
    GlobalError,
    /// Whether the client's last model is wrong.
    LocalError,
    /// How many of the global and the local model are wrong.
    BothErrors,
    /// Whether the expert is wrong.
    ExpertError,
}

impl Score {
    /// Whether the global model scores. Local scores need it too, before the first training.
    pub fn needs_global(self) -> bool {
        !self.needs_expert()
    }

    /// Whether the model that the client trained last scores.
    pub fn needs_local(self) -> bool {
        use Score::{BothErrors, BothLosses, LocalError, LocalLoss};
        matches!(self, LocalLoss | BothLosses | LocalError | BothErrors)
    }

    /// Whether the centrally trained expert scores.
    pub fn needs_expert(self) -> bool {
        matches!(self, Self::ExpertLoss | Self::ExpertError)
    }

    /// Whether the global and the local score are added.
    pub fn is_sum(self) -> bool {
        matches!(self, Self::BothLosses | Self::BothErrors)
    }

    /// Whether errors are counted instead of losses.
    pub fn is_error(self) -> bool {
        use Score::{BothErrors, ExpertError, GlobalError, LocalError};
        matches!(self, GlobalError | LocalError | BothErrors | ExpertError)
    }
}

/// All positions of `labels` in the given order. Only curriculum and anti-curriculum look at the
/// scores, only random draws; ties keep the order of the data, and samples without a score or with
/// NaN come last.
pub fn arrange(order: Order, scores: &[f32], labels: &[u32], rng: &mut Stream) -> Vec<u32> {
    let mut positions: Vec<u32> = (0..labels.len() as u32).collect();
    match order {
        Order::Vanilla => {}
        Order::Random => shuffle(&mut positions, rng),
        Order::Blocked => positions.sort_by_key(|&p| labels[p as usize]),
        Order::Interleaved => {
            let turns = turns(labels);
            positions.sort_by_key(|&p| (turns[p as usize], labels[p as usize]));
        }
        Order::Curriculum | Order::AntiCurriculum => {
            let mut scores = scores.to_vec();
            scores.resize(labels.len(), f32::NAN);
            return ranked(&scores, order == Order::AntiCurriculum);
        }
    }
    positions
}

/// For each sample, how many of its class come before it.
fn turns(labels: &[u32]) -> Vec<u32> {
    let mut seen = BTreeMap::new();
    let turn = |label| {
        let count = seen.entry(label).or_insert(0);
        *count += 1;
        *count - 1
    };
    labels.iter().map(turn).collect()
}

/// Positions by score, ascending or descending; ties by position, NaN last either way.
pub fn ranked(scores: &[f32], descending: bool) -> Vec<u32> {
    let compare = |a: f32, b: f32| {
        let order = a.partial_cmp(&b).unwrap_or(cmp::Ordering::Equal);
        let order = if descending { order.reverse() } else { order };
        a.is_nan().cmp(&b.is_nan()).then(order)
    };
    let mut positions: Vec<u32> = (0..scores.len() as u32).collect();
    positions.sort_by(|&a, &b| compare(scores[a as usize], scores[b as usize]));
    positions
}

#[cfg(test)]
mod tests {
    use super::*;
    use lyceum_core::{Purpose, Seed};

    fn arranged(order: Order, scores: &[f32], labels: &[u32]) -> Vec<u32> {
        arrange(order, scores, labels, &mut Seed(1).once(Purpose::ORDERING))
    }

    #[test]
    fn scores_sort_both_ways_with_ties_in_place_and_nan_last() {
        let scores = [2.0, f32::NAN, 0.0, -0.0, f32::INFINITY, 2.0];
        let labels = [0; 6];
        assert_eq!(
            arranged(Order::Curriculum, &scores, &labels),
            [2, 3, 0, 5, 4, 1]
        );
        assert_eq!(
            arranged(Order::AntiCurriculum, &scores, &labels),
            [4, 0, 5, 2, 3, 1]
        );
        assert_eq!(
            arranged(Order::Curriculum, &[1.0, 0.0], &labels),
            [1, 0, 2, 3, 4, 5]
        );
    }

    #[test]
    fn classes_come_in_blocks_or_in_turn() {
        let labels = [2, 0, 2, 1, 0, 2];
        assert_eq!(arranged(Order::Vanilla, &[], &labels), [0, 1, 2, 3, 4, 5]);
        assert_eq!(arranged(Order::Blocked, &[], &labels), [1, 4, 3, 0, 2, 5]);
        assert_eq!(
            arranged(Order::Interleaved, &[], &labels),
            [1, 3, 0, 4, 2, 5]
        );
    }

    #[test]
    fn random_is_a_permutation_that_differs_from_call_to_call() {
        let (labels, mut rng) = ([0; 30], Seed(1).once(Purpose::ORDERING));
        let mut draw = || arrange(Order::Random, &[], &labels, &mut rng);
        let (first, second) = (draw(), draw());
        assert_ne!(first, second);
        let mut sorted = first;
        sorted.sort_unstable();
        assert!(sorted.into_iter().eq(0..30));
    }

    #[test]
    fn no_samples_give_no_positions() {
        use Order::*;
        for order in [
            Curriculum,
            AntiCurriculum,
            Random,
            Vanilla,
            Blocked,
            Interleaved,
        ] {
            assert!(arranged(order, &[], &[]).is_empty());
        }
    }

    #[test]
    fn scores_say_which_models_they_need() {
        assert!(Score::LocalLoss.needs_global() && Score::LocalLoss.needs_local());
        assert!(Score::BothErrors.needs_local() && Score::BothErrors.is_sum());
        assert!(Score::ExpertError.needs_expert() && !Score::ExpertError.needs_global());
        assert!(Score::ExpertError.is_error() && !Score::ExpertLoss.is_error());
        assert!(!Score::GlobalLoss.needs_local());
    }
}
