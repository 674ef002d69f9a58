//! The update that most others are close to.

use super::{blocks, enough, squared_distance, weighted_mean};
use crate::aggregation::positive;
use lyceum_core::{
    Folded, Params, Reduction, Stall, Strategy, Updates,
    units::{Count, Misfit, Positive},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Takes the update whose closest neighbours are closest (Krum; Blanchard et al. 2017, section 4), or the mean of the `keep`
/// best of them (Multi-Krum, section 5). Clients count alike.
///
/// The score of an update is the sum of its squared distances to its `n - byzantine - 2` closest ones; the lowest scores are
/// kept, of equal ones that of the lower client. It holds against `byzantine` wrong clients of at least
/// `2 byzantine + 3`. It reads each update, and compares each with each.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Krum {
    /// Wrong clients among those of a round, at most; default 1.
    pub byzantine: u32,
    /// Updates that are averaged; default 1, which is Krum.
    pub keep: Count,
    /// Factor on their mean; no unit; default 1.
    pub rate: Positive,
}

impl Default for Krum {
    fn default() -> Self {
        Self {
            byzantine: 1,
            keep: Count::new(1).expect("defaults are in range"),
            rate: positive(1.0),
        }
    }
}

impl Strategy for Krum {
    type State = ();

    fn init(&self, _: &Params) -> Self::State {}

    fn reduction(&self) -> Reduction {
        Reduction::EachUpdate
    }

    fn short_of(&self, updates: usize) -> Option<Misfit> {
        let (wrong, keep) = (self.byzantine as usize, self.keep.get());
        let (to_score, to_keep) = (2 * wrong + 3, wrong + keep);
        let least = to_score.max(to_keep);
        let key = if to_score >= to_keep {
            "byzantine"
        } else {
            "keep"
        };
        (updates < least).then(|| Misfit {
            key: key.into(),
            message: format!(
                "Krum with byzantine = {wrong} and keep = {keep} needs {least} updates, a round has {updates}"
            ),
            expected: format!("at least {least} clients in a round, or a smaller `{key}`"),
        })
    }

    fn close(&self, (): &mut (), global: &mut Params, folded: &Folded<'_>) -> Result<(), Stall> {
        let updates = enough(self, folded)?;
        let (count, wrong, keep) = (updates.len(), self.byzantine as usize, self.keep.get());
        let distances = distances(updates, global.len())?;
        let best = best(&distances, count, count - wrong - 2, keep);
        let mut weights = vec![0.0; count];
        best.into_iter().for_each(|index| weights[index] = 1.0);
        let mean = weighted_mean(updates, global.len(), &weights)?;
        folded.advance(global, self.rate.get(), &mean);
        Ok(())
    }
}

/// Squared distances of all pairs, row by row.
fn distances(updates: &dyn Updates, len: usize) -> Result<Vec<f64>, Stall> {
    let count = updates.len();
    let mut all = vec![0.0; count * count];
    blocks(updates, len, |_, rows| {
        for (i, a) in rows.iter().enumerate() {
            for (j, b) in rows.iter().enumerate().skip(i + 1) {
                all[i * count + j] += squared_distance(a, b);
            }
        }
    })?;
    for i in 0..count {
        for j in 0..i {
            all[i * count + j] = all[j * count + i];
        }
    }
    Ok(all)
}

/// The `keep` updates with the lowest sums of distances to their `close` closest ones.
fn best(distances: &[f64], count: usize, close: usize, keep: usize) -> Vec<usize> {
    let score = |index: usize| {
        let row = &distances[index * count..][..count];
        let mut others: Vec<f64> = row.to_vec();
        others.remove(index);
        others.sort_unstable_by(f64::total_cmp);
        others[..close].iter().sum::<f64>()
    };
    let mut scores: Vec<(f64, usize)> = (0..count).map(|index| (score(index), index)).collect();
    scores.sort_unstable_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
    scores
        .into_iter()
        .take(keep)
        .map(|(_, index)| index)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::{super::tests::*, *};

    fn krum(byzantine: u32, keep: u64) -> Krum {
        Krum {
            byzantine,
            keep: Count::new(keep).unwrap(),
            ..Krum::default()
        }
    }

    /// Five updates on a line: 0, 1, 2, 4, 100. With one wrong client the score counts the two closest others:
    /// 0: 1 + 4 = 5; 1: 1 + 1 = 2; 2: 1 + 4 = 5; 4: 4 + 9 = 13; 100: 96^2 + 98^2. So Krum takes 1, and Multi-Krum of
    /// three takes 1, 0 and 2.
    #[test]
    fn the_update_in_the_thick_of_them_is_taken() {
        let updates = terms(&[&[4.0], &[0.0], &[100.0], &[2.0], &[1.0]]);
        assert_eq!(close(&krum(1, 1), &updates).unwrap(), [1.0]);
        assert_eq!(close(&krum(1, 3), &updates).unwrap(), [1.0]);
        assert_eq!(close(&krum(1, 4), &updates).unwrap(), [1.75]);
    }

    #[test]
    fn of_equal_scores_the_lower_client_is_taken() {
        let updates = terms(&[&[3.0, 0.0], &[0.0, 3.0], &[3.0, 0.0], &[0.0, 3.0]]);
        assert_eq!(close(&krum(0, 1), &updates).unwrap(), [3.0, 0.0]);
    }

    #[test]
    fn too_few_updates_stall_with_the_number_that_is_needed() {
        let updates = terms(&[&[1.0], &[2.0], &[3.0], &[4.0]]);
        let why = close(&krum(1, 1), &updates).unwrap_err();
        assert!(why.contains("needs 5 updates, a round has 4"), "{why}");
        let why = close(&krum(0, 9), &updates).unwrap_err();
        assert!(why.contains("needs 9 updates"), "{why}");
    }
}
