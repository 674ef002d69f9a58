//! Merging posteriors that clients learned from one prior.

use lyceum_core::{
    ClientRule, Folded, Lane, LocalWork, Params, Prior, Settled, Stall, Strategy, exp,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// The product of the clients' posteriors, with the prior divided out of all but one: the posterior of all their samples, where
/// each client's is exact (Bui et al. 2018, partitioned variational inference, equations 4 and 5).
///
/// Normal distributions multiply by adding precisions and precisions times means. A client sends by how much both differ from the
/// prior's, in precisions of the prior. A weight that it is less certain of than the prior counts as one of the prior's precision.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PosteriorProduct {}

/// The client's half.
struct NaturalParameters;

impl ClientRule for NaturalParameters {
    fn lanes(&self) -> Vec<Lane> {
        vec![Lane::INTEGER]
    }

    fn settle(&self, work: &LocalWork<'_>) -> Settled {
        let mut sent = work.delta.clone();
        if let Some(prior) = work.prior {
            let len = prior.halves.len;
            let values = sent.make_mut();
            for at in 0..len {
                let after = |place: usize| f64::from(work.received[place] + work.delta[place]);
                let (mean, before) = (after(at), f64::from(prior.values[at]));
                let rho = after(len + at) as f32 - prior.values[len + at];
                let precision = f64::from(exp(-2.0 * rho)).max(1.0);
                values[at] = (precision * mean - before) as f32;
                values[len + at] = (precision - 1.0) as f32;
            }
        }
        Settled {
            lanes: vec![(1.0, sent)],
            state: None,
        }
    }
}

impl Strategy for PosteriorProduct {
    type State = ();

    fn init(&self, _: &Params) -> Self::State {}

    fn merges_distributions(&self) -> bool {
        true
    }

    fn close(&self, (): &mut (), global: &mut Params, folded: &Folded<'_>) -> Result<(), Stall> {
        let Some(Prior { values, halves }) = folded.prior else {
            super::advance(global, 1.0, &super::mean_update(folded)?);
            return Ok(());
        };
        if folded.sum.terms(0) == 0 {
            return Err(Stall("no update was accepted".into()));
        }
        let mut sums = vec![0.0; global.len()];
        folded.sum.divided(0, 1.0, &mut sums);
        let (global, len) = (global.make_mut(), halves.len);
        for at in 0..len {
            let precision = 1.0 + f64::from(sums[len + at]);
            let mean = (f64::from(values[at]) + f64::from(sums[at])) / precision;
            global[at] = mean as f32;
            global[len + at] = (f64::from(values[len + at]) - 0.5 * precision.ln()) as f32;
        }
        Ok(())
    }

    fn client_half(&self) -> Arc<dyn ClientRule> {
        Arc::new(NaturalParameters)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lyceum_core::{Bounds, ClientId, ExactSum, Halves, Params};

    const HALVES: Halves = Halves { len: 2 };

    /// The exact posterior of a linear model with orthogonal features: precision `1 / s^2 + x.x / v`, mean `x.t / v` over it.
    fn posterior(data: &[[f64; 2]], prior: f64) -> [(f64, f64); 2] {
        [0, 1].map(|feature| {
            let rows = data
                .iter()
                .enumerate()
                .filter(|(row, _)| row % 2 == feature);
            let (mut precision, mut product) = (prior.powi(-2), 0.0);
            for (_, [x, t]) in rows {
                precision += x * x / 0.25;
                product += x * t / 0.25;
            }
            (product / precision, precision.sqrt().recip())
        })
    }

    fn model(posterior: [(f64, f64); 2]) -> Params {
        let means = posterior.iter().map(|(m, _)| *m as f32);
        let rhos = posterior.iter().map(|(_, s)| s.ln() as f32);
        means.chain(rhos).collect::<Vec<_>>().into()
    }

    /// Two clients with halves of the samples find what one with all of them finds.
    #[test]
    fn posteriors_of_halves_of_the_samples_give_that_of_the_whole() {
        let all: Vec<[f64; 2]> = (0..24)
            .map(|row| {
                let x = 0.2 + 0.05 * f64::from(row);
                [x, 0.8 * x - 0.3 * f64::from(row % 5)]
            })
            .collect();
        let prior = 0.7;
        let first = model([(0.0, prior); 2]);
        let received = model([(0.3, 1.0), (-0.2, 1.0)]);
        let rule = PosteriorProduct {};
        let mut sum = ExactSum::new(&[Lane::INTEGER], 4);
        let prior_of = || Prior {
            values: &first,
            halves: HALVES,
        };
        for (client, half) in [&all[..10], &all[10..]].into_iter().enumerate() {
            let own = model(posterior(half, prior));
            let delta: Vec<f32> = own
                .iter()
                .zip(received.iter())
                .map(|(a, b)| a - b)
                .collect();
            let settled = rule.client_half().settle(&LocalWork {
                client: ClientId(client as u64),
                delta: &delta.into(),
                received: &received,
                prior: Some(prior_of()),
                samples: half.len() as u64,
                steps: 1,
                travel: 1.0,
                state: None,
                round: &[],
            });
            let (weight, values) = &settled.lanes[0];
            sum.add(0, *weight, values).unwrap();
        }
        let mut global = received.clone();
        let folded = Folded {
            sum: &sum,
            updates: &Vec::new(),
            population: 2,
            bounds: &Bounds::default(),
            prior: Some(prior_of()),
        };
        rule.close(&mut (), &mut global, &folded).unwrap();
        for (at, (mean, deviation)) in posterior(&all, prior).into_iter().enumerate() {
            assert!((f64::from(global[at]) - mean).abs() < 1e-4, "{at}");
            let found = f64::from(global[2 + at]).exp();
            assert!(
                (found / deviation - 1.0).abs() < 1e-4,
                "{at}: {found} {deviation}"
            );
        }
    }
}
