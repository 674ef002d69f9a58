//! Public sets that are known by name: files, sums, and where they can be had.

use super::contents::Contents;
use super::idx::{join, read_pair};
use super::{Channels, DataError, DataSet, LoadContext, Source};
use lyceum_core::Samples;
use lyceum_core::units::Count;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// A public set in four files.
#[derive(Debug)]
pub struct KnownSet {
    /// Its name, and the folder in which it is looked for.
    pub name: &'static str,
    /// Number of classes.
    pub classes: u64,
    /// Training images, training labels, test images, test labels.
    pub files: [KnownFile; 4],
    /// Where the public can get it.
    pub home_page: &'static str,
}

/// A file of a public set. It may be packed with gzip; then its name ends in `.gz`.
#[derive(Debug)]
pub struct KnownFile {
    /// Name of the unpacked file.
    pub name: &'static str,
    /// SHA-256 of the unpacked contents, so that any gzip wrapping of them is right.
    pub sum: &'static str,
}

pub(super) const fn file(name: &'static str, sum: &'static str) -> KnownFile {
    KnownFile { name, sum }
}

const MNIST: KnownSet = KnownSet {
    name: "mnist",
    classes: 10,
    files: [
        file(
            "train-images-idx3-ubyte",
            "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
        ),
        file(
            "train-labels-idx1-ubyte",
            "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
        ),
        file(
            "t10k-images-idx3-ubyte",
            "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
        ),
        file(
            "t10k-labels-idx1-ubyte",
            "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
        ),
    ],
    home_page: "http://yann.lecun.com/exdb/mnist/",
};

const FASHION_MNIST: KnownSet = KnownSet {
    name: "fashion-mnist",
    classes: 10,
    files: [
        file(
            "train-images-idx3-ubyte",
            "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
        ),
        file(
            "train-labels-idx1-ubyte",
            "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
        ),
        file(
            "t10k-images-idx3-ubyte",
            "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
        ),
        file(
            "t10k-labels-idx1-ubyte",
            "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
        ),
    ],
    home_page: "https://github.com/zalandoresearch/fashion-mnist",
};

const CIFAR10_SUBSET: KnownSet = KnownSet {
    name: "cifar10-subset",
    classes: 10,
    files: [
        file(
            "train-images-idx4-ubyte",
            "913c525aadd5c9380f96381ab1adb89d64f6242cd8c454481806aa4fc887eead",
        ),
        file(
            "train-labels-idx1-ubyte",
            "2a4fb3eec0877aa3d4ab80d8f59374733af9b2b2966e8be0e50efe715f443a4d",
        ),
        file(
            "test-images-idx4-ubyte",
            "07fc9b38ea86c9d1d4c3990ce89a30724f739f050da47a324dfd070bb11f6c60",
        ),
        file(
            "test-labels-idx1-ubyte",
            "e026daf3d28b630d395bff264d45247706f43ecba7d4f48422cba6b6a30e22d3",
        ),
    ],
    home_page: "https://www.cs.toronto.edu/~kriz/cifar.html (the whole set; read it as cifar-binary)",
};

const CIFAR100_IMAGES: [KnownFile; 2] = [
    file(
        "train-images-idx4-ubyte",
        "0602632658bb9e57d495f42eb67e0dd71b8fad83d04aa17cf784e709792aef09",
    ),
    file(
        "test-images-idx4-ubyte",
        "57b0e398a0b68840a2c2876d595566ef7f060c81dad1efd97c8ecd28d776fb35",
    ),
];

const CIFAR100_SUBSET: KnownSet = KnownSet {
    name: "cifar100-subset",
    classes: 100,
    files: {
        let [train, test] = CIFAR100_IMAGES;
        [
            train,
            file(
                "train-labels-idx1-ubyte",
                "f1f8acfa35d4dec6d586bc1be42e9cfa728c2bd28c4a646de498ce1510bc68fd",
            ),
            test,
            file(
                "test-labels-idx1-ubyte",
                "8be8ea8aaff4386e4797fc12b2dbb8c7c0efbead5d20a5084ec396c55e91443f",
            ),
        ]
    },
    home_page: CIFAR10_SUBSET.home_page,
};

const CIFAR100_COARSE: KnownSet = KnownSet {
    name: "cifar100-subset",
    classes: 20,
    files: {
        let [train, test] = CIFAR100_IMAGES;
        [
            train,
            file(
                "train-coarse-labels-idx1-ubyte",
                "aae6f997cce9806de6f967562ea99b00733fbdaccbce4e01cce63df2002543c7",
            ),
            test,
            file(
                "test-coarse-labels-idx1-ubyte",
                "25046f6513c80c8fad3eef72da95f9a87c2317263d4c65fde3a17af63dfc74b0",
            ),
        ]
    },
    home_page: CIFAR10_SUBSET.home_page,
};

