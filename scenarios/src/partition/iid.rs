use super::{Divide, Partition, PartitionError, cuts};
use lyceum_core::{Stream, shuffle};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Shuffles all samples and cuts them evenly; the first parts have one more where it does not come
/// out even. Every sample is used. Has no keys.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Iid {}

impl Partition for Iid {
    fn divide(
        &self,
        input: &Divide<'_>,
        rng: &mut Stream,
    ) -> Result<Vec<Vec<u32>>, PartitionError> {
        input.enough()?;
        let mut order: Vec<u32> = (0..input.labels.len() as u32).collect();
        shuffle(&mut order, rng);
        let lengths: Vec<usize> = cuts::even(order.len(), input.parts).collect();
        let mut parts = vec![Vec::new(); input.parts];
        cuts::deal(&order, &lengths, &mut parts);
        Ok(cuts::ascending(parts))
    }
}

#[cfg(test)]
mod tests {
    use super::super::laws::{divide, input};
    use super::*;

    #[test]
    fn parts_differ_by_at_most_one_sample() {
        let labels = [0; 11];
        let parts = divide(&Iid {}, &input(&labels, 1, 4), 1).unwrap();
        let sizes: Vec<usize> = parts.iter().map(Vec::len).collect();
        assert_eq!(sizes, [3, 3, 3, 2]);
    }

    #[test]
    fn more_parts_than_samples_are_refused_with_the_right_number() {
        let error = divide(&Iid {}, &input(&[0; 3], 1, 4), 1)
            .unwrap_err()
            .to_string();
        assert_eq!(
            error,
            "3 samples cannot make 4 parts of at least 1: use at most 3 parts, or more samples"
        );
    }
}
