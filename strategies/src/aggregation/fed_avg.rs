//! Federated averaging.

use super::{advance, mean_update, positive};
use lyceum_core::{Folded, Params, Stall, Strategy, units::Positive};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Adds the mean of the updates, weighted by the numbers of samples, to the global model
/// (McMahan et al. 2017, algorithm 1).
///
/// With `rate` other than 1 this is the two-sided form of Reddi et al. 2021, algorithm 1, with SGD
/// on the server.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct FedAvg {
    /// Factor on the mean update; no unit; default 1.
    pub rate: Positive,
}

impl Default for FedAvg {
    fn default() -> Self {
        Self {
            rate: positive(1.0),
        }
    }
}

impl Strategy for FedAvg {
    type State = ();

    fn init(&self, _: &Params) -> Self::State {}

    fn close(&self, (): &mut (), global: &mut Params, folded: &Folded<'_>) -> Result<(), Stall> {
        advance(global, self.rate.get(), &mean_update(folded)?);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{super::testbed::*, *};
    use std::sync::Arc;

    /// Clients with 1 and 3 samples and updates d and e: the mean is (d + 3 e) / 4.
    /// First value: (4 + 3 * 0) / 4 = 1; second: (0 + 3 * -2) / 4 = -1.5; third: (2 + 3 * 2) / 4 = 2.
    fn works() -> [Done; 2] {
        let done = |client, samples, delta| Done {
            client,
            delta,
            samples,
            travel: 1.0,
        };
        [done(0, 1, [4.0, 0.0, 2.0]), done(1, 3, [0.0, -2.0, 2.0])]
    }

    #[test]
    fn updates_count_by_their_samples() {
        let mut federation = Federation::at([1.0, 1.0, 1.0], Arc::new(FedAvg::default()), 2);
        federation.close(&works()).unwrap();
        assert_eq!(*federation.global, [2.0, -0.5, 3.0]);
    }

    #[test]
    fn the_rate_scales_the_step() {
        let rate = positive(0.5);
        let mut federation = Federation::at([1.0, 1.0, 1.0], Arc::new(FedAvg { rate }), 2);
        federation.close(&works()).unwrap();
        assert_eq!(*federation.global, [1.5, 0.25, 2.0]);
    }
}
