//! Every layer against PyTorch: values, gradients and slopes. The files in `golden/` hold what `tests/independent/layers.py` printed.
#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

use lyceum_core::{Backward, Forward, LayerKinds, Mode, Noise, Operation};
use lyceum_layers::{Takes, give};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::{collections::BTreeSet, fs, path::Path};

/// One layer with values, as PyTorch computes them in 64 bits.
#[derive(Deserialize)]
struct Case {
    layer: String,
    settings: serde_json::Value,
    input_shape: Vec<usize>,
    output_shape: Vec<usize>,
    rows: usize,
    /// The tensors one behind the other, in the order of the layout.
    params: Vec<f32>,
    input: Vec<f32>,
    output: Vec<f64>,
    /// Slope of the loss at the output.
    slope: Vec<f32>,
    gradient: Vec<f64>,
    /// Slope at the input; empty where it has none, as for tokens.
    input_slope: Vec<f64>,
}

#[derive(Default)]
struct All(LayerKinds);

impl Takes for All {
    fn take<K>(&mut self, name: &'static str, summary: &'static str)
    where
        K: lyceum_core::LayerKind + DeserializeOwned + Serialize + JsonSchema,
    {
        self.0.add::<K>(name, summary);
    }
}

fn kinds() -> LayerKinds {
    let mut all = All::default();
    give(&mut all);
    all.0
}

fn cases() -> Vec<(String, Case)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let mut files: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    let read = |path: std::path::PathBuf| {
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        let text = fs::read_to_string(&path).unwrap();
        let cases: Vec<Case> = serde_json::from_str(&text).unwrap();
        cases.into_iter().map(move |case| (name.clone(), case))
    };
    files.into_iter().flat_map(read).collect()
}

fn close(name: &str, what: &str, got: &[f32], want: &[f64]) {
    assert_eq!(got.len(), want.len(), "{name}: number of values of {what}");
    let scale = want.iter().fold(1.0_f64, |top, w| top.max(w.abs()));
    for (at, (got, want)) in got.iter().zip(want).enumerate() {
        let off = (f64::from(*got) - want).abs();
        assert!(
            off <= 1e-5 * scale,
            "{name}: {what}[{at}] is {got}, PyTorch has {want}"
        );
    }
}

/// What an operation makes of a case: output, gradient, slope at the input.
fn run(operation: &mut dyn Operation, case: &Case, wanted: bool) -> [Vec<f32>; 3] {
    let mut output = vec![f32::NAN; case.output.len()];
    let mode = Mode::Train {
        noise: Noise::of_key(1),
        fixed: &[],
    };
    operation.forward(Forward {
        params: &case.params,
        input: &case.input,
        rows: case.rows,
        mode,
        output: &mut output,
    });
    let mut gradient = vec![f32::NAN; case.params.len()];
    let mut next = vec![f32::NAN; case.input.len()];
    operation.backward(Backward {
        params: &case.params,
        input: &case.input,
        output: &output,
        slope: &mut case.slope.clone(),
        rows: case.rows,
        gradient: &mut gradient,
        wanted: wanted.then_some(&mut next),
    });
    [output, gradient, next]
}

#[test]
fn every_layer_is_what_pytorch_computes() {
    let kinds = kinds();
    let mut seen = BTreeSet::new();
    for (name, case) in cases() {
        let entry = kinds.entries().iter().find(|e| e.name == case.layer);
        let entry = entry.unwrap_or_else(|| panic!("{name}: no layer `{}`", case.layer));
        let layer = entry.read(&case.settings).unwrap();
        let shape = layer.kind().output(&case.input_shape).unwrap();
        assert_eq!(shape, case.output_shape, "{name}");
        let tensors = layer.kind().tensors(&case.input_shape);
        let values: usize = tensors
            .iter()
            .map(|t| t.shape.iter().product::<usize>())
            .sum();
        assert_eq!(values, case.params.len(), "{name}: number of parameters");
        let mut operation = layer.kind().operation(0, &case.input_shape);
        let wanted = !case.input_slope.is_empty();
        let first = run(&mut *operation, &case, wanted);
        let [output, gradient, next] = &first;
        close(&name, "output", output, &case.output);
        close(&name, "gradient", gradient, &case.gradient);
        if wanted {
            close(&name, "input slope", next, &case.input_slope);
        }
        // Buffers of a step before do not show.
        let again = run(&mut *operation, &case, wanted);
        let bits =
            |all: &[Vec<f32>; 3]| all.concat().iter().map(|v| v.to_bits()).collect::<Vec<_>>();
        assert_eq!(bits(&first), bits(&again), "{name}: a second step differs");
        seen.insert(case.layer);
    }
    for entry in kinds.entries() {
        assert!(
            seen.contains(entry.name),
            "no golden values for `{}`",
            entry.name
        );
    }
}
