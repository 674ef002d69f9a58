//! Clients in the order of their difficulty.

use super::at_most;
use crate::ordering::{Pace, Ramp, ranked};
use lyceum_core::{ClientId, ClientSelector, Roster, Round, Stream, shuffle, units::Count};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;

/// Ranks all clients by how hard their samples are for the global model and draws from a growing
/// part of that ranking (Vahidian et al. 2023, client curriculum).
///
/// When the pool is empty, all clients are scored, the first of the ranking (as many as the pace
/// says) become the pool, and the pool is shuffled and cut into rounds until it is used up; its last
/// round may be smaller. The pace runs over client updates, of which a run has `rounds * per_round`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Difficulty {
    /// Number of clients per round, 1 or above; must be given.
    pub per_round: Count,
    /// Who comes first; default "curriculum".
    #[serde(default)]
    pub order: ClientOrder,
    /// What share of the ranking is in the pool; default linear, from 0.2, full after 0.8 of the run.
    #[serde(default = "default_pace")]
    pub pace: Pace,
    /// What a client is ranked by; default "loss".
    #[serde(default)]
    pub score: ClientScore,
}

/// Which clients come first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ClientOrder {
    /// Low scores first.
    #[default]
    Curriculum,
    /// High scores first.
    AntiCurriculum,
    /// A random order with the same pace; nobody is scored.
    Random,
}

/// What a client is ranked by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ClientScore {
    /// Mean loss of the client's samples under the global model.
    #[default]
    Loss,
}

/// Who is waiting for a turn.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pool {
    /// Client updates of the whole run.
    pub budget: u64,
    /// Client updates so far.
    pub done: u64,
    /// The rest of the pool, next first.
    pub queue: VecDeque<ClientId>,
}

fn default_pace() -> Pace {
    Pace::Linear(Ramp::default())
}

impl Difficulty {
    /// The defaults.
    pub fn new(per_round: Count) -> Self {
        Self {
            per_round,
            order: ClientOrder::default(),
            pace: default_pace(),
            score: ClientScore::default(),
        }
    }

    /// All clients, first of the ranking first. Those without a score come last.
    fn ranking(&self, clients: u64, scores: &[(ClientId, f32)], rng: &mut Stream) -> Vec<ClientId> {
        if self.order == ClientOrder::Random || scores.is_empty() {
            let mut everybody: Vec<_> = (0..clients).map(ClientId).collect();
            shuffle(&mut everybody, rng);
            return everybody;
        }
        let losses: Vec<f32> = scores.iter().map(|s| s.1).collect();
        let descending = self.order == ClientOrder::AntiCurriculum;
        let positions = ranked(&losses, descending);
        positions.iter().map(|&p| scores[p as usize].0).collect()
    }
}

impl ClientSelector for Difficulty {
    type State = Pool;

    fn init(&self, roster: &dyn Roster, rounds: u64) -> Pool {
        Pool {
            budget: rounds.saturating_mul(self.cohort(roster) as u64),
            done: 0,
            queue: VecDeque::new(),
        }
    }

    fn cohort(&self, roster: &dyn Roster) -> usize {
        at_most(self.per_round, roster)
    }

