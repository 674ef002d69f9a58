//! Everybody, always.

use lyceum_core::{ClientId, ClientSelector, Roster, Round, Stream};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Takes every client in every round (full participation).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct All {}

impl ClientSelector for All {
    type State = ();

    fn init(&self, _: &dyn Roster, _: u64) -> Self::State {}

    fn cohort(&self, roster: &dyn Roster) -> usize {
        usize::try_from(roster.clients()).unwrap_or(usize::MAX)
    }

    fn select(
        &self,
        (): &mut (),
        roster: &dyn Roster,
        _: Round,
        _: &[(ClientId, f32)],
        _: &mut Stream,
    ) -> Vec<ClientId> {
        (0..roster.clients()).map(ClientId).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::{super::tests::*, *};

    #[test]
    fn everybody_is_there() {
        let (roster, mut rng) = (Sizes(vec![1; 3]), stream(0));
        let cohort = All {}.select(&mut (), &roster, Round(0), &[], &mut rng);
        assert_eq!(cohort, [0, 1, 2].map(ClientId));
        assert_eq!(All {}.cohort(&roster), 3);
    }
}
