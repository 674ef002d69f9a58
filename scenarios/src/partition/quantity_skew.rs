use super::dirichlet::ten;
use super::{Divide, Partition, PartitionError, cuts};
use lyceum_core::units::Positive;
use lyceum_core::{Stream, dirichlet, shuffle};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Parts of different sizes with the classes of the whole set.
///
/// Every part gets `min_samples`; what is left is shared out in proportions drawn from a Dirichlet
/// over the parts. Every sample is used. (Published codes draw all sizes and repeat until the smallest
/// is large enough, which at small alpha does not end.)
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct QuantitySkew {
    /// Concentration of every part, above 0; the smaller, the more sizes differ.
    pub alpha: Positive,
    /// Fewest samples of a part, 0 or above (default 10).
    #[serde(default = "ten")]
    pub min_samples: u32,
}

impl Partition for QuantitySkew {
    fn divide(
        &self,
        input: &Divide<'_>,
        rng: &mut Stream,
    ) -> Result<Vec<Vec<u32>>, PartitionError> {
        input.check()?;
        let least = self.min_samples as usize;
        input.at_least(least)?;
        let spare = input.labels.len() - input.parts * least;
        let shares = dirichlet(&vec![self.alpha.get(); input.parts], rng);
        let mut lengths = cuts::lengths(spare, shares.into_iter());
        lengths.iter_mut().for_each(|length| *length += least);
        let mut order: Vec<u32> = (0..input.labels.len() as u32).collect();
        shuffle(&mut order, rng);
        let mut parts = vec![Vec::new(); input.parts];
        cuts::deal(&order, &lengths, &mut parts);
        Ok(cuts::ascending(parts))
    }
}

#[cfg(test)]
mod tests {
    use super::super::laws::{divide, input};
    use super::*;

    fn sizes(alpha: f64, min_samples: u32) -> Vec<usize> {
        let alpha = Positive::new(alpha).unwrap();
        let rule = QuantitySkew { alpha, min_samples };
        let labels = [0; 6_000];
        let parts = divide(&rule, &input(&labels, 1, 100), 1).unwrap();
        parts.iter().map(Vec::len).collect()
    }

    #[test]
    fn sizes_are_uneven_but_never_too_small() {
        for alpha in [1e-9, 0.01, 0.5] {
            let sizes = sizes(alpha, 10);
            assert_eq!(sizes.iter().sum::<usize>(), 6_000);
            assert!(sizes.iter().all(|&size| size >= 10));
            assert!(sizes.iter().any(|&size| size > 200), "{alpha}");
        }
        assert!(sizes(1e9, 0).iter().all(|&size| size.abs_diff(60) <= 1));
    }
}
