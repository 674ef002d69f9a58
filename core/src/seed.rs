//! Addressed randomness: a draw depends on what it is for, never on who drew before.

use crate::{ClientId, Ticket};
use rand::{Rng, RngExt, SeedableRng, rngs::ChaCha12Rng};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// A stream of random numbers. Portable: the same address gives the same numbers everywhere.
pub type Stream = ChaCha12Rng;

/// The root of all randomness of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Seed(pub u64);

/// What a stream is for. Numbers are only ever appended, so that old results stay reproducible.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Purpose(pub u64);

impl Purpose {
    /// Initial parameters of the model.
    pub const INIT: Self = Self(1);
    /// Samples of a generated data set.
    pub const DATA: Self = Self(2);
    /// Division of the samples among clients.
    pub const PARTITION: Self = Self(3);
    /// Choice of the cohort.
    pub const SELECTION: Self = Self(4);
    /// Which selected clients never answer.
    pub const AVAILABILITY: Self = Self(5);
    /// Order of batches in local training.
    pub const BATCHES: Self = Self(6);
    /// Random part of an ordering of local samples.
    pub const ORDERING: Self = Self(7);
    /// Dropout masks.
    pub const DROPOUT: Self = Self(8);
    /// Central training of the expert.
    pub const EXPERT: Self = Self(9);
    /// Split of the training samples into training and validation.
    pub const VALIDATION: Self = Self(10);
    /// Tasks of a stream: orders of classes, permutations, noise.
    pub const STREAM: Self = Self(11);
    /// When and in which order tasks come to clients.
    pub const ARRIVAL: Self = Self(12);
    /// What continual methods draw: buffers, replayed samples.
    pub const CONTINUAL: Self = Self(13);
    /// Dropout masks of the gradients on earlier samples that a step is turned by.
    pub const REFERENCE: Self = Self(14);
    /// Dropout masks of the central training of the expert.
    pub const EXPERT_DROPOUT: Self = Self(15);
    /// Draws of weights that are distributions, in a step of training.
    pub const WEIGHTS: Self = Self(16);
    /// Models drawn from a region of a posterior.
    pub const REGION: Self = Self(17);
    /// Preferences over tasks.
    pub const PREFERENCES: Self = Self(18);
    /// Weights of fixed random features.
    pub const FEATURES: Self = Self(19);
    /// What layers draw that draw what they give, and not their weights.
    pub const LOCAL: Self = Self(20);
    /// Changes of samples that are trained on.
    pub const AUGMENT: Self = Self(21);

    /// What a training pass of this name draws, besides the one that clients always take.
    pub fn of_pass(name: &str, draws: &str) -> Self {
        Self::named(&format!("pass {name} {draws}"))
    }

    /// A plugin's own purpose, hashed from its name so that it cannot meet a numbered one.
    pub fn named(name: &str) -> Self {
        let hash = blake3::hash(name.as_bytes());
        let mut word = [0; 8];
        word.copy_from_slice(&hash.as_bytes()[..8]);
        Self(u64::from_le_bytes(word) | 1 << 63)
    }
}

impl Seed {
    /// The stream at the address (seed, purpose, ticket, client): the address is the ChaCha12 key.
    pub fn stream(self, purpose: Purpose, ticket: Ticket, client: Option<ClientId>) -> Stream {
        let words = [
            self.0,
            purpose.0,
            ticket.0,
            client.map_or(0, |c| c.0.wrapping_add(1)),
        ];
        let mut key = [0; 32];
        for (chunk, word) in key.chunks_exact_mut(8).zip(words) {
            chunk.copy_from_slice(&word.to_le_bytes());
        }
        Stream::from_seed(key)
    }

    /// The stream of a purpose that has neither ticket nor client.
    pub fn once(self, purpose: Purpose) -> Stream {
        self.stream(purpose, Ticket(0), None)
    }
}

/// Shuffles in place (Fisher-Yates, from the end). Draws `items.len() - 1` numbers.
pub fn shuffle<T>(items: &mut [T], rng: &mut (impl Rng + ?Sized)) {
    for i in (1..items.len()).rev() {
        items.swap(i, rng.random_range(0..=i as u64) as usize);
    }
}

