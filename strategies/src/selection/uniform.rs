//! Uniform draws.

use super::at_most;
use lyceum_core::{ClientId, ClientSelector, Roster, Round, Stream, sample_distinct, units::Count};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Draws each round's clients uniformly and without replacement, anew for every round
/// (McMahan et al. 2017, algorithm 1).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Uniform {
    /// Number of clients per round, 1 or above; must be given.
    pub per_round: Count,
}

impl ClientSelector for Uniform {
    type State = ();

    fn init(&self, _: &dyn Roster, _: u64) -> Self::State {}

    fn cohort(&self, roster: &dyn Roster) -> usize {
        at_most(self.per_round, roster)
    }

    fn select(
        &self,
        (): &mut (),
        roster: &dyn Roster,
        _: Round,
        _: &[(ClientId, f32)],
        rng: &mut Stream,
    ) -> Vec<ClientId> {
        let drawn = sample_distinct(roster.clients(), self.cohort(roster), rng);
        drawn.into_iter().map(ClientId).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::{super::tests::*, *};

    #[test]
    fn everybody_comes_equally_often() {
        let (rule, roster) = (
            Uniform {
                per_round: count(3),
            },
            Sizes(vec![1; 10]),
        );
        let mut hits = [0_u32; 10];
        for round in 0..2000 {
            let cohort = rule.select(&mut (), &roster, Round(round), &[], &mut stream(round));
            cohort.iter().for_each(|c| hits[c.0 as usize] += 1);
        }
        assert!(hits.iter().all(|h| h.abs_diff(600) < 110), "{hits:?}");
    }
}
