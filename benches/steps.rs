//! Milliseconds of a training step of larger models, one thread: `cargo bench --workspace --bench steps -- [MODEL...]`.
//! `peers/torch_steps.py` runs it in turn with PyTorch.

use lyceum_core::{Batch, Mode, Moments, Network, Noise, Optimizer, Resolved, Seed, Update};
use lyceum_scenarios::models::{CharLstm, Gpt, Model, Resnet9};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// A step that is timed.
struct Case {
    name: &'static str,
    model: fn() -> Box<dyn Model>,
    input: &'static [usize],
    /// Classes; of sequences also tokens.
    classes: usize,
    rows: usize,
    /// Whether every place of a sequence has an answer.
    places: bool,
}

fn read<M: Model + serde::de::DeserializeOwned + 'static>(settings: Value) -> Box<dyn Model> {
    Box::new(serde_json::from_value::<M>(settings).expect("these are settings of the model"))
}

/// `torch_steps.py` has the same.
const CASES: [Case; 4] = [
    Case {
        name: "resnet9",
        model: || read::<Resnet9>(json!({ "width": 16 })),
        input: &[3, 32, 32],
        classes: 10,
        rows: 64,
        places: false,
    },
    Case {
        name: "resnet9-wide",
        model: || read::<Resnet9>(json!({})),
        input: &[3, 32, 32],
        classes: 10,
        rows: 32,
        places: false,
    },
    Case {
        name: "char-lstm",
        model: || read::<CharLstm>(json!({})),
        input: &[80],
        classes: 80,
        rows: 10,
        places: false,
    },
    Case {
        name: "gpt",
        model: || read::<Gpt>(json!({ "layers": 4, "heads": 4, "width": 128 })),
        input: &[64],
        classes: 80,
        rows: 16,
        places: true,
    },
];

impl Case {
    fn batch(&self, network: &Network) -> Batch {
        let values = self.rows * network.inputs();
        let value = |i: usize| match self.input.len() {
            1 => (i * 7919 % self.classes) as f32,
            _ => (i * 7919 % 509) as f32 / 255.0 - 1.0,
        };
        let answers = self.rows * if self.places { self.input[0] } else { 1 };
        let labels = (0..answers).map(|i| (i * 31 % self.classes) as u32);
        let mut batch = Batch::default();
        batch.inputs.extend((0..values).map(value));
        match self.places {
            true => {
                batch.targets.extend(labels);
                batch.labels.resize(self.rows, 0);
            }
            false => batch.labels.extend(labels),
        }
        batch
    }

    /// Median milliseconds of a step of plain descent.
    fn time(&self) -> f64 {
        let network = (self.model)().network(self.input, self.classes);
        let network = network.expect("the model takes these samples");
        let engines = lyceum_learner::engines();
        let fused = engines.iter().find(|engine| engine.name == "fused");
        let build = fused.expect("it is in every build").build;
        let mut learner = build(&network).expect("it takes every network");
        learner.load(&network.initial(Seed(1)).into());
        let batch = self.batch(&network);
        let mut memory = Moments::new(network.layout());
        let objective = Resolved::default();
        let mut step = || {
            let mut update = Update {
                optimizer: Optimizer::Sgd { momentum: 0.0 },
                rate: 1e-3,
                weight_decay: 0.0,
                clip: None,
                objective: &objective,
                memory: &mut memory,
            };
            let noise = Noise::of_key(1);
            let began = Instant::now();
            learner.step(&batch, Mode::Train { noise, fixed: &[] }, &mut update);
            began.elapsed()
        };
        for _ in 0..3 {
            step();
        }
        let began = Instant::now();
        let mut found = Vec::new();
        while found.len() < 5 || began.elapsed() < Duration::from_secs(3) {
            found.push(step().as_secs_f64() * 1e3);
        }
        found.sort_by(f64::total_cmp);
        found[found.len() / 2]
    }
}

#[expect(clippy::print_stdout, reason = "a bench tells what it found")]
fn main() {
    let asked: Vec<String> = std::env::args()
        .skip(1)
        .filter(|a| !a.starts_with('-'))
        .collect();
    let wanted = |case: &&Case| asked.is_empty() || asked.iter().any(|name| name == case.name);
    for case in CASES.iter().filter(wanted) {
        println!("{} {:.3}", case.name, case.time());
    }
}
