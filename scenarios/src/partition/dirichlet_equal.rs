use super::{Divide, Partition, PartitionError, cuts};
use lyceum_core::units::Positive;
use lyceum_core::{Stream, dirichlet, shuffle};
use rand::RngExt;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Label skew with parts of equal size: every part draws its mix of classes from a Dirichlet and
/// then, sample by sample, a class from the mix and the next sample of that class.
///
/// A class that has run out is left out of later draws, so its share goes to the other classes in
/// proportion; later parts are therefore less skewed. Every part has `floor(samples / parts)`
/// samples; the remainder is not used. After Hsu, Qi and Brown (2019), section 3.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DirichletEqual {
    /// Concentration of every class, above 0; the smaller, the fewer classes a part holds.
    pub alpha: Positive,
}

impl Partition for DirichletEqual {
    fn divide(
        &self,
        input: &Divide<'_>,
        rng: &mut Stream,
    ) -> Result<Vec<Vec<u32>>, PartitionError> {
        input.enough()?;
        let mut left = input.by_class();
        left.iter_mut().for_each(|class| shuffle(class, rng));
        let size = input.labels.len() / input.parts;
        let concentration = vec![self.alpha.get(); input.classes];
        let part = |_| {
            let mut mix = dirichlet(&concentration, rng);
            (0..size)
                .filter_map(|_| next(&mut mix, &mut left, rng))
                .collect()
        };
        Ok(cuts::ascending((0..input.parts).map(part).collect()))
    }
}

/// Takes a sample of a class drawn from the mix, among the classes that have samples left.
fn next(mix: &mut [f64], left: &mut [Vec<u32>], rng: &mut Stream) -> Option<u32> {
    renew(mix, left);
    let total: f64 = mix.iter().sum();
    let mut point = rng.random::<f64>() * total;
    let hit = mix.iter().position(|&weight| {
        point -= weight;
        point < 0.0
    });
    // Rounding may leave the point beyond the last weight.
    let class = hit.or_else(|| mix.iter().rposition(|&weight| weight > 0.0))?;
    left[class].pop()
}

/// Strikes classes that have run out; if nothing is left of the mix, takes the classes as they are left.
fn renew(mix: &mut [f64], left: &[Vec<u32>]) {
    for (weight, class) in mix.iter_mut().zip(left) {
        if class.is_empty() {
            *weight = 0.0;
        }
    }
    if mix.iter().all(|&weight| weight <= 0.0) {
        mix.iter_mut()
            .zip(left)
            .for_each(|(weight, class)| *weight = class.len() as f64);
    }
}

#[cfg(test)]
mod tests {
    use super::super::laws::{divide, input};
    use super::*;

    fn rule(alpha: f64) -> DirichletEqual {
        let alpha = Positive::new(alpha).unwrap();
        DirichletEqual { alpha }
    }

    #[test]
    fn all_parts_have_one_size_and_the_remainder_is_left() {
        let labels: Vec<u32> = (0..1003).map(|i| i % 7).collect();
        for alpha in [1e-9, 0.5, 100.0] {
            let parts = divide(&rule(alpha), &input(&labels, 7, 10), 1).unwrap();
            assert!(parts.iter().all(|part| part.len() == 100));
        }
    }

    #[test]
    fn the_first_part_follows_its_draw_alone() {
        let labels: Vec<u32> = (0..60_000).map(|i| i % 10).collect();
        let largest = |alpha| {
            let parts = divide(&rule(alpha), &input(&labels, 10, 100), 3).unwrap();
            let count = |class| parts[0].iter().filter(|&&p| p % 10 == class).count();
            (0..10).map(count).max().unwrap()
        };
        assert!(largest(0.001) > 590);
        assert!(largest(1e6) < 100);
    }
}
