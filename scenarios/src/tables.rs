//! The plain tables of a scenario file.

use crate::data::{FixedFeatures, Normalisation};
use lyceum_core::units::{Count, Decay, Fraction};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// The tables of a scenario file.
pub const TABLES: [&str; 18] = [
    "run",
    "sweep",
    "data",
    "model",
    "variational",
    "personal",
    "training",
    "ordering",
    "expert",
    "selection",
    "availability",
    "deadline",
    "strategy",
    "transform",
    "steering",
    "scenario",
    "timeline",
    "evaluation",
];

/// `[run]`: what is run, and from which seed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Run {
    /// Name of the run and of its folder: letters, digits and `-_.=,+`.
    pub name: String,
    /// Root of all randomness; 0 by default.
    #[serde(default)]
    pub seed: u64,
    /// Rounds of federated training.
    pub rounds: Count,
    /// Start from the parameters in this safetensors file instead of drawing them; a relative path is looked for here
    /// and in the data folders, of which the scenario's own is one.
    #[serde(default)]
    pub start_from: Option<PathBuf>,
    /// BLAKE3 of that file, 64 hexadecimal digits: another file is refused. The `scenario.toml` of a run names it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_from_blake3: Option<String>,
}

/// `[data]` without its two choices, `set` and `partition`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Data {
    /// Number of clients.
    pub clients: Count,
    /// Parts that the samples are cut into, of which the first `clients` are used; as many as clients by default.
    #[serde(default)]
    pub parts: Option<Count>,
    /// What is done to the inputs: "unit" (bytes to 0..1, the default), "none", or "standard" (mean 0 and
    /// variance 1 per channel, over the training samples).
    #[serde(default)]
    pub normalise: Normalisation,
    /// Fixed features in place of the data's own values; the values themselves by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub features: Option<FixedFeatures>,
    /// Share of the training samples that is held back as validation set; 0 by default.
    #[serde(default = "no_share")]
    pub validation: Decay,
    /// Folders in which the data set is looked for before those that every scenario has; relative ones stand beside this
    /// file. They say where samples lie, not what they are, and change no result.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub folders: Vec<PathBuf>,
    /// Real clients that join with data of their own, behind the `clients` that are simulated.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub real: Vec<RealClient>,
}

/// `[[data.real]]`: a client whose samples stay with it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RealClient {
    /// Its name, as in its certificate.
    pub name: String,
    /// Number of its training samples.
    pub samples: Count,
}

fn no_share() -> Decay {
    Decay::new(0.0).expect("0 is in range")
}

/// `[availability]`: which selected clients answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Availability {
    /// Share of the selected clients that never answer; drawn per round and client, 0 by default.
    #[serde(default = "nobody")]
    pub dropout: Fraction,
}

fn nobody() -> Fraction {
    Fraction::new(0.0).expect("0 is in range")
}

impl Default for Availability {
    fn default() -> Self {
        Self { dropout: nobody() }
    }
}

/// `[evaluation]`: when the global model is judged.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Evaluation {
    /// Rounds between evaluations of the global model; 1 by default. The last round is always evaluated.
    #[serde(default = "each_round")]
    pub every: Count,
    /// Rounds between reports of each client's test accuracy (all test samples of the client's classes); never by default.
    #[serde(default)]
    pub clients_every: Option<Count>,
    /// In a stream, judge tasks also before any client has begun them; true by default.
    #[serde(default = "yes", skip_serializing_if = "is_yes")]
    pub ahead: bool,
    /// Judge the initial model as well; false by default. Forward transfer needs it.
    #[serde(default, skip_serializing_if = "is_no")]
    pub before: bool,
    /// Judge each client's own model after its training: in a stream on the task that it is at, elsewhere on all test samples;
    /// false by default. Spatial knowledge retention needs it.
    #[serde(default, skip_serializing_if = "is_no")]
    pub local: bool,
    /// Judge each client's own model after its training, and the global one that it received, on test samples of which those of
    /// each class count as often as among its training samples; false by default.
    #[serde(default, skip_serializing_if = "is_no")]
    pub personal: bool,
    /// Tell of every evaluation whether the model is as often right as it is sure: expected calibration error (15 ranges of
    /// confidence) and negative log likelihood; false by default.
    #[serde(default, skip_serializing_if = "is_no")]
    pub calibration: bool,
    /// Tell of every evaluation the F1 over all classes, its mean over the classes and, of two classes, that of the second; false by
    /// default.
    #[serde(default, skip_serializing_if = "is_no")]
    pub f1: bool,
    /// Tell of every evaluation how often the class is among so many largest outputs; never by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub top: Option<Count>,
    /// Tell of every evaluation of two classes the area under the ROC curve; false by default.
    #[serde(default, skip_serializing_if = "is_no")]
    pub roc: bool,
    /// Tell of every evaluation the loss in its usual unit: the perplexity of a cross entropy, the root of a mean squared error;
    /// false by default.
    #[serde(default, skip_serializing_if = "is_no")]
    pub unit: bool,
}

fn is_no(value: &bool) -> bool {
    !value
}

fn yes() -> bool {
    true
}

fn is_yes(value: &bool) -> bool {
    *value
}

fn each_round() -> Count {
    Count::new(1).expect("1 is in range")
}

impl Default for Evaluation {
    fn default() -> Self {
        Self {
            every: each_round(),
            clients_every: None,
            ahead: true,
            before: false,
            local: false,
            personal: false,
            calibration: false,
            f1: false,
            top: None,
            roc: false,
            unit: false,
        }
    }
}
