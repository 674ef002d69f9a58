use super::contents::Contents;
use super::idx_file::{IdxFile, read_idx, read_labels};
use super::{DataError, DataSet, LoadContext, Source, checked, in_words, same_samples};
use lyceum_core::units::{Count, Positive};
use lyceum_core::{Affine, Features, Samples};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// Labels that a byte can be.
const LABELS: usize = 256;

/// Files in the IDX format of MNIST, plain or gzip, by path.
///
/// Images are `[n, features]`, `[n, rows, columns]` (one channel), or four sizes with the channels
/// first or last; more sizes are taken as flat features. Values are bytes or big-endian floats.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Idx {
    /// Training images; relative paths are looked for in the data folders.
    pub train_images: PathBuf,
    /// Training labels: bytes, as many as images.
    pub train_labels: PathBuf,
    /// Test images, of the shape of the training images.
    pub test_images: PathBuf,
    /// Test labels.
    pub test_labels: PathBuf,
    /// Number of classes; default the largest label plus 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub classes: Option<Count>,
    /// Where the channels of images with four sizes stand (default last).
    #[serde(default)]
    pub channels: Channels,
    /// Every value is multiplied by this, above 0; default 1/255 for bytes and 1 for floats.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scale: Option<Positive>,
}

/// Where the channels of a colour image stand in a file. Samples always have them first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Channels {
    /// `[n, channels, rows, columns]`.
    First,
    /// `[n, rows, columns, channels]` (default).
    #[default]
    Last,
}

impl DataSet for Idx {
    fn paths(&self) -> &'static [&'static str] {
        &["train_images", "train_labels", "test_images", "test_labels"]
    }

    fn warnings(&self) -> Vec<String> {
        let same = self.test_images == self.train_images;
        same.then(same_samples).into_iter().collect()
    }

    fn load(&self, context: &LoadContext) -> Result<Source, DataError> {
        if self.classes.is_some_and(|classes| classes.get() > LABELS) {
            let problem = format!("can be at most {LABELS}: labels are bytes");
            return Err(DataError::Key {
                key: "classes",
                problem,
            });
        }
        let open = |path: &PathBuf, key: &'static str| {
            let found = context.find(path).and_then(|path| Contents::open(&path));
            found.map_err(|e| e.at(key))
        };
        let images = open(&self.train_images, "train_images")?;
        let mut train = self.pair(images, open(&self.train_labels, "train_labels")?)?;
        let images = open(&self.test_images, "test_images")?;
        let mut test = self.pair(images, open(&self.test_labels, "test_labels")?)?;
        let name = self.train_images.display().to_string();
        join(&name, &mut train, &mut test, self.classes).map_err(|e| e.at("test_images"))?;
        Ok(Source::Pool {
            train,
            test,
            natural: None,
        })
    }
}

impl Idx {
    fn pair(&self, images: Contents, labels: Contents) -> Result<Samples, DataError> {
        let (mut images, mut labels) = (images, labels);
        let mut samples = read_pair(&mut images, &mut labels, self.channels)?;
        if let Some(scale) = self.scale {
            samples.affine.scale = vec![scale.get() as f32];
        }
        Ok(samples)
    }
}

/// Reads images and their labels; `classes` is the largest label plus 1.
pub(super) fn read_pair(
    images: &mut Contents,
    labels: &mut Contents,
    channels: Channels,
) -> Result<Samples, DataError> {
    let idx = read_idx(images)?;
    let classes = read_labels(labels)?;
    if idx.sizes.len() < 2 {
        return Err(images.wrong("has one dimension: expected images, with two or more".to_owned()));
    }
    if idx.sizes[0] != classes.len() {
        return Err(labels.wrong(format!(
            "holds {} labels for the {} images of {}: expected as many",
            classes.len(),
            idx.sizes[0],
            images.path().display()
        )));
    }
    Ok(samples(idx, classes, channels))
}

fn samples(idx: IdxFile, labels: Vec<u32>, channels: Channels) -> Samples {
    let scale = match idx.values {
        Features::U8(_) => 1.0 / 255.0,
        _ => 1.0,
    };
    let mut features = idx.values;
    let shape = match idx.sizes[1..] {
        [rows, columns] => vec![1, rows, columns],
        [rows, columns, depth] if channels == Channels::Last => {
            channels_first(&mut features, rows * columns, depth);
            vec![depth, rows, columns]
        }
        [depth, rows, columns] => vec![depth, rows, columns],
        ref flat => vec![flat.iter().product()],
    };
    Samples {
        shape,
        classes: labels.iter().max().map_or(0, |&label| label as usize + 1),
        features,
        labels,
        targets: Vec::new(),
        goals: Vec::new(),
        affine: Affine {
            shift: vec![0.0],
            scale: vec![scale],
        },
    }
}

fn channels_first(features: &mut Features, plane: usize, depth: usize) {
    match features {
        Features::U8(values) => transpose(values, plane, depth),
        Features::F32(values) => transpose(values, plane, depth),
        Features::U16(values) => transpose(values, plane, depth),
        Features::Sparse(_) | Features::Pairs(_) => {
            unreachable!("no file of images is sparse")
        }
    }
}

