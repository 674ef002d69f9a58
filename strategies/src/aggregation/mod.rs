//! How updates become the next global model, one file per algorithm.
//!
//! Means over clients are exact sums divided once, so that no strategy can depend on the order in
//! which updates arrive. Steps are computed in `f64` and rounded once per value.

mod adaptive;
mod fed_adagrad;
mod fed_adam;
mod fed_avg;
mod fed_avg_m;
mod fed_dyn;
mod fed_nova;
mod fed_prox;
mod fed_yogi;
mod posterior_hull;
mod posterior_product;
mod scaffold;
#[cfg(test)]
mod testbed;

pub use adaptive::AdaptiveState;
pub use fed_adagrad::FedAdagrad;
pub use fed_adam::FedAdam;
pub use fed_avg::FedAvg;
pub use fed_avg_m::FedAvgM;
pub use fed_dyn::FedDyn;
pub use fed_nova::FedNova;
pub use fed_prox::FedProx;
pub use fed_yogi::FedYogi;
pub use posterior_hull::PosteriorHull;
pub use posterior_product::PosteriorProduct;
pub use scaffold::Scaffold;

use lyceum_core::{
    Folded, Params, Stall,
    units::{Decay, Positive},
};

/// The weighted mean of the updates, which every strategy has in lane 0.
fn mean_update(folded: &Folded<'_>) -> Result<Vec<f32>, Stall> {
    if folded.sum.terms(0) == 0 {
        return Err(Stall("no update was accepted".into()));
    }
    Ok(folded.sum.mean(0))
}

/// `global += rate * direction`.
fn advance(global: &mut Params, rate: f64, direction: &[f32]) {
    for (w, d) in global.make_mut().iter_mut().zip(direction) {
        *w = (f64::from(*w) + rate * f64::from(*d)) as f32;
    }
}

/// A default written in this crate.
pub(crate) fn positive(value: f64) -> Positive {
    Positive::new(value).expect("defaults are in range")
}

/// A default written in this crate.
fn decay(value: f64) -> Decay {
    Decay::new(value).expect("defaults are in range")
}

#[cfg(test)]
mod tests {
    use super::{testbed::*, *};
    use lyceum_core::{AnyStrategy, units::NonNegative};
    use std::sync::Arc;

    fn everything() -> Vec<Arc<dyn AnyStrategy>> {
        let mu = NonNegative::new(0.1).unwrap();
        vec![
            Arc::new(FedAvg::default()),
            Arc::new(FedProx { mu }),
            Arc::new(FedAvgM::default()),
            Arc::new(FedAdam::default()),
            Arc::new(FedYogi::default()),
            Arc::new(FedAdagrad::default()),
            Arc::new(Scaffold::default()),
            Arc::new(FedNova::default()),
            Arc::new(FedDyn::default()),
        ]
    }

    const COHORTS: [[usize; 2]; 6] = [[0, 1], [2, 0], [1, 2], [0, 1], [1, 2], [2, 0]];

    #[test]
    fn the_order_of_arrival_never_changes_the_model() {
        for strategy in everything() {
            let mut forward = Federation::new(strategy.clone(), 3);
            let mut backward = Federation::new(strategy, 3);
            for cohort in COHORTS {
                forward.train(&PUPILS, &cohort);
                backward.train(&PUPILS, &[cohort[1], cohort[0]]);
                assert_eq!(forward.global, backward.global);
                assert_eq!(forward.run.save(), backward.run.save());
            }
        }
    }

    #[test]
    fn a_restored_run_goes_on_as_if_nothing_had_happened() {
        for strategy in everything() {
            let mut whole = Federation::new(strategy.clone(), 3);
            COHORTS.iter().for_each(|c| whole.train(&PUPILS, c));
            let mut first = Federation::new(strategy.clone(), 3);
            COHORTS[..3].iter().for_each(|c| first.train(&PUPILS, c));
            let mut second = Federation::new(strategy, 3);
            second.run.restore(&first.run.save()).unwrap();
            second.global = first.global.clone();
            second.states = first.states.clone();
            COHORTS[3..].iter().for_each(|c| second.train(&PUPILS, c));
            assert_eq!(whole.global, second.global);
            assert_eq!(whole.states, second.states);
            assert_eq!(whole.run.save(), second.run.save());
        }
    }

    #[test]
    fn a_round_without_an_accepted_update_stalls_and_changes_nothing() {
        for strategy in everything() {
            let mut federation = Federation::new(strategy, 3);
            federation.train(&PUPILS, &[0, 1]);
            let (global, state) = (federation.global.clone(), federation.run.save());
            let stall = federation.close(&[]).unwrap_err();
            assert_eq!(stall.0, "no update was accepted");
            assert_eq!(
                (global, state),
                (federation.global.clone(), federation.run.save())
            );
        }
    }

    #[test]
    fn an_update_of_nothing_changes_nothing() {
        for strategy in everything() {
            let mut federation = Federation::new(strategy, 3);
            let before = federation.global.clone();
            let idle = Done {
                client: 0,
                delta: [0.0; 3],
                samples: 0,
                travel: 0.0,
            };
            federation.close(&[idle]).unwrap();
            assert_eq!(before, federation.global);
        }
    }
}
