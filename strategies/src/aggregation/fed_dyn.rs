//! Dynamic regularisation.

use super::{advance, mean_update, positive};
use lyceum_core::{
    ClientId, ClientRule, Folded, LocalWork, Objective, Params, Pull, Settled, Stall, Strategy,
    Strength, VectorRef, units::Positive,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Gives each client a linear and a quadratic term that make its minimum agree with the global one
/// (FedDyn; Acar et al. 2021, algorithm 1).
///
/// Client: gradient `g - h_i + alpha (w - w_global)`; then `h_i <- h_i - alpha (w_i - w_global)`.
/// Server, over the participants and with N clients in all: `h <- h - alpha / N * sum (w_i - w)`,
/// `w <- mean(w_i) - h / alpha`, the mean without weights.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct FedDyn {
    /// Strength of the pull towards the global model, in units of the loss per squared parameter;
    /// default 0.01.
    pub alpha: Positive,
}

impl Default for FedDyn {
    fn default() -> Self {
        Self {
            alpha: positive(0.01),
        }
    }
}

impl Strategy for FedDyn {
    /// The server's `h`.
    type State = Params;

    fn init(&self, global: &Params) -> Params {
        Params::zeros(global.len())
    }

    fn close(
        &self,
        drift: &mut Params,
        global: &mut Params,
        folded: &Folded<'_>,
    ) -> Result<(), Stall> {
        let mean = mean_update(folded)?;
        let mut share = vec![0.0; drift.len()];
        let population = folded.population.max(1) as f64;
        folded.sum.divided(0, population, &mut share);
        advance(drift, -self.alpha.get(), &share);
        let sites = global.make_mut().iter_mut().zip(&mean).zip(&**drift);
        for ((w, d), h) in sites {
            *w = (f64::from(*w) + f64::from(*d) - f64::from(*h) / self.alpha.get()) as f32;
        }
        Ok(())
    }

    fn client_half(&self) -> Arc<dyn ClientRule> {
        Arc::new(self.clone())
    }
}

impl ClientRule for FedDyn {
    fn keeps(&self, len: usize) -> Option<usize> {
        Some(len)
    }

    fn objective(&self, _: ClientId, own: Option<&Params>) -> Objective {
        let negative = |own: &Params| own.iter().map(|h| -h).collect::<Vec<_>>().into();
        let pull = Pull {
            strength: Strength::Uniform(self.alpha.get() as f32),
            anchor: VectorRef::Global,
        };
        Objective {
            pulls: vec![pull],
            shifts: own
                .map(|own| VectorRef::Inline(negative(own)))
                .into_iter()
                .collect(),
            ..Objective::default()
        }
    }

    fn settle(&self, work: &LocalWork<'_>) -> Settled {
        let start = || Params::zeros(work.delta.len());
        let mut own = work.state.cloned().unwrap_or_else(start);
        advance(&mut own, -self.alpha.get(), work.delta);
        Settled {
            lanes: vec![(1.0, work.delta.clone())],
            state: Some(own),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{super::testbed::*, *};

    fn rule(alpha: f64) -> FedDyn {
        FedDyn {
            alpha: positive(alpha),
        }
    }

    /// alpha 0.5, four clients of which two take part, with updates [1, 0, -2] and [3, 4, 0].
    ///
    /// h = -0.5 / 4 * [4, 4, -2] = [-0.5, -0.5, 0.25]; w = mean - h / 0.5 = [2, 2, -1] + [1, 1, -0.5]
    /// = [3, 3, -1.5]. h_0 = -0.5 [1, 0, -2] = [-0.5, 0, 1].
    ///
    /// Then client 0 alone with [1, 1, 1]: h = [-0.5, -0.5, 0.25] - 0.125 = [-0.625, -0.625, 0.125],
    /// w = [3, 3, -1.5] + 1 + [1.25, 1.25, -0.25] = [5.25, 5.25, -0.75], h_0 = [-1, -0.5, 0.5].
    #[test]
    fn two_rounds_by_hand() {
        let mut federation = Federation::new(Arc::new(rule(0.5)), 4);
        let done = |client, delta| Done {
            client,
            delta,
            samples: 1 + 100 * client,
            travel: 1.0,
        };
        let first = [done(0, [1.0, 0.0, -2.0]), done(1, [3.0, 4.0, 0.0])];
        federation.close(&first).unwrap();
        assert_eq!(*federation.global, [3.0, 3.0, -1.5]);
        assert_eq!(*federation.states[&ClientId(0)], [-0.5, 0.0, 1.0]);
        federation.close(&[done(0, [1.0, 1.0, 1.0])]).unwrap();
        assert_eq!(*federation.global, [5.25, 5.25, -0.75]);
        assert_eq!(*federation.states[&ClientId(0)], [-1.0, -0.5, 0.5]);
    }

    #[test]
    fn the_clients_gradient_has_both_terms() {
        let own = Params::from(vec![1.0, 0.0, -1.0]);
        let objective = rule(0.5).objective(ClientId(0), Some(&own));
        let vectors = lyceum_core::Vectors {
            global: &[1.0, 1.0, 1.0],
            round: &[],
        };
        let mut grad = [10.0; 3];
        objective
            .resolve(vectors)
            .unwrap()
            .add_to(&[3.0, 1.0, 0.0], &mut grad);
        assert_eq!(grad, [10.0, 10.0, 10.5]);
    }

    #[test]
    fn drift_is_undone_where_averaging_stays_biased() {
        let mut federation = Federation::new(Arc::new(rule(0.5)), 3);
        (0..600).for_each(|_| federation.train(&PUPILS, &[0, 1, 2]));
        let far = distance(&federation.global, &optimum(&PUPILS));
        assert!(far < 1e-2, "{far}");
    }
}
