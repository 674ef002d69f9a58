use lyceum_core::units::Fraction;
use lyceum_core::{Purpose, Seed, shuffle};

/// Splits training samples into those that stay and those for validation, both ascending.
///
/// `round(train.len() * fraction)` samples go to validation, chosen by [`Purpose::VALIDATION`].
pub fn split_validation(train: &[u32], fraction: Fraction, seed: Seed) -> (Vec<u32>, Vec<u32>) {
    let amount = (train.len() as f64 * fraction.get()).round() as usize;
    let mut validation = train.to_vec();
    shuffle(&mut validation, &mut seed.once(Purpose::VALIDATION));
    let mut stay = validation.split_off(amount.min(train.len()));
    stay.sort_unstable();
    validation.sort_unstable();
    (stay, validation)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(size: u32, fraction: f64, seed: u64) -> (Vec<u32>, Vec<u32>) {
        let train: Vec<u32> = (0..size).map(|i| i * 2).collect();
        split_validation(&train, Fraction::new(fraction).unwrap(), Seed(seed))
    }

    #[test]
    fn every_sample_lands_on_one_side() {
        for (size, fraction, amount) in [(10, 0.3, 3), (10, 0.0, 0), (10, 1.0, 10), (0, 0.5, 0)] {
            let (stay, validation) = split(size, fraction, 1);
            assert_eq!(validation.len(), amount);
            assert!(stay.is_sorted() && validation.is_sorted());
            let mut all = [stay, validation].concat();
            all.sort_unstable();
            assert_eq!(all, (0..size).map(|i| i * 2).collect::<Vec<_>>());
        }
    }

    #[test]
    fn the_seed_decides() {
        assert_eq!(split(100, 0.2, 1), split(100, 0.2, 1));
        assert_ne!(split(100, 0.2, 1), split(100, 0.2, 2));
    }
}
