use super::{Divide, Partition, PartitionError};
use lyceum_core::Stream;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Part i holds the samples of the data set's own client i, such as a writer. With fewer parts than
/// clients, the samples of the later clients are not used. Has no keys.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ByClient {}

impl Partition for ByClient {
    fn divide(&self, input: &Divide<'_>, _: &mut Stream) -> Result<Vec<Vec<u32>>, PartitionError> {
        input.check()?;
        let natural = input.natural.ok_or(PartitionError::NoOwners)?;
        if natural.len() != input.labels.len() {
            return Err(PartitionError::Length {
                list: "natural",
                entries: natural.len(),
                samples: input.labels.len(),
            });
        }
        let owners = natural.iter().max().map_or(0, |&last| last as usize + 1);
        let parts = input.parts;
        if parts > owners {
            return Err(PartitionError::TooFewOwners { owners, parts });
        }
        let mut held = vec![Vec::new(); parts];
        for (position, &owner) in natural.iter().enumerate() {
            if let Some(part) = held.get_mut(owner as usize) {
                part.push(position as u32);
            }
        }
        Ok(held)
    }

    fn keeps_owners(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::super::laws::{divide, input};
    use super::*;

    #[test]
    fn owners_keep_their_samples() {
        let mut input = input(&[0; 5], 1, 2);
        input.natural = Some(&[1, 0, 2, 1, 0]);
        assert_eq!(divide(&ByClient {}, &input, 1).unwrap(), [[1, 4], [0, 3]]);
        input.parts = 4;
        let error = divide(&ByClient {}, &input, 1).unwrap_err().to_string();
        assert!(error.contains("has 3 clients, but 4"), "{error}");
        input.natural = Some(&[0]);
        let error = divide(&ByClient {}, &input, 1).unwrap_err().to_string();
        assert!(
            error.contains("1 entries of `natural` for 5 samples"),
            "{error}"
        );
        input.natural = None;
        let error = divide(&ByClient {}, &input, 1).unwrap_err();
        assert_eq!(error, PartitionError::NoOwners);
    }
}