/// All known sets; the last is `cifar100-subset` with its coarse labels.
pub static KNOWN: [KnownSet; 5] = [
    MNIST,
    FASHION_MNIST,
    CIFAR10_SUBSET,
    CIFAR100_SUBSET,
    CIFAR100_COARSE,
];

/// MNIST: 60,000 + 10,000 grey digits 28x28 in 10 classes. Has no keys.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Mnist {}

/// Fashion-MNIST: 60,000 + 10,000 grey images 28x28 of clothing in 10 classes. Has no keys.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FashionMnist {}

/// The first 10,000 + 2,000 available images of CIFAR-10 (1,000 + 200 per class), in IDX files with
/// the channels last. Has no keys.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Cifar10Subset {}

/// The first 10,000 + 2,000 images of CIFAR-100 (100 + 20 per fine class), in IDX files with the
/// channels last.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Cifar100Subset {
    /// Whether labels are the 20 coarse classes instead of the 100 fine ones (default false).
    #[serde(default)]
    pub coarse: bool,
}

impl DataSet for Mnist {
    fn load(&self, context: &LoadContext) -> Result<Source, DataError> {
        MNIST.load(context)
    }
}

impl DataSet for FashionMnist {
    fn load(&self, context: &LoadContext) -> Result<Source, DataError> {
        FASHION_MNIST.load(context)
    }
}

impl DataSet for Cifar10Subset {
    fn load(&self, context: &LoadContext) -> Result<Source, DataError> {
        CIFAR10_SUBSET.load(context)
    }
}

impl DataSet for Cifar100Subset {
    fn load(&self, context: &LoadContext) -> Result<Source, DataError> {
        let set = if self.coarse {
            CIFAR100_COARSE
        } else {
            CIFAR100_SUBSET
        };
        set.load(context)
    }
}

impl KnownSet {
    fn load(&self, context: &LoadContext) -> Result<Source, DataError> {
        let [train_images, train_labels, test_images, test_labels] = self.locate(context)?;
        let mut train = self.pair(train_images, train_labels)?;
        let mut test = self.pair(test_images, test_labels)?;
        join(self.name, &mut train, &mut test, Count::new(self.classes))?;
        Ok(Source::Pool {
            train,
            test,
            natural: None,
        })
    }

    fn pair(&self, images: Located<'_>, labels: Located<'_>) -> Result<Samples, DataError> {
        let (mut pixels, mut classes) = (images.open()?, labels.open()?);
        let samples = read_pair(&mut pixels, &mut classes, Channels::Last);
        // A wrong file is best told by its sum, even where it also breaks the format.
        self.check(&mut pixels, images.file)?;
        self.check(&mut classes, labels.file)?;
        samples
    }

    pub(super) fn check(&self, contents: &mut Contents, file: &KnownFile) -> Result<(), DataError> {
        let found = contents.sum()?;
        if found == file.sum {
            return Ok(());
        }
        Err(DataError::Checksum {
            path: contents.path().to_path_buf(),
            set: self.name,
            found,
            expected: file.sum,
            home_page: self.home_page,
        })
    }

    /// All files in one place: the first folder's subfolder of the set's name, the other folders'
    /// subfolders, then the folders themselves (where sets of equal file names might be mixed up).
    pub(super) fn locate(&self, context: &LoadContext) -> Result<[Located<'_>; 4], DataError> {
        let folders = context.folders.iter();
        let inside = folders.clone().map(|folder| folder.join(self.name));
        let places: Vec<PathBuf> = inside.chain(folders.cloned()).collect();
        let complete = places.iter().find_map(|place| self.all_in(place));
        complete.ok_or_else(|| self.absent(places))
    }

    fn all_in(&self, place: &Path) -> Option<[Located<'_>; 4]> {
        let [a, b, c, d] = &self.files;
        let find = |file| Located::find(file, place);
        Some([find(a)?, find(b)?, find(c)?, find(d)?])
    }

    fn absent(&self, places: Vec<PathBuf>) -> DataError {
        let lacking = |place: &Path| {
            let files = self.files.iter();
            let lacking = files.filter(|file| Located::find(file, place).is_none());
            lacking.map(|file| file.name).collect::<Vec<_>>()
        };
        let partly = places
            .iter()
            .find(|place| lacking(place).len() < self.files.len());
        match partly {
            Some(folder) => DataError::Incomplete {
                set: self.name,
                folder: folder.clone(),
                files: lacking(folder),
                home_page: self.home_page,
            },
            None => DataError::Missing {
                set: self.name,
                files: self.files.iter().map(|file| file.name).collect(),
                places,
                home_page: self.home_page,
            },
        }
    }
}

