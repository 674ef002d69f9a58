//! Normalised averaging.

use super::{advance, mean_update};
use lyceum_core::{
    ClientRule, ExactSum, Folded, Lane, LocalWork, Params, Settled, Stall, Strategy,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Averages the directions of the updates and takes a step of their mean length, so that clients
/// with more local steps do not outweigh the others (FedNova; Wang et al. 2020, section 4).
///
/// With `p_i = n_i / n` and the travel `t_i` (how far a constant unit gradient would have moved a
/// parameter; the norm `|a_i|_1` times the rate, exact with momentum and decaying rates):
/// `w += (sum p_i t_i) * sum p_i (delta_i / t_i)`.
/// A client without a step has no direction and is left out of both sums.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct FedNova {}

impl Strategy for FedNova {
    type State = ();

    fn init(&self, _: &Params) -> Self::State {}

    fn close(&self, (): &mut (), global: &mut Params, folded: &Folded<'_>) -> Result<(), Stall> {
        let direction = mean_update(folded)?;
        let samples = folded.sum.weight(0);
        if samples > 0.0 {
            advance(global, total_travel(folded.sum) / samples, &direction);
        }
        Ok(())
    }

    fn client_half(&self) -> Arc<dyn ClientRule> {
        Arc::new(self.clone())
    }
}

/// Steps of the three scalar lanes that together hold `n_i t_i`: digits of 28 bits, which no single
/// lane could hold for travels from 1e-4 to 1e3 and up to 10^8 samples. Values below 2^41, in steps
/// of 2^-44.
const DIGITS: [i32; 3] = [12, -16, -44];

/// Splits `n t` so that every part is a multiple of its step (the last one is rounded by the lane).
fn digits(mut value: f64) -> [f64; 3] {
    DIGITS.map(|exponent| {
        let step = f64::from(exponent).exp2();
        let whole = if exponent == DIGITS[2] {
            value
        } else {
            (value / step).floor() * step
        };
        value -= whole;
        whole
    })
}

fn total_travel(sum: &ExactSum) -> f64 {
    (1..=DIGITS.len()).map(|lane| sum.weight(lane)).sum()
}

impl ClientRule for FedNova {
    fn lanes(&self) -> Vec<Lane> {
        let scalar = DIGITS.map(|exponent| Lane {
            exponent,
            scalar: true,
        });
        [&[Lane::INTEGER], &scalar[..]].concat()
    }

    fn settle(&self, work: &LocalWork<'_>) -> Settled {
        let moved = work.travel > 0.0;
        let samples = if moved { work.samples as f64 } else { 0.0 };
        // The weight n_i / t_i would not fit a lane; dividing the values keeps the weight an integer.
        let direction = |d: &f32| (f64::from(*d) / work.travel) as f32;
        let direction: Vec<f32> = if moved {
            work.delta.iter().map(direction).collect()
        } else {
            vec![0.0; work.delta.len()]
        };
        let mut lanes = vec![(samples, direction.into())];
        let travel = if moved { samples * work.travel } else { 0.0 };
        lanes.extend(digits(travel).map(|part| (part, Params::default())));
        Settled { lanes, state: None }
    }

    fn values_up(&self, len: usize) -> usize {
        len + 1
    }
}

#[cfg(test)]
mod tests {
    use super::{super::testbed::*, *};
    use proptest::prelude::{ProptestConfig, prop_assert, proptest};

    fn done(client: u64, samples: u64, travel: f64, delta: [f32; 3]) -> Done {
        Done {
            client,
            delta,
            samples,
            travel,
        }
    }

    /// n = 1 and 3, travels 1 and 4. Directions are [2, 0, 4] and [8, -4, 0] / 4 = [2, -1, 0]; their
    /// mean is [2, -0.75, 1]. The mean travel is (1 * 1 + 3 * 4) / 4 = 3.25.
    #[test]
    fn directions_are_averaged_and_travel_restored() {
        let mut federation = Federation::new(Arc::new(FedNova::default()), 2);
        let works = [
            done(0, 1, 1.0, [2.0, 0.0, 4.0]),
            done(1, 3, 4.0, [8.0, -4.0, 0.0]),
        ];
        federation.close(&works).unwrap();
        assert_eq!(*federation.global, [6.5, -2.4375, 3.25]);
    }

    /// With equal travels the formula is that of FedAvg.
    #[test]
    fn equal_travels_give_federated_averaging() {
        let works = [
            done(0, 10, 0.25, [1.0, 2.0, -3.0]),
            done(1, 30, 0.25, [0.5, 0.0, 1.0]),
        ];
        let mut nova = Federation::new(Arc::new(FedNova::default()), 2);
        let mut plain = Federation::new(Arc::new(super::super::FedAvg::default()), 2);
        nova.close(&works).unwrap();
        plain.close(&works).unwrap();
        assert!(distance(&nova.global, &plain.global) < 1e-6);
    }

    #[test]
    fn a_client_without_a_step_is_left_out() {
        let mut federation = Federation::new(Arc::new(FedNova::default()), 2);
        let works = [
            done(0, 5, 2.0, [1.0, 2.0, 3.0]),
            done(1, 500, 0.0, [0.0, 0.0, 0.0]),
        ];
        federation.close(&works).unwrap();
        assert_eq!(*federation.global, [1.0, 2.0, 3.0]);
    }

    fn close_to(got: f64, want: f64) -> bool {
        (got - want).abs() <= 2e-6 * want.abs() + 1e-9
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(400))]
        #[test]
        fn every_size_and_travel_fits_its_lanes(
            n in [0.0_f64..6.0, 0.0..6.0], t in [-4.0_f64..3.0, -4.0..3.0], slope in [-9.0_f32..9.0, -9.0..9.0],
        ) {
            let n = n.map(|e| 10_f64.powf(e).round());
            let t = t.map(|e| 10_f64.powf(e));
            let works = [0, 1].map(|i| done(i as u64, n[i] as u64, t[i], [slope[i] * t[i] as f32; 3]));
            let mut federation = Federation::new(Arc::new(FedNova::default()), 2);
            federation.close(&works).unwrap();
            let total = n[0] + n[1];
            let d = [0, 1].map(|i| f64::from(works[i].delta[0]) / t[i]);
            let want = (n[0] * t[0] + n[1] * t[1]) / total * (n[0] * d[0] + n[1] * d[1]) / total;
            // Opposite directions cancel: allow for the rounding of the larger one.
            let scale = (n[0] * t[0] + n[1] * t[1]) / total * d[0].abs().max(d[1].abs());
            let got = f64::from(federation.global[0]);
            prop_assert!(close_to(got, want) || (got - want).abs() < 1e-6 * scale, "{got} {want}");
        }

        #[test]
        fn digits_add_up_to_the_number(e in -4.0_f64..12.0) {
            let value = 10_f64.powf(e);
            let mut sum = ExactSum::new(&FedNova::default().lanes(), 3);
            for (lane, part) in digits(value).into_iter().enumerate() {
                sum.add(lane + 1, part, &[]).unwrap();
            }
            let got = total_travel(&sum);
            prop_assert!((got - value).abs() < 1e-9 * value, "{got} {value}");
        }
    }
}
