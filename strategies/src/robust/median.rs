//! The median of each coordinate.

use super::{per_coordinate, updates};
use crate::aggregation::positive;
use lyceum_core::{Folded, Params, Reduction, Stall, Strategy, units::Positive};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Moves each parameter by the median of the clients' updates of it (Yin et al. 2018, definition 1). Clients count alike,
/// whatever their numbers of samples; between two middle values lies their mean.
///
/// Fewer than half of the clients can send anything without moving a parameter beyond what the others wanted. It reads each
/// update, so a round costs the coordinator the bytes of one model per client.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Median {
    /// Factor on the median; no unit; default 1.
    pub rate: Positive,
}

impl Default for Median {
    fn default() -> Self {
        Self {
            rate: positive(1.0),
        }
    }
}

impl Strategy for Median {
    type State = ();

    fn init(&self, _: &Params) -> Self::State {}

    fn reduction(&self) -> Reduction {
        Reduction::EachUpdate
    }

    fn close(&self, (): &mut (), global: &mut Params, folded: &Folded<'_>) -> Result<(), Stall> {
        let median = per_coordinate(updates(folded)?, global.len(), median)?;
        folded.advance(global, self.rate.get(), &median);
        Ok(())
    }
}

/// The middle of finite values, of which there is at least one.
fn median(values: &mut [f32]) -> f64 {
    let middle = values.len() / 2;
    let even = values.len().is_multiple_of(2);
    let (below, upper, _) = values.select_nth_unstable_by(middle, f32::total_cmp);
    let upper = f64::from(*upper);
    match below.iter().copied().max_by(f32::total_cmp) {
        Some(lower) if even => 0.5 * (f64::from(lower) + upper),
        _ => upper,
    }
}

#[cfg(test)]
mod tests {
    use super::{super::tests::*, *};
    use proptest::prelude::*;

    /// Of -5, 1, 2 the middle is 1; of 0, 7, 8 it is 7; of -1, -1, 4 it is -1.
    #[test]
    fn each_coordinate_has_its_own_median() {
        let updates = terms(&[&[2.0, 0.0, -1.0], &[-5.0, 8.0, 4.0], &[1.0, 7.0, -1.0]]);
        assert_eq!(
            close(&Median::default(), &updates).unwrap(),
            [1.0, 7.0, -1.0]
        );
        let half = Median {
            rate: positive(0.5),
        };
        assert_eq!(close(&half, &updates).unwrap(), [0.5, 3.5, -0.5]);
    }

    #[test]
    fn the_number_of_samples_does_not_count() {
        let mut updates = terms(&[&[1.0], &[2.0], &[9.0], &[3.0]]);
        updates[2].lanes[0].0 = 1000.0;
        assert_eq!(close(&Median::default(), &updates).unwrap(), [2.5]);
    }

    proptest! {
        #[test]
        fn it_is_the_middle_of_the_sorted_values(mut values in prop::collection::vec(-1e3_f32..1e3, 1..40)) {
            let got = median(&mut values.clone());
            values.sort_by(f32::total_cmp);
            let n = values.len();
            let want = (f64::from(values[(n - 1) / 2]) + f64::from(values[n / 2])) / 2.0;
            prop_assert_eq!(got, want);
        }
    }
}