    fn bound_to_rounds(&self) -> Vec<&'static str> {
        self.pace.is_ramp().then_some("pace").into_iter().collect()
    }

    fn wants_scores(
        &self,
        pool: &mut Pool,
        roster: &dyn Roster,
        _: Round,
        _: &mut Stream,
    ) -> Option<Vec<ClientId>> {
        let wanted = pool.queue.is_empty() && self.order != ClientOrder::Random;
        wanted.then(|| (0..roster.clients()).map(ClientId).collect())
    }

    fn select(
        &self,
        pool: &mut Pool,
        roster: &dyn Roster,
        round: Round,
        scores: &[(ClientId, f32)],
        rng: &mut Stream,
    ) -> Vec<ClientId> {
        if pool.queue.is_empty() {
            let mut ranking = self.ranking(roster.clients(), scores, rng);
            let (done, budget) = (pool.done as f64, pool.budget as f64);
            ranking.truncate(self.pace.size(done, budget, round, ranking.len()));
            shuffle(&mut ranking, rng);
            pool.queue = ranking.into();
        }
        let amount = self.per_round.get().min(pool.queue.len());
        pool.done += amount as u64;
        pool.queue.drain(..amount).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::{super::tests::*, *};

    /// Ten clients, two per round, ten rounds: a budget of 20, and g(t) = 2 + 8 t / 16.
    /// t = 0: pool of 2, one round. t = 2: 3, rounds of 2 and 1. t = 5: 4.5, so 4: two rounds.
    /// t = 9: 6.5, so 6: three rounds. t = 15: 9.5, so 9: rounds of 2, 2, ...
    fn trace(order: ClientOrder) -> Vec<(usize, Vec<ClientId>)> {
        let rule = Difficulty {
            order,
            ..Difficulty::new(count(2))
        };
        let roster = Sizes(vec![1; 10]);
        let mut state = rule.init(&roster, 10);
        (0..10)
            .map(|round| {
                let mut rng = stream(round);
                let wanted = rule.wants_scores(&mut state, &roster, Round(round), &mut rng);
                let wanted = wanted.unwrap_or_default();
                let scores: Vec<_> = wanted.iter().map(|&c| (c, -(c.0 as f32))).collect();
                let cohort = rule.select(&mut state, &roster, Round(round), &scores, &mut rng);
                (wanted.len(), cohort)
            })
            .collect()
    }

    fn members(rounds: &[(usize, Vec<ClientId>)]) -> Vec<u64> {
        let mut ids: Vec<u64> = rounds
            .iter()
            .flat_map(|r| r.1.iter().map(|c| c.0))
            .collect();
        ids.sort_unstable();
        ids
    }

    #[test]
    fn the_pool_grows_and_is_used_up_before_it_is_scored_again() {
        let rounds = trace(ClientOrder::Curriculum);
        let sizes: Vec<usize> = rounds.iter().map(|r| r.1.len()).collect();
        assert_eq!(sizes, [2, 2, 1, 2, 2, 2, 2, 2, 2, 2]);
        let scored: Vec<usize> = rounds.iter().map(|r| r.0).collect();
        assert_eq!(scored, [10, 10, 0, 10, 0, 10, 0, 0, 10, 0]);
        // Scores fall with the id, so the easiest clients are the last.
        assert_eq!(members(&rounds[..1]), [8, 9]);
        assert_eq!(members(&rounds[1..3]), [7, 8, 9]);
        assert_eq!(members(&rounds[3..5]), [6, 7, 8, 9]);
        assert_eq!(members(&rounds[5..8]), [4, 5, 6, 7, 8, 9]);
    }

    #[test]
    fn anti_curriculum_begins_at_the_other_end() {
        let rounds = trace(ClientOrder::AntiCurriculum);
        assert_eq!(members(&rounds[..1]), [0, 1]);
        assert_eq!(members(&rounds[5..8]), [0, 1, 2, 3, 4, 5]);
    }

    #[test]
    fn random_has_the_same_pace_and_scores_nobody() {
        let rounds = trace(ClientOrder::Random);
        let sizes: Vec<usize> = rounds.iter().map(|r| r.1.len()).collect();
        assert_eq!(sizes, [2, 2, 1, 2, 2, 2, 2, 2, 2, 2]);
        assert!(rounds.iter().all(|r| r.0 == 0));
    }

    #[test]
    fn clients_without_a_loss_come_last_at_both_ends() {
        let scores = [f32::NAN, 1.0, 3.0].map(|s| (ClientId(s as u64), s));
        for order in [ClientOrder::Curriculum, ClientOrder::AntiCurriculum] {
            let rule = Difficulty {
                order,
                ..Difficulty::new(count(2))
            };
            let ranking = rule.ranking(3, &scores, &mut stream(0));
            assert_eq!(ranking.last(), Some(&ClientId(0)));
        }
    }
}
