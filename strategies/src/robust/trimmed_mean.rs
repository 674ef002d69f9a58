//! The mean of each coordinate without its extremes.

use super::{enough, per_coordinate};
use crate::aggregation::positive;
use lyceum_core::{
    Folded, Params, Reduction, Stall, Strategy,
    units::{Minority, Misfit, Positive},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Moves each parameter by the mean of the clients' updates of it, without the largest and without the smallest `trim` of
/// them (Yin et al. 2018, definition 2). Clients count alike.
///
/// It holds against any share of wrong clients below `trim`. It reads each update.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct TrimmedMean {
    /// Share that is left out at either end, rounded up to whole clients; from 0 up to but not including 0.5; default 0.2; 0 is the plain mean.
    pub trim: Minority,
    /// Factor on the mean; no unit; default 1.
    pub rate: Positive,
}

impl Default for TrimmedMean {
    fn default() -> Self {
        Self {
            trim: Minority::new(0.2).expect("defaults are in range"),
            rate: positive(1.0),
        }
    }
}

impl Strategy for TrimmedMean {
    type State = ();

    fn init(&self, _: &Params) -> Self::State {}

    fn reduction(&self) -> Reduction {
        Reduction::EachUpdate
    }

    fn short_of(&self, updates: usize) -> Option<Misfit> {
        let (share, out) = (self.trim.get(), self.left_out(updates));
        (2 * out >= updates).then(|| Misfit {
            key: "trim".into(),
            message: format!(
                "a trim of {share} leaves out {out} of {updates} updates at either end, so none is left"
            ),
            expected: "more clients in a round, or a smaller share".into(),
        })
    }

    fn close(&self, (): &mut (), global: &mut Params, folded: &Folded<'_>) -> Result<(), Stall> {
        let updates = enough(self, folded)?;
        let out = self.left_out(updates.len());
        let mean = per_coordinate(updates, global.len(), |values| trimmed(values, out))?;
        folded.advance(global, self.rate.get(), &mean);
        Ok(())
    }
}

impl TrimmedMean {
    /// Updates that are left out at either end. The little bit taken off keeps a product such as 0.2 x 15, which is
    /// 3.0000000000000004, from counting as more than 3.
    fn left_out(&self, count: usize) -> usize {
        (self.trim.get() * count as f64 - 1e-9).ceil().max(0.0) as usize
    }
}

/// The mean of the values in the middle, added in ascending order.
fn trimmed(values: &mut [f32], out: usize) -> f64 {
    values.sort_unstable_by(f32::total_cmp);
    let middle = &values[out..values.len() - out];
    middle.iter().map(|v| f64::from(*v)).sum::<f64>() / middle.len() as f64
}

#[cfg(test)]
mod tests {
    use super::{super::tests::*, *};

    fn trim(share: f64) -> TrimmedMean {
        TrimmedMean {
            trim: Minority::new(share).unwrap(),
            ..TrimmedMean::default()
        }
    }

    /// Without the smallest and the largest of -9, 1, 2, 3, 100 there remain 1, 2, 3.
    #[test]
    fn extremes_do_not_count() {
        let updates = terms(&[&[2.0], &[100.0], &[1.0], &[-9.0], &[3.0]]);
        assert_eq!(close(&trim(0.2), &updates).unwrap(), [2.0]);
        assert_eq!(close(&trim(0.4), &updates).unwrap(), [2.0]);
        assert_eq!(close(&trim(0.0), &updates).unwrap(), [19.4]);
    }

    #[test]
    fn a_share_counts_whole_clients() {
        assert_eq!(trim(0.2).left_out(15), 3);
        assert_eq!(trim(0.1).left_out(15), 2);
        assert_eq!(trim(0.0).left_out(15), 0);
    }

    #[test]
    fn a_share_that_leaves_nobody_stalls() {
        let closed = close(&trim(0.4), &terms(&[&[1.0], &[2.0]]));
        assert!(closed.unwrap_err().contains("leaves out 1 of 2 updates"));
    }
}
