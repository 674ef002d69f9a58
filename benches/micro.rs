//! Single layers, exact sums, and what a client costs besides its training.
//!
//! `cargo bench -p lyceum-benches [-- FILTER]`. One thread; steps are of 32 rows.

use divan::{Bencher, black_box, counter::ItemsCount};
use lyceum_core::{
    Batch, Charge, Divergence, ExactSum, Init, Lane, Layer, Learner, Mode, Moments, Network, Noise,
    Objective, Optimizer, Params, Resolved, Seed, Update, Variational, VectorRef, Vectors,
};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Parameters of the W1 model.
const W1: usize = 199_210;
/// Parameters of the W4 model.
const W4: usize = 7_850;

fn main() {
    divan::main();
}

fn learner(engine: &str, network: &Network) -> Box<dyn Learner> {
    let engines = lyceum_learner::engines();
    let engine = engines
        .iter()
        .find(|e| e.name == engine)
        .expect("it is listed");
    let mut learner = (engine.build)(network).expect("it is in this build");
    learner.load(&network.initial(Seed(1)).into());
    learner
}

/// Half of the values are zero, as in images of things before a plain background.
fn batch(network: &Network, rows: usize) -> Batch {
    let value = |i: usize| (i * 7919 % 509).saturating_sub(254) as f32 / 255.0;
    Batch {
        inputs: (0..rows * network.inputs()).map(value).collect(),
        labels: (0..rows)
            .map(|row| (row % network.classes()) as u32)
            .collect(),
        ..Batch::default()
    }
}

/// One step of plain SGD, from the batch to the new parameters.
fn step(bencher: Bencher<'_, '_>, engine: &str, input: &[usize], layers: Vec<Layer>) {
    let network = Network::new(input, 10, layers, Init::FanIn).expect("the layers fit together");
    let (mut learner, batch) = (learner(engine, &network), batch(&network, 32));
    let mut memory = Moments::new(network.layout());
    let objective = Resolved::default();
    bencher.counter(ItemsCount::new(32_u32)).bench_local(|| {
        let mut update = Update {
            optimizer: Optimizer::Sgd { momentum: 0.0 },
            rate: 0.01,
            weight_decay: 0.0,
            clip: None,
            objective: &objective,
            memory: &mut memory,
        };
        let noise = Noise::of_key(1);
        let mode = Mode::Train { noise, fixed: &[] };
        black_box(learner.step(&batch, mode, &mut update))
    });
}

fn dense(units: usize) -> Layer {
    Layer::Dense { units }
}

fn conv(channels: usize) -> Layer {
    Layer::Conv {
        channels,
        kernel: 3,
        stride: 1,
        padding: 0,
    }
}

fn pool() -> Layer {
    Layer::MaxPool {
        size: 2,
        stride: None,
    }
}

const ENGINES: [&str; 2] = ["fused", "flex"];

/// The models of W4, W1 and W2.
mod models {
    use super::*;

    #[divan::bench(args = ENGINES)]
    fn softmax(bencher: Bencher<'_, '_>, engine: &str) {
        step(bencher, engine, &[784], vec![dense(10)]);
    }

    #[divan::bench(args = ENGINES)]
    fn mlp(bencher: Bencher<'_, '_>, engine: &str) {
        let layers = vec![
            dense(200),
            Layer::Relu {},
            dense(200),
            Layer::Relu {},
            dense(10),
        ];
        step(bencher, engine, &[784], layers);
    }

    #[divan::bench(args = ENGINES, sample_count = 30)]
    fn cnn(bencher: Bencher<'_, '_>, engine: &str) {
        let layers = vec![
            conv(16),
            Layer::Relu {},
            pool(),
            conv(32),
            Layer::Relu {},
            pool(),
            dense(10),
        ];
        step(bencher, engine, &[1, 28, 28], layers);
    }
}

/// The model of W1 with weights that are distributions, beside the plain one: rows and units.
mod posteriors {
    use super::*;

    const SIZES: [(usize, usize); 3] = [(10, 200), (64, 200), (10, 400)];

    fn mlp(units: usize) -> Network {
        let layers = vec![
            dense(units),
            Layer::Relu {},
            dense(units),
            Layer::Relu {},
            dense(10),
        ];
        Network::new(&[784], 10, layers, Init::FanIn).expect("the layers fit together")
    }

