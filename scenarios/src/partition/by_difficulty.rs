use super::dirichlet::{class_cuts, deal_classes, ten};
use super::{Divide, Partition, PartitionError};
use lyceum_core::units::Positive;
use lyceum_core::{Stream, shuffle};
use schemars::{JsonSchema, Schema, json_schema};
use serde::{Deserialize, Serialize};

/// Parts of different difficulty: the Dirichlet partition with every class sorted by the loss of a
/// centrally trained expert before its contiguous cuts, so that neighbouring parts are alike.
///
/// Every sample is used. After Vahidian et al. (ICCV 2023), code.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ByDifficulty {
    /// Which part gets the easiest samples: "easy-first" (the first part is the easiest), "hard-first", or "random" (mixed in every
    /// part: the control, which needs no expert). A run writes the short words.
    pub order: DifficultyOrder,
    /// Concentration of the classes, above 0 (default 100, which is close to even classes).
    #[serde(default = "hundred")]
    pub alpha: Positive,
    /// Fewest samples of a part, 0 or above (default 10).
    #[serde(default = "ten")]
    pub min_samples: u32,
}

/// How difficulty goes from the first part to the last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(transform = both_words)]
pub enum DifficultyOrder {
    /// "inc" or "easy-first": the first part is the easiest.
    #[serde(alias = "easy-first")]
    Inc,
    /// "dec" or "hard-first": the first part is the hardest.
    #[serde(alias = "hard-first")]
    Dec,
    /// "rand" or "random": mixed in every part, the control, which needs no expert.
    #[serde(alias = "random")]
    Rand,
}

/// Both words for each, of which a run writes the shorter.
fn both_words(schema: &mut Schema) {
    let words = ["easy-first", "inc", "hard-first", "dec", "random", "rand"];
    let words = words.map(|word| json_schema!({ "type": "string", "const": word }));
    *schema = json_schema!({ "oneOf": words });
}

fn hundred() -> Positive {
    Positive::new(100.0).expect("100 is above 0")
}

impl Partition for ByDifficulty {
    fn divide(
        &self,
        input: &Divide<'_>,
        rng: &mut Stream,
    ) -> Result<Vec<Vec<u32>>, PartitionError> {
        input.check()?;
        let losses = match self.order {
            DifficultyOrder::Rand => None,
            _ => Some(losses(input)?),
        };
        let lengths = class_cuts(input, self.alpha.get(), self.min_samples as usize, rng)?;
        let mut held = input.by_class();
        for class in &mut held {
            match losses {
                Some(losses) => self.sort(class, losses),
                None => shuffle(class, rng),
            }
        }
        Ok(deal_classes(&held, &lengths, input.parts))
    }

    fn needs_difficulty(&self) -> bool {
        self.order != DifficultyOrder::Rand
    }
}

impl ByDifficulty {
    /// Samples of equal loss keep their order.
    fn sort(&self, class: &mut [u32], losses: &[f32]) {
        let loss = |position: &u32| losses[*position as usize];
        match self.order {
            DifficultyOrder::Dec => class.sort_by(|a, b| loss(b).total_cmp(&loss(a))),
            _ => class.sort_by(|a, b| loss(a).total_cmp(&loss(b))),
        }
    }
}

fn losses<'a>(input: &Divide<'a>) -> Result<&'a [f32], PartitionError> {
    let losses = input.difficulty.ok_or(PartitionError::NoDifficulty)?;
    if losses.len() != input.labels.len() {
        return Err(PartitionError::Length {
            list: "difficulty",
            entries: losses.len(),
            samples: input.labels.len(),
        });
    }
    match losses.iter().position(|loss| loss.is_nan()) {
        Some(position) => Err(PartitionError::NotANumber { position }),
        None => Ok(losses),
    }
}

#[cfg(test)]
mod tests {
    use super::super::laws::{divide, input};
    use super::*;

    fn rule(order: DifficultyOrder) -> ByDifficulty {
        ByDifficulty {
            order,
            alpha: hundred(),
            min_samples: 10,
        }
    }

    fn mean_losses(order: DifficultyOrder) -> Vec<f64> {
        let labels: Vec<u32> = (0..5_000).map(|i| i % 10).collect();
        let losses: Vec<f32> = (0..5_000).map(|i| (i * 37 % 1_000) as f32).collect();
        let mut input = input(&labels, 10, 20);
        input.difficulty = Some(&losses);
        let parts = divide(&rule(order), &input, 1).unwrap();
        let mean = |part: &Vec<u32>| {
            let losses = part.iter().map(|&p| f64::from(losses[p as usize]));
            losses.sum::<f64>() / part.len() as f64
        };
        parts.iter().map(mean).collect()
    }

    #[test]
    fn difficulty_rises_falls_or_is_mixed() {
        assert!(mean_losses(DifficultyOrder::Inc).is_sorted());
        assert!(mean_losses(DifficultyOrder::Dec).iter().rev().is_sorted());
        let mixed = mean_losses(DifficultyOrder::Rand);
        assert!(
            mixed.iter().all(|mean| (400.0..600.0).contains(mean)),
            "{mixed:?}"
        );
    }

    #[test]
    fn losses_must_be_there_and_be_numbers() {
        let labels = [0; 20];
        let mut input = input(&labels, 1, 1);
        let mut error = |losses: Option<&'static [f32]>| {
            input.difficulty = losses;
            divide(&rule(DifficultyOrder::Inc), &input, 1).unwrap_err()
        };
        assert_eq!(error(None), PartitionError::NoDifficulty);
        assert_eq!(
            error(Some(&[f32::NAN; 20])),
            PartitionError::NotANumber { position: 0 }
        );
        assert!(matches!(
            error(Some(&[0.0; 3])),
            PartitionError::Length { entries: 3, .. }
        ));
        assert!(!rule(DifficultyOrder::Rand).needs_difficulty());
        assert!(rule(DifficultyOrder::Dec).needs_difficulty());
    }
}
