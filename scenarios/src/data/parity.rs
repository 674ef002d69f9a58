use super::{DataError, DataSet, LoadContext, Source};
use crate::room::no_room;
use lyceum_core::units::Count;
use lyceum_core::{Affine, Features, Purpose, Samples, Seed, Ticket};
use rand::RngExt;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Binary sequences and a question about their last N bits, for each N of a range (Khajehabdollahi et al. 2024, section 2.1): tasks
/// that grow with N, for recurrent networks.
///
/// Classes 2 k and 2 k + 1 are "no" and "yes" for the k-th N. A sequence for N has from N + 2 to 4 N + 1 bits, uniformly; samples are
/// `[4 last + 1, 1]`, places x 1, with zeros before the first bit.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct NParity {
    /// The question: "parity" by default.
    pub question: Question,
    /// The first N; 2 by default.
    pub first: Count,
    /// The last N; 10 by default.
    pub last: Count,
    /// Training samples for each N; 2,000 by default.
    pub samples: Count,
    /// Test samples for each N; 500 by default.
    pub test_samples: Count,
}

/// What is asked of the last N bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Question {
    /// Whether an odd number of them is 1. Each sequence draws how often a bit is 1, uniformly.
    #[default]
    Parity,
    /// Whether the first of them equals the last (delayed match to sample); as often as not.
    Match,
}

impl Default for NParity {
    fn default() -> Self {
        let count = |n| Count::new(n).expect("defaults are in range");
        Self {
            question: Question::Parity,
            first: count(2),
            last: count(10),
            samples: count(2_000),
            test_samples: count(500),
        }
    }
}

/// Longest sequence: 4 N + 1 bits.
const MOST: usize = 1_000;

impl DataSet for NParity {
    fn is_generated(&self) -> bool {
        true
    }

    fn load(&self, context: &LoadContext) -> Result<Source, DataError> {
        self.check()?;
        Ok(Source::Pool {
            train: self.draw(context.seed, self.samples, 0),
            test: self.draw(context.seed, self.test_samples, 1),
            natural: None,
        })
    }
}

impl NParity {
    fn check(&self) -> Result<(), DataError> {
        let wrong = |key, problem: String| Err(DataError::Key { key, problem });
        let (first, last) = (self.first.get(), self.last.get());
        if first < 2 {
            return wrong("first", "must be at least 2".into());
        }
        if !(first..=MOST).contains(&last) {
            return wrong("last", format!("must be from `first`, {first}, to {MOST}"));
        }
        let rows = self.samples.get().saturating_add(self.test_samples.get());
        let values = rows
            .saturating_mul(last - first + 1)
            .saturating_mul(self.places());
        match no_room(values as u64) {
            Some(why) => wrong("samples", format!("times the range of N {why}")),
            None => Ok(()),
        }
    }

    fn places(&self) -> usize {
        4 * self.last.get() + 1
    }

    fn draw(&self, seed: Seed, each: Count, part: u64) -> Samples {
        let (mut bits, mut labels) = (Vec::new(), Vec::new());
        let lengths = self.first.get()..=self.last.get();
        for (k, n) in lengths.clone().enumerate() {
            let mut rng = seed.stream(Purpose::DATA, Ticket(2 * n as u64 + part), None);
            for _ in 0..each.get() {
                let length = rng.random_range(n + 2..4 * n + 2);
                let often = match self.question {
                    Question::Parity => rng.random::<f64>(),
                    Question::Match => 0.5,
                };
                let start = bits.len() + self.places() - length;
                bits.resize(start, 0_u8);
                bits.extend((0..length).map(|_| u8::from(rng.random::<f64>() < often)));
                let last = &bits[bits.len() - n..];
                let yes = match self.question {
                    Question::Parity => last.iter().sum::<u8>() % 2 == 1,
                    Question::Match => last[0] == last[n - 1],
                };
                labels.push(2 * k as u32 + u32::from(yes));
            }
        }
        Samples {
            shape: vec![self.places(), 1],
            classes: 2 * lengths.count(),
            features: Features::U8(bits),
            labels,
            targets: Vec::new(),
            goals: Vec::new(),
            affine: Affine::identity(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn train(set: &NParity) -> Samples {
        let context = LoadContext {
            seed: Seed(3),
            clients: 1,
            folders: Vec::new(),
        };
        match set.load(&context).expect("it is made") {
            Source::Pool { train, .. } => train,
            _ => unreachable!(),
        }
    }

    #[test]
    fn labels_answer_the_question_and_both_answers_come() {
        for question in [Question::Parity, Question::Match] {
            let set = NParity {
                question,
                last: Count::new(4).expect("in range"),
                ..NParity::default()
            };
            let samples = train(&set);
            assert_eq!((samples.len(), &samples.shape[..]), (6_000, &[17, 1][..]));
            let mut counts = [0; 6];
            for index in 0..samples.len() {
                let label = samples.labels[index];
                let n = 2 + label as usize / 2;
                let bits = samples.values(index);
                let last = &bits[bits.len() - n..];
                let yes = match question {
                    Question::Parity => last.iter().sum::<f32>() % 2.0 == 1.0,
                    Question::Match => last[0] == last[n - 1],
                };
                assert_eq!(label % 2 == 1, yes);
                // Nothing before the longest sequence of this N.
                assert!(bits[..17 - (4 * n + 1)].iter().all(|bit| *bit == 0.0));
                counts[label as usize] += 1;
            }
            assert!(counts.iter().all(|count| *count > 600), "{counts:?}");
        }
    }

    #[test]
    fn a_range_that_is_none_is_refused() {
        for text in ["first = 1", "first = 5\nlast = 4", "last = 5000"] {
            let set: NParity = toml::from_str(text).expect("it is read");
            assert!(set.check().is_err(), "{text}");
        }
    }
}
