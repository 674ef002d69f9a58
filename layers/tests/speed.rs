//! Speed of layers on sequences: `cargo test --release -p lyceum-layers --test speed -- --ignored --nocapture`.
#![allow(clippy::print_stdout, clippy::unwrap_used)]

use lyceum_core::{Backward, Forward, LayerKind, Mode, Noise, Operation};
use lyceum_layers::{Attention, Embedding, Gru, Linear, Lstm};
use std::time::Instant;

/// A list of layers in order, with one step's values.
struct Chain {
    operations: Vec<Box<dyn Operation>>,
    params: Vec<Vec<f32>>,
    gradients: Vec<Vec<f32>>,
    values: Vec<Vec<f32>>,
    slopes: Vec<Vec<f32>>,
    rows: usize,
}

/// A number between -1 and 1 that follows from its place.
fn value(at: usize) -> f32 {
    let mixed = (at as u64 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    ((mixed >> 40) as f32 / (1 << 23) as f32) - 1.0
}

impl Chain {
    fn new(layers: &[&dyn LayerKind], input: &[usize], rows: usize, tokens: Option<usize>) -> Self {
        let mut shape = input.to_vec();
        let len = |shape: &[usize]| rows * shape.iter().product::<usize>();
        let first = (0..len(&shape)).map(|at| match tokens {
            Some(size) => (at * 7 % size) as f32,
            None => value(at),
        });
        let mut chain = Self {
            operations: Vec::new(),
            params: Vec::new(),
            gradients: Vec::new(),
            values: vec![first.collect()],
            slopes: vec![vec![0.0; len(&shape)]],
            rows,
        };
        for (place, layer) in layers.iter().enumerate() {
            let tensors = layer.tensors(&shape);
            let count = tensors
                .iter()
                .map(|t| t.shape.iter().product::<usize>())
                .sum();
            chain.operations.push(layer.operation(place, &shape));
            chain
                .params
                .push((0..count).map(|at| 0.06 * value(at)).collect());
            chain.gradients.push(vec![0.0; count]);
            shape = layer.output(&shape).unwrap();
            chain.values.push(vec![0.0; len(&shape)]);
            chain.slopes.push(vec![0.0; len(&shape)]);
        }
        chain
    }

    fn forward(&mut self) {
        for (at, operation) in self.operations.iter_mut().enumerate() {
            let (before, after) = self.values.split_at_mut(at + 1);
            operation.forward(Forward {
                params: &self.params[at],
                input: &before[at],
                rows: self.rows,
                mode: Mode::Train {
                    noise: Noise::of_key(1),
                    fixed: &[],
                },
                output: &mut after[0],
            });
        }
    }

    fn backward(&mut self) {
        let last = self.slopes.len() - 1;
        self.slopes[last].fill(1.0);
        for (at, operation) in self.operations.iter_mut().enumerate().rev() {
            let (before, after) = self.slopes.split_at_mut(at + 1);
            operation.backward(Backward {
                params: &self.params[at],
                input: &self.values[at],
                output: &self.values[at + 1],
                slope: &mut after[0],
                rows: self.rows,
                gradient: &mut self.gradients[at],
                wanted: (at > 0).then_some(&mut *before[at]),
            });
        }
    }
}

fn report(name: &str, chain: &mut Chain) {
    let mut best = [f64::INFINITY; 2];
    for _ in 0..30 {
        let start = Instant::now();
        chain.forward();
        let middle = Instant::now();
        chain.backward();
        let ms = |from: Instant, to: Instant| (to - from).as_secs_f64() * 1e3;
        best[0] = best[0].min(ms(start, middle));
        best[1] = best[1].min(ms(middle, Instant::now()));
    }
    let [forward, backward] = best;
    println!("{name}: forward {forward:.2} ms, backward {backward:.2} ms");
}

#[test]
#[ignore = "prints times"]
fn times_of_a_step() {
    let embedding = Embedding {
        size: 80,
        width: 8,
        deviation: 1.0,
    };
    let lstm = |last| Lstm {
        units: 256,
        last,
        reverse: false,
    };
    let gru = |last| Gru {
        units: 256,
        last,
        reverse: false,
    };
    let (attention, more, less) = (Attention::new(4), Linear::new(512), Linear::new(128));
    let head = Linear::new(80);
    let layers: [&dyn LayerKind; 4] = [&embedding, &lstm(false), &lstm(true), &head];
    report("lstm", &mut Chain::new(&layers, &[80], 10, Some(80)));
    let layers: [&dyn LayerKind; 4] = [&embedding, &gru(false), &gru(true), &head];
    report("gru", &mut Chain::new(&layers, &[80], 10, Some(80)));
    let layers: [&dyn LayerKind; 1] = [&attention];
    report("attention", &mut Chain::new(&layers, &[128, 128], 10, None));
    let layers: [&dyn LayerKind; 3] = [&attention, &more, &less];
    report("block", &mut Chain::new(&layers, &[128, 128], 10, None));
}
