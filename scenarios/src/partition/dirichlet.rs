use super::{Divide, Partition, PartitionError, cuts};
use lyceum_core::units::Positive;
use lyceum_core::{Stream, dirichlet, shuffle};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Draws after which a partition gives up, if they are cheap.
const TRIES: usize = 1_000;
/// Numbers after which it gives up (one per part and class in each draw), but not before 20 draws.
const NUMBERS: usize = 20_000_000;

/// Label skew by a Dirichlet draw per part: `noniid-labeldir`.
///
/// Every part draws its mix of classes from a Dirichlet with concentration `alpha * classes *
/// (share of the class)`, which is `alpha` for balanced classes. Then each class is shuffled and cut
/// among the parts in proportion to what they drew for it, so that all samples are used and sizes
/// differ. Drawn anew, up to 1,000 times, until every part has
/// `min_samples`. After Vahidian et al. (ICCV 2023), code.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Dirichlet {
    /// Concentration, above 0; the smaller, the fewer classes a part holds.
    pub alpha: Positive,
    /// Fewest samples of a part, 0 or above (default 10).
    #[serde(default = "ten")]
    pub min_samples: u32,
}

pub(super) fn ten() -> u32 {
    10
}

impl Partition for Dirichlet {
    fn divide(
        &self,
        input: &Divide<'_>,
        rng: &mut Stream,
    ) -> Result<Vec<Vec<u32>>, PartitionError> {
        input.check()?;
        let lengths = class_cuts(input, self.alpha.get(), self.min_samples as usize, rng)?;
        let mut held = input.by_class();
        held.iter_mut().for_each(|class| shuffle(class, rng));
        Ok(deal_classes(&held, &lengths, input.parts))
    }
}

/// For every class, how many of its samples each part gets.
pub(super) fn class_cuts(
    input: &Divide<'_>,
    alpha: f64,
    min_samples: usize,
    rng: &mut Stream,
) -> Result<Vec<Vec<usize>>, PartitionError> {
    input.at_least(min_samples)?;
    let counts = counts(input);
    let concentration = concentration(alpha, &counts);
    let mut best = 0;
    let numbers = input.parts.saturating_mul(input.classes).max(1);
    let tries = (NUMBERS / numbers).clamp(20, TRIES);
    for _ in 0..tries {
        let lengths = draw(&concentration, &counts, input.parts, rng);
        let smallest = smallest(&lengths, input.parts);
        if smallest >= min_samples {
            return Ok(lengths);
        }
        best = best.max(smallest);
    }
    Err(PartitionError::Unlucky {
        tries,
        alpha,
        parts: input.parts,
        best,
        min_samples,
    })
}

/// Gives every part its cut of every class.
pub(super) fn deal_classes(
    held: &[Vec<u32>],
    lengths: &[Vec<usize>],
    parts: usize,
) -> Vec<Vec<u32>> {
    let mut dealt = vec![Vec::new(); parts];
    for (class, lengths) in held.iter().zip(lengths) {
        cuts::deal(class, lengths, &mut dealt);
    }
    cuts::ascending(dealt)
}

fn counts(input: &Divide<'_>) -> Vec<usize> {
    let mut counts = vec![0; input.classes];
    input
        .labels
        .iter()
        .for_each(|&label| counts[label as usize] += 1);
    counts
}

fn concentration(alpha: f64, counts: &[usize]) -> Vec<f64> {
    let samples = counts.iter().sum::<usize>().max(1) as f64;
    let share = |&count: &usize| count as f64 / samples;
    let scale = alpha * counts.len() as f64;
    counts
        .iter()
        .map(share)
        .map(|share| scale * share)
        .collect()
}

fn draw(
    concentration: &[f64],
    counts: &[usize],
    parts: usize,
    rng: &mut Stream,
) -> Vec<Vec<usize>> {
    let mixes: Vec<Vec<f64>> = (0..parts).map(|_| dirichlet(concentration, rng)).collect();
    let cut = |(class, &count)| cuts::lengths(count, mixes.iter().map(|mix| mix[class]));
    counts.iter().enumerate().map(cut).collect()
}

fn smallest(lengths: &[Vec<usize>], parts: usize) -> usize {
    let size = |part| lengths.iter().map(|class| class[part]).sum();
    (0..parts).map(size).min().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::super::laws::{divide, input};
    use super::*;

    fn rule(alpha: f64) -> Dirichlet {
        let alpha = Positive::new(alpha).unwrap();
        Dirichlet {
            alpha,
            min_samples: 10,
        }
    }

    fn labels(samples: u32) -> Vec<u32> {
        (0..samples).map(|i| i % 10).collect()
    }

    /// Mean over the parts of the share of their largest class.
    fn purity(parts: &[Vec<u32>]) -> f64 {
        let share = |part: &Vec<u32>| {
            let count = |class| part.iter().filter(|&&p| p % 10 == class).count();
            (0..10).map(count).max().unwrap() as f64 / part.len() as f64
        };
        parts.iter().map(share).sum::<f64>() / parts.len() as f64
    }

    #[test]
    fn the_toy_and_the_paper_sizes_always_succeed() {
        for (samples, parts, alpha) in [(5_000, 20, 0.1), (50_000, 100, 0.05), (50_000, 400, 0.05)]
        {
            let labels = labels(samples);
            for seed in 0..5 {
                let parts = divide(&rule(alpha), &input(&labels, 10, parts), seed).unwrap();
                assert!(parts.iter().all(|part| part.len() >= 10));
                assert_eq!(parts.iter().map(Vec::len).sum::<usize>(), samples as usize);
            }
        }
    }

    #[test]
    fn skew_falls_as_alpha_grows() {
        let labels = labels(5_000);
        let purity = |alpha| purity(&divide(&rule(alpha), &input(&labels, 10, 20), 1).unwrap());
        let (strong, weak, none) = (purity(0.05), purity(0.9), purity(1e6));
        assert!(
            strong > 0.6 && weak < 0.4 && none < 0.11,
            "{strong} {weak} {none}"
        );
    }

    #[test]
    fn rare_classes_are_rare_in_every_draw() {
        let uneven = concentration(0.5, &[30, 10, 0]);
        assert_eq!(uneven, [1.125, 0.375, 0.0]);
    }

    #[test]
    fn what_cannot_hold_is_said_at_once_or_after_bounded_draws() {
        let labels = labels(100);
        let error = divide(&rule(0.1), &input(&labels, 10, 11), 1)
            .unwrap_err()
            .to_string();
        assert!(
            error.contains(
                "11 parts of at least 10: use a smaller `min_samples`, or at most 10 parts"
            ),
            "{error}"
        );
        let error = divide(&rule(0.1), &input(&labels, 10, 10), 1)
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("in 1000 draws with `alpha = 0.1`"),
            "{error}"
        );
    }
}