    /// One step of plain SGD on the evidence lower bound, each with noise of its own.
    fn elbo_step(bencher: Bencher<'_, '_>, (rows, units): (usize, usize), how: Option<bool>) {
        let network = match how {
            None => mlp(units),
            Some(local) => mlp(units).variational(Variational {
                start: 0.05,
                draws: 1,
                local,
            }),
        };
        let (mut learner, batch) = (learner("fused", &network), batch(&network, rows));
        let mut prior = vec![0.0; network.layout().len()];
        let divergence = network.halves().map(|halves| {
            prior[halves.rhos()].fill(-0.1);
            Divergence {
                prior: VectorRef::Inline(prior.clone().into()),
                halves,
                charge: Charge::Elbo,
            }
        });
        let objective = Objective {
            divergences: divergence.into_iter().collect(),
            ..Objective::default()
        };
        let vectors = Vectors {
            global: &prior,
            round: &[],
        };
        let mut objective = objective.resolve(vectors).expect("the prior is inline");
        objective.charge(60_000, rows);
        let mut memory = Moments::new(network.layout());
        let mut key = 0;
        bencher.counter(ItemsCount::new(rows)).bench_local(|| {
            let mut update = Update {
                optimizer: Optimizer::Sgd { momentum: 0.0 },
                rate: 0.01,
                weight_decay: 0.0,
                clip: None,
                objective: &objective,
                memory: &mut memory,
            };
            key += 1;
            let noise = Noise::of_key(key);
            let mode = Mode::Train { noise, fixed: &[] };
            black_box(learner.step(&batch, mode, &mut update))
        });
    }

    #[divan::bench(args = SIZES)]
    fn plain(bencher: Bencher<'_, '_>, size: (usize, usize)) {
        elbo_step(bencher, size, None);
    }

    #[divan::bench(args = SIZES)]
    fn local(bencher: Bencher<'_, '_>, size: (usize, usize)) {
        elbo_step(bencher, size, Some(true));
    }

    #[divan::bench(args = SIZES)]
    fn weights(bencher: Bencher<'_, '_>, size: (usize, usize)) {
        elbo_step(bencher, size, Some(false));
    }
}

/// One layer behind a 1x1 convolution to 16 channels of 12x12, so that it is walked back, too; `none` is what the frame
/// alone costs.
mod layers {
    use super::*;

    fn behind(bencher: Bencher<'_, '_>, engine: &str, layer: Option<Layer>) {
        let first = Layer::Conv {
            channels: 16,
            kernel: 1,
            stride: 1,
            padding: 0,
        };
        let layers = [Some(first), layer, Some(dense(10))].into_iter().flatten();
        step(bencher, engine, &[1, 12, 12], layers.collect());
    }

    #[divan::bench(args = ENGINES)]
    fn none(bencher: Bencher<'_, '_>, engine: &str) {
        behind(bencher, engine, None);
    }

    #[divan::bench(args = ENGINES)]
    fn convolution(bencher: Bencher<'_, '_>, engine: &str) {
        behind(bencher, engine, Some(conv(32)));
    }

    #[divan::bench(args = ENGINES)]
    fn strided_convolution(bencher: Bencher<'_, '_>, engine: &str) {
        behind(
            bencher,
            engine,
            Some(Layer::Conv {
                channels: 32,
                kernel: 3,
                stride: 2,
                padding: 1,
            }),
        );
    }

    #[divan::bench(args = ENGINES)]
    fn max_pool(bencher: Bencher<'_, '_>, engine: &str) {
        behind(bencher, engine, Some(pool()));
    }

    #[divan::bench(args = ENGINES)]
    fn mean_pool(bencher: Bencher<'_, '_>, engine: &str) {
        behind(
            bencher,
            engine,
            Some(Layer::AvgPool {
                size: 2,
                stride: None,
            }),
        );
    }

    #[divan::bench(args = ENGINES)]
    fn relu(bencher: Bencher<'_, '_>, engine: &str) {
        behind(bencher, engine, Some(Layer::Relu {}));
    }

