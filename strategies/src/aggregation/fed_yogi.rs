//! Yogi on the server.

use super::{
    adaptive::{AdaptiveState, Constants},
    decay, positive,
};
use lyceum_core::{
    Folded, Params, Stall, Strategy,
    units::{Decay, Positive},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Steps along the running mean of the mean updates, each parameter scaled by the root of squares
/// that move by bounded steps, `v <- v - (1 - beta2) d^2 sign(v - d^2)` (FedYogi; Reddi et al. 2021,
/// algorithm 2).
///
/// No bias correction, as in the paper. Updates are weighted by samples, as in its experiments.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct FedYogi {
    /// The server's step size, in parameter units per round; default 0.01.
    pub rate: Positive,
    /// Share of `m` that is kept, from 0 up to but not including 1; default 0.9.
    pub beta1: Decay,
    /// Share of `v` that is kept, from 0 up to but not including 1; default 0.99.
    pub beta2: Decay,
    /// Added to the root of `v` (in parameter units): the smaller, the more adaptive; `v` starts at
    /// its square; default 0.001.
    pub tau: Positive,
}

impl Default for FedYogi {
    fn default() -> Self {
        Self {
            rate: positive(0.01),
            beta1: decay(0.9),
            beta2: decay(0.99),
            tau: positive(1e-3),
        }
    }
}

impl Strategy for FedYogi {
    type State = AdaptiveState;

    fn init(&self, global: &Params) -> AdaptiveState {
        AdaptiveState::new(global.len(), self.tau.get())
    }

    fn close(
        &self,
        state: &mut AdaptiveState,
        global: &mut Params,
        folded: &Folded<'_>,
    ) -> Result<(), Stall> {
        let constants = Constants {
            rate: self.rate.get(),
            beta1: self.beta1.get(),
            tau: self.tau.get(),
        };
        let beta2 = self.beta2.get();
        constants.close(state, global, folded, |v, square| {
            v - (1.0 - beta2) * square * sign(v - square)
        })
    }
}

/// Like `signum`, but 0 at 0.
fn sign(x: f64) -> f64 {
    if x == 0.0 { 0.0 } else { x.signum() }
}

#[cfg(test)]
mod tests {
    use super::{super::testbed::*, *};
    use std::sync::Arc;

    #[test]
    fn equal_squares_stay_where_they_are() {
        assert_eq!(
            (sign(0.0), sign(-0.0), sign(3.0), sign(-3.0)),
            (0.0, 0.0, 1.0, -1.0)
        );
    }

    /// rate 1, both betas 0.5, tau 1, so v0 = 1. First d = 2: m = 1, v = 1 + 0.5 * 4 = 3 (for d = 0 it
    /// stays 1), step 1 / (sqrt(3) + 1). Then d = 0: m = 0.5, v stays 3, step 0.5 / (sqrt(3) + 1).
    #[test]
    fn two_rounds_by_hand() {
        let rule = FedYogi {
            rate: positive(1.0),
            beta1: decay(0.5),
            beta2: decay(0.5),
            tau: positive(1.0),
        };
        let mut federation = Federation::new(Arc::new(rule), 1);
        let done = |delta| Done {
            client: 0,
            delta,
            samples: 5,
            travel: 1.0,
        };
        federation.close(&[done([2.0, 0.0, -2.0])]).unwrap();
        let one = 1.0 / (3.0_f32.sqrt() + 1.0);
        assert!(distance(&federation.global, &[one, 0.0, -one]) < 1e-6);
        federation.close(&[done([0.0, 0.0, 0.0])]).unwrap();
        let two = one + 0.5 / (3.0_f32.sqrt() + 1.0);
        assert!(distance(&federation.global, &[two, 0.0, -two]) < 1e-6);
    }
}
