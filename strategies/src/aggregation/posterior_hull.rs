//! The middle of the posteriors that clients learned.

use lyceum_core::{
    ClientRule, Folded, Lane, LocalWork, Params, Prior, Settled, Stall, Strategy, exp,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// The middle of the convex hull of the clients' posteriors: the mean of their means and of their deviations, each client's with the
/// same weight, as IBCL combines posteriors for a preference that is equal for all.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PosteriorHull {}

/// The client's half: changes of means, and deviations as they are.
struct Deviations;

impl ClientRule for Deviations {
    fn lanes(&self) -> Vec<Lane> {
        vec![Lane::INTEGER]
    }

    fn settle(&self, work: &LocalWork<'_>) -> Settled {
        let mut sent = work.delta.clone();
        if let Some(prior) = work.prior {
            let at = prior.halves.rhos();
            let after = work.received[at.clone()]
                .iter()
                .zip(&work.delta[at.clone()]);
            let values = sent.make_mut()[at].iter_mut().zip(after);
            values.for_each(|(value, (rho, delta))| *value = exp(rho + delta));
        }
        Settled {
            lanes: vec![(1.0, sent)],
            state: None,
        }
    }
}

impl Strategy for PosteriorHull {
    type State = ();

    fn init(&self, _: &Params) -> Self::State {}

    fn merges_distributions(&self) -> bool {
        true
    }

    fn close(&self, (): &mut (), global: &mut Params, folded: &Folded<'_>) -> Result<(), Stall> {
        let mean = super::mean_update(folded)?;
        let Some(Prior { halves, .. }) = folded.prior else {
            super::advance(global, 1.0, &mean);
            return Ok(());
        };
        let global = global.make_mut();
        let means = global[halves.means()].iter_mut().zip(&mean[halves.means()]);
        means.for_each(|(w, change)| *w += change);
        let rhos = global[halves.rhos()].iter_mut().zip(&mean[halves.rhos()]);
        rhos.for_each(|(rho, deviation)| *rho = f64::from(*deviation).ln() as f32);
        Ok(())
    }

    fn client_half(&self) -> Arc<dyn ClientRule> {
        Arc::new(Deviations)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lyceum_core::{Bounds, ClientId, ExactSum, Halves, Params};

    #[test]
    fn means_and_deviations_are_averaged() {
        let received: Params = vec![1.0, 0.0].into();
        let prior = || Prior {
            values: &received,
            halves: Halves { len: 1 },
        };
        let mut sum = ExactSum::new(&[Lane::INTEGER], 2);
        for (mean, deviation, samples) in [(2.0_f32, 0.5_f32, 1), (5.0, 1.5, 100)] {
            let delta: Params = vec![mean - 1.0, deviation.ln()].into();
            let settled = PosteriorHull {}.client_half().settle(&LocalWork {
                client: ClientId(0),
                delta: &delta,
                received: &received,
                prior: Some(prior()),
                samples,
                steps: 1,
                travel: 1.0,
                state: None,
                round: &[],
            });
            sum.add(0, settled.lanes[0].0, &settled.lanes[0].1).unwrap();
        }
        let mut global = received.clone();
        let folded = Folded {
            sum: &sum,
            updates: &Vec::new(),
            population: 2,
            bounds: &Bounds::default(),
            prior: Some(prior()),
        };
        PosteriorHull {}
            .close(&mut (), &mut global, &folded)
            .unwrap();
        assert_eq!(global[0], 3.5);
        assert!(global[1].abs() < 1e-6, "{}", global[1]);
    }
}
