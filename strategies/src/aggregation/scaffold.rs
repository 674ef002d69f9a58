//! Control variates against client drift.

use super::{advance, mean_update, positive};
use lyceum_core::{
    ClientId, ClientRule, Folded, Lane, LocalWork, Objective, Params, Settled, Stall, Strategy,
    VectorRef, units::Positive,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Corrects every local gradient by the difference between the server's and the client's control,
/// so that clients do not drift apart (SCAFFOLD; Karimireddy et al. 2020, algorithm 1, option II).
///
/// Client: gradient `g + c - c_i`; then `c_i <- c_i - c + (x - y_i) / travel`, where the travel (how
/// far a constant unit gradient would have moved a parameter) stands for `K eta` and stays exact
/// with momentum and decaying rates. Server: `x += rate * mean(y_i - x)` and
/// `c += |S| / N * mean(change of c_i)`, both means over the participants without weights.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Scaffold {
    /// The server's step: factor on the mean update; no unit; default 1.
    pub rate: Positive,
}

impl Default for Scaffold {
    fn default() -> Self {
        Self {
            rate: positive(1.0),
        }
    }
}

const CHANGES: usize = 1;

impl Strategy for Scaffold {
    /// The server's control `c`, the mean of all clients' controls.
    type State = Params;

    fn init(&self, global: &Params) -> Params {
        Params::zeros(global.len())
    }

    fn broadcast(&self, control: &Params) -> Vec<Params> {
        vec![control.clone()]
    }

    fn close(
        &self,
        control: &mut Params,
        global: &mut Params,
        folded: &Folded<'_>,
    ) -> Result<(), Stall> {
        advance(global, self.rate.get(), &mean_update(folded)?);
        // |S| / N times the mean over S is the sum over N.
        let mut change = vec![0.0; control.len()];
        let population = folded.population.max(1) as f64;
        folded.sum.divided(CHANGES, population, &mut change);
        advance(control, 1.0, &change);
        Ok(())
    }

    fn client_half(&self) -> Arc<dyn ClientRule> {
        Arc::new(self.clone())
    }
}

impl ClientRule for Scaffold {
    fn keeps(&self, len: usize) -> Option<usize> {
        Some(len)
    }

    fn objective(&self, _: ClientId, own: Option<&Params>) -> Objective {
        let negative = |own: &Params| own.iter().map(|c| -c).collect::<Vec<_>>().into();
        let mut shifts = vec![VectorRef::Round(0)];
        shifts.extend(own.map(|own| VectorRef::Inline(negative(own))));
        Objective {
            shifts,
            ..Objective::default()
        }
    }

    fn needs_travel(&self) -> bool {
        true
    }

    fn lanes(&self) -> Vec<Lane> {
        vec![Lane::INTEGER; 2]
    }

    fn settle(&self, work: &LocalWork<'_>) -> Settled {
        let zeros = Params::zeros(work.delta.len());
        let server = work.round.first().unwrap_or(&zeros);
        let mut own = work.state.unwrap_or(&zeros).clone();
        let change = control_change(server, work);
        advance(&mut own, 1.0, &change);
        Settled {
            lanes: vec![(1.0, work.delta.clone()), (1.0, change)],
            state: Some(own),
        }
    }
}

/// `c_i+ - c_i = (x - y_i) / travel - c`; nothing without a step.
fn control_change(server: &Params, work: &LocalWork<'_>) -> Params {
    if work.travel <= 0.0 {
        return Params::zeros(work.delta.len());
    }
    let sites = server.iter().zip(&work.delta[..]);
    let change = sites.map(|(c, d)| (-f64::from(*d) / work.travel - f64::from(*c)) as f32);
    change.collect::<Vec<_>>().into()
}

#[cfg(test)]
mod tests {
    use super::{super::testbed::*, *};

    /// Four clients, of which two take part; travel 0.5.
    ///
    /// Round 1, all controls 0: changes are -d / 0.5, so c_0 = [-2, 0, 4] for d = [1, 0, -2] and
    /// c_1 = [-6, 0, 0] for d = [3, 0, 0]. x = mean = [2, 0, -1]; c = sum / 4 = [-2, 0, 1]. (Without
    /// the factor |S| / N it would be [-4, 0, 2].)
    ///
    /// Round 2, client 0 alone with d = [1, 1, 0]: change = [-2, -2, 0] - c = [0, -2, -1], so
    /// c_0 = [-2, -2, 3], c = [-2, 0, 1] + [0, -2, -1] / 4 = [-2, -0.5, 0.75], x = [3, 1, -1].
    #[test]
    fn controls_by_hand() {
        let mut federation = Federation::new(Arc::new(Scaffold::default()), 4);
        let done = |client, delta| Done {
            client,
            delta,
            samples: 1 + 100 * client,
            travel: 0.5,
        };
        let first = [done(0, [1.0, 0.0, -2.0]), done(1, [3.0, 0.0, 0.0])];
        federation.close(&first).unwrap();
        assert_eq!(*federation.global, [2.0, 0.0, -1.0]);
        assert_eq!(*federation.states[&ClientId(0)], [-2.0, 0.0, 4.0]);
        assert_eq!(*federation.states[&ClientId(1)], [-6.0, 0.0, 0.0]);
        assert_eq!(*federation.run.broadcast()[0], [-2.0, 0.0, 1.0]);
        federation.close(&[done(0, [1.0, 1.0, 0.0])]).unwrap();
        assert_eq!(*federation.global, [3.0, 1.0, -1.0]);
        assert_eq!(*federation.states[&ClientId(0)], [-2.0, -2.0, 3.0]);
        assert_eq!(*federation.run.broadcast()[0], [-2.0, -0.5, 0.75]);
    }

    #[test]
    fn the_correction_is_the_servers_control_minus_the_clients() {
        let own = Params::from(vec![1.0, 2.0, 3.0]);
        let round = [Params::from(vec![0.5, 0.5, 0.5])];
        let objective = Scaffold::default().objective(ClientId(0), Some(&own));
        let vectors = lyceum_core::Vectors {
            global: &[0.0; 3],
            round: &round,
        };
        let mut grad = [0.0; 3];
        objective
            .resolve(vectors)
            .unwrap()
            .add_to(&[9.0; 3], &mut grad);
        assert_eq!(grad, [-0.5, -1.5, -2.5]);
    }

    #[test]
    fn drift_is_undone_where_averaging_stays_biased() {
        let far = |strategy: Arc<dyn lyceum_core::AnyStrategy>| {
            let mut federation = Federation::new(strategy, 3);
            (0..400).for_each(|_| federation.train(&PUPILS, &[0, 1, 2]));
            distance(&federation.global, &optimum(&PUPILS))
        };
        assert!(far(Arc::new(Scaffold::default())) < 1e-4);
        assert!(far(Arc::new(super::super::FedAvg::default())) > 0.1);
    }

    #[test]
    fn the_servers_control_is_the_mean_of_all_controls() {
        let mut federation = Federation::new(Arc::new(Scaffold::default()), 3);
        for cohort in [[0, 1], [1, 2], [2, 0], [0, 1]] {
            federation.train(&PUPILS, &cohort);
        }
        let mean: Vec<f32> = (0..3)
            .map(|i| federation.states.values().map(|c| c[i]).sum::<f32>() / 3.0)
            .collect();
        assert!(distance(&federation.run.broadcast()[0], &mean) < 1e-5);
    }
}