/// A known file and where it lies.
pub(super) struct Located<'a> {
    pub(super) file: &'a KnownFile,
    path: PathBuf,
}

impl<'a> Located<'a> {
    fn find(file: &'a KnownFile, place: &Path) -> Option<Self> {
        let names = [file.name.to_owned(), format!("{}.gz", file.name)];
        let mut paths = names.iter().map(|name| place.join(name));
        let path = paths.find(|path| path.is_file())?;
        Some(Self { file, path })
    }

    pub(super) fn open(&self) -> Result<Contents, DataError> {
        Ok(Contents::open(&self.path)?.hashed())
    }
}

#[cfg(test)]
mod tests {
    use super::super::test_data::shared_data;
    use super::*;
    use lyceum_core::{Features, Seed};

    fn context(folders: &[&Path]) -> LoadContext {
        LoadContext {
            seed: Seed(1),
            clients: 10,
            folders: folders.iter().map(|folder| folder.to_path_buf()).collect(),
        }
    }

    fn pool(set: &dyn DataSet, context: &LoadContext) -> (Samples, Samples) {
        match set.load(context).unwrap() {
            Source::Pool { train, test, .. } => (train, test),
            _ => unreachable!(),
        }
    }

    #[test]
    fn the_public_sets_are_read_whole() {
        let Some(shared) = shared_data() else { return };
        let context = context(&[&shared]);
        let grey = vec![1, 28, 28];
        let colour = vec![3, 32, 32];
        let sets: [(&dyn DataSet, usize, usize, &Vec<usize>); 4] = [
            (&FashionMnist {}, 60_000, 10, &grey),
            (&Mnist {}, 60_000, 10, &grey),
            (&Cifar10Subset {}, 10_000, 10, &colour),
            (&Cifar100Subset { coarse: true }, 10_000, 20, &colour),
        ];
        for (set, size, classes, shape) in sets {
            let (train, test) = pool(set, &context);
            assert_eq!(
                (train.len(), train.classes, &train.shape),
                (size, classes, shape)
            );
            assert_eq!(test.len(), if size == 60_000 { 10_000 } else { 2_000 });
            let mut held = vec![0; classes];
            train
                .labels
                .iter()
                .for_each(|&label| held[label as usize] += 1);
            assert!(held.iter().all(|&held| held > size / classes * 9 / 10));
        }
    }

    #[test]
    fn colour_planes_have_the_published_means() {
        let Some(shared) = shared_data() else { return };
        let (train, _) = pool(&Cifar10Subset {}, &context(&[&shared]));
        let Features::U8(bytes) = &train.features else {
            panic!("bytes")
        };
        let mean = |channel: usize| {
            let planes = bytes.chunks_exact(1024).skip(channel).step_by(3);
            let sum: u64 = planes.flatten().map(|&b| u64::from(b)).sum();
            sum as f64 / (train.len() as f64 * 1024.0 * 255.0)
        };
        for (channel, published) in [0.4914, 0.4822, 0.4465].into_iter().enumerate() {
            assert!(
                (mean(channel) - published).abs() < 0.01,
                "{channel}: {}",
                mean(channel)
            );
        }
    }

    #[test]
    fn an_absent_set_names_files_folders_and_home_page() {
        let error = MNIST.load(&context(&[Path::new("here"), Path::new("there")]));
        let error = error.err().unwrap().to_string();
        for part in [
            "t10k-labels-idx1-ubyte",
            "here/mnist, there/mnist, here, there",
            "http://yann.lecun.com",
        ] {
            assert!(error.contains(part), "{error}");
        }
    }

    #[test]
    fn a_foreign_file_is_refused_with_both_sums() {
        let folder = tempfile::tempdir().unwrap();
        for file in &MNIST.files {
            std::fs::write(folder.path().join(file.name), b"abcdef").unwrap();
        }
        let error = MNIST
            .load(&context(&[folder.path()]))
            .err()
            .unwrap()
            .to_string();
        assert!(
            error.contains("bef57ec7f53a6d40beb640a780a639c83bc29ac8"),
            "{error}"
        );
        assert!(error.contains(MNIST.files[0].sum), "{error}");
    }

    #[test]
    fn an_incomplete_set_says_what_is_missing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("t10k-labels-idx1-ubyte.gz");
        std::fs::write(path, b"").unwrap();
        let error = MNIST
            .load(&context(&[folder.path()]))
            .err()
            .unwrap()
            .to_string();
        assert!(
            error.contains("not complete: train-images-idx3-ubyte, train-labels"),
            "{error}"
        );
    }
}
