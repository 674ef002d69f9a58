//! What the three adaptive strategies of Reddi et al. 2021 (algorithm 2) share.

use super::mean_update;
use lyceum_core::{Folded, Params, Stall};
use serde::{Deserialize, Serialize};

/// The running moments of the mean update.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AdaptiveState {
    /// Running mean `m`, at first 0.
    pub first: Params,
    /// Running mean of squares `v`, at first `tau^2`.
    pub second: Params,
}

impl AdaptiveState {
    pub(super) fn new(len: usize, tau: f64) -> Self {
        Self {
            first: Params::zeros(len),
            second: vec![(tau * tau) as f32; len].into(),
        }
    }
}

/// The constants of algorithm 2 that all three use.
pub(super) struct Constants {
    pub(super) rate: f64,
    pub(super) beta1: f64,
    pub(super) tau: f64,
}

impl Constants {
    /// `m <- beta1 m + (1 - beta1) d`, `v <- second(v, d^2)`, `w <- w + rate m / (sqrt(v) + tau)`,
    /// without bias correction.
    pub(super) fn close(
        &self,
        state: &mut AdaptiveState,
        global: &mut Params,
        folded: &Folded<'_>,
        second: impl Fn(f64, f64) -> f64,
    ) -> Result<(), Stall> {
        let mean = mean_update(folded)?;
        let moments = state
            .first
            .make_mut()
            .iter_mut()
            .zip(state.second.make_mut());
        for ((w, d), (m, v)) in global.make_mut().iter_mut().zip(&mean).zip(moments) {
            let d = f64::from(*d);
            let next_m = self.beta1 * f64::from(*m) + (1.0 - self.beta1) * d;
            let next_v = second(f64::from(*v), d * d);
            *w = (f64::from(*w) + self.rate * next_m / (next_v.sqrt() + self.tau)) as f32;
            (*m, *v) = (next_m as f32, next_v as f32);
        }
        Ok(())
    }
}
