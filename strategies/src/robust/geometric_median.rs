//! The point with the least sum of distances to the updates.

use super::{blocks, squared_distance, updates, weighted_mean};
use crate::aggregation::positive;
use lyceum_core::{
    Folded, Params, Reduction, Stall, Strategy,
    units::{Count, Positive},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Moves the model by the geometric median of the updates, weighted by numbers of samples, found by the smoothed algorithm of
/// Weiszfeld (RFA; Pillutla et al. 2022, algorithms 1 and 2): from the mean on, each step takes the mean with weights
/// `samples / max(smoothing, distance to the point before)`.
///
/// It holds against wrong clients with less than half of the samples. It reads each update twice a step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct GeometricMedian {
    /// Steps after the mean; default 3.
    pub steps: Count,
    /// Least distance that counts, in the unit of the parameters; default 1e-6.
    pub smoothing: Positive,
    /// Factor on the median; no unit; default 1.
    pub rate: Positive,
}

impl Default for GeometricMedian {
    fn default() -> Self {
        Self {
            steps: Count::new(3).expect("defaults are in range"),
            smoothing: positive(1e-6),
            rate: positive(1.0),
        }
    }
}

impl Strategy for GeometricMedian {
    type State = ();

    fn init(&self, _: &Params) -> Self::State {}

    fn reduction(&self) -> Reduction {
        Reduction::EachUpdate
    }

    fn close(&self, (): &mut (), global: &mut Params, folded: &Folded<'_>) -> Result<(), Stall> {
        let updates = updates(folded)?;
        let (count, len) = (updates.len(), global.len());
        let samples: Vec<f64> = (0..count).map(|index| updates.weight(index, 0)).collect();
        if samples.iter().sum::<f64>() <= 0.0 {
            return Err(Stall("the accepted updates have no sample".into()));
        }
        let mut point = weighted_mean(updates, len, &samples)?;
        for _ in 0..self.steps.get() {
            let mut squares = vec![0.0; count];
            blocks(updates, len, |start, rows| {
                for (square, row) in squares.iter_mut().zip(rows) {
                    *square += squared_distance(row, &point[start..start + row.len()]);
                }
            })?;
            let weight =
                |(samples, square): (&f64, f64)| samples / square.sqrt().max(self.smoothing.get());
            let weights: Vec<f64> = samples.iter().zip(squares).map(weight).collect();
            point = weighted_mean(updates, len, &weights)?;
        }
        folded.advance(global, self.rate.get(), &point);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{super::tests::*, *};

    fn steps(steps: u64) -> GeometricMedian {
        GeometricMedian {
            steps: Count::new(steps).unwrap(),
            ..GeometricMedian::default()
        }
    }

    /// From the mean 4 of 0, 0, 12 the weights are 1/4, 1/4, 1/8: the next point is (12 / 8) / (5 / 8) = 2.4.
    #[test]
    fn a_step_weighs_by_the_distance_from_the_point_before() {
        let updates = terms(&[&[0.0], &[0.0], &[12.0]]);
        assert_eq!(close(&steps(1), &updates).unwrap(), [2.4]);
    }

    /// The point with the least sum of distances to the corners of a triangle with no angle of 120 degrees or more sees
    /// each pair of them at 120 degrees; in an equilateral one it is the middle.
    #[test]
    fn many_steps_end_where_the_sum_of_distances_is_least() {
        let height = 3.0_f32.sqrt();
        let updates = terms(&[
            &[-1.0, 0.0],
            &[1.0, 0.0],
            &[0.0, height],
            &[0.0, height],
            &[0.0, height],
        ]);
        // Three of five updates are one point, so no other has a smaller sum.
        let got = close(&steps(200), &updates).unwrap();
        assert!(
            got[0].abs() < 1e-6 && (got[1] - height).abs() < 1e-3,
            "{got:?}"
        );
        let got = close(
            &steps(200),
            &terms(&[&[-1.0, 0.0], &[1.0, 0.0], &[0.0, height]]),
        )
        .unwrap();
        assert!(
            got[0].abs() < 1e-6 && (got[1] - height / 3.0).abs() < 1e-4,
            "{got:?}"
        );
    }

    #[test]
    fn samples_count() {
        let mut updates = terms(&[&[0.0], &[10.0]]);
        updates[1].lanes[0].0 = 9.0;
        assert!(close(&steps(50), &updates).unwrap()[0] > 9.99);
    }
}
