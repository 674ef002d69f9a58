//! What is fixed when a store is made: which columns make a sample itself, and how samples are split.

use crate::StoreError;
use lyceum_core::{Chain, Fingerprint};
use serde::{Deserialize, Serialize};
use std::fmt;

/// What a store is made with; never changed afterwards.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Seed of the splits.
    pub seed: u64,
    /// Share of the samples that validate.
    pub validation: f64,
    /// Share of the samples that test.
    pub test: f64,
    /// Columns that say which sample it is; none: all of them.
    pub identity: Vec<String>,
    /// Likewise, of shared pieces.
    pub piece_identity: Vec<String>,
}

impl Default for Settings {
    /// 2 % and 2 %, as LeanAgent has them (section A.3 of arXiv 2410.06209).
    fn default() -> Self {
        Self {
            seed: 0,
            validation: 0.02,
            test: 0.02,
            identity: Vec::new(),
            piece_identity: Vec::new(),
        }
    }
}

/// What a sample is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Split {
    /// To be trained on.
    Train,
    /// To choose by.
    Validation,
    /// To judge by, and never to train on.
    Test,
}

impl Split {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Train, Self::Validation, Self::Test];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Train => "train",
            Self::Validation => "validation",
            Self::Test => "test",
        }
    }
}

impl fmt::Display for Split {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Settings {
    /// Whether the shares leave something to train on.
    pub fn check(&self) -> Result<(), StoreError> {
        let shares = [self.validation, self.test];
        let right = shares.iter().all(|share| (0.0..1.0).contains(share));
        match right && shares.iter().sum::<f64>() < 1.0 {
            true => Ok(()),
            false => Err(StoreError::refused(format!(
                "validation {} and test {}: expected two shares from 0 to below 1, together below 1",
                self.validation, self.test
            ))),
        }
    }

    /// What a sample is for.
    ///
    /// **Invariant:** a function of the seed, the shares and what the sample is, and of nothing else: not of tasks, versions or the
    /// order in which anything came. So a sample is for one thing in all tasks that hold it.
    pub fn split(&self, sample: &Fingerprint) -> Split {
        let mut chain = Chain::default();
        chain.add(b"lyceum task store: split").number(self.seed);
        let hash = chain.piece(sample.bytes()).link();
        let mut word = [0; 8];
        word.copy_from_slice(&hash.bytes()[..8]);
        // 53 bits: every value is a number of its own in a float.
        let place = (u64::from_le_bytes(word) >> 11) as f64 / (1_u64 << 53) as f64;
        match place {
            p if p < self.test => Split::Test,
            p if p < self.test + self.validation => Split::Validation,
            _ => Split::Train,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_met_and_seeds_differ() {
        let settings = Settings {
            validation: 0.1,
            test: 0.3,
            ..Settings::default()
        };
        let names: Vec<_> = (0..20_000_u64)
            .map(|n| Fingerprint::of(&n.to_le_bytes()))
            .collect();
        let count = |split| names.iter().filter(|n| settings.split(n) == split).count();
        // Four deviations of a binomial: 4 * sqrt(20000 * 0.3 * 0.7) = 259.
        assert!(count(Split::Test).abs_diff(6000) < 260);
        assert!(count(Split::Validation).abs_diff(2000) < 170);
        let other = Settings {
            seed: 1,
            ..settings.clone()
        };
        assert!(names.iter().any(|n| settings.split(n) != other.split(n)));
    }

    #[test]
    fn shares_that_leave_nothing_are_refused() {
        for (validation, test) in [(0.5, 0.5), (-0.1, 0.1), (0.1, f64::NAN)] {
            let settings = Settings {
                validation,
                test,
                ..Settings::default()
            };
            let fault = settings.check().unwrap_err().to_string();
            assert!(fault.contains("together below 1"), "{fault}");
        }
    }
}
