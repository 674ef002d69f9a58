//! Passes over all clients.

use super::at_most;
use crate::sampling::permuted;
use lyceum_core::{ClientId, ClientSelector, Roster, Round, Stream, units::Count};
use rand::RngExt;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Goes through all clients in random order, so that everybody takes part once before anybody takes
/// part again ("vanilla" of Vahidian et al. 2023: random order, the whole pool from the start).
///
/// A round never spans two passes: the last round of a pass takes those that are left.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Passes {
    /// Number of clients per round, 1 or above; must be given.
    pub per_round: Count,
}

/// Where a pass stands. The order itself is computed, not stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pass {
    /// Names the permutation of this pass.
    pub key: u64,
    /// Clients that had their turn.
    pub done: u64,
}

impl ClientSelector for Passes {
    type State = Pass;

    /// The end of a pass, so that the first round begins one.
    fn init(&self, roster: &dyn Roster, _: u64) -> Pass {
        Pass {
            key: 0,
            done: roster.clients(),
        }
    }

    fn cohort(&self, roster: &dyn Roster) -> usize {
        at_most(self.per_round, roster)
    }

    fn select(
        &self,
        pass: &mut Pass,
        roster: &dyn Roster,
        _: Round,
        _: &[(ClientId, f32)],
        rng: &mut Stream,
    ) -> Vec<ClientId> {
        let clients = roster.clients();
        if pass.done >= clients {
            *pass = Pass {
                key: rng.random(),
                done: 0,
            };
        }
        let end = (pass.done + self.per_round.get() as u64).min(clients);
        let turns = pass.done..end;
        pass.done = end;
        turns
            .map(|turn| ClientId(permuted(pass.key, clients, turn)))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::{super::tests::*, *};

    /// Ten clients, four per round: rounds of 4, 4 and 2 make a pass.
    #[test]
    fn each_pass_meets_everybody_once_in_an_order_of_its_own() {
        let (rule, roster) = (
            Passes {
                per_round: count(4),
            },
            Sizes(vec![1; 10]),
        );
        let mut state = rule.init(&roster, 6);
        let mut orders = Vec::new();
        for pass in 0..3 {
            let rounds: Vec<_> = (0..3)
                .map(|r| {
                    rule.select(
                        &mut state,
                        &roster,
                        Round(r),
                        &[],
                        &mut stream(3 * pass + r),
                    )
                })
                .collect();
            assert_eq!(rounds.iter().map(Vec::len).collect::<Vec<_>>(), [4, 4, 2]);
            let order = rounds.concat();
            let mut sorted = order.clone();
            sorted.sort_unstable();
            assert!(sorted.into_iter().eq((0..10).map(ClientId)));
            orders.push(order);
        }
        assert!(orders[0] != orders[1] && orders[1] != orders[2]);
    }
}
