//! Federated averaging with momentum on the server.

use super::{advance, decay, mean_update, positive};
use lyceum_core::{
    Folded, Params, Stall, Strategy,
    units::{Decay, Positive},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Moves the global model along a decaying sum of the mean updates: `v <- momentum v + mean`,
/// `w <- w + rate v` (FedAvgM; Hsu, Qi & Brown 2019, arXiv 1909.06335, section on server momentum).
///
/// In the long run a step is `rate / (1 - momentum)` mean updates long.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct FedAvgM {
    /// Share of the last round's step that is kept, from 0 up to but not including 1; default 0.9.
    pub momentum: Decay,
    /// Factor on the step; no unit; default 1.
    pub rate: Positive,
}

impl Default for FedAvgM {
    fn default() -> Self {
        Self {
            momentum: decay(0.9),
            rate: positive(1.0),
        }
    }
}

impl Strategy for FedAvgM {
    type State = Params;

    fn init(&self, global: &Params) -> Params {
        Params::zeros(global.len())
    }

    fn close(
        &self,
        velocity: &mut Params,
        global: &mut Params,
        folded: &Folded<'_>,
    ) -> Result<(), Stall> {
        let mean = mean_update(folded)?;
        for (v, d) in velocity.make_mut().iter_mut().zip(&mean) {
            *v = (self.momentum.get() * f64::from(*v) + f64::from(*d)) as f32;
        }
        advance(global, self.rate.get(), velocity);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{super::testbed::*, *};
    use std::sync::Arc;

    /// momentum 0.5, rate 2, the same update d = [1, -2, 4] twice:
    /// v1 = d, w1 = 2 d; v2 = 1.5 d, w2 = 2 d + 3 d = 5 d.
    #[test]
    fn steps_build_up() {
        let rule = FedAvgM {
            momentum: decay(0.5),
            rate: positive(2.0),
        };
        let mut federation = Federation::new(Arc::new(rule), 1);
        let same = || Done {
            client: 0,
            delta: [1.0, -2.0, 4.0],
            samples: 7,
            travel: 1.0,
        };
        federation.close(&[same()]).unwrap();
        assert_eq!(*federation.global, [2.0, -4.0, 8.0]);
        federation.close(&[same()]).unwrap();
        assert_eq!(*federation.global, [5.0, -10.0, 20.0]);
    }
}
