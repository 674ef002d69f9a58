//! Promise: models by name compute what PyTorch computes with the same values. The files in `golden/` hold what
//! `tests/independent/models.py` printed.

use lyceum_core::{Batch, Entry, Learner, Mode, Network, Noise};
use lyceum_scenarios::models::{Cnn, Lenet5, Model, Resnet9, Resnet20};
use serde::{Deserialize, de::DeserializeOwned};
use std::{fs, ops::Range, path::Path};

/// A model with the values of `value`, as PyTorch computes it in 64 bits.
#[derive(Deserialize)]
struct Golden {
    model: String,
    settings: serde_json::Value,
    input: Vec<usize>,
    classes: usize,
    rows: usize,
    /// Logits in evaluation, and in a step of training.
    evaluated: Vec<f64>,
    trained: Vec<f64>,
    /// Of the step of training: cross entropy, and the gradient of every tensor.
    loss: f64,
    tensors: Vec<Gradient>,
}

#[derive(Deserialize)]
struct Gradient {
    shape: Vec<usize>,
    norm: f64,
    /// Values at evenly spread places.
    values: Vec<f64>,
}

/// Batches begin here in the numbering of values.
const BATCH: u32 = 1 << 31;

/// From -1 up to 1, in steps of 2^-15, by place: the bits of the place, mixed.
fn value(place: u32) -> f64 {
    let mut mixed = place.wrapping_mul(2_654_435_761);
    mixed ^= mixed >> 15;
    mixed = mixed.wrapping_mul(2_246_822_519);
    mixed ^= mixed >> 13;
    (f64::from(mixed >> 16) - 32768.0) / 32768.0
}

fn values(entry: &Entry) -> impl Iterator<Item = f32> {
    let Range { start, end } = entry.range();
    let (_, name) = entry.name.split_once('.').unwrap();
    let fan: usize = entry.shape[1..].iter().product();
    let scale = (6.0 / fan as f64).sqrt();
    let (is_matrix, is_scale) = (
        entry.shape.len() > 1,
        ["weight", "variance"].contains(&name),
    );
    (start..end).map(move |place| {
        let value = value(place as u32);
        let value = match (is_matrix, is_scale) {
            (true, _) => value * scale,
            (false, true) => 1.0 + value / 4.0,
            (false, false) => value / 4.0,
        };
        value as f32
    })
}

fn network(golden: &Golden) -> Network {
    fn of<M: Model + DeserializeOwned>(golden: &Golden) -> Network {
        let model: M = serde_json::from_value(golden.settings.clone()).unwrap();
        model.network(&golden.input, golden.classes).unwrap()
    }
    let make = match golden.model.as_str() {
        "lenet5" => of::<Lenet5>,
        "resnet9" => of::<Resnet9>,
        "resnet20" => of::<Resnet20>,
        "cnn" => of::<Cnn>,
        other => panic!("no model {other}"),
    };
    lyceum::registry().layers.within(|| make(golden))
}

fn batch(golden: &Golden, network: &Network) -> Batch {
    let count = (golden.rows * network.inputs()) as u32;
    Batch {
        inputs: (BATCH..BATCH + count)
            .map(|place| value(place) as f32)
            .collect(),
        labels: (0..golden.rows)
            .map(|row| ((3 * row + 1) % golden.classes) as u32)
            .collect(),
        keep_logits: true,
        ..Batch::default()
    }
}

fn close(what: &str, got: &[f32], want: &[f64], tolerance: f64) {
    assert_eq!(got.len(), want.len(), "{what}: number of values");
    for (at, (got, want)) in got.iter().zip(want).enumerate() {
        let off = (f64::from(*got) - want).abs();
        assert!(
            off <= tolerance,
            "{what}[{at}] is {got}, PyTorch has {want}"
        );
    }
}

/// How far a gradient may be off, for the size of its tensor's. Of a million values behind a ReLU, one or two lie so near zero that
/// rounding decides on which side, and each of them moves a gradient: by 0.8 % of its norm at most is seen, of a bias that group
/// normalisation nearly takes out.
const ROUNDING: f64 = 2e-2;

/// Gradients are compared by the norm of their tensor, or by a hundredth of the largest norm where that is more: those of a bias
/// before a normalisation are rounding alone.
fn check_gradient(name: &str, network: &Network, golden: &Golden, gradient: &[f32]) {
    let entries = network.layout().entries();
    assert_eq!(entries.len(), golden.tensors.len(), "{name}: tensors");
    let largest = golden.tensors.iter().fold(0.0_f64, |m, t| m.max(t.norm));
    for (entry, want) in entries.iter().zip(&golden.tensors) {
        let what = format!("{name}, gradient of {}", entry.name);
        assert_eq!(entry.shape, want.shape, "{what}");
        let got = &gradient[entry.range()];
        let norm = got
            .iter()
            .map(|v| f64::from(*v).powi(2))
            .sum::<f64>()
            .sqrt();
        let scale = want.norm.max(0.01 * largest);
        let off = (norm - want.norm).abs();
        assert!(
            off <= ROUNDING * scale,
            "{what}: norm {norm}, PyTorch has {}",
            want.norm
        );
        let steps = want.values.len() - 1;
        let noted: Vec<f32> = (0..=steps)
            .map(|at| got[at * (got.len() - 1) / steps])
            .collect();
        close(&what, &noted, &want.values, ROUNDING * scale);
    }
}

fn check(name: &str, golden: &Golden) {
    let network = network(golden);
    let engine = *lyceum::registry().engine("fused").unwrap();
    let mut learner: Box<dyn Learner> = (engine.build)(&network).unwrap();
    let params: Vec<f32> = network.layout().entries().iter().flat_map(values).collect();
    let batch = batch(golden, &network);
    let logits = golden.evaluated.iter().chain(&golden.trained);
    let tolerance = 1e-5 * logits.fold(1.0_f64, |m, v| m.max(v.abs()));

    learner.load(&params.clone().into());
    let mut logits = Vec::new();
    learner.logits(&batch, &mut logits);
    close(
        &format!("{name}, logits in evaluation"),
        &logits,
        &golden.evaluated,
        tolerance,
    );
    let mut gradient = vec![f32::NAN; params.len()];
    let train = Mode::Train {
        noise: Noise::of_key(1),
        fixed: &[],
    };
    let loss = learner.backward(&batch, train, &mut gradient);
    learner.seen_logits(&mut logits);
    let what = format!("{name}, logits in training");
    close(&what, &logits, &golden.trained, tolerance);
    close(&format!("{name}, loss"), &[loss], &[golden.loss], tolerance);
    check_gradient(name, &network, golden, &gradient);
}

fn golden(name: &str) -> Golden {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("golden");
    let text = fs::read_to_string(folder.join(format!("{name}.json"))).unwrap();
    serde_json::from_str(&text).unwrap()
}

#[test]
fn lenet5_is_what_pytorch_computes() {
    for name in ["lenet5", "lenet5-tanh"] {
        check(name, &golden(name));
    }
}

#[test]
fn resnet9_is_what_pytorch_computes() {
    for name in ["resnet9", "resnet9-groups"] {
        check(name, &golden(name));
    }
}

#[test]
fn resnet20_is_what_pytorch_computes() {
    for name in ["resnet20", "resnet20-groups"] {
        check(name, &golden(name));
    }
}

/// Blocks whose parts are normalised by batches, with and without a projection, beside layers of kinds of their own.
#[test]
fn a_residual_network_is_what_pytorch_computes() {
    check("residual", &golden("residual"));
}