/// `amount` distinct numbers below `population` in random order; all of them if there are fewer.
///
/// Costs memory for `amount` numbers, whatever the population (Floyd's algorithm, then a shuffle).
pub fn sample_distinct(population: u64, amount: usize, rng: &mut (impl Rng + ?Sized)) -> Vec<u64> {
    let amount = (amount as u64).min(population);
    let mut order = if population / 64 <= amount {
        let mut bits = vec![0_u64; population.div_ceil(64) as usize];
        distinct(population, amount, rng, |number| {
            let (word, bit) = (&mut bits[(number / 64) as usize], 1 << (number % 64));
            let is_new = *word & bit == 0;
            *word |= bit;
            is_new
        })
    } else {
        let mut chosen = BTreeSet::new();
        distinct(population, amount, rng, |number| chosen.insert(number))
    };
    shuffle(&mut order, rng);
    order
}

/// Floyd's algorithm; `insert` says whether a number is new.
fn distinct(
    population: u64,
    amount: u64,
    rng: &mut (impl Rng + ?Sized),
    mut insert: impl FnMut(u64) -> bool,
) -> Vec<u64> {
    let pick = |j| {
        let candidate = rng.random_range(0..=j);
        if insert(candidate) {
            return candidate;
        }
        insert(j);
        j
    };
    (population - amount..population).map(pick).collect()
}

/// Draws from a symmetric or asymmetric Dirichlet; entries sum to 1.
///
/// Tiny concentrations make every gamma draw underflow to zero; then the whole mass goes to one
/// entry chosen by the concentrations, which is the limit distribution.
pub fn dirichlet(concentration: &[f64], rng: &mut (impl Rng + ?Sized)) -> Vec<f64> {
    use rand_distr::{Distribution, Gamma};
    let mut draws: Vec<f64> = concentration
        .iter()
        .map(|&a| {
            if a > 0.0 {
                Gamma::new(a, 1.0).map_or(0.0, |g| g.sample(rng))
            } else {
                0.0
            }
        })
        .collect();
    let total: f64 = draws.iter().sum();
    if total > 0.0 && total.is_finite() {
        draws.iter_mut().for_each(|d| *d /= total);
        return draws;
    }
    let mass: f64 = concentration.iter().sum();
    let mut point = rng.random::<f64>() * mass;
    let hit = concentration.iter().position(|&a| {
        point -= a;
        point < 0.0
    });
    draws.fill(0.0);
    if let Some(slot) = draws.get_mut(hit.unwrap_or(concentration.len().saturating_sub(1))) {
        *slot = 1.0;
    }
    draws
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_names_one_stream() {
        let draw = |p, t, c| Seed(7).stream(p, Ticket(t), c).random::<u64>();
        let here = draw(Purpose::BATCHES, 3, Some(ClientId(0)));
        assert_eq!(here, draw(Purpose::BATCHES, 3, Some(ClientId(0))));
        assert_ne!(here, draw(Purpose::BATCHES, 3, None));
        assert_ne!(here, draw(Purpose::BATCHES, 4, Some(ClientId(0))));
        assert_ne!(here, draw(Purpose::ORDERING, 3, Some(ClientId(0))));
    }

    #[test]
    fn streams_never_change_between_versions() {
        assert_eq!(
            Seed(7).once(Purpose::INIT).random::<u64>(),
            14878422816543005388
        );
    }

    #[test]
    fn distinct_samples_are_distinct_and_in_range() {
        let mut rng = Seed(1).once(Purpose::SELECTION);
        for (population, amount) in [(10, 10), (10, 3), (3, 10), (1_000_000, 100), (0, 5), (1, 1)] {
            let mut drawn = sample_distinct(population, amount, &mut rng);
            assert_eq!(drawn.len() as u64, population.min(amount as u64));
            drawn.sort_unstable();
            drawn.dedup();
            assert_eq!(drawn.len() as u64, population.min(amount as u64));
            assert!(drawn.iter().all(|&d| d < population));
        }
    }

    #[test]
    fn dirichlet_sums_to_one_even_where_gamma_underflows() {
        let mut rng = Seed(2).once(Purpose::PARTITION);
        for alpha in [1e-9, 0.05, 1.0, 1e6] {
            let p = dirichlet(&[alpha; 10], &mut rng);
            assert!((p.iter().sum::<f64>() - 1.0).abs() < 1e-9, "{alpha}: {p:?}");
        }
    }
}
