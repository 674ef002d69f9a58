use super::{DataError, DataSet, LoadContext, Source};
use lyceum_core::{Affine, Features, Samples};
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, de::Error};

const FILE: &[u8] = include_bytes!("../../data/digits.csv");
const WIDTH: usize = 64;

/// 1,797 handwritten digits 8x8 with values from 0 to 16, in 10 classes; part of the program, so
/// that a first run needs no download. The test part of the UCI set of Alpaydin and Kaynak (1998),
/// as bundled with scikit-learn.
///
/// The split does not depend on the seed.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Digits {
    /// With 5 (default), every fifth sample of each class, in the order of the file, is a test
    /// sample, which makes 1,442 training and 355 test samples; 2 or above.
    #[serde(default = "five", deserialize_with = "two_or_above")]
    #[schemars(range(min = 2))]
    pub test_every: u32,
}

fn five() -> u32 {
    5
}

fn two_or_above<'de, D: Deserializer<'de>>(reader: D) -> Result<u32, D::Error> {
    let every = u32::deserialize(reader)?;
    let label = "expected a whole number, 2 or above, so that training samples are left";
    let fault = || D::Error::custom(format!("{every} is out of range: {label}"));
    (every >= 2).then_some(every).ok_or_else(fault)
}

impl Default for Digits {
    fn default() -> Self {
        Self { test_every: five() }
    }
}

impl DataSet for Digits {
    fn is_generated(&self) -> bool {
        true
    }

    fn load(&self, _: &LoadContext) -> Result<Source, DataError> {
        if self.test_every < 2 {
            return Err(DataError::Key {
                key: "test_every",
                problem: "must be 2 or above, so that training samples are left".to_owned(),
            });
        }
        let mut train = empty();
        let mut test = empty();
        let mut seen = [0_u32; 10];
        for line in FILE
            .split(|&byte| byte == b'\n')
            .skip(1)
            .filter(|l| !l.is_empty())
        {
            let (pixels, label) = parse(line);
            let seen = &mut seen[label as usize];
            *seen += 1;
            let side = if seen.is_multiple_of(self.test_every) {
                &mut test
            } else {
                &mut train
            };
            side.0.extend(pixels);
            side.1.push(label);
        }
        if test.1.is_empty() {
            let most = seen.iter().max().copied().unwrap_or_default();
            return Err(DataError::Key {
                key: "test_every",
                problem: format!(
                    "is {}, which leaves no test sample: expected at most {most}, the samples of the largest class",
                    self.test_every
                ),
            });
        }
        Ok(Source::Pool {
            train: samples(train),
            test: samples(test),
            natural: None,
        })
    }
}

type Part = (Vec<u8>, Vec<u32>);

fn empty() -> Part {
    (Vec::new(), Vec::new())
}

/// Values and label of one line of the file, whose bytes are part of the program.
fn parse(line: &[u8]) -> ([u8; WIDTH], u32) {
    let mut pixels = [0; WIDTH];
    let mut label = 0;
    let cells = line.split(|&byte| byte == b',');
    for (at, cell) in cells.enumerate() {
        let digits = cell.iter().filter(|byte| byte.is_ascii_digit());
        let value = digits.fold(0, |value, byte| value * 10 + (byte - b'0'));
        match pixels.get_mut(at) {
            Some(pixel) => *pixel = value,
            None => label = u32::from(value),
        }
    }
    (pixels, label)
}

fn samples((pixels, labels): Part) -> Samples {
    Samples {
        shape: vec![1, 8, 8],
        classes: 10,
        features: Features::U8(pixels),
        labels,
        targets: Vec::new(),
        goals: Vec::new(),
        affine: Affine {
            shift: vec![0.0],
            scale: vec![1.0 / 16.0],
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lyceum_core::Seed;
    use sha2::{Digest, Sha256};

    fn load(test_every: u32) -> Result<(Samples, Samples), DataError> {
        let context = LoadContext {
            seed: Seed(1),
            clients: 1,
            folders: Vec::new(),
        };
        match (Digits { test_every }).load(&context)? {
            Source::Pool { train, test, .. } => Ok((train, test)),
            _ => unreachable!(),
        }
    }

    #[test]
    fn the_file_is_the_published_one() {
        let sum: String = Sha256::digest(FILE)
            .iter()
            .map(|b| format!("{b:02x}"))
            .collect();
        assert_eq!(
            sum,
            "067c897c3866e1f112d70ccf18ba908a8bc1fbb9ec051530b8ad86070265d299"
        );
    }

    #[test]
    fn all_digits_are_there_and_split_by_class() {
        let (train, test) = load(5).unwrap();
        assert_eq!((train.len(), test.len()), (1442, 355));
        let count =
            |samples: &Samples, class| samples.labels.iter().filter(|&&l| l == class).count();
        let totals = [178, 182, 177, 183, 181, 182, 181, 179, 174, 180];
        for (class, total) in totals.into_iter().enumerate() {
            assert_eq!(count(&test, class as u32), total / 5);
            assert_eq!(count(&train, class as u32), total - total / 5);
        }
    }

    #[test]
    fn the_first_image_is_the_zero_of_the_file() {
        let (train, _) = load(5).unwrap();
        let image = train.values(0);
        assert_eq!(image[..5], [0.0, 0.0, 5.0 / 16.0, 13.0 / 16.0, 9.0 / 16.0]);
        assert_eq!((train.labels[0], image.len()), (0, 64));
        let Features::U8(pixels) = &train.features else {
            panic!("bytes")
        };
        assert_eq!(pixels.iter().max(), Some(&16));
    }

    #[test]
    fn a_split_without_training_samples_is_refused() {
        let error = load(1).unwrap_err().to_string();
        assert!(error.contains("`test_every` must be 2 or above"), "{error}");
    }
}
