use super::{Divide, Partition, PartitionError, cuts};
use lyceum_core::units::Count;
use lyceum_core::{Stream, sample_distinct, shuffle};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A fixed number of classes per part: `noniid-#label`.
///
/// Part i holds class i modulo the number of classes, and random others. Each class is shuffled and
/// cut evenly among its holders. A class that no part holds, which needs fewer parts than classes, is
/// not used. After Vahidian et al. (ICCV 2023), code.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LabelsPerClient {
    /// Classes per part, from 1 to the number of classes.
    pub labels: Count,
}

impl Partition for LabelsPerClient {
    fn divide(
        &self,
        input: &Divide<'_>,
        rng: &mut Stream,
    ) -> Result<Vec<Vec<u32>>, PartitionError> {
        input.enough()?;
        let (labels, classes) = (self.labels.get(), input.classes);
        if labels > classes {
            return Err(PartitionError::TooManyLabels { labels, classes });
        }
        let holders = holders(labels, input, rng);
        let mut parts = vec![Vec::new(); input.parts];
        for (mut class, holders) in input.by_class().into_iter().zip(holders) {
            shuffle(&mut class, rng);
            let mut rest = class.as_slice();
            for (&part, length) in holders.iter().zip(cuts::even(class.len(), holders.len())) {
                let (cut, left) = rest.split_at(length);
                parts[part].extend_from_slice(cut);
                rest = left;
            }
        }
        match parts.iter().position(Vec::is_empty) {
            Some(part) => Err(PartitionError::EmptyPart { part }),
            None => Ok(cuts::ascending(parts)),
        }
    }
}

/// For every class the parts that hold it, ascending.
fn holders(labels: usize, input: &Divide<'_>, rng: &mut Stream) -> Vec<Vec<usize>> {
    let mut holders = vec![Vec::new(); input.classes];
    for part in 0..input.parts {
        let own = part % input.classes;
        holders[own].push(part);
        for other in sample_distinct(input.classes as u64 - 1, labels - 1, rng) {
            let other = other as usize;
            holders[other + usize::from(other >= own)].push(part);
        }
    }
    holders
}

#[cfg(test)]
mod tests {
    use super::super::laws::{divide, input};
    use super::*;
    use std::collections::BTreeSet;

    fn rule(labels: u64) -> LabelsPerClient {
        let labels = Count::new(labels).unwrap();
        LabelsPerClient { labels }
    }

    #[test]
    fn every_part_holds_so_many_classes_and_its_own() {
        let labels: Vec<u32> = (0..5_000).map(|i| i % 10).collect();
        for amount in [1, 2, 10] {
            let parts = divide(&rule(amount), &input(&labels, 10, 30), 1).unwrap();
            assert_eq!(parts.iter().map(Vec::len).sum::<usize>(), 5_000);
            for (i, part) in parts.iter().enumerate() {
                let held: BTreeSet<usize> = part.iter().map(|&p| p as usize % 10).collect();
                assert!(held.len() == amount as usize && held.contains(&(i % 10)));
            }
        }
    }

    #[test]
    fn more_labels_than_classes_and_empty_parts_are_refused() {
        let labels = [0, 1, 1, 1];
        let error = divide(&rule(3), &input(&labels, 2, 2), 1).unwrap_err();
        assert_eq!(
            error.to_string(),
            "`labels = 3` is more than the 2 classes: use at most 2"
        );
        let error = divide(&rule(1), &input(&labels, 2, 4), 1).unwrap_err();
        assert_eq!(error, PartitionError::EmptyPart { part: 2 });
    }
}
