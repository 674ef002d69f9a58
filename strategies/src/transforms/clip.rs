//! Clipping of updates to a norm.

use lyceum_core::{Outgoing, Role, Transform, units::Positive};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Shortens an update that is longer than a bound to that length: `min(1, norm / |d|)` times the change `d` (McMahan et al.
/// 2018, algorithm 1, flat clipping).
///
/// The length is the Euclidean one over everything that follows gradients, computed in `f64`. Running statistics are neither
/// counted nor changed. Strategies that send something else than the change, or something besides, are refused: scaled alone,
/// the change would no longer belong to SCAFFOLD's controls, FedDyn's pulls or FedNova's steps, and the literature clips there
/// single gradients instead (Noble et al. 2022).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Clip {
    /// Largest length of an update, in units of the parameters; must be given.
    pub norm: Positive,
}

impl Transform for Clip {
    type Memory = ();

    fn wants_change_alone(&self) -> bool {
        true
    }

    fn on_client(&self, (): &mut (), update: &mut Outgoing<'_>) {
        let Some((_, change)) = update.lanes.first_mut() else {
            return;
        };
        let ranges = update.layout.ranges(|role| role == Role::Trainable);
        let values = ranges.iter().flat_map(|at| &change[at.clone()]);
        let squares: f64 = values.map(|&value| f64::from(value).powi(2)).sum();
        let factor = self.norm.get() / squares.sqrt();
        if factor < 1.0 {
            let change = change.make_mut();
            for at in ranges {
                let values = change[at].iter_mut();
                values.for_each(|value| *value = (f64::from(*value) * factor) as f32);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lyceum_core::{
        AnyTransform, ClientId, ClientState, Layout, Params, Seed, Ticket, Transforms,
    };
    use std::sync::Arc;

    fn clipped(norm: f64, values: &[f32], layout: &Layout) -> Vec<f32> {
        let norm = Positive::new(norm).unwrap();
        let clip: Arc<dyn AnyTransform> = Arc::new(Clip { norm });
        let mut lanes = [(7.0, Params::from(values.to_vec()))];
        let address = (Seed(0), Ticket(0), ClientId(0));
        Transforms::new([("clip", clip)])
            .on_client(
                address,
                (&ClientState::default(), &mut ClientState::default()),
                &mut lanes,
                layout,
            )
            .unwrap();
        assert_eq!(lanes[0].0, 7.0);
        lanes[0].1.to_vec()
    }

    /// |(3, 4)| = 5: half of it at 2.5, all of it from 5 on.
    #[test]
    fn a_long_update_is_shortened_and_a_short_one_is_not() {
        let layout = Layout::weights(2);
        assert_eq!(clipped(2.5, &[3.0, 4.0], &layout), [1.5, 2.0]);
        assert_eq!(clipped(5.0, &[3.0, 4.0], &layout), [3.0, 4.0]);
        assert_eq!(clipped(9.0, &[3.0, 4.0], &layout), [3.0, 4.0]);
        assert_eq!(clipped(1.0, &[0.0, 0.0], &layout), [0.0, 0.0]);
    }

    #[test]
    fn statistics_are_neither_counted_nor_changed() {
        let mut layout = Layout::weights(1);
        layout.push("running_mean", vec![1], Role::Statistic);
        layout.push("weight", vec![1], Role::Trainable);
        assert_eq!(
            clipped(2.5, &[3.0, 1000.0, 4.0], &layout),
            [1.5, 1000.0, 2.0]
        );
    }

    /// They stay so, for the sum to refuse them by name.
    #[test]
    fn values_that_are_no_numbers_do_not_become_numbers() {
        for bad in [f32::NAN, f32::INFINITY] {
            let values = clipped(1.0, &[bad, 1.0], &Layout::weights(2));
            assert!(!values[0].is_finite(), "{values:?}");
        }
    }
}