/// Turns every block of `plane` rows of `depth` values into `depth` rows of `plane` values.
fn transpose<T: Copy>(values: &mut [T], plane: usize, depth: usize) {
    if plane * depth == 0 {
        return;
    }
    let mut image = Vec::with_capacity(plane * depth);
    for block in values.chunks_exact_mut(plane * depth) {
        image.clear();
        image.extend_from_slice(block);
        for (channel, row) in block.chunks_exact_mut(plane).enumerate() {
            let source = image[channel..].iter().step_by(depth);
            row.iter_mut()
                .zip(source)
                .for_each(|(to, from)| *to = *from);
        }
    }
}

/// Makes training and test samples agree on shape, kind and classes, or says why they cannot.
pub(super) fn join(
    set: &str,
    train: &mut Samples,
    test: &mut Samples,
    classes: Option<Count>,
) -> Result<(), DataError> {
    checked(set, train, test)?;
    let wrong = |problem| DataError::Set {
        set: set.to_owned(),
        problem,
    };
    if train.shape != test.shape {
        return Err(wrong(format!(
            "has training samples that are {} and test samples that are {}: expected the same",
            in_words(&train.shape),
            in_words(&test.shape)
        )));
    }
    let seen = train.classes.max(test.classes);
    let classes = classes.map_or(seen, Count::get);
    if seen > classes {
        return Err(wrong(format!(
            "has the label {}: with {classes} classes, labels go from 0 to {}",
            seen - 1,
            classes - 1
        )));
    }
    (train.classes, test.classes) = (classes, classes);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::idx_file::tests::idx_bytes;
    use super::*;
    use lyceum_core::Seed;
    use std::path::Path;

    fn load(folder: &Path, more: &str) -> Result<(Samples, Samples), String> {
        let text = format!(
            "train_images = 'a'\ntrain_labels = 'b'\ntest_images = 'a'\ntest_labels = 'b'\n{more}"
        );
        let set: Idx = toml::from_str(&text).unwrap();
        let context = LoadContext {
            seed: Seed(1),
            clients: 1,
            folders: vec!["nowhere".into(), folder.into()],
        };
        match set.load(&context).map_err(|error| error.to_string())? {
            Source::Pool { train, test, .. } => Ok((train, test)),
            _ => unreachable!(),
        }
    }

    fn folder(sizes: &[u32], values: &[u8], labels: &[u8]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("a"), idx_bytes(8, sizes, values)).unwrap();
        let labels = idx_bytes(8, &[labels.len() as u32], labels);
        std::fs::write(folder.path().join("b"), labels).unwrap();
        folder
    }

    #[test]
    fn sizes_become_shapes() {
        let values: Vec<u8> = (0..12).collect();
        for (sizes, shape) in [
            (vec![2, 6], vec![6]),
            (vec![2, 2, 3], vec![1, 2, 3]),
            (vec![2, 1, 2, 3], vec![3, 1, 2]),
            (vec![2, 1, 1, 2, 3], vec![6]),
        ] {
            let folder = folder(&sizes, &values, &[0, 4]);
            let (train, test) = load(folder.path(), "").unwrap();
            assert_eq!((train.shape.clone(), train.classes), (shape, 5));
            assert_eq!(train, test);
        }
    }

    #[test]
    fn channels_come_first_whatever_the_file_says() {
        let folder = folder(&[1, 1, 2, 3], &[1, 2, 3, 4, 5, 6], &[0]);
        let (train, _) = load(folder.path(), "scale = 0.5").unwrap();
        assert_eq!(train.features, Features::U8(vec![1, 4, 2, 5, 3, 6]));
        assert_eq!(train.affine.scale, [0.5]);
        let (train, _) = load(folder.path(), "channels = 'first'").unwrap();
        assert_eq!(train.features, Features::U8(vec![1, 2, 3, 4, 5, 6]));
        assert_eq!(train.shape, [1, 2, 3]);
    }

    #[test]
    fn wrong_counts_labels_and_paths_are_refused() {
        let error = load(folder(&[2, 1], &[1, 2], &[0]).path(), "").unwrap_err();
        assert!(error.contains("holds 1 labels for the 2 images"), "{error}");
        let error = load(folder(&[1, 1], &[1], &[7]).path(), "classes = 7").unwrap_err();
        assert!(error.contains("label 7: with 7 classes"), "{error}");
        let error = load(folder(&[1, 1], &[1], &[0]).path(), "classes = 257").unwrap_err();
        assert!(error.contains("at most 256: labels are bytes"), "{error}");
        let floats = folder(&[1, 1], &[1], &[0]);
        std::fs::write(floats.path().join("b"), idx_bytes(13, &[1], &[0; 4])).unwrap();
        let error = load(floats.path(), "").unwrap_err();
        assert!(error.contains("holds floating-point numbers"), "{error}");
        std::fs::write(floats.path().join("b"), "").unwrap();
        let error = load(floats.path(), "").unwrap_err();
        assert!(error.ends_with("b: it is empty"), "{error}");
        let error = load(folder(&[0, 1], &[], &[]).path(), "").unwrap_err();
        assert!(error.contains("no training sample"), "{error}");
        let error = load(folder(&[1, 0], &[], &[0]).path(), "").unwrap_err();
        assert!(error.contains("no feature"), "{error}");
        let error = load(Path::new("missing"), "").unwrap_err();
        assert!(error.contains("nowhere/a, missing/a"), "{error}");
    }
}
