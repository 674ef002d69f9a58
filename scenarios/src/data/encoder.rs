//! The model of another run as a fixed encoder.

use super::DataError;
use lyceum_core::{
    Affine, Batch, Engine, Features, Init, Learner, Network, NetworkParts, Samples, Seed, Shard,
};
use safetensors::{Dtype, SafeTensors};
use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

/// Samples that go through the network together.
const ROWS: usize = 256;

/// Where features come from besides the samples.
pub(crate) struct Origin<'a> {
    pub(crate) seed: Seed,
    /// What a network of another run is computed with.
    pub(crate) engine: Option<Engine>,
    pub(crate) folders: &'a [PathBuf],
}

/// A network without its last dense layer.
pub(super) struct Encoder {
    learner: Box<dyn Learner>,
    input: Vec<usize>,
    features: usize,
}

impl Encoder {
    /// The model of the last checkpoint in a run's folder.
    pub(super) fn read(run: &Path, origin: &Origin<'_>) -> Result<Self, DataError> {
        let wrong = |message: String| DataError::Features { message };
        let folder = found(run, origin)?;
        let file = folder.join("network.json");
        let shown = file.display();
        let text = fs::read_to_string(&file).map_err(|e| {
            wrong(format!(
                "{shown}: {e}; the folder of a finished run is right"
            ))
        })?;
        let parts: NetworkParts = serde_json::from_str(&text)
            .map_err(|_| wrong(format!("{shown}: it holds no network")))?;
        let network = Network::new(&parts.input, parts.classes, parts.layers, Init::Zero)
            .map_err(|e| wrong(format!("{shown}: {e}")))?;
        let features = network.features().ok_or_else(|| {
            wrong(format!(
                "{shown}: an encoder is a model that ends in a dense layer"
            ))
        })?;
        let params = parameters(&last_model(&folder)?, &network)?;
        let engine = origin
            .engine
            .ok_or_else(|| wrong("this build has no engine to compute features with".into()))?;
        let mut learner = (engine.build)(&network).map_err(wrong)?;
        learner.load(&params.into());
        Ok(Self {
            learner,
            input: parts.input,
            features,
        })
    }

    /// Refuses samples that the network was not made for.
    pub(super) fn fits(&self, run: &Path, samples: &Samples) -> Result<(), DataError> {
        match samples.shape == self.input {
            true => Ok(()),
            false => {
                let (run, want, got) = (run.display(), &self.input, &samples.shape);
                let message = format!(
                    "the model of {run} takes samples of shape {want:?}, and these are {got:?}"
                );
                Err(DataError::Features { message })
            }
        }
    }

    pub(super) fn apply(&mut self, samples: &mut Samples) {
        let shard = Shard::whole(Arc::new(samples.clone()));
        let places: Vec<u32> = (0..samples.len() as u32).collect();
        let mut values = Vec::with_capacity(samples.len() * self.features);
        let (mut batch, mut rows) = (Batch::default(), Vec::new());
        for chunk in places.chunks(ROWS) {
            shard.pack(chunk, &mut batch);
            self.learner.features(&batch, &mut rows);
            values.extend_from_slice(&rows);
        }
        samples.features = Features::F32(values);
        samples.shape = vec![self.features];
        samples.affine = Affine::identity();
    }
}

/// The run's folder, here or in one of the data folders.
fn found(run: &Path, origin: &Origin<'_>) -> Result<PathBuf, DataError> {
    let here = [PathBuf::new()];
    let mut places = here
        .iter()
        .chain(origin.folders)
        .map(|folder| folder.join(run));
    places
        .find(|place| place.is_dir())
        .ok_or_else(|| DataError::Features {
            message: format!(
                "the run {} was not found; the folder of a finished one is right",
                run.display()
            ),
        })
}

/// The model of the last checkpoint.
fn last_model(folder: &Path) -> Result<PathBuf, DataError> {
    let checkpoints = folder.join("checkpoint");
    let entries = fs::read_dir(&checkpoints).into_iter().flatten().flatten();
    let numbered = entries.filter_map(|entry| {
        let rounds: u64 = entry.file_name().to_str()?.parse().ok()?;
        let model = entry.path().join("global.safetensors");
        (entry.path().join("manifest.json").is_file() && model.is_file()).then_some((rounds, model))
    });
    let last = numbered.max().map(|(_, model)| model);
    last.ok_or_else(|| DataError::Features {
        message: format!(
            "{}: there is no checkpoint with a model",
            checkpoints.display()
        ),
    })
}

/// The values of a network's layers.
fn parameters(file: &Path, network: &Network) -> Result<Vec<f32>, DataError> {
    let shown = file.display();
    let wrong = |message: String| DataError::Features { message };
    let bytes = fs::read(file).map_err(|e| wrong(format!("{shown}: {e}")))?;
    let tensors = SafeTensors::deserialize(&bytes)
        .map_err(|_| wrong(format!("{shown}: this is no whole safetensors file")))?;
    let mut params = Vec::with_capacity(network.layout().len());
    for entry in network.layout().entries() {
        let fits = |tensor: &safetensors::tensor::TensorView<'_>| {
            tensor.dtype() == Dtype::F32 && tensor.shape() == entry.shape
        };
        let tensor = tensors
            .tensor(&entry.name)
            .ok()
            .filter(fits)
            .ok_or_else(|| {
                let (name, shape) = (&entry.name, &entry.shape);
                wrong(format!(
                    "{shown}: it has no tensor `{name}` of shape {shape:?} in 32 bits"
                ))
            })?;
        let words = tensor.data().chunks_exact(4);
        params.extend(words.map(|w| f32::from_le_bytes([w[0], w[1], w[2], w[3]])));
    }
    match params.iter().all(|value| value.is_finite()) {
        true => Ok(params),
        false => Err(wrong(format!("{shown}: a value is not finite"))),
    }
}