    #[divan::bench(args = ENGINES)]
    fn tanh(bencher: Bencher<'_, '_>, engine: &str) {
        behind(bencher, engine, Some(Layer::Tanh {}));
    }

    #[divan::bench(args = ENGINES)]
    fn dropout(bencher: Bencher<'_, '_>, engine: &str) {
        behind(bencher, engine, Some(Layer::Dropout { share: 0.5 }));
    }

    #[divan::bench(args = ENGINES)]
    fn batch_norm(bencher: Bencher<'_, '_>, engine: &str) {
        behind(
            bencher,
            engine,
            Some(Layer::BatchNorm {
                momentum: 0.1,
                epsilon: 1e-5,
            }),
        );
    }

    #[divan::bench(args = ENGINES)]
    fn group_norm(bencher: Bencher<'_, '_>, engine: &str) {
        behind(
            bencher,
            engine,
            Some(Layer::GroupNorm {
                groups: 4,
                epsilon: 1e-5,
            }),
        );
    }
}

/// Items are parameters times clients.
mod sums {
    use super::*;

    fn delta(len: usize) -> Params {
        (0..len)
            .map(|i| (i % 1000) as f32 * 1e-5 - 5e-3)
            .collect::<Vec<_>>()
            .into()
    }

    /// As many clients as one pass takes.
    #[divan::bench(args = [W4, W1])]
    fn fold(bencher: Bencher<'_, '_>, len: usize) {
        let mut sum = ExactSum::new(&[Lane::INTEGER], len);
        let admit = |_| {
            sum.admit(vec![(600.0, delta(len))])
                .expect("the values are in range")
        };
        let terms: Vec<_> = (0..ExactSum::FOLD).map(admit).collect();
        bencher
            .counter(ItemsCount::new(len * terms.len()))
            .bench_local(|| {
                sum.clear();
                sum.fold(&terms).expect("there is room");
            });
    }

    #[divan::bench(args = [W4, W1])]
    fn admit(bencher: Bencher<'_, '_>, len: usize) {
        let (sum, delta) = (ExactSum::new(&[Lane::INTEGER], len), delta(len));
        bencher
            .counter(ItemsCount::new(len))
            .bench_local(|| black_box(sum.admit(vec![(600.0, delta.clone())])).is_ok());
    }

    #[divan::bench(args = [W4, W1])]
    fn merge(bencher: Bencher<'_, '_>, len: usize) {
        let mut sum = ExactSum::new(&[Lane::INTEGER], len);
        let other = sum.clone();
        bencher
            .counter(ItemsCount::new(len))
            .bench_local(|| sum.merge(&other).is_ok());
    }

    #[divan::bench(args = [W4, W1])]
    fn mean(bencher: Bencher<'_, '_>, len: usize) {
        let mut sum = ExactSum::new(&[Lane::INTEGER], len);
        sum.add(0, 600.0, &delta(len))
            .expect("the values are in range");
        bencher
            .counter(ItemsCount::new(len))
            .bench_local(|| sum.mean(0));
    }
}

/// Items are parameters.
mod clients {
    use super::*;

    fn mlp() -> Network {
        let layers = vec![
            dense(200),
            Layer::Relu {},
            dense(200),
            Layer::Relu {},
            dense(10),
        ];
        Network::new(&[784], 10, layers, Init::FanIn).expect("the layers fit together")
    }

    /// The global model into a learner that changes it otherwise than by a step.
    #[divan::bench]
    fn load(bencher: Bencher<'_, '_>) {
        let network = mlp();
        let (mut learner, global) = (
            learner("fused", &network),
            Params::from(network.initial(Seed(2))),
        );
        bencher
            .counter(ItemsCount::new(global.len()))
            .bench_local(|| {
                learner.load(&global);
                black_box(learner.params_mut()).len()
            });
    }

    /// What training has changed, out of a learner.
    #[divan::bench]
    fn unload(bencher: Bencher<'_, '_>) {
        let network = mlp();
        let (learner, global) = (
            learner("fused", &network),
            Params::from(network.initial(Seed(2))),
        );
        bencher
            .counter(ItemsCount::new(global.len()))
            .bench_local(|| learner.delta(&global, Vec::new()));
    }
}
