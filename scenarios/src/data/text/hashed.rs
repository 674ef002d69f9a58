//! Counts of words and parts of words, at places that a hash function gives them: the hashing trick of Weinberger et al.
//! (2009).

use super::super::DataError;
use super::faults::wrong;
use super::words::words;
use lyceum_core::units::Count;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Counts of n-grams of words and of characters, each at the place `hash % size`, where the hash is 64-bit FNV-1a of its
/// bytes in UTF-8: of the words with one space between them; of characters, with a space before them. N-grams of one place
/// add up.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Hashed {
    /// Values of a sample (default 4,096).
    #[serde(default = "size")]
    pub size: Count,
    /// Lengths of the n-grams of words (default 1 and 2).
    #[serde(default = "pairs")]
    pub words: Vec<Count>,
    /// Lengths of the n-grams of characters within words (default none).
    #[serde(default)]
    pub characters: Vec<Count>,
    /// Whether words are taken in small letters (default true).
    #[serde(default = "yes")]
    pub lower: bool,
    /// What an n-gram that comes several times counts (default count).
    #[serde(default)]
    pub counts: Counts,
    /// Whether n-grams whose hash has its highest bit set count negative, so that those that share a place cancel out on
    /// average (default false).
    #[serde(default)]
    pub sign: bool,
    /// Whether every sample is divided by its Euclidean length (default false).
    #[serde(default)]
    pub normalise: bool,
}

/// What an n-gram that comes several times counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Counts {
    /// How often it comes (default).
    #[default]
    Count,
    /// 1.
    Binary,
    /// 1 plus the natural logarithm of how often it comes.
    Log,
}

fn size() -> Count {
    Count::new(4096).expect("it is above 0")
}

pub(super) fn yes() -> bool {
    true
}

fn pairs() -> Vec<Count> {
    [1, 2].into_iter().filter_map(Count::new).collect()
}

impl Default for Hashed {
    fn default() -> Self {
        Self {
            size: size(),
            words: pairs(),
            characters: Vec::new(),
            lower: true,
            counts: Counts::Count,
            sign: false,
            normalise: false,
        }
    }
}

impl Hashed {
    /// Refuses counts of nothing.
    pub(super) fn check(&self) -> Result<(), DataError> {
        if self.words.is_empty() && self.characters.is_empty() {
            return wrong(
                "tokens",
                "are hashed n-grams of no length: expected one in `words` or `characters`",
            );
        }
        if self.size.get() > u32::MAX as usize {
            return wrong("tokens", "have too large a `size`: at most 4,294,967,295");
        }
        Ok(())
    }

    /// The values of a text that are not zero, by their places.
    pub(super) fn row(&self, text: &str) -> Vec<(u32, f32)> {
        let mut sums: BTreeMap<u32, f64> = BTreeMap::new();
        for (gram, times) in self.grams(text) {
            let hash = fnv(gram.as_bytes());
            let value = match self.counts {
                Counts::Count => f64::from(times),
                Counts::Binary => 1.0,
                Counts::Log => 1.0 + f64::from(times).ln(),
            };
            let sign = match self.sign && hash >> 63 == 1 {
                true => -1.0,
                false => 1.0,
            };
            let place = (hash % self.size.get() as u64) as u32;
            *sums.entry(place).or_default() += sign * value;
        }
        let length = match self.normalise {
            true => sums.values().map(|v| v * v).sum::<f64>().sqrt(),
            false => 1.0,
        };
        let kept = sums.into_iter().filter(|(_, value)| *value != 0.0);
        kept.map(|(place, value)| (place, (value / length) as f32))
            .collect()
    }

    /// How often each n-gram comes.
    fn grams(&self, text: &str) -> BTreeMap<String, u32> {
        let lowered = match self.lower {
            true => text.to_lowercase(),
            false => text.to_owned(),
        };
        let words: Vec<&str> = words(&lowered).map(|(_, word)| word).collect();
        let mut grams = BTreeMap::new();
        let mut count = |gram: String| *grams.entry(gram).or_default() += 1;
        for length in &self.words {
            words
                .windows(length.get())
                .for_each(|gram| count(gram.join(" ")));
        }
        for length in &self.characters {
            for word in &words {
                let characters: Vec<char> = word.chars().collect();
                let grams = characters.windows(length.get());
                grams.for_each(|gram| count(std::iter::once(&' ').chain(gram).collect()));
            }
        }
        grams
    }
}

/// The 64-bit FNV-1a hash.
fn fnv(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, &byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_has_its_published_values() {
        assert_eq!(fnv(b""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(fnv(b"a"), 0xaf63_dc4c_8601_ec8c);
        assert_eq!(fnv(b"foobar"), 0x8594_4171_f739_67e8);
    }

    fn sum(hashed: &Hashed, text: &str) -> f32 {
        hashed.row(text).iter().map(|(_, value)| value).sum()
    }

    #[test]
    fn grams_are_counted_by_their_lengths() {
        let wide = Hashed {
            size: Count::new(1 << 30).unwrap(),
            ..Hashed::default()
        };
        let grams = wide.grams("To be or to be");
        let wanted = [
            ("be", 2),
            ("be or", 1),
            ("or", 1),
            ("or to", 1),
            ("to", 2),
            ("to be", 2),
        ];
        let wanted = wanted.map(|(gram, times)| (gram.to_owned(), times));
        assert_eq!(grams, BTreeMap::from(wanted));
        let log = 1.0 + 2.0_f32.ln();
        for (counts, sums) in [
            (Counts::Count, 9.0),
            (Counts::Binary, 6.0),
            (Counts::Log, 3.0 + 3.0 * log),
        ] {
            let hashed = Hashed {
                counts,
                ..wide.clone()
            };
            assert!((sum(&hashed, "To be or to be") - sums).abs() < 1e-5);
        }
        let parts = Hashed {
            words: Vec::new(),
            characters: vec![Count::new(3).unwrap()],
            ..wide.clone()
        };
        let grams: Vec<String> = parts.grams("Word, to").into_keys().collect();
        assert_eq!(grams, [" ord", " wor"]);
    }

    #[test]
    fn places_and_signs_come_from_the_hash_and_lengths_are_one() {
        let hashed = Hashed {
            size: Count::new(10).unwrap(),
            words: vec![Count::new(1).unwrap()],
            sign: true,
            ..Hashed::default()
        };
        // 0xaf63dc4c8601ec8c, whose highest bit is set.
        let place = (0xaf63_dc4c_8601_ec8c_u64 % 10) as u32;
        assert_eq!(hashed.row("a a"), [(place, -2.0)]);
        let normal = Hashed {
            normalise: true,
            ..hashed
        };
        let squares: f32 = normal.row("a b c d").iter().map(|(_, v)| v * v).sum();
        assert!((squares - 1.0).abs() < 1e-6, "{squares}");
        assert_eq!(normal.row(""), []);
    }
}
