//! Clients in the order of their difficulty.

use super::at_most;
use crate::ordering::{Pace, Ramp, ranked};
use lyceum_core::{ClientId, ClientSelector, Roster, Round, Stream, shuffle, units::Count};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeSet, VecDeque};

/// Ranks all clients by how hard their samples are for the global model and draws from a growing
/// part of that ranking (Vahidian et al. 2023, client curriculum).
///
/// When the pool is empty, all clients are scored, the first of the ranking (as many as the pace
/// says) become the pool, and the pool is shuffled and cut into rounds until it is used up; its last
/// round may be smaller. The pace runs over client updates done, of `rounds * per_round`.
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
    /// What ends the run; default "rounds".
    #[serde(default, skip_serializing_if = "Budget::is_default")]
    pub budget: Budget,
}

/// What ends a run in which some rounds are smaller than `per_round`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Budget {
    /// `run.rounds` rounds; small ones are not made up for.
    #[default]
    Rounds,
    /// `run.rounds * per_round` client updates (Vahidian et al. 2023), in as many rounds as that takes; the last round is
    /// cut so that none is done beyond it.
    Updates,
}

impl Budget {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
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
            budget: Budget::default(),
        }
    }

    /// How many of `clients` become the pool that is opened in `round`.
    fn pool(&self, done: u64, budget: u64, round: Round, clients: usize) -> usize {
        self.pace.size(done as f64, budget as f64, round, clients)
    }

    /// How many of a pool's `waiting` clients make the next round.
    fn next(&self, done: u64, budget: u64, waiting: usize) -> usize {
        let amount = self.per_round.get().min(waiting);
        match self.budget {
            Budget::Rounds => amount,
            Budget::Updates => amount.min(budget.saturating_sub(done) as usize),
        }
    }

    /// Clients that cannot be scored now, in no order that means something: they keep the pool's size, and so the number
    /// of rounds, as the pace says it. The round's draw replaces those that are absent.
    fn fill(&self, ranking: &mut Vec<ClientId>, clients: u64) {
        if self.budget == Budget::Rounds || ranking.len() as u64 >= clients {
            return;
        }
        let there: BTreeSet<ClientId> = ranking.iter().copied().collect();
        let others = (0..clients).map(ClientId).filter(|c| !there.contains(c));
        ranking.extend(others);
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
        let paced = self.pace.is_ramp().then_some("pace");
        let budgeted = (self.budget == Budget::Updates).then_some("budget");
        paced.into_iter().chain(budgeted).collect()
    }

    fn rounds(&self, roster: &dyn Roster, rounds: u64) -> Option<u64> {
        if self.budget == Budget::Rounds {
            return None;
        }
        let clients = usize::try_from(roster.clients()).unwrap_or(usize::MAX);
        let budget = self.init(roster, rounds).budget;
        let (mut done, mut waiting, mut round) = (0, 0, 0);
        while done < budget {
            if waiting == 0 {
                waiting = self.pool(done, budget, Round(round), clients);
            }
            let amount = self.next(done, budget, waiting);
            waiting -= amount;
            done += amount as u64;
            round += 1;
        }
        Some(round)
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
            self.fill(&mut ranking, roster.clients());
            ranking.truncate(self.pool(pool.done, pool.budget, round, ranking.len()));
            shuffle(&mut ranking, rng);
            pool.queue = ranking.into();
        }
        let amount = self.next(pool.done, pool.budget, pool.queue.len());
        pool.done += amount as u64;
        pool.queue.drain(..amount).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::{super::tests::*, *};
    use lyceum_core::units::{Fraction, PositiveFraction};
    use proptest::prelude::{prop_assert, prop_assert_eq, proptest};

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

    /// By hand: the first ten rounds do 19 of 20 updates, and three clients of the last pool wait, so an eleventh round
    /// of one client follows.
    #[test]
    fn a_budget_of_updates_is_used_up_whatever_the_order() {
        for order in [
            ClientOrder::Curriculum,
            ClientOrder::AntiCurriculum,
            ClientOrder::Random,
        ] {
            let rule = Difficulty {
                order,
                budget: Budget::Updates,
                ..Difficulty::new(count(2))
            };
            let roster = Sizes(vec![1; 10]);
            assert_eq!(ClientSelector::rounds(&rule, &roster, 10), Some(11));
            let sizes = played(&rule, &roster, 10, |_| true);
            assert_eq!(sizes, [2, 2, 1, 2, 2, 2, 2, 2, 2, 2, 1]);
        }
        let rule = Difficulty::new(count(2));
        assert_eq!(ClientSelector::rounds(&rule, &Sizes(vec![1; 10]), 10), None);
    }

    /// Plays as many rounds as a rule says; clients that are not `there` have no score. The sizes of the rounds.
    fn played(
        rule: &Difficulty,
        roster: &Sizes,
        rounds: u64,
        there: fn(&ClientId) -> bool,
    ) -> Vec<usize> {
        let mut state = rule.init(roster, rounds);
        let one = |round| {
            let mut rng = stream(round);
            let wanted = rule.wants_scores(&mut state, roster, Round(round), &mut rng);
            let wanted = wanted.unwrap_or_default().into_iter().filter(there);
            let scores: Vec<_> = wanted.map(|c| (c, (c.0 % 7) as f32)).collect();
            rule.select(&mut state, roster, Round(round), &scores, &mut rng)
                .len()
        };
        let rounds = ClientSelector::rounds(rule, roster, rounds).unwrap();
        (0..rounds).map(one).collect()
    }

    proptest! {
        #[test]
        fn as_many_rounds_as_were_foretold_use_up_exactly_the_budget(
            clients in 1_usize..60, per_round in 1_u64..20, rounds in 1_u64..40,
            start in 0.0_f64..=1.0, full_at in 0.01_f64..=1.0, half_absent: bool, order in 0_usize..3,
        ) {
            let ramp = Ramp {
                start: Fraction::new(start).unwrap(),
                full_at: PositiveFraction::new(full_at).unwrap(),
            };
            let rule = Difficulty {
                order: [ClientOrder::Curriculum, ClientOrder::AntiCurriculum, ClientOrder::Random][order],
                pace: Pace::Quadratic(ramp),
                budget: Budget::Updates,
                ..Difficulty::new(count(per_round))
            };
            let roster = Sizes(vec![1; clients]);
            let there: fn(&ClientId) -> bool = if half_absent { |c| c.0 % 2 == 0 } else { |_| true };
            let sizes = played(&rule, &roster, rounds, there);
            let budget = rounds * per_round.min(clients as u64);
            prop_assert_eq!(sizes.iter().sum::<usize>() as u64, budget);
            prop_assert!(sizes.iter().all(|&size| size > 0));
        }
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
