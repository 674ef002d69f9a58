use super::contents::Contents;
use super::idx::join;
use super::{DataError, DataSet, LoadContext, Source};
use lyceum_core::units::Count;
use lyceum_core::{Affine, Features, Samples};
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, de::Error};
use std::path::{Path, PathBuf};

const PIXELS: usize = 3 * 32 * 32;

/// The binary version of CIFAR-10 and CIFAR-100, by path, plain or gzip: records of one or two label
/// bytes and 3,072 bytes of an image (red, green, blue plane of 32x32).
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CifarBinary {
    /// Training files, at least one, such as `data_batch_1.bin` to `data_batch_5.bin`.
    pub train: Vec<PathBuf>,
    /// Test file, such as `test_batch.bin`.
    pub test: PathBuf,
    /// Label bytes per record: 1 for CIFAR-10 (default), 2 for CIFAR-100.
    #[serde(default = "one", deserialize_with = "one_or_two")]
    #[schemars(range(min = 1, max = 2))]
    pub label_bytes: u8,
    /// Whether the first of two label bytes, the coarse class, is the label (default false: the last).
    #[serde(default)]
    pub coarse: bool,
    /// Number of classes; default the largest label plus 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub classes: Option<Count>,
}

fn one() -> u8 {
    1
}

fn one_or_two<'de, D: Deserializer<'de>>(reader: D) -> Result<u8, D::Error> {
    let bytes = u8::deserialize(reader)?;
    let fault = || D::Error::custom(format!("{bytes} is out of range: expected 1 or 2"));
    (1..=2).contains(&bytes).then_some(bytes).ok_or_else(fault)
}

impl DataSet for CifarBinary {
    fn paths(&self) -> &'static [&'static str] {
        &["train", "test"]
    }

    fn load(&self, context: &LoadContext) -> Result<Source, DataError> {
        self.check()?;
        let mut train = empty();
        for path in &self.train {
            self.read(&context.find(path)?, &mut train)?;
        }
        let mut test = empty();
        self.read(&context.find(&self.test)?, &mut test)?;
        let (mut train, mut test) = (train.finish(), test.finish());
        join("cifar-binary", &mut train, &mut test, self.classes)?;
        Ok(Source::Pool {
            train,
            test,
            natural: None,
        })
    }
}

impl CifarBinary {
    fn check(&self) -> Result<(), DataError> {
        let wrong = |key, problem: &str| {
            Err(DataError::Key {
                key,
                problem: problem.to_owned(),
            })
        };
        match (self.label_bytes, self.coarse) {
            (1, true) => wrong(
                "coarse",
                "needs `label_bytes = 2`: CIFAR-10 has one label per image",
            ),
            (1 | 2, _) if self.train.is_empty() => {
                wrong("train", "is empty: expected at least one file")
            }
            (1 | 2, _) => Ok(()),
            _ => wrong("label_bytes", "must be 1 (CIFAR-10) or 2 (CIFAR-100)"),
        }
    }

    fn read(&self, path: &Path, into: &mut Records) -> Result<(), DataError> {
        let mut file = Contents::open(path)?;
        let bytes = file.rest()?;
        let labels = usize::from(self.label_bytes);
        let size = labels + PIXELS;
        if bytes.is_empty() || bytes.len() % size != 0 {
            return Err(file.wrong(format!(
                "holds {} bytes: expected a multiple of {size}, for `label_bytes = {labels}`",
                bytes.len()
            )));
        }
        into.pixels.reserve_exact(bytes.len() / size * PIXELS);
        let label = if self.coarse { 0 } else { labels - 1 };
        for record in bytes.chunks_exact(size) {
            into.labels.push(u32::from(record[label]));
            into.pixels.extend_from_slice(&record[labels..]);
        }
        Ok(())
    }
}

struct Records {
    labels: Vec<u32>,
    pixels: Vec<u8>,
}

fn empty() -> Records {
    Records {
        labels: Vec::new(),
        pixels: Vec::new(),
    }
}

impl Records {
    fn finish(self) -> Samples {
        Samples {
            shape: vec![3, 32, 32],
            classes: self
                .labels
                .iter()
                .max()
                .map_or(0, |&label| label as usize + 1),
            features: Features::U8(self.pixels),
            labels: self.labels,
            targets: Vec::new(),
            goals: Vec::new(),
            affine: Affine {
                shift: vec![0.0],
                scale: vec![1.0 / 255.0],
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lyceum_core::Seed;

    fn load(text: &str, record: &[u8]) -> Result<Samples, String> {
        let folder = tempfile::tempdir().unwrap();
        let image: Vec<u8> = (0..PIXELS).map(|i| (i / 1024) as u8).collect();
        let file = [record, &image].concat();
        std::fs::write(folder.path().join("a.bin"), file).unwrap();
        let set: CifarBinary = toml::from_str(text).map_err(|e| e.message().to_owned())?;
        let context = LoadContext {
            seed: Seed(1),
            clients: 1,
            folders: vec![folder.path().into()],
        };
        match set.load(&context).map_err(|error| error.to_string())? {
            Source::Pool { train, .. } => Ok(train),
            _ => unreachable!(),
        }
    }

    const FILES: &str = "train = ['a.bin', 'a.bin']\ntest = 'a.bin'\n";

    #[test]
    fn batches_are_joined() {
        let train = load(FILES, &[9]).unwrap();
        assert_eq!(
            (train.labels.as_slice(), train.classes),
            ([9, 9].as_slice(), 10)
        );
        let pixels = train.values(1);
        assert_eq!((pixels[0], pixels[2048]), (0.0, 2.0 / 255.0));
    }

    #[test]
    fn the_label_byte_is_chosen() {
        for (more, label) in [("", 42), ("coarse = true", 7)] {
            let text = format!("{FILES}label_bytes = 2\n{more}");
            assert_eq!(load(&text, &[7, 42]).unwrap().labels[0], label);
        }
    }

    #[test]
    fn wrong_lengths_and_keys_are_refused() {
        for (more, reason) in [
            ("label_bytes = 2", "a multiple of 3074"),
            ("label_bytes = 3", "expected 1 or 2"),
            ("coarse = true", "needs `label_bytes = 2`"),
            ("classes = 3", "labels go from 0 to 2"),
        ] {
            let error = load(&format!("{FILES}{more}"), &[9]).unwrap_err();
            assert!(error.contains(reason), "{error}");
        }
    }
}
