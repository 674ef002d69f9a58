//! The worst of a few.

use super::at_most;
use crate::{ordering::ranked, sampling::weighted_sample};
use lyceum_core::{
    ClientId, ClientSelector, Roster, Round, Stream, sample_distinct,
    units::{Count, Misfit},
};
use rand::RngExt;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// Draws candidates by the size of their data and takes those with the highest loss under the global
/// model (power-of-choice; Cho, Wang & Joshi 2020, the strategy pow-d). Ties go to the lower id.
///
/// Up to 1,024 clients the candidates are successive draws without replacement, exactly. Of more
/// clients nobody makes a list: a client is proposed uniformly and kept with probability
/// `samples / largest samples seen`, and candidates that are still missing after 256 proposals each
/// are drawn uniformly.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PowerOfChoice {
    /// Number of clients that are drawn and scored per round (`d` in the paper), at least
    /// `per_round`; must be given.
    pub candidates: Count,
    /// Number of clients per round, 1 or above; must be given.
    pub per_round: Count,
}

/// The largest number of samples of a client that was looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct LargestSeen(pub u64);

/// Clients that are looked at in any case.
const PROBES: u64 = 1024;
const PROPOSALS_EACH: usize = 256;

impl PowerOfChoice {
    fn propose(
        &self,
        largest: &mut LargestSeen,
        roster: &dyn Roster,
        rng: &mut Stream,
    ) -> Vec<u64> {
        let clients = roster.clients();
        let amount = at_most(self.candidates.max(self.per_round), roster);
        if clients <= PROBES {
            let weight = |c| roster.samples(ClientId(c)) as f64;
            let weights: Vec<f64> = (0..clients).map(weight).collect();
            let drawn = weighted_sample(&weights, amount, rng);
            return drawn.into_iter().map(u64::from).collect();
        }
        let mut chosen = BTreeSet::new();
        for _ in 0..PROPOSALS_EACH.saturating_mul(amount) {
            if chosen.len() == amount {
                break;
            }
            let client = rng.random_range(0..clients);
            let samples = roster.samples(ClientId(client)) as u64;
            largest.0 = largest.0.max(samples);
            if rng.random_range(0..largest.0.max(1)) < samples {
                chosen.insert(client);
            }
        }
        fill(&mut chosen, clients, amount, rng);
        chosen.into_iter().collect()
    }
}

/// Adds uniformly drawn clients until there are `amount`.
fn fill(chosen: &mut BTreeSet<u64>, clients: u64, amount: usize, rng: &mut Stream) {
    if chosen.len() < amount {
        for client in sample_distinct(clients, amount, rng) {
            if chosen.len() == amount {
                break;
            }
            chosen.insert(client);
        }
    }
}

impl ClientSelector for PowerOfChoice {
    type State = LargestSeen;

    fn init(&self, roster: &dyn Roster, _: u64) -> LargestSeen {
        let stride = (roster.clients() / PROBES).max(1);
        let ids = (0..roster.clients()).step_by(stride as usize);
        let sizes = ids.take(PROBES as usize);
        let largest = sizes.map(|c| roster.samples(ClientId(c)) as u64).max();
        LargestSeen(largest.unwrap_or(0))
    }

    fn cohort(&self, roster: &dyn Roster) -> usize {
        at_most(self.per_round, roster)
    }

    fn misfit(&self) -> Option<Misfit> {
        (self.candidates < self.per_round).then(|| Misfit {
            key: "candidates".into(),
            message: "fewer candidates than clients per round".into(),
            expected: format!("at least per_round = {}", self.per_round.get()),
        })
    }

    fn wants_scores(
        &self,
        largest: &mut LargestSeen,
        roster: &dyn Roster,
        _: Round,
        rng: &mut Stream,
    ) -> Option<Vec<ClientId>> {
        let mut candidates = self.propose(largest, roster, rng);
        candidates.sort_unstable();
        Some(candidates.into_iter().map(ClientId).collect())
    }

    fn select(
        &self,
        _: &mut LargestSeen,
        roster: &dyn Roster,
        _: Round,
        scores: &[(ClientId, f32)],
        _: &mut Stream,
    ) -> Vec<ClientId> {
        let losses: Vec<f32> = scores.iter().map(|s| s.1).collect();
        let positions = ranked(&losses, true);
        let hardest = positions.iter().take(self.cohort(roster));
        hardest.map(|&p| scores[p as usize].0).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::{super::tests::*, *};

    fn rule(candidates: u64, per_round: u64) -> PowerOfChoice {
        PowerOfChoice {
            candidates: count(candidates),
            per_round: count(per_round),
        }
    }

    #[test]
    fn the_hardest_candidates_are_taken_and_ties_go_to_the_lower_id() {
        let scores =
            [(2, 1.0), (3, 5.0), (4, f32::NAN), (7, 5.0), (9, 2.0)].map(|(c, s)| (ClientId(c), s));
        let (rule, roster) = (rule(5, 3), Sizes(vec![1; 10]));
        let mut state = rule.init(&roster, 1);
        let cohort = rule.select(&mut state, &roster, Round(0), &scores, &mut stream(0));
        assert_eq!(cohort, [3, 7, 9].map(ClientId));
    }

    #[test]
    fn candidates_come_by_size_in_small_and_large_federations() {
        for clients in [100, 4000] {
            let roster = Sizes(
                (0..clients)
                    .map(|c| if c % 2 == 0 { 10 } else { 30 })
                    .collect(),
            );
            let rule = rule(4, 2);
            let mut state = rule.init(&roster, 1);
            let mut odd = 0;
            for round in 0..1000 {
                let mut rng = stream(round);
                let drawn = rule.wants_scores(&mut state, &roster, Round(round), &mut rng);
                let drawn = drawn.unwrap();
                assert_eq!(drawn.len(), 4);
                assert!(drawn.is_sorted());
                odd += drawn.iter().filter(|c| c.0 % 2 == 1).count();
            }
            assert!(odd.abs_diff(3000) < 150, "{clients}: {odd}");
        }
    }

    #[test]
    fn one_giant_among_many_cannot_stop_the_draw() {
        let mut sizes = vec![1; 5000];
        sizes[0] = 1_000_000_000;
        let (rule, roster) = (rule(20, 5), Sizes(sizes));
        let mut state = rule.init(&roster, 1);
        let mut rng = stream(0);
        let drawn = rule.wants_scores(&mut state, &roster, Round(0), &mut rng);
        assert_eq!(drawn.unwrap().len(), 20);
    }
}
