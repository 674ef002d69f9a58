//! Every layer's gradient against differences of its values, at shapes and values drawn anew.
#![allow(clippy::unwrap_used)]

use lyceum_core::{
    Backward, Forward, Initial, LayerKind, LayerKinds, Mode, Noise, Operation, Role, Tensor,
};
use lyceum_layers::{Takes, give};
use rand::{RngExt, SeedableRng, rngs::ChaCha8Rng};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::{fs, path::Path};

#[derive(Default)]
struct All(LayerKinds);

impl Takes for All {
    fn take<K>(&mut self, name: &'static str, summary: &'static str)
    where
        K: LayerKind + DeserializeOwned + Serialize + JsonSchema,
    {
        self.0.add::<K>(name, summary);
    }
}

/// What the golden values say of a layer: settings and a shape that it takes.
#[derive(Deserialize)]
struct Case {
    layer: String,
    settings: serde_json::Value,
    input_shape: Vec<usize>,
}

fn cases() -> Vec<Case> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let mut files: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    let read =
        |path| -> Vec<Case> { serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap() };
    files.into_iter().flat_map(read).collect()
}

/// A number between -1 and 1.
fn even(rng: &mut ChaCha8Rng) -> f32 {
    2.0 * rng.random::<f32>() - 1.0
}

/// A layer with values to look at.
struct Trial {
    operation: Box<dyn Operation>,
    params: Vec<f32>,
    /// Which parameters follow a gradient.
    moves: Vec<bool>,
    input: Vec<f32>,
    slope: Vec<f32>,
    rows: usize,
    mode: Mode<'static>,
}

fn values(tensor: &Tensor) -> usize {
    tensor.shape.iter().product()
}

impl Trial {
    fn new(kind: &dyn LayerKind, shape: &[usize], rng: &mut ChaCha8Rng) -> Self {
        let rows = rng.random_range(1..4);
        let output: usize = kind.output(shape).unwrap().iter().product();
        let (mut params, mut moves) = (Vec::new(), Vec::new());
        for tensor in kind.tensors(shape) {
            let is_free = tensor.role == Role::Trainable;
            for _ in 0..values(&tensor) {
                params.push(match tensor.start {
                    Initial::Constant(value) if !is_free => value,
                    Initial::Constant(value) => value + 0.5 * even(rng),
                    _ => 0.7 * even(rng),
                });
                moves.push(is_free);
            }
        }
        let inputs = rows * shape.iter().product::<usize>();
        let input = (0..inputs)
            .map(|_| match kind.vocabulary() {
                Some(size) => rng.random_range(0..size) as f32,
                None => 1.5 * even(rng),
            })
            .collect();
        Self {
            operation: kind.operation(0, shape),
            params,
            moves,
            input,
            slope: (0..rows * output).map(|_| even(rng)).collect(),
            rows,
            mode: Mode::Train {
                noise: Noise::of_key(rng.random()),
                fixed: &[],
            },
        }
    }

    fn output(&mut self) -> Vec<f32> {
        let mut output = vec![f32::NAN; self.slope.len()];
        self.operation.forward(Forward {
            params: &self.params,
            input: &self.input,
            rows: self.rows,
            mode: self.mode,
            output: &mut output,
        });
        output
    }

    fn loss(&mut self) -> f64 {
        let output = self.output();
        let terms = output.iter().zip(&self.slope);
        terms.map(|(o, s)| f64::from(*o) * f64::from(*s)).sum()
    }

    /// Gradients of parameters and input.
    fn gradients(&mut self) -> [Vec<f32>; 2] {
        let output = self.output();
        let mut gradient = vec![f32::NAN; self.params.len()];
        let mut next = vec![f32::NAN; self.input.len()];
        self.operation.backward(Backward {
            params: &self.params,
            input: &self.input,
            output: &output,
            slope: &mut self.slope.clone(),
            rows: self.rows,
            gradient: &mut gradient,
            wanted: Some(&mut next),
        });
        [gradient, next]
    }

    fn of(&mut self, which: usize) -> &mut Vec<f32> {
        match which {
            0 => &mut self.params,
            _ => &mut self.input,
        }
    }

    /// The slope of the loss along a direction, by the difference of two values.
    fn difference(&mut self, which: usize, direction: &[f32], step: f32) -> f64 {
        let before = self.of(which).clone();
        let mut at = |step: f32| {
            let sites = before.iter().zip(direction).map(|(v, d)| v + step * d);
            *self.of(which) = sites.collect();
            self.loss()
        };
        let rise = at(step) - at(-step);
        *self.of(which) = before;
        rise / (2.0 * f64::from(step))
    }
}

/// A shape near that of a case that the layer takes, too.
fn shape_near(kind: &dyn LayerKind, shape: &[usize], rng: &mut ChaCha8Rng) -> Vec<usize> {
    for _ in 0..20 {
        let near: Vec<usize> = shape
            .iter()
            .map(|&side| side.saturating_sub(2).max(1) + rng.random_range(0..5))
            .collect();
        if kind.output(&near).is_ok() {
            return near;
        }
    }
    shape.to_vec()
}

/// Lengths of steps: where a curve bends on the way of a long one, a short one counts.
const STEPS: [f32; 2] = [1e-2, 1e-3];

fn compare(name: &str, trial: &mut Trial, which: usize, gradient: &[f32], rng: &mut ChaCha8Rng) {
    let len = gradient.len() as f32;
    for _ in 0..3 {
        let side = 1.0 / len.sqrt();
        let direction: Vec<f32> = (0..gradient.len())
            .map(|at| match which == 1 || trial.moves[at] {
                true if rng.random() => side,
                true => -side,
                false => 0.0,
            })
            .collect();
        let sites = gradient.iter().zip(&direction);
        let said: f64 = sites.map(|(g, d)| f64::from(*g) * f64::from(*d)).sum();
        let norm: f64 = gradient.iter().map(|g| f64::from(*g).powi(2)).sum();
        let usual = (norm / f64::from(len)).sqrt();
        let found = STEPS.map(|step| trial.difference(which, &direction, step));
        let near = |found: &f64| (said - found).abs() <= 0.03 * (usual + said.abs()) + 1e-3;
        assert!(
            found.iter().any(near),
            "{name}: the gradient says {said}, differences {found:?}"
        );
    }
}

#[test]
fn gradients_are_what_small_steps_show() {
    let mut all = All::default();
    give(&mut all);
    for seed in 0..4 {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        for case in cases() {
            let entry = all.0.entries().iter().find(|e| e.name == case.layer);
            let layer = entry.unwrap().read(&case.settings).unwrap();
            let kind = layer.kind();
            let shape = shape_near(kind, &case.input_shape, &mut rng);
            let name = format!("{} {} on {shape:?}, {seed}", case.layer, case.settings);
            let mut trial = Trial::new(kind, &shape, &mut rng);
            let [of_params, of_input] = trial.gradients();
            assert!(
                of_params.iter().chain(&of_input).all(|g| g.is_finite()),
                "{name}: a gradient is no number, or was not written"
            );
            if !of_params.is_empty() {
                compare(&name, &mut trial, 0, &of_params, &mut rng);
            }
            if kind.vocabulary().is_none() {
                compare(&name, &mut trial, 1, &of_input, &mut rng);
            }
        }
    }
}
