//! Federated averaging with a proximal term.

use super::FedAvg;
use lyceum_core::{
    ClientId, ClientRule, Folded, LocalWork, Objective, Params, PlainClient, Pull, Settled, Stall,
    Strategy, Strength, VectorRef, units::NonNegative,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Averages like FedAvg while each client also minimises `mu / 2` times its squared distance to the
/// global model (Li et al. 2020, equation 2 and algorithm 2).
///
/// The gradient of that term is `mu (w - w_global)`, where `w_global` stays what the client
/// received. (Public code that compares the live parameters with themselves has a term of zero.)
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FedProx {
    /// Strength of the pull towards the global model, in units of the loss per squared parameter;
    /// 0 is FedAvg; must be given. The authors try 0.001, 0.01, 0.1 and 1.
    pub mu: NonNegative,
}

impl Strategy for FedProx {
    type State = ();

    fn init(&self, _: &Params) -> Self::State {}

    fn close(&self, state: &mut (), global: &mut Params, folded: &Folded<'_>) -> Result<(), Stall> {
        FedAvg::default().close(state, global, folded)
    }

    fn client_half(&self) -> Arc<dyn ClientRule> {
        Arc::new(self.clone())
    }
}

impl ClientRule for FedProx {
    fn objective(&self, _: ClientId, _: Option<&Params>) -> Objective {
        let pull = Pull {
            strength: Strength::Uniform(self.mu.get() as f32),
            anchor: VectorRef::Global,
        };
        Objective {
            pulls: vec![pull],
            ..Objective::default()
        }
    }

    fn sends_change_alone(&self) -> bool {
        true
    }

    fn settle(&self, work: &LocalWork<'_>) -> Settled {
        PlainClient.settle(work)
    }
}

#[cfg(test)]
mod tests {
    use super::{super::testbed::*, *};
    use lyceum_core::Vectors;

    fn prox(mu: f64) -> FedProx {
        FedProx {
            mu: NonNegative::new(mu).unwrap(),
        }
    }

    /// What the term adds to the gradient at `w`.
    fn term(mu: f64, global: &[f32], w: &[f32]) -> [f32; 3] {
        let objective = prox(mu).objective(ClientId(0), None);
        let round = &[];
        let mut grad = [0.0; 3];
        objective
            .resolve(Vectors { global, round })
            .unwrap()
            .add_to(w, &mut grad);
        grad
    }

    #[test]
    fn the_term_is_the_slope_of_its_penalty_and_not_zero() {
        let (mu, global, w) = (0.3, [1.0_f32, -2.0, 0.5], [1.5_f32, -2.0, -1.5]);
        let penalty = |w: [f64; 3]| {
            let squares = (0..3).map(|i| (w[i] - f64::from(global[i])).powi(2));
            0.5 * mu * squares.sum::<f64>()
        };
        let grad = term(mu, &global, &w);
        for i in 0..3 {
            let (mut up, mut down) = (w.map(f64::from), w.map(f64::from));
            (up[i], down[i]) = (up[i] + 1e-4, down[i] - 1e-4);
            let slope = (penalty(up) - penalty(down)) / 2e-4;
            assert!((slope - f64::from(grad[i])).abs() < 1e-6, "{i}");
        }
        assert!(
            grad[0] > 0.1 && grad[1] == 0.0 && grad[2] < -0.1,
            "{grad:?}"
        );
    }

    /// One pupil, curvature 1, target t, rate 0.1, two steps from 0. The first step is the same for
    /// every mu, w1 = 0.1 t, because the term is zero where the client starts; the second is
    /// w2 = w1 - 0.1 (w1 - t + mu w1) = 0.19 t - 0.01 mu t. With mu = 1 and t = 1: 0.18.
    #[test]
    fn the_term_acts_from_the_second_step_on() {
        let pupil = [Pupil {
            target: [1.0, -1.0, 2.0],
            curvature: 1.0,
            samples: 1,
            steps: 2,
        }];
        for (mu, factor) in [(0.0, 0.19), (1.0, 0.18), (5.0, 0.14)] {
            let mut federation = Federation::new(Arc::new(prox(mu)), 1);
            federation.train(&pupil, &[0]);
            let want = pupil[0].target.map(|t| t * factor);
            assert!(distance(&federation.global, &want) < 1e-6, "{mu}");
        }
    }
}
